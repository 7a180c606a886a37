//! The store: one script per batch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::bytes::Bytes;
use fred::prelude::{HashesInterface as _, KeysInterface as _};
use fred::types::{Key, Value};
use fred::util::redis_keyslot;
use futures_util::future::join_all;
use lovage_core::{
    AttemptRecord, BackendError, BackendErrorKind, ErrorReport, Found, Outcome, Page, Recorded, ResultFilter,
    ResultStore, TaskId, TaskRecord, TaskState, Timestamp, limits,
};
use lovage_redis::{Redis, RedisConfig, Script};

/// Largest row in bytes: what does not fit into a message has no place here either.
const LARGEST: usize = limits::MESSAGE_MAX;
/// Attempts kept per task.
const HISTORY: i64 = 20;
/// What stands in the place of a result that a full Redis could not store.
const NO_MEMORY: &str = "Redis was out of memory when the task ended: its result is not stored";
/// Bytes of an error that a full Redis stores, and how long it keeps a row.
const BRIEF: usize = 200;
const KEEP_BRIEF: Duration = Duration::from_secs(3_600);

/// Results on Redis.
pub struct RedisResults {
    redis: Redis,
    namespace: String,
    record: Script,
    get: Script,
}

impl RedisResults {
    /// Connects.
    ///
    /// # Errors
    /// Those of [`Redis::connect`].
    pub async fn connect(config: &RedisConfig) -> Result<Arc<Self>, BackendError> {
        Self::connect_in(config, config.namespace()).await
    }

    /// Connects with this namespace, the start of the names of all keys, instead of the URL's.
    ///
    /// # Errors
    /// Those of [`Redis::connect`], and of [`RedisResults::on`].
    pub async fn connect_in(config: &RedisConfig, namespace: &str) -> Result<Arc<Self>, BackendError> {
        Self::on(Redis::connect(config).await?, namespace)
    }

    /// Results on a connection that others use too, such as the broker's.
    ///
    /// # Errors
    /// `Config` when the namespace is empty or has other characters than letters, digits, `-`, `_`, `.` and `:`.
    pub fn on(redis: Redis, namespace: &str) -> Result<Arc<Self>, BackendError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if namespace.is_empty() || !namespace.chars().all(allowed) {
            return Err(BackendError::new(
                BackendErrorKind::Config,
                "the namespace of the results is not valid: expected letters, digits, `-`, `_`, `.`, `:`",
            ));
        }
        Ok(Arc::new(Self {
            redis,
            namespace: namespace.to_owned(),
            record: Script::new("record", include_str!("scripts/record.lua")),
            get: Script::new("get", include_str!("scripts/get.lua")),
        }))
    }

    /// What may go into one command: everything, but in a cluster only what is in one slot.
    fn by_slot<T>(&self, items: Vec<T>, id: impl Fn(&T) -> TaskId) -> Vec<Vec<T>> {
        if !self.redis.config().is_cluster() {
            return if items.is_empty() { Vec::new() } else { vec![items] };
        }
        let mut parts: BTreeMap<u16, Vec<T>> = BTreeMap::new();
        for item in items {
            parts.entry(redis_keyslot(id(&item).to_string().as_bytes())).or_default().push(item);
        }
        parts.into_values().collect()
    }

    /// Stores what may go into one command. In a full Redis, where `full` is false, it fails and changes nothing.
    async fn store(
        &self,
        ids: &[TaskId],
        encoded: Vec<[Value; 8]>,
        full: bool,
        now: Option<Timestamp>,
    ) -> Result<Vec<Value>, BackendError> {
        let keys = ids.iter().flat_map(|id| [self.row(*id), self.attempts(*id)]).collect();
        let mut args: Vec<Value> = vec![instant(now), HISTORY.into(), i64::from(full).into()];
        args.extend(encoded.into_iter().flatten());
        list(self.record.run(&self.redis, keys, args).await?)
    }

    fn row(&self, id: TaskId) -> Key {
        format!("{}:res:{{{id}}}", self.namespace).into()
    }

    fn attempts(&self, id: TaskId) -> Key {
        format!("{}:att:{{{id}}}", self.namespace).into()
    }
}

