//! Reading what scripts answer.

use std::time::Duration;

use fred::types::Value;
use lovage_core::{BackendError, BackendErrorKind, TaskId, Timestamp};

/// The parts of an answer, taken one after the other.
pub(crate) struct Answer {
    what: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Answer {
    /// Of the script `what`.
    pub(crate) fn new(what: &'static str, value: Value) -> Result<Self, BackendError> {
        Ok(Self { what, values: list(what, value)?.into_iter() })
    }

    /// The next part, [`Value::Null`] where there is no further one.
    pub(crate) fn next(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Null)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, BackendError> {
        integer(self.what, &self.next())
    }

    pub(crate) fn size(&mut self) -> Result<usize, BackendError> {
        Ok(usize::try_from(self.integer()?).unwrap_or(0))
    }

    pub(crate) fn instant(&mut self) -> Result<Timestamp, BackendError> {
        self.integer().map(Timestamp::from_micros)
    }

    /// A time in microseconds; negative is none.
    pub(crate) fn time(&mut self) -> Result<Option<Duration>, BackendError> {
        Ok(u64::try_from(self.integer()?).ok().map(Duration::from_micros))
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Value>, BackendError> {
        list(self.what, self.next())
    }

    /// A list, empty where there is none.
    pub(crate) fn list_or_none(&mut self) -> Result<Vec<Value>, BackendError> {
        let next = self.next();
        if next.is_null() { Ok(Vec::new()) } else { list(self.what, next) }
    }
}

/// A list.
pub(crate) fn list(what: &'static str, value: Value) -> Result<Vec<Value>, BackendError> {
    if let Value::Array(values) = value { Ok(values) } else { Err(unexpected(what, "a list", &value)) }
}

/// A number, also one that came as text.
pub(crate) fn integer(what: &'static str, value: &Value) -> Result<i64, BackendError> {
    value.as_i64().ok_or_else(|| unexpected(what, "a number", value))
}

/// A task's id.
pub(crate) fn task_id(what: &'static str, value: &Value) -> Result<TaskId, BackendError> {
    let bytes = value.as_bytes().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map(TaskId::from_bytes).ok_or_else(|| unexpected(what, "the 16 bytes of an id", value))
}

/// An error about an answer, or a stored value, that is not as we wrote it. What was found may be a user's data and is
/// only described.
pub(crate) fn unexpected(what: &'static str, expected: &str, found: &Value) -> BackendError {
    let size = found.as_bytes().map(|bytes| format!(" of {} bytes", bytes.len())).unwrap_or_default();
    BackendError::new(
        BackendErrorKind::Corrupt,
        format!(
            "Redis script {what}: expected {expected}, found {:?}{size}: another program may have written to \
             Lovage's keys; give Lovage a database of its own",
            found.kind()
        ),
    )
}
