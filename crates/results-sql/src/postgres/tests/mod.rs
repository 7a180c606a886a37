//! What only PostgreSQL does: the plans of its statements, and columns that cannot hold everything.

mod columns;
mod plans;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{
    ErrorReport, Outcome, Priority, QueueName, ResultStore as _, TaskId, TaskRecord, TaskState, Timestamp,
};
use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use sqlx::Row as _;

use crate::{MIGRATIONS, PgResults};

struct Fixture {
    db: PgDatabase,
    store: PgResults,
}

async fn fixture() -> Fixture {
    let db = PgDatabase::connect(&fresh_url().unwrap()).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await.unwrap();
    let store = PgResults::open(db.clone()).await.unwrap();
    Fixture { db, store }
}

impl Fixture {
    /// The first column of the only row.
    async fn one<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.db.rows("test", sqlx::query(sql)).await.unwrap()[0].get(0)
    }

    async fn versions(&self, n: u8) -> Vec<(u32, u32, u32)> {
        let history = self.store.history(id(n)).await.unwrap();
        history.iter().map(|attempt| (attempt.run, attempt.delivery, attempt.attempt)).collect()
    }
}

fn id(n: u8) -> TaskId {
    TaskId::from_bytes([n; 16])
}

fn record(n: u8, version: (u32, u32, u32), state: TaskState) -> TaskRecord {
    TaskRecord {
        id: id(n),
        run: version.0,
        delivery: version.1,
        attempt: version.2,
        task: "add".to_owned(),
        arguments: "[1]".to_owned(),
        state,
        outcome: Outcome::None,
        worker: "w".to_owned(),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        enqueued_at: Timestamp::from_micros(1),
        started_at: Some(Timestamp::from_micros(2)),
        finished_at: Timestamp::from_micros(i64::from(n)),
        run_time: Some(Duration::from_micros(1_000_456)),
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(3_600),
        warning: None,
    }
}

fn failure(n: u8, message: &str) -> TaskRecord {
    let outcome = Outcome::Error(ErrorReport::new("io", message));
    TaskRecord { outcome, ..record(n, (1, 1, 1), TaskState::Failure) }
}
