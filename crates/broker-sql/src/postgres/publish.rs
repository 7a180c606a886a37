//! Publishing, by itself and inside a transaction of the application.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use lovage_core::{
    BackendError, BackendErrorKind, Delay, Message, Published, QueueName, Timestamp, UniquePolicy,
};
use lovage_sql::sql_error;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::postgres::PgBroker;
use crate::postgres::rows;

const CONTEXT: &str = "publishing";
const OPENING: &str = "looking for the broker's tables";
/// Without a schema it is for connections of our own, whose search path leads to it.
const STATEMENT: &str = "SELECT refused, holder, newest FROM lovage_publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const REGISTER: &str = "SELECT lovage_queue_id(name), (SELECT quote_ident(nspname) FROM pg_namespace
    WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = 'lovage_queue'::regclass)) AS schema
    FROM unnest($1::text[]) AS t (name) ORDER BY name";

/// What transactions of the application need to know.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// The statement with its schema: the application's connections have a search path of their own.
    statement: Mutex<Option<Arc<str>>>,
    /// Queues that are in the table, committed.
    queues: Mutex<HashSet<QueueName>>,
}

impl PgBroker {
    pub(crate) async fn publish_batch(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let mut answers = vec![Published::Accepted; batch.len()];
        for part in by_queue(batch) {
            let rows = self
                .db
                .undisturbed(|| self.db.rows(CONTEXT, part.bind(sqlx::query(STATEMENT), now, false)))
                .await?;
            part.note(&rows, &mut answers)?;
        }
        Ok(answers)
    }

    /// Takes messages inside a transaction of the application, on its connection to the broker's database: they exist if and
    /// when it commits, and workers are woken then.
    ///
    /// # Errors
    /// `Config` when the connection is to another database; what the server says. The transaction is lost then.
    pub async fn publish_on(
        &self,
        connection: &mut PgConnection,
        batch: &[Message],
    ) -> Result<Vec<Published>, BackendError> {
        let mut answers = vec![Published::Accepted; batch.len()];
        let parts = by_queue(batch);
        let Some(statement) = self.outside(&parts).await? else { return Ok(answers) };
        for part in parts {
            let publish = part.bind(sqlx::query(AssertSqlSafe(Arc::clone(&statement))), None, true);
            let rows = publish.fetch_all(&mut *connection).await;
            part.note(&rows.map_err(|error| self.failed(error))?, &mut answers)?;
        }
        Ok(answers)
    }

    /// Registers the queues, by a connection of our own: everybody else who uses a new queue would wait for the end of the
    /// transaction that registered it. Answers the statement; nothing where there is nothing to publish.
    async fn outside(&self, parts: &[Part<'_>]) -> Result<Option<Arc<str>>, BackendError> {
        let known = |queue| lock(&self.outside.queues).contains(queue);
        let new: Vec<&QueueName> =
            parts.iter().map(|part| part.queue).filter(|queue| !known(*queue)).collect();
        if !new.is_empty() {
            let names: Vec<&str> = new.iter().map(|queue| queue.as_str()).collect();
            let rows = self.db.rows(OPENING, sqlx::query(REGISTER).bind(names)).await?;
            if let Some(row) = rows.first() {
                let schema: String = rows::get(row, "schema")?;
                let statement = STATEMENT.replace("FROM ", &format!("FROM {schema}."));
                *lock(&self.outside.statement) = Some(statement.into());
            }
            lock(&self.outside.queues).extend(new.into_iter().cloned());
        }
        Ok(lock(&self.outside.statement).clone())
    }

    /// What an application's connection says.
    fn failed(&self, error: sqlx::Error) -> BackendError {
        let elsewhere = error
            .as_database_error()
            .and_then(|said| said.code())
            .is_some_and(|code| matches!(code.as_ref(), "42883" | "3F000"));
        if !elsewhere {
            return sql_error(CONTEXT, error);
        }
        let message = format!(
            "{CONTEXT}: the connection of this transaction has no lovage_publish: expected one to {}, the broker's database; \
             use a transaction of that database, or send by an outbox in yours. If it is that database, its tables are \
             missing: run `lovage migrate` with the broker's URL",
            self.db.place()
        );
        BackendError::new(BackendErrorKind::Config, message).with_source(error)
    }
}

/// A panic elsewhere leaves what is noted as it was.
fn lock<T>(notes: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Messages for one queue, a list for each argument of the function.
#[derive(Debug)]
struct Part<'a> {
    queue: &'a QueueName,
    /// Where each is in the batch.
    at: Vec<usize>,
    ids: Vec<Uuid>,
    priorities: Vec<i16>,
    bodies: Vec<&'a [u8]>,
    /// Whether any has options; else their lists are not looked at.
    any_options: bool,
    options: Options<'a>,
}

#[derive(Debug, Default)]
struct Options<'a> {
    after: Vec<Option<i64>>,
    until: Vec<Option<i64>>,
    keys: Vec<Option<&'a str>>,
    ttls: Vec<Option<i64>>,
    until_start: Vec<bool>,
    replace: Vec<bool>,
    fences: Vec<Option<&'a str>>,
    slots: Vec<Option<i64>>,
}

