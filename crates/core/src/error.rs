//! Errors: what a task fails with, what of it is stored, and what a backend fails with.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What should happen after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Directive {
    /// Retry by the task's policy.
    Policy,
    /// Do not retry.
    Permanent,
    /// Retry after this delay, if the policy has a retry left.
    RetryIn(Duration),
    /// End quietly in the state `discarded`.
    Discard,
}

/// Why a task failed, and what should happen next.
///
/// Made from any error by `?`. Like `anyhow::Error` it does not implement [`Error`] itself, which is what allows
/// that conversion.
///
/// ```
/// use lovage_core::TaskError;
///
/// fn read(text: &str) -> Result<i64, TaskError> {
///     let number: i64 = text.parse()?; // retried by the task's policy
///     if number < 0 {
///         return Err(TaskError::permanent("a negative number will not become positive")); // not retried
///     }
///     Ok(number)
/// }
/// assert!(read("x").is_err());
/// ```
pub struct TaskError {
    directive: Directive,
    report: Box<ErrorReport>,
}

impl TaskError {
    /// A failure with this message, retried by the task's policy.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with(Directive::Policy, message.into())
    }

    /// A failure that is not retried.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::with(Directive::Permanent, message.into())
    }

    /// A failure that is retried after `delay` (while the policy has retries left).
    pub fn retry_in(delay: Duration, message: impl Into<String>) -> Self {
        Self::with(Directive::RetryIn(delay), message.into())
    }

    /// Ends the task quietly as `discarded`: neither a success nor a failure, and never retried.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::with(Directive::Discard, reason.into())
    }

    /// The same failure, not retried.
    #[must_use]
    pub fn into_permanent(mut self) -> Self {
        self.directive = Directive::Permanent;
        self
    }

    /// A failure made from what is to be stored of it.
    #[must_use]
    pub fn from_report(directive: Directive, report: ErrorReport) -> Self {
        Self { directive, report: Box::new(report) }
    }

    /// What should happen next.
    #[must_use]
    pub fn directive(&self) -> Directive {
        self.directive
    }

    /// What is stored of this failure.
    #[must_use]
    pub fn report(&self) -> &ErrorReport {
        &self.report
    }

    /// What is stored of this failure.
    #[must_use]
    pub fn into_report(self) -> ErrorReport {
        *self.report
    }

    fn with(directive: Directive, message: String) -> Self {
        Self::from_report(directive, ErrorReport::new("TaskError", message))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::from_report(Directive::Policy, ErrorReport::of(&error, std::any::type_name::<E>()))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError").field("directive", &self.directive).field("report", &self.report).finish()
    }
}

/// What is stored of a failure: plain text, so that it outlives the program that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The error's type, `panic`, `timeout`, `stuck`, …
    pub kind: String,
    /// The error's own message.
    pub message: String,
    /// The messages of the `source()` chain, outermost first, without `message` itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// A backtrace, where one was caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}

impl ErrorReport {
    /// A report without causes.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), chain: Vec::new(), backtrace: None }
    }

    /// The report of an error with its whole chain of causes.
    pub fn of(error: &(dyn Error + 'static), kind: &str) -> Self {
        let mut chain = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        Self { chain, ..Self::new(kind, error.to_string()) }
    }
}

impl fmt::Display for ErrorReport {
    /// The message and its causes on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.chain.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// What a caller can do about a [`BackendError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// The server cannot be reached or did not answer in time: try again later.
    Unavailable,
    /// The server refused the credentials.
    Auth,
    /// The URL, a setting or the server's set-up is wrong: trying again does not help.
    Config,
    /// This backend does not offer the operation.
    Unsupported,
    /// Stored data cannot be understood.
    Corrupt,
    /// The server understood and refused, because it is full for example.
    Refused,
}

/// Why a broker or a store could not do what it was asked for.
#[derive(Debug)]
pub struct BackendError {
    kind: BackendErrorKind,
    message: String,
    maybe_applied: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// An error with a message that says what was expected, what was found and what to do.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), maybe_applied: false, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, marked: the operation may have taken effect although no answer came.
    #[must_use]
    pub fn maybe_applied(mut self) -> Self {
        self.maybe_applied = true;
        self
    }

    /// What can be done about it.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    /// Whether the operation may have taken effect although no answer came. A message with an id that the
    /// caller chose can be sent again: workers read its record before they run it.
    #[must_use]
    pub fn is_maybe_applied(&self) -> bool {
        self.maybe_applied
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == BackendErrorKind::Unavailable
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_task_error_with_its_chain() {
        let cause = BackendError::new(BackendErrorKind::Refused, "disk full");
        let error: TaskError =
            BackendError::new(BackendErrorKind::Unavailable, "no answer").with_source(cause).into();
        assert_eq!(error.to_string(), "no answer: disk full");
        assert!(error.report().kind.ends_with("BackendError"));
        assert_eq!(error.directive(), Directive::Policy);
    }
}
