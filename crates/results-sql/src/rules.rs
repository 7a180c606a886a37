//! What the two kinds of database have in common.

use std::collections::HashSet;
use std::fmt;

use lovage_core::{BackendError, BackendErrorKind, TaskId, TaskRecord, TaskState, limits};

/// Attempts kept per task.
pub(crate) const HISTORY: i64 = 20;
/// Largest row in bytes: what does not fit into a message has no place here either.
const LARGEST: usize = limits::MESSAGE_MAX;
/// Most bytes in one statement.
const PART: usize = 2 * LARGEST;

/// Refuses a row that is too large.
pub(crate) fn check_size(bytes: usize) -> Result<(), String> {
    if bytes > LARGEST {
        return Err(format!("the row has {bytes} bytes, the limit is {LARGEST}"));
    }
    Ok(())
}

/// Whether the record adds to the history.
pub(crate) fn is_ended_attempt(record: &TaskRecord) -> bool {
    match record.state {
        TaskState::Retry | TaskState::Success | TaskState::Failure => true,
        TaskState::Pending
        | TaskState::Scheduled
        | TaskState::Started
        | TaskState::Revoked
        | TaskState::Expired
        | TaskState::Discarded => false,
    }
}

/// One encoded record of a batch.
pub(crate) trait Part {
    /// The task.
    fn id(&self) -> TaskId;
    /// About how many bytes it has.
    fn bytes(&self) -> usize;
}

/// The batch without what was refused, in parts within which each id stands once, so that one statement can answer for each;
/// each with its place in the batch.
pub(crate) fn parts<T: Part>(encoded: &[Result<T, String>]) -> Vec<Vec<(usize, &T)>> {
    let mut parts: Vec<Vec<(usize, &T)>> = Vec::new();
    let (mut seen, mut bytes) = (HashSet::with_capacity(encoded.len()), 0);
    for (at, one) in encoded.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref().ok()?))) {
        bytes += one.bytes();
        if !seen.insert(one.id()) || bytes > PART || parts.is_empty() {
            seen = HashSet::from([one.id()]);
            bytes = one.bytes();
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push((at, one));
        }
    }
    parts
}

/// A row that is not what we write.
pub(crate) fn corrupt(error: &dyn fmt::Display) -> BackendError {
    let message = format!(
        "a stored result cannot be read ({error}): somebody else wrote to the table, or a newer release did"
    );
    BackendError::new(BackendErrorKind::Corrupt, message)
}
