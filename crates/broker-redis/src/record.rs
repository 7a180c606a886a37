//! What is stored of a message, as bytes.

use fred::types::Value;
use lovage_core::{BackendError, DeadReason, Note, Place, Priority, QueueName, StoredMessage, Timestamp};

use crate::answer::{Answer, integer, task_id, unexpected};

/// An entry of hash `m`: priority (1 byte), when it was published (8 bytes, big endian), body.
pub(crate) struct Record {
    pub(crate) priority: Priority,
    pub(crate) published_at: Timestamp,
    pub(crate) body: Vec<u8>,
}

impl Record {
    /// Reads an entry. What nobody of us wrote becomes a body as a whole: a worker finds out that it is not readable,
    /// and sets it aside.
    pub(crate) fn read_or_raw(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_else(|| Self {
            priority: Priority::LOWEST,
            published_at: Timestamp::default(),
            body: bytes.to_vec(),
        })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (priority, rest) = bytes.split_first()?;
        let (at, body) = rest.split_first_chunk()?;
        Some(Self {
            priority: Priority::new(*priority).ok()?,
            published_at: Timestamp::from_micros(i64::from_be_bytes(*at)),
            body: body.to_vec(),
        })
    }
}

/// An entry of hash `a`; messages that were handed out at most once have none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) run: u32,
    /// Hand-outs that ended.
    pub(crate) deliveries: u32,
    pub(crate) attempts: u32,
    pub(crate) losses: u32,
    pub(crate) refused_since: Option<Timestamp>,
    pub(crate) notes: Vec<Note>,
}

impl Default for History {
    /// Of a new message.
    fn default() -> Self {
        Self { run: 1, deliveries: 0, attempts: 0, losses: 0, refused_since: None, notes: Vec::new() }
    }
}

impl History {
    /// Reads an entry; no entry, and one that nobody of us wrote, is the history of a new message.
    pub(crate) fn read_or_new(value: &Value) -> Self {
        value.as_bytes().and_then(Self::read).unwrap_or_default()
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || take::<4>(&mut bytes).map(u32::from_be_bytes);
        let (run, deliveries, attempts, losses) = (number()?, number()?, number()?, number()?);
        let refused = i64::from_be_bytes(take::<8>(&mut bytes)?);
        let mut notes = Vec::new();
        while let Some(length) = take::<4>(&mut bytes) {
            let (note, rest) = bytes.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
            notes.push(serde_json::from_slice(note).ok()?);
            bytes = rest;
        }
        let refused_since = (refused != 0).then(|| Timestamp::from_micros(refused));
        Some(Self { run, deliveries, attempts, losses, refused_since, notes })
    }
}

/// What the scripts answer for a message that is looked at (`look.lua`); nothing for an entry that is no message. What of it
/// nobody of us wrote is shown as it would be handed out, so that it can be found and removed.
pub(crate) fn stored_message(
    what: &'static str,
    queue: &QueueName,
    value: Value,
) -> Result<Option<StoredMessage>, BackendError> {
    let mut parts = Answer::new(what, value)?;
    let (id, record) = (parts.next(), parts.next());
    let Ok(id) = task_id(what, &id) else { return Ok(None) };
    let Some(record) = record.as_bytes().map(Record::read_or_raw) else { return Ok(None) };
    let known = History::read_or_new(&parts.next());
    let revoked = parts.integer()? == 1;
    let at = parts.next();
    let at = if at.is_null() { None } else { Some(Timestamp::from_micros(integer(what, &at)?)) };
    let reason = parts.next();
    let reason = reason.as_str().and_then(|word| DeadReason::parse(&word));
    let place = parts.next();
    let place = place
        .as_bytes()
        .and_then(|word| Place::ALL.into_iter().find(|place| place.as_str().as_bytes() == word))
        .ok_or_else(|| unexpected(what, "a place", &place))?;
    let by = parts.next();
    let replaced_by = if by.is_null() { None } else { Some(task_id(what, &by)?) };
    let unique_key = parts.next().as_bytes().map(|key| String::from_utf8_lossy(key).into_owned());
    Ok(Some(StoredMessage {
        id,
        queue: queue.clone(),
        priority: record.priority,
        place,
        body: record.body,
        run: known.run,
        delivery: known.deliveries + u32::from(place == Place::Leased),
        attempt: known.attempts,
        losses: known.losses,
        published_at: record.published_at,
        at,
        revoked,
        replaced_by,
        unique_key,
        reason,
        notes: known.notes,
    }))
}

/// When a record was published, from its first bytes.
pub(crate) fn published_at(record: &[u8]) -> Option<Timestamp> {
    Record::read(record).map(|record| record.published_at)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_garbage_is_kept_whole() {
        let record = Record::read_or_raw(&[7, 0, 0, 0, 0, 0, 0, 1, 2, b'x']);
        assert_eq!((record.priority.get(), record.published_at.as_micros()), (7, 258));
        assert_eq!(record.body, b"x");
        for garbage in [&b""[..], b"short", &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Record::read_or_raw(garbage).body, garbage);
        }
    }

    #[test]
    fn a_history_that_is_cut_short_is_not_believed() {
        let mut bytes = vec![0; 24];
        bytes[3] = 2;
        bytes[11] = 3;
        let read = History::read(&bytes).unwrap();
        assert_eq!((read.run, read.attempts, read.refused_since), (2, 3, None));
        bytes.extend([0, 0, 0, 9, b'{']);
        assert_eq!(History::read(&bytes), None);
        assert_eq!(History::read(&bytes[..20]), None);
    }
}
