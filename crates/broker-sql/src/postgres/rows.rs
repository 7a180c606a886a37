//! Between rows and the types of the contract.

use std::time::Duration;

use lovage_core::{
    BackendError, DeadReason, Delivery, Envelope, Place, Priority, QueueName, StoredMessage, TaskId,
    Timestamp, Token, Verdict, WorkerInfo, limits,
};
use lovage_sql::sql_error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

pub(crate) use crate::{corrupt, kind_of_number, number_of_kind};

pub(crate) fn get<'r, T>(row: &'r PgRow, at: &str) -> Result<T, BackendError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(at).map_err(|error| sql_error("reading a message", error))
}

pub(crate) fn count(row: &PgRow, at: &str) -> Result<u32, BackendError> {
    u32::try_from(get::<i32>(row, at)?).map_err(|_| corrupt("a count that is out of range"))
}

pub(crate) fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(crate) fn token(token: Token) -> Uuid {
    Uuid::from_bytes(*token.as_bytes())
}

pub(crate) fn task_id(uuid: Uuid) -> TaskId {
    TaskId::from_bytes(uuid.into_bytes())
}

pub(crate) fn micros(now: Option<Timestamp>) -> Option<i64> {
    now.map(Timestamp::as_micros)
}

/// In microseconds, at most the 292,000 years that are left of the type, halved so that an instant can be added.
pub(crate) fn duration(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

/// What a worker says of itself, as it is stored.
pub(crate) fn info(info: &WorkerInfo) -> Result<String, BackendError> {
    serde_json::to_string(info).map_err(|_| corrupt("a worker that cannot be written"))
}

pub(crate) fn queue(row: &PgRow) -> Result<QueueName, BackendError> {
    QueueName::new(get::<String>(row, "queue_name")?).map_err(|_| corrupt("a queue name that is not valid"))
}

pub(crate) fn delivery(row: &PgRow, now: Timestamp) -> Result<Delivery, BackendError> {
    let body: Vec<u8> = get(row, "body")?;
    let published_at = Timestamp::from_micros(get(row, "published_at")?);
    let losses = count(row, "losses")?;
    let verdict = if let Some(by) = get::<Option<Uuid>>(row, "replaced_by")? {
        Verdict::Replaced { by: task_id(by) }
    } else if get(row, "revoked")? {
        Verdict::Revoked
    } else if Envelope::expires_at(&body, published_at).is_some_and(|at| at <= now) {
        Verdict::Expired
    } else if losses >= limits::POISON_LOSSES {
        Verdict::Poisoned
    } else {
        Verdict::Run
    };
    Ok(Delivery {
        id: task_id(get(row, "id")?),
        priority: priority(row)?,
        body,
        run: count(row, "run")?,
        delivery: count(row, "delivery")?,
        attempt: count(row, "attempt")?,
        losses,
        refused_since: get::<Option<i64>>(row, "refused_since")?.map(Timestamp::from_micros),
        published_at,
        kind: kind_of_number(get::<i32>(row, "kind")?.into()),
        verdict,
    })
}

pub(crate) fn stored(row: &PgRow) -> Result<StoredMessage, BackendError> {
    let place = match get::<i32>(row, "place")? {
        0 => Place::Ready,
        1 => Place::Delayed,
        2 => Place::Leased,
        3 => Place::Dead,
        _ => return Err(corrupt("an unknown place")),
    };
    let reason = get::<Option<String>>(row, "reason")?
        .map(|word| DeadReason::parse(&word).ok_or_else(|| corrupt("an unknown reason")))
        .transpose()?;
    let notes = get::<Option<Vec<String>>>(row, "notes")?.unwrap_or_default();
    let notes = notes.iter().map(|note| serde_json::from_str(note)).collect::<Result<_, _>>();
    Ok(StoredMessage {
        id: task_id(get(row, "id")?),
        queue: queue(row)?,
        priority: priority(row)?,
        place,
        body: get(row, "body")?,
        run: count(row, "run")?,
        // The row counts those that have ended.
        delivery: count(row, "delivery")? + u32::from(place == Place::Leased),
        attempt: count(row, "attempt")?,
        losses: count(row, "losses")?,
        published_at: Timestamp::from_micros(get(row, "published_at")?),
        at: get::<Option<i64>>(row, "place_at")?.map(Timestamp::from_micros),
        revoked: get(row, "revoked")?,
        replaced_by: get::<Option<Uuid>>(row, "replaced_by")?.map(task_id),
        unique_key: get(row, "unique_key")?,
        reason,
        notes: notes.map_err(|_| corrupt("notes that are not JSON"))?,
    })
}

fn priority(row: &PgRow) -> Result<Priority, BackendError> {
    let number = u8::try_from(get::<i16>(row, "priority")?).ok();
    number
        .and_then(|number| Priority::new(number).ok())
        .ok_or_else(|| corrupt("a priority that is out of range"))
}
