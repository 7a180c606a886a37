//! What a command fails with: a message for people, what to do about it, and an exit code.

use std::error::Error;
use std::fmt;

use lovage_core::BackendError;
use lovage_worker::{ClientError, ClientErrorKind, WorkerError};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    usage: bool,
    may_pass: bool,
}

impl CliError {
    /// It could not be done: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hint: None, usage: false, may_pass: false }
    }

    /// It was asked for in a wrong way: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { usage: true, ..Self::failed(message) }
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the same may work later: a server is away.
    pub(crate) fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// On one line, for a log.
    pub(crate) fn in_one_line(&self) -> String {
        let causes = self.causes.iter().map(|cause| format!(": {cause}"));
        let hint = self.hint.iter().map(|hint| format!("; {hint}"));
        [self.message.clone()].into_iter().chain(causes).chain(hint).collect()
    }

    /// 1, or 2 for wrong usage.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }

    fn of(error: &dyn Error) -> Self {
        let mut failed = Self::failed(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Drivers like to repeat their cause in their own message.
            if !failed.message.contains(&text) && !failed.causes.contains(&text) {
                failed.causes.push(text);
            }
            cause = error.source();
        }
        failed
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let may_pass = matches!(error.kind(), ClientErrorKind::Unavailable { .. });
        Self { may_pass, ..Self::of(&error) }
    }
}

impl From<BackendError> for CliError {
    fn from(error: BackendError) -> Self {
        Self { may_pass: error.is_transient(), ..Self::of(&error) }
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        Self::of(&error)
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::of(&error)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  caused by: {cause}"))?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use lovage_core::BackendErrorKind;

    use super::*;

    #[test]
    fn shows_causes_once_and_the_hint_last() {
        let cause = BackendError::new(BackendErrorKind::Unavailable, "connection refused");
        let error = BackendError::new(BackendErrorKind::Unavailable, "no answer").with_source(cause);
        let error = CliError::from(error).hint("start it");
        assert!(error.may_pass());
        assert_eq!(error.in_one_line(), "no answer: connection refused; start it");
        let shown = error.to_string();
        assert_eq!(shown, "error: no answer\n  caused by: connection refused\nhint: start it");
    }
}
