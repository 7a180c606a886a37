//! The JSON API: the same views and actions as the pages.

pub(crate) mod openapi;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::problem::Problem;

/// An answer as JSON.
pub(crate) fn json<T: Serialize>(answer: &T) -> Result<Value, Problem> {
    serde_json::to_value(answer).map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer cannot be written as JSON: {error}"),
        )
    })
}
