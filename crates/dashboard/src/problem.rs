//! What cannot be done, for people and programs.

use std::fmt;

use axum::http::StatusCode;
use lovage_core::{BackendError, BackendErrorKind};

/// Why a request was not answered as asked: a status and a sentence that says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) sentence: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The request is wrong.
    pub(crate) fn wrong(sentence: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence.to_string())
    }

    /// There is no such thing.
    pub(crate) fn missing(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, sentence)
    }

    /// Something has changed since it was looked at.
    pub(crate) fn conflict(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, sentence)
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let status = match error.kind() {
            BackendErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            BackendErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            BackendErrorKind::Refused => StatusCode::CONFLICT,
            BackendErrorKind::Auth | BackendErrorKind::Config | BackendErrorKind::Corrupt | _ => {
                StatusCode::BAD_GATEWAY
            }
        };
        Self::new(status, error.to_string())
    }
}
