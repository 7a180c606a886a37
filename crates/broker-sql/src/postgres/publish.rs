//! Publishing, by itself and inside a transaction of the application.

use std::collections::BTreeMap;

use lovage_core::{BackendError, Delay, Message, Published, QueueName, Timestamp, UniquePolicy};
use lovage_sql::sql_error;
use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::postgres::PgBroker;
use crate::postgres::rows;

const CONTEXT: &str = "publishing";

impl PgBroker {
    pub(crate) async fn publish_batch(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let mut answers = vec![Published::Accepted; batch.len()];
        for part in by_queue(batch) {
            let rows = self.db.undisturbed(|| self.db.rows(CONTEXT, part.query(now, false))).await?;
            part.note(&rows, &mut answers)?;
        }
        Ok(answers)
    }
}

/// Takes messages inside a transaction of the application: they exist if and when it commits, and workers are woken then.
///
/// # Errors
/// What the server says; the transaction is lost then.
pub async fn publish_on(
    connection: &mut PgConnection,
    batch: &[Message],
) -> Result<Vec<Published>, BackendError> {
    let mut answers = vec![Published::Accepted; batch.len()];
    for part in by_queue(batch) {
        let rows = part.query(None, true).fetch_all(&mut *connection).await;
        part.note(&rows.map_err(|error| sql_error(CONTEXT, error))?, &mut answers)?;
    }
    Ok(answers)
}

/// Messages for one queue, a list for each argument of the function.
#[derive(Debug, Default)]
struct Part<'a> {
    queue: &'a str,
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
        let mut part = Self { queue: queue.as_str(), ..Self::default() };
        part.any_options = !at.iter().all(|at| plain(&batch[*at]));
        for message in at.iter().map(|at| &batch[*at]) {
            part.ids.push(rows::uuid(message.id));
            part.priorities.push(i16::from(message.priority.get()));
            part.bodies.push(&message.body);
            if part.any_options {
                part.options.push(message);
            }
        }
        part.at = at;
        part
    }

    fn query(&self, now: Option<Timestamp>, in_transaction: bool) -> Query<'_, sqlx::Postgres, PgArguments> {
        let options = &self.options;
        sqlx::query("SELECT refused, holder, newest FROM lovage_publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)")
            .bind(self.queue)
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
            let answer = match rows::get::<Option<i64>>(row, "newest")? {
                Some(newest) => Published::Stale { newest: Timestamp::from_micros(newest) },
                None => Published::Duplicate { holder: rows::task_id(rows::get(row, "holder")?) },
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