#[async_trait]
impl ResultStore for RedisResults {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        let (mut answers, mut sent) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for record in batch {
            let encoded = encode(record).map(|encoded| sent.push((answers.len(), record.id, encoded)));
            answers.push(encoded.map_or_else(Recorded::Refused, |()| Recorded::Superseded));
        }
        let stored = join_all(self.by_slot(sent, |(_, id, _)| *id).into_iter().map(|part| async move {
            let (places, encoded): (Vec<usize>, Vec<_>) =
                part.into_iter().map(|(place, _, encoded)| (place, encoded)).unzip();
            let ids: Vec<TaskId> = places.iter().map(|place| batch[*place].id).collect();
            let stored = match self.store(&ids, encoded, false, now).await {
                Err(error) if is_out_of_memory(&error) => {
                    let brief = places.iter().filter_map(|place| encode_brief(&batch[*place])).collect();
                    tracing::warn!(
                        count = ids.len(),
                        "tasks ended and their results are not stored: {error}"
                    );
                    self.store(&ids, brief, true, now).await?
                }
                stored => stored?,
            };
            Ok((places, stored))
        }));
        for stored in stored.await {
            let (places, stored): (Vec<usize>, Vec<Value>) = stored?;
            for (place, stored) in places.into_iter().zip(stored) {
                if stored.as_i64() == Some(1) {
                    answers[place] = Recorded::Stored;
                }
            }
        }
        Ok(answers)
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        let asked: Vec<(usize, TaskId)> = ids.iter().copied().enumerate().collect();
        let found = join_all(self.by_slot(asked, |(_, id)| *id).into_iter().map(|part| async move {
            let keys = part.iter().map(|(_, id)| self.row(*id)).collect();
            Ok((part, list(self.get.run(&self.redis, keys, vec![instant(now)]).await?)?))
        }));
        let mut answers = vec![None; ids.len()];
        for found in found.await {
            let (part, rows): (Vec<(usize, TaskId)>, Vec<Value>) = found?;
            for ((place, _), row) in part.into_iter().zip(rows) {
                answers[place] = match row.as_bytes() {
                    Some([]) | None => None,
                    Some(json) => Some(serde_json::from_slice(json).map_err(|error| corrupt(&error))?),
                };
            }
        }
        Ok(answers)
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        let mut rows: Vec<(String, Value)> =
            self.redis.run("reading attempts", |client| client.hgetall(self.attempts(id))).await?;
        // By version, see record.lua.
        rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        rows.iter()
            .filter_map(|(_, attempt)| attempt.as_bytes())
            .map(|json| serde_json::from_slice(json).map_err(|error| corrupt(&error)))
            .collect()
    }

    async fn list(&self, _filter: &ResultFilter, _page: Page) -> Result<Found, BackendError> {
        let message = "results on Redis are short-lived and read by id only: to list and filter them set LOVAGE_RESULTS_URL \
                       to a SQL database, such as sqlite://results.db";
        Err(BackendError::new(BackendErrorKind::Unsupported, message))
    }

    async fn expire(&self, _limit: usize, _now: Option<Timestamp>) -> Result<usize, BackendError> {
        // Redis removes ended rows by itself.
        Ok(0)
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        let removed = join_all(self.by_slot(ids.to_vec(), |id| *id).into_iter().map(|part| async move {
            let rows: Vec<Key> = part.iter().map(|id| self.row(*id)).collect();
            let attempts: Vec<Key> = part.iter().map(|id| self.attempts(*id)).collect();
            // The attempts first: what is left when the connection breaks in between is deleted by the next try.
            let what = "deleting results";
            let _attempts: usize = self.redis.run(what, |client| client.del(attempts.clone())).await?;
            self.redis.run(what, |client| client.del::<usize, _>(rows.clone())).await
        }));
        removed.await.into_iter().sum()
    }
}

impl fmt::Debug for RedisResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisResults").field("redis", &self.redis).finish_non_exhaustive()
    }
}

fn encode(record: &TaskRecord) -> Result<[Value; 8], String> {
    let json = serde_json::to_vec(record).map_err(|error| error.to_string())?;
    if json.len() > LARGEST {
        return Err(format!("the row has {} bytes, the limit is {LARGEST}", json.len()));
    }
    let attempt = match record.state {
        TaskState::Retry | TaskState::Success | TaskState::Failure => {
            serde_json::to_vec(&AttemptRecord::from(record)).map_err(|error| error.to_string())?
        }
        TaskState::Pending
        | TaskState::Scheduled
        | TaskState::Started
        | TaskState::Revoked
        | TaskState::Expired
        | TaskState::Discarded => Vec::new(),
    };
    Ok([
        i64::from(record.run).into(),
        i64::from(record.delivery).into(),
        i64::from(record.attempt).into(),
        i64::from(record.state.is_terminal()).into(),
        i64::from(record.state == TaskState::Started).into(),
        // Lua counts exactly up to 2^53: 285 years.
        i64::try_from(record.keep_for.as_micros()).unwrap_or(i64::MAX).min(1 << 52).into(),
        Value::Bytes(json.into()),
        Value::Bytes(attempt.into()),
    ])
}

/// What a full Redis stores of a record: that the task ended and how, for an hour. A broker that shares the memory could not
/// be drained if it stored nothing, and would not be drained if it stored more than the message had.
fn encode_brief(record: &TaskRecord) -> Option<[Value; 8]> {
    let outcome = match &record.outcome {
        Outcome::Error(report) => {
            let message = report.message[..report.message.floor_char_boundary(BRIEF)].to_owned();
            Outcome::Error(ErrorReport::new(report.kind.clone(), message))
        }
        Outcome::Result(_) | Outcome::Marker(_) => Outcome::Marker(NO_MEMORY.to_owned()),
        Outcome::None => Outcome::None,
    };
    let brief = TaskRecord {
        arguments: "\"[not stored]\"".to_owned(),
        outcome,
        headers: BTreeMap::new(),
        keep_for: record.keep_for.min(KEEP_BRIEF),
        ..record.clone()
    };
    let mut encoded = encode(&brief).ok()?;
    // No attempts.
    encoded[7] = Value::Bytes(Bytes::new());
    Some(encoded)
}

fn is_out_of_memory(error: &BackendError) -> bool {
    error.kind() == BackendErrorKind::Refused && error.to_string().contains("OOM command not allowed")
}

fn instant(now: Option<Timestamp>) -> Value {
    now.map_or_else(|| "".into(), |now| now.as_micros().into())
}

fn list(answer: Value) -> Result<Vec<Value>, BackendError> {
    if let Value::Array(items) = answer {
        return Ok(items);
    }
    Err(BackendError::new(
        BackendErrorKind::Corrupt,
        "a script of the results answered something else than a list",
    ))
}

fn corrupt(error: &serde_json::Error) -> BackendError {
    let message = format!(
        "a stored result cannot be read ({error}): somebody else wrote to its key, or a newer release did"
    );
    BackendError::new(BackendErrorKind::Corrupt, message)
}
