//! What travels: the part of a message that never changes, in postcard behind a version byte.
//!
//! The golden files under `tests/golden/` are the format: a release reads version N+1 before any release writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AckMode, Payload, RedactedArg, RetryPolicy, TaskId, Timestamp};

const VERSION: u8 = 1;
/// The bit of the first byte that marks a possible duplicate. It is no part of the version, so that a relay marks a message
/// that it cannot read.
const POSSIBLE_DUPLICATE: u8 = 0x80;

/// The content of a message. Id, queue and priority are the broker's columns and not repeated here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// When the task may no longer be started. First, so that a broker reads it without the rest.
    pub expires: Option<Expires>,
    /// The name of the task. Not a [`TaskName`](crate::TaskName): what another program sent must still decode.
    pub task: String,
    /// The arguments.
    pub payload: Payload,
    /// Instead of the task's own policy.
    pub retry: Option<RetryPolicy>,
    /// Instead of the task's own soft time limit.
    pub soft_time_limit: Option<Duration>,
    /// Instead of the task's own hard time limit.
    pub time_limit: Option<Duration>,
    /// Instead of the task's own setting.
    pub store_result: Option<bool>,
    /// Instead of the task's own setting.
    pub ack: Option<AckMode>,
    /// Arguments that must not be shown.
    pub redacted: Vec<RedactedArg>,
    /// The schedule that fired it, and for which slot.
    pub schedule: Option<ScheduledSlot>,
    /// Where it stands in a workflow.
    pub lineage: Option<Lineage>,
    /// Reserved for workflows: encoded messages to publish after success.
    pub on_success: Vec<Vec<u8>>,
    /// Reserved for workflows: encoded messages to publish after failure.
    pub on_error: Vec<Vec<u8>>,
    /// Trace context and the user's own. Unknown ones survive.
    pub headers: BTreeMap<String, String>,
    /// Whether the id may have been published before: the caller chose it, or the message is sent again. A worker reads the
    /// record of such a task before it runs it. Encoded as a bit of the first byte, so a plain message has no byte for it.
    #[serde(skip)]
    pub possible_duplicate: bool,
}

/// When a task may no longer be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expires {
    /// At an instant.
    At(Timestamp),
    /// After a time, counted by the server from the publish.
    After(Duration),
}

/// The slot of a schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduledSlot {
    /// The schedule's name.
    pub name: String,
    /// The instant for which it fired.
    pub slot: Timestamp,
}

/// The place of a task in a workflow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lineage {
    /// The first task of the workflow.
    pub root: TaskId,
    /// The task that sent this one.
    pub parent: Option<TaskId>,
    /// The group it belongs to.
    pub group: Option<TaskId>,
    /// Its place in the group.
    pub index: u32,
}

/// Why bytes are not a readable envelope.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by a later release: another worker may read it.
    #[error(
        "the message has envelope version {found}, this program reads up to {VERSION}: deploy workers before clients"
    )]
    Newer {
        /// The version byte.
        found: u8,
    },
    /// Nobody can ever read it.
    #[error("the message is not readable: {0}")]
    Unreadable(String),
}

impl Expires {
    /// The instant for a message published at `published_at`.
    #[must_use]
    pub fn at(self, published_at: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(time) => published_at.plus(time),
        }
    }
}

impl Envelope {
    /// An envelope with only a task and its arguments.
    pub fn new(task: impl Into<String>, payload: Payload) -> Self {
        Self {
            expires: None,
            task: task.into(),
            payload,
            retry: None,
            soft_time_limit: None,
            time_limit: None,
            store_result: None,
            ack: None,
            redacted: Vec::new(),
            schedule: None,
            lineage: None,
            on_success: Vec::new(),
            on_error: Vec::new(),
            headers: BTreeMap::new(),
            possible_duplicate: false,
        }
    }

    /// The bytes that a broker keeps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Every field type has a plain postcard form and the output grows: there is nothing that could fail.
        let first = if self.possible_duplicate { VERSION | POSSIBLE_DUPLICATE } else { VERSION };
        postcard::to_extend(self, vec![first]).unwrap_or_default()
    }

    /// Returns whether encoded bytes carry the mark of a [possible duplicate](Self::possible_duplicate), from their first byte.
    #[must_use]
    pub fn is_possible_duplicate(bytes: &[u8]) -> bool {
        bytes
            .first()
            .is_some_and(|first| first & POSSIBLE_DUPLICATE != 0 && is_version(first & !POSSIBLE_DUPLICATE))
    }

    /// Marks encoded bytes as a [possible duplicate](Self::possible_duplicate). Changes nothing where the first byte is not the
    /// version of an envelope.
    pub fn mark_possible_duplicate(bytes: &mut [u8]) {
        if let Some(first) = bytes.first_mut().filter(|first| is_version(**first)) {
            *first |= POSSIBLE_DUPLICATE;
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// Tells apart what a later release can read from what nobody can.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let body = versioned(bytes)?;
        let (mut envelope, rest): (Self, _) =
            postcard::take_from_bytes(body).map_err(|error| EnvelopeError::Unreadable(error.to_string()))?;
        envelope.possible_duplicate = Self::is_possible_duplicate(bytes);
        if rest.is_empty() {
            return Ok(envelope);
        }
        Err(EnvelopeError::Unreadable(format!("{} bytes are left over after its end", rest.len())))
    }

    /// Only when the message expires, from its first bytes. What is not readable does not expire: the worker finds out.
    #[must_use]
    pub fn expires_at(bytes: &[u8], published_at: Timestamp) -> Option<Timestamp> {
        let (expires, _rest): (Option<Expires>, _) =
            postcard::take_from_bytes(versioned(bytes).ok()?).ok()?;
        expires.map(|expires| expires.at(published_at))
    }
}

fn versioned(bytes: &[u8]) -> Result<&[u8], EnvelopeError> {
    let Some((&first, body)) = bytes.split_first() else {
        return Err(EnvelopeError::Unreadable("it is empty".to_owned()));
    };
    match first & !POSSIBLE_DUPLICATE {
        VERSION => Ok(body),
        found if is_version(found) => Err(EnvelopeError::Newer { found }),
        _ => Err(EnvelopeError::Unreadable(format!("its first byte is {first:#04x}, expected {VERSION}"))),
    }
}

/// Versions are small numbers: what starts with another byte was never an envelope.
const fn is_version(byte: u8) -> bool {
    VERSION <= byte && byte < 32
}
