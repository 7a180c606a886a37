//! A cinema: a booking and the task that writes its receipt exist both or not at all.
//!
//! The broker may be in the cinema's PostgreSQL database:
//!
//! ```sh
//! export DATABASE_URL=postgres://localhost/cinema LOVAGE_BROKER_URL=postgres://localhost/cinema
//! lovage worker --migrate &
//! cargo run -p lovage-example-transactional &
//! curl -X POST 'http://127.0.0.1:8000/bookings/7?price=12'    # 201, and the worker runs the task
//! curl -X POST 'http://127.0.0.1:8000/bookings/8?price=1200'  # 402, and there is neither a booking nor a task
//! ```
//!
//! Or it is a Redis, and the database has an outbox. The program is the same:
//!
//! ```sh
//! export LOVAGE_BROKER_URL=redis://127.0.0.1:6379 LOVAGE_OUTBOX_URL=postgres://localhost/cinema
//! lovage migrate
//! ```

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lovage::{Client, ClientError, TaskError};
use serde::Deserialize;
use serde_json::json;

/// The cinema's database. With `sqlx::SqlitePool` instead nothing else in this file changes.
type Pool = sqlx::PgPool;

/// What the web adds to the price of a ticket.
const FEE: i64 = 2;

// Only declared: the worker has the body. It stands for the mail that a real cinema sends.
#[lovage::task(name = "movies.tasks.add")]
async fn add(price: i64, fee: i64) -> Result<i64, TaskError>;

#[derive(Clone)]
struct Cinema {
    pool: Pool,
    client: Client,
}

#[derive(Deserialize)]
struct Ticket {
    price: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::connect(&std::env::var("DATABASE_URL")?).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS bookings (seat BIGINT PRIMARY KEY, receipt TEXT NOT NULL)")
        .execute(&pool)
        .await?;
    let client = Client::from_env().await?;
    // What is in the outbox is published by workers that have it as a setting, by `lovage relay`, or here.
    if let Some(relay) = client.relay() {
        tokio::spawn(relay.run());
    }
    let routes = Router::new()
        .route("/bookings", get(list))
        .route("/bookings/{seat}", post(book))
        .with_state(Cinema { pool, client });
    let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    axum::serve(tokio::net::TcpListener::bind(address).await?, routes).await?;
    Ok(())
}

async fn book(
    State(cinema): State<Cinema>,
    Path(seat): Path<i64>,
    Query(ticket): Query<Ticket>,
) -> Result<Response, Problem> {
    let mut tx = cinema.pool.begin().await?;
    let receipt = cinema.client.send_in(&mut tx, add::call(ticket.price, FEE)).await?;
    let id = receipt.id().to_string();
    sqlx::query("INSERT INTO bookings (seat, receipt) VALUES ($1, $2)")
        .bind(seat)
        .bind(&id)
        .execute(&mut *tx)
        .await?;
    pay(&ticket)?;
    // Whatever failed until here has taken back the booking and the task with it: the transaction is dropped.
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(json!({ "seat": seat, "receipt": id }))).into_response())
}

async fn list(State(cinema): State<Cinema>) -> Result<Response, Problem> {
    let bookings: Vec<(i64, String)> =
        sqlx::query_as("SELECT seat, receipt FROM bookings ORDER BY seat").fetch_all(&cinema.pool).await?;
    Ok(Json(bookings).into_response())
}

/// The guest's bank.
fn pay(ticket: &Ticket) -> Result<(), Problem> {
    if ticket.price > 100 {
        return Err(Problem(StatusCode::PAYMENT_REQUIRED, "the bank says no".to_owned()));
    }
    Ok(())
}

/// What a caller over HTTP is told.
struct Problem(StatusCode, String);

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let is_taken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        if is_taken {
            return Self(StatusCode::CONFLICT, "the seat is taken".to_owned());
        }
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
