//! Lua scripts, sent by their digest.

use std::fmt;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, LuaInterface, ServerInterface};
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Key, Value};
use fred::util::{redis_keyslot, sha1_hash};
use lovage_core::{BackendError, BackendErrorKind};

use crate::connect::{Redis, until_run};
use crate::error::redis_error;

/// How long a replica may take to acknowledge, in milliseconds.
const REPLICA_TIMEOUT_MS: i64 = 1_000;

/// A Lua script. Its digest is computed once, so make it once and keep it.
pub struct Script {
    name: &'static str,
    source: &'static str,
    sha1: String,
}

impl Script {
    /// A script with a name for errors, as in `Script::new("reserve", include_str!("reserve.lua"))`.
    pub fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, source, sha1: sha1_hash(source) }
    }

    /// The name given to it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the script with `KEYS` and `ARGV`, both byte for byte: by its digest, and with its text where
    /// Redis does not know it (any more). It never loads scripts beforehand: a fail-over would forget them.
    ///
    /// A string in the answer is a [`Value::String`] where it is UTF-8 and a [`Value::Bytes`] where not: read
    /// both with [`Value::as_bytes`].
    ///
    /// # Errors
    /// As [`redis_error`] says, with the script's name.
    pub async fn run(&self, redis: &Redis, keys: Vec<Key>, args: Vec<Value>) -> Result<Value, BackendError> {
        let client = redis.client();
        let answer = until_run(async || {
            let answer =
                client.evalsha::<Value, _, _, _>(self.sha1.as_str(), keys.clone(), args.clone()).await;
            match answer {
                Err(err) if is_unknown(&err) => client.eval(self.source, keys.clone(), args.clone()).await,
                answer => answer,
            }
        });
        answer.await.map_err(|err| self.error(err))
    }

    /// As [`run`](Self::run), and then waits until one replica has what the script wrote (`WAIT 1`). All keys must
    /// be in one slot.
    ///
    /// # Errors
    /// As `run`; `Unavailable` and maybe applied where no replica acknowledged within a second.
    pub async fn run_replicated(
        &self,
        redis: &Redis,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Value, BackendError> {
        let client = redis.waiting_client().await?;
        let done = until_run(async || match self.pipeline(client, true, &keys, &args).await {
            Err(err) if is_unknown(&err) => self.pipeline(client, false, &keys, &args).await,
            done => done,
        });
        let (answer, waited) = done.await.map_err(|err| self.error(err))?;
        let replicas = waited.map_err(|err| self.error(err).maybe_applied())?.as_i64().unwrap_or(0);
        if replicas >= 1 {
            return Ok(answer);
        }
        let message = format!(
            "Redis script {}: no replica acknowledged within {REPLICA_TIMEOUT_MS} ms (durability=replicated): the primary \
             has it and it may take effect; check that a replica is connected (INFO replication)",
            self.name
        );
        Err(BackendError::new(BackendErrorKind::Unavailable, message).maybe_applied())
    }

    /// The script and the `WAIT` in one go, so that both take the same connection: it waits for what was written there.
    async fn pipeline(
        &self,
        client: &Client,
        by_digest: bool,
        keys: &[Key],
        args: &[Value],
    ) -> Result<(Value, Result<Value, Error>), Error> {
        let pipeline = client.pipeline();
        let slot = ClusterHash::Custom(keys.first().map_or(0, |key| redis_keyslot(key.as_bytes())));
        let (command, script) =
            if by_digest { ("EVALSHA", self.sha1.as_str()) } else { ("EVAL", self.source) };
        let command = CustomCommand::new_static(command, slot.clone(), false);
        let keys_and_args = keys.iter().map(|key| Value::from(key.clone())).chain(args.iter().cloned());
        let count = i64::try_from(keys.len()).unwrap_or_default();
        let all: Vec<Value> = [script.into(), count.into()].into_iter().chain(keys_and_args).collect();
        pipeline.custom::<(), _>(command, all).await?;
        let options = Options { cluster_hash: Some(slot), ..Options::default() };
        pipeline.with_options(&options).wait::<()>(1, REPLICA_TIMEOUT_MS).await?;
        let mut answers = pipeline.try_all::<Value>().await.into_iter();
        let unanswered = || Err(Error::new(fred::error::ErrorKind::Protocol, "a pipeline was not answered"));
        let answer = answers.next().unwrap_or_else(unanswered)?;
        Ok((answer, answers.next().unwrap_or_else(unanswered)))
    }

    fn error(&self, err: Error) -> BackendError {
        redis_error(&format!("Redis script {}", self.name), err)
    }
}

fn is_unknown(err: &Error) -> bool {
    err.details().starts_with("NOSCRIPT")
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.name).field("sha1", &self.sha1).finish_non_exhaustive()
    }
}
