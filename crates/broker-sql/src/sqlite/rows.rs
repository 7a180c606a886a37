//! Between rows and the types of the contract.

use std::time::Duration;

use lovage_core::{
    BackendError, DeadReason, Delivery, Envelope, Note, Place, Priority, QueueName, StoredMessage, TaskId,
    Timestamp, Verdict, limits,
};
use lovage_sql::sql_error;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(crate) use crate::{corrupt, kind_of_number, number_of_kind};

pub(crate) fn get<'r, T>(row: &'r SqliteRow, at: &str) -> Result<T, BackendError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(at).map_err(|error| sql_error("reading a message", error))
}

pub(crate) fn count(row: &SqliteRow, at: &str) -> Result<u32, BackendError> {
    u32::try_from(get::<i64>(row, at)?).map_err(|_| corrupt("a count that is out of range"))
}

/// A length of time as the tables have it, in microseconds; at most so long that an instant plus it is still one.
pub(crate) fn micros(length: Duration) -> i64 {
    const LONGEST: i64 = i64::MAX / 4;
    i64::try_from(length.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}

pub(crate) fn task_id(bytes: &[u8]) -> Result<TaskId, BackendError> {
    bytes.try_into().map(TaskId::from_bytes).map_err(|_| corrupt("an id that is not 16 bytes long"))
}

/// A list of byte strings as JSON of hexadecimal texts, for `json_each`.
pub(crate) fn hex_list<'a>(items: impl IntoIterator<Item = &'a [u8; 16]>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        push_hex(&mut text, item);
        text.push('"');
    }
    text.push(']');
    text
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A delivery with what it is sorted by: the answer of an update is in no order.
pub(crate) fn delivery(row: &SqliteRow, now: Timestamp) -> Result<((u8, bool, i64), Delivery), BackendError> {
    let body: Vec<u8> = get(row, "body")?;
    let published_at = Timestamp::from_micros(get(row, "published_at")?);
    let losses = count(row, "losses")?;
    let verdict = if let Some(by) = get::<Option<&[u8]>>(row, "replaced_by")? {
        Verdict::Replaced { by: task_id(by)? }
    } else if get::<bool>(row, "revoked")? {
        Verdict::Revoked
    } else if Envelope::expires_at(&body, published_at).is_some_and(|at| at <= now) {
        Verdict::Expired
    } else if losses >= limits::POISON_LOSSES {
        Verdict::Poisoned
    } else {
        Verdict::Run
    };
    let priority = priority(row)?;
    let delivery = Delivery {
        id: task_id(get(row, "id")?)?,
        priority,
        body,
        run: count(row, "run")?,
        delivery: count(row, "delivery")?,
        attempt: count(row, "attempt")?,
        losses,
        refused_since: get::<Option<i64>>(row, "refused_since")?.map(Timestamp::from_micros),
        published_at,
        kind: kind_of_number(get(row, "kind")?),
        verdict,
    };
    Ok(((9 - priority.get(), delivery.kind.is_none(), get(row, "position")?), delivery))
}

pub(crate) fn stored(row: &SqliteRow) -> Result<StoredMessage, BackendError> {
    let (place, at) = match get::<i64>(row, "place")? {
        0 => (Place::Ready, None),
        1 => (Place::Delayed, get(row, "at")?),
        2 => (Place::Leased, get(row, "until")?),
        3 => (Place::Dead, get(row, "at")?),
        _ => return Err(corrupt("an unknown place")),
    };
    let reason = match get::<Option<String>>(row, "reason")? {
        Some(word) if place == Place::Dead => {
            Some(DeadReason::parse(&word).ok_or_else(|| corrupt("an unknown reason"))?)
        }
        _ => None,
    };
    Ok(StoredMessage {
        id: task_id(get(row, "id")?)?,
        queue: QueueName::new(get::<String>(row, "queue")?)
            .map_err(|_| corrupt("a queue name that is not valid"))?,
        priority: priority(row)?,
        place,
        body: get(row, "body")?,
        run: count(row, "run")?,
        delivery: count(row, "delivery")?,
        attempt: count(row, "attempt")?,
        losses: count(row, "losses")?,
        published_at: Timestamp::from_micros(get(row, "published_at")?),
        at: at.map(Timestamp::from_micros),
        revoked: get(row, "revoked")?,
        replaced_by: get::<Option<&[u8]>>(row, "replaced_by")?.map(task_id).transpose()?,
        unique_key: get(row, "unique_key")?,
        reason,
        notes: notes(get::<Option<String>>(row, "notes")?.as_deref())?,
    })
}

pub(crate) fn notes(text: Option<&str>) -> Result<Vec<Note>, BackendError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|_| corrupt("notes that are not JSON"))
}

/// The notes with one more, the oldest dropped beyond the limit.
pub(crate) fn with_note(text: Option<&str>, note: &Note) -> Result<String, BackendError> {
    let mut all = notes(text)?;
    all.push(note.clone());
    let surplus = all.len().saturating_sub(limits::NOTES);
    serde_json::to_string(&all[surplus..]).map_err(|_| corrupt("notes that cannot be written"))
}

fn priority(row: &SqliteRow) -> Result<Priority, BackendError> {
    let number = u8::try_from(get::<i64>(row, "priority")?).ok();
    number
        .and_then(|number| Priority::new(number).ok())
        .ok_or_else(|| corrupt("a priority that is out of range"))
}
