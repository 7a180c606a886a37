//! Whether this process is well, for supervisors: nothing else is told to whoever asks.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::call::Call;
use crate::problem::Problem;

pub(crate) async fn live(_: Call) -> Result<Response, Problem> {
    Ok("alive\n".into_response())
}

pub(crate) async fn ready(call: Call) -> Result<Response, Problem> {
    Ok(match call.app.parts.broker.workers(None).await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!("the dashboard is not ready: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "the broker does not answer\n").into_response()
        }
    })
}
