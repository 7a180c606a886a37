//! Lua scripts, sent by their digest.

use std::fmt;

use fred::interfaces::LuaInterface;
use fred::types::{Key, Value};
use fred::util::sha1_hash;
use lovage_core::BackendError;

use crate::connect::Redis;
use crate::error::redis_error;

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
        let answer = client.evalsha::<Value, _, _, _>(self.sha1.as_str(), keys.clone(), args.clone()).await;
        let answer = match answer {
            Err(err) if err.details().starts_with("NOSCRIPT") => {
                client.eval::<Value, _, _, _>(self.source, keys, args).await
            }
            answer => answer,
        };
        answer.map_err(|err| redis_error(&format!("Redis script {}", self.name), err))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.name).field("sha1", &self.sha1).finish_non_exhaustive()
    }
}
