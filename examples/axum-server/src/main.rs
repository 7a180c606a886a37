//! A web server that sends tasks: send one, ask for its state, wait for its result.
//!
//! Run `lovage dev` in one shell and this in another, in the same directory:
//!
//! ```sh
//! cargo run -p lovage-example-axum-server
//! curl -X POST 'http://127.0.0.1:8000/add?x=1&y=3'
//! curl http://127.0.0.1:8000/tasks/ID
//! curl http://127.0.0.1:8000/tasks/ID/result
//! ```

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use lovage::{Client, ClientError, ClientErrorKind, TaskError, TaskId};
use serde_json::{Value, json};

// Only declared: the worker has the body.
#[lovage::task(name = "movies.tasks.add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError>;

type Reply = Result<(StatusCode, Json<Value>), (StatusCode, Json<Value>)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::from_env().await?;
    let routes = Router::new()
        .route("/add", post(send))
        .route("/tasks/{id}", get(status))
        .route("/tasks/{id}/result", get(result))
        .with_state(client);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn send(State(client): State<Client>, Query(query): Query<HashMap<String, i64>>) -> Reply {
    let number = |name: &str| {
        query
            .get(name)
            .copied()
            .ok_or_else(|| problem(StatusCode::BAD_REQUEST, &format!("`{name}` is missing")))
    };
    let task = add::delay(&client, number("x")?, number("y")?).await.map_err(|error| failed(&error))?;
    let id = task.id().to_string();
    Ok((StatusCode::ACCEPTED, Json(json!({ "status": format!("/tasks/{id}"), "id": id }))))
}

async fn status(State(client): State<Client>, Path(id): Path<String>) -> Reply {
    let status = client.state(parse(&id)?).await.map_err(|error| failed(&error))?;
    let status = status.ok_or_else(|| problem(StatusCode::NOT_FOUND, "there is no such task"))?;
    Ok((StatusCode::OK, Json(json!({ "id": id, "state": status.state.as_str() }))))
}

async fn result(State(client): State<Client>, Path(id): Path<String>) -> Reply {
    let task = client.handle::<Value>(parse(&id)?, None);
    let value = task.get(Duration::from_secs(10)).await.map_err(|error| failed(&error))?;
    Ok((StatusCode::OK, Json(value)))
}

fn parse(id: &str) -> Result<TaskId, (StatusCode, Json<Value>)> {
    id.parse().map_err(|error: String| problem(StatusCode::BAD_REQUEST, &error))
}

/// What a caller over HTTP can do about it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is left, and kinds to come, are our fault and not the caller's"
)]
fn failed(error: &ClientError) -> (StatusCode, Json<Value>) {
    let code = match error.kind() {
        ClientErrorKind::NotFound => StatusCode::NOT_FOUND,
        ClientErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ClientErrorKind::Failed(_) | ClientErrorKind::Revoked | ClientErrorKind::Expired => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ClientErrorKind::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(code, &error.to_string())
}

fn problem(code: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    (code, Json(json!({ "error": message })))
}