/// In one order of the queues, so that two publishers never wait for each other.
fn by_queue(batch: &[Message]) -> Vec<Part<'_>> {
    let mut queues: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
    for (at, message) in batch.iter().enumerate() {
        queues.entry(&message.queue).or_default().push(at);
    }
    queues.into_iter().map(|(queue, at)| Part::new(queue, at, batch)).collect()
}

impl<'a> Part<'a> {
    fn new(queue: &'a QueueName, at: Vec<usize>, batch: &'a [Message]) -> Self {
        let plain = |message: &Message| {
            message.delay == Delay::None && message.unique.is_none() && message.fence.is_none()
        };
        let mut part = Self {
            queue,
            any_options: !at.iter().all(|at| plain(&batch[*at])),
            at,
            ids: Vec::new(),
            priorities: Vec::new(),
            bodies: Vec::new(),
            options: Options::default(),
        };
        for message in part.at.iter().map(|at| &batch[*at]) {
            part.ids.push(rows::uuid(message.id));
            part.priorities.push(i16::from(message.priority.get()));
            part.bodies.push(&message.body);
            if part.any_options {
                part.options.push(message);
            }
        }
        part
    }

    fn bind<'q>(
        &'q self,
        statement: Query<'q, sqlx::Postgres, PgArguments>,
        now: Option<Timestamp>,
        in_transaction: bool,
    ) -> Query<'q, sqlx::Postgres, PgArguments> {
        let options = &self.options;
        statement
            .bind(self.queue.as_str())
            .bind(rows::micros(now))
            .bind(in_transaction)
            .bind(&self.ids)
            .bind(&self.priorities)
            .bind(&self.bodies)
            .bind(self.any_options)
            .bind(&options.after)
            .bind(&options.until)
            .bind(&options.keys)
            .bind(&options.ttls)
            .bind(&options.until_start)
            .bind(&options.replace)
            .bind(&options.fences)
            .bind(&options.slots)
    }

    fn note(&self, refused: &[PgRow], answers: &mut [Published]) -> Result<(), BackendError> {
        for row in refused {
            let nth = usize::try_from(rows::get::<i32>(row, "refused")?).unwrap_or(0);
            let holder = rows::get::<Option<Uuid>>(row, "holder")?.map(rows::task_id);
            let instant = rows::get::<Option<i64>>(row, "newest")?.map(Timestamp::from_micros);
            let answer = match (holder, instant) {
                (None, Some(newest)) => Published::Stale { newest },
                (Some(_), Some(now)) => Published::Early { now },
                (Some(holder), None) => Published::Duplicate { holder },
                (None, None) => {
                    return Err(BackendError::new(
                        BackendErrorKind::Corrupt,
                        "publishing: the database answered neither a live task nor a slot: run `lovage migrate`",
                    ));
                }
            };
            if let Some(at) = nth.checked_sub(1).and_then(|nth| self.at.get(nth)) {
                answers[*at] = answer;
            }
        }
        Ok(())
    }
}

impl<'a> Options<'a> {
    fn push(&mut self, message: &'a Message) {
        let (after, until) = match message.delay {
            Delay::None => (None, None),
            Delay::For(delay) => (Some(rows::duration(delay)), None),
            Delay::Until(at) => (None, Some(at.as_micros())),
        };
        self.after.push(after);
        self.until.push(until);
        let unique = message.unique.as_ref();
        self.keys.push(unique.map(|claim| claim.key.as_str()));
        self.ttls.push(unique.and_then(|claim| claim.ttl).map(rows::duration));
        self.until_start.push(unique.is_some_and(|claim| claim.until_start));
        self.replace.push(unique.is_some_and(|claim| claim.policy == UniquePolicy::Replace));
        self.fences.push(message.fence.as_ref().map(|fence| fence.name.as_str()));
        self.slots.push(message.fence.as_ref().map(|fence| fence.slot.as_micros()));
    }
}
