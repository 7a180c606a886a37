//! What a client call fails with.

use std::error::Error;
use std::fmt;

use lovage_core::{BackendError, BackendErrorKind, ErrorReport, TaskId};

/// What a caller can do about a [`ClientError`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The server cannot be reached or did not answer in time: try again later.
    Unavailable {
        /// The task may have been accepted although no answer came. Sending it again with the id of
        /// [`Call::id`](crate::Call::id) does not run it twice, where workers have a result store.
        maybe_accepted: bool,
    },
    /// The server refused the credentials, or the set-up is wrong: trying again does not help.
    Config,
    /// An option or an argument of the call is wrong.
    Invalid,
    /// The id is live, or the unique key is held.
    Duplicate {
        /// The live task.
        holder: TaskId,
    },
    /// The queue has reached its configured length.
    Full,
    /// The backend does not offer this, or refused it.
    Unsupported,
    /// The task failed.
    Failed(Box<ErrorReport>),
    /// The task was cancelled.
    Revoked,
    /// Nobody started the task before it expired.
    Expired,
    /// The task ended quietly by its own decision.
    Discarded,
    /// The task had not ended by the deadline.
    Timeout,
    /// Neither broker nor results know the task: it never existed, its result is not stored or no longer kept.
    NotFound,
    /// The result is not of the type that was asked for, or stored data cannot be understood.
    Decode,
}

/// Why a client call did not do what it was asked for. The message says what was expected, what was found and what to do.
#[derive(Debug)]
pub struct ClientError {
    kind: ClientErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ClientError {
    pub(crate) fn new(kind: ClientErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ClientErrorKind::Invalid, message.to_string())
    }

    /// The error of a send, which says whether the task may be on its way all the same.
    pub(crate) fn of_send(error: BackendError) -> Self {
        let mut error = Self::from(error);
        if error.kind == (ClientErrorKind::Unavailable { maybe_accepted: true }) {
            error
                .message
                .push_str(" (the task may have been accepted: a call with an id of its own can be sent again and does not run twice, where workers have a result store)");
        }
        error
    }

    /// The error of a send in a transaction, which is not to be committed: nothing has been accepted.
    #[cfg(feature = "sql")]
    pub(crate) fn of_transaction(error: BackendError) -> Self {
        let mut error = Self::from(error);
        if let ClientErrorKind::Unavailable { maybe_accepted } = &mut error.kind {
            *maybe_accepted = false;
        }
        error
    }

    /// What can be done about it.
    #[must_use]
    pub fn kind(&self) -> &ClientErrorKind {
        &self.kind
    }
}

impl From<BackendError> for ClientError {
    fn from(error: BackendError) -> Self {
        let maybe_accepted = error.is_maybe_applied();
        let kind = match error.kind() {
            BackendErrorKind::Unavailable => ClientErrorKind::Unavailable { maybe_accepted },
            BackendErrorKind::Auth | BackendErrorKind::Config => ClientErrorKind::Config,
            BackendErrorKind::Corrupt => ClientErrorKind::Decode,
            // New kinds are refusals until this client knows better.
            BackendErrorKind::Unsupported | BackendErrorKind::Refused | _ => ClientErrorKind::Unsupported,
        };
        let message = error.to_string();
        Self { kind, message, source: Some(Box::new(error)) }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().and_then(Error::source)
    }
}
