//! An application with a database of its own, and a client whose broker is in it or elsewhere.

use std::time::Duration;

use lovage_client::{Client, Tx};
use lovage_core::{
    Outcome, QueueName, Reserve, Settle, Settled, Settlement, SlotWants, TaskId, TaskState, Token,
};
use lovage_redis::testing::RedisServer;
use lovage_sql::Database;
use lovage_sql::postgres::testing::fresh_url;
use lovage_system::SystemEntropy;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) queue: QueueName,
    /// Of what Lovage has in the database.
    url: String,
    pool: Pool,
    _redis: Option<RedisServer>,
    _dir: tempfile::TempDir,
}

/// The application's own connections.
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

pub(crate) enum Transact {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

impl Bed {
    /// The broker is in the application's database, which is named as the outbox all the same.
    pub(crate) async fn same_database() -> Self {
        let url = fresh_url().unwrap();
        let database = Database::connect(&url).await.unwrap();
        lovage_sql::migrate(&database, &lovage_broker_sql::MIGRATIONS).await.unwrap();
        lovage_sql::migrate(&database, &lovage_results_sql::MIGRATIONS).await.unwrap();
        let client = Client::builder(url.clone()).outbox(url.clone()).connect().await.unwrap();
        let pool = postgres(&url).await;
        Self::new(client, "q".to_owned(), url, pool, None)
    }

    pub(crate) async fn postgres_and_redis() -> Self {
        let url = fresh_url().unwrap();
        let database = Database::connect(&url).await.unwrap();
        lovage_sql::migrate(&database, &lovage_outbox_sql::MIGRATIONS).await.unwrap();
        Self::on_redis(&url, postgres(&url).await).await
    }

    pub(crate) async fn sqlite_and_redis() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("app.db").display());
        let pool = SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
        Self { _dir: dir, ..Self::on_redis(&url, Pool::Sqlite(pool)).await }
    }

    async fn on_redis(outbox: &str, pool: Pool) -> Self {
        let redis = RedisServer::start().unwrap();
        let client = Client::builder(redis.url()).outbox(outbox).connect().await.unwrap();
        let queue = redis.unique_name("q");
        Self::new(client, queue, outbox.to_owned(), pool, Some(redis))
    }

    fn new(client: Client, queue: String, url: String, pool: Pool, redis: Option<RedisServer>) -> Self {
        let queue = lovage_testkit::queue(queue);
        Self { client, queue, url, pool, _redis: redis, _dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn begin(&self) -> Transact {
        match &self.pool {
            Pool::Postgres(pool) => Transact::Postgres(pool.begin().await.unwrap()),
            Pool::Sqlite(pool) => Transact::Sqlite(pool.begin().await.unwrap()),
        }
    }

    /// Changes what is in Lovage's tables.
    pub(crate) async fn run(&self, sql: &'static str) {
        match Database::connect(&self.url).await.unwrap() {
            Database::Postgres(database) => drop(database.rows("test", sqlx::query(sql)).await.unwrap()),
            Database::Sqlite(database) => {
                let mut tx = database.write_tx().await.unwrap();
                sqlx::query(sql).execute(&mut *tx).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    }

    /// What a relay does, where there is something to do. Answers how much that was.
    pub(crate) async fn relay(&self) -> u64 {
        match self.client.relay() {
            Some(mut relay) => relay.drain().await.unwrap(),
            None => 0,
        }
    }

    pub(crate) async fn ready(&self) -> u64 {
        self.client.broker().depth(&self.queue, None).await.unwrap().ready
    }

    /// What a worker does with one task.
    pub(crate) async fn work(&self, id: TaskId) {
        let (broker, token) = (self.client.broker(), Token::new(&SystemEntropy));
        let lease = Duration::from_secs(30);
        let request = Reserve { queue: &self.queue, want: SlotWants::any(1), token, lease, suspects: false };
        let found = broker.reserve(request, None).await.unwrap().deliveries;
        assert_eq!(found.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [id]);
        let mut record = lovage_testkit::record(id, (1, 1, 0), TaskState::Success);
        record.outcome = Outcome::Result("4".to_owned());
        self.client.results().unwrap().record(&[record], None).await.unwrap();
        let done = [Settlement { id, how: Settle::Ack }];
        let settled = broker.settle(&self.queue, token, &done, None).await.unwrap();
        assert_eq!(settled, [Settled::Applied]);
    }
}

/// Connections that do not have Lovage's schema in their `search_path`.
async fn postgres(url: &str) -> Pool {
    let (place, _) = url.split_once(['?', '&']).unwrap();
    Pool::Postgres(PgPool::connect(place).await.unwrap())
}

impl Transact {
    pub(crate) fn tx(&mut self) -> Tx<'_> {
        match self {
            Self::Postgres(tx) => tx.into(),
            Self::Sqlite(tx) => tx.into(),
        }
    }

    pub(crate) async fn commit(self) {
        match self {
            Self::Postgres(tx) => tx.commit().await.unwrap(),
            Self::Sqlite(tx) => tx.commit().await.unwrap(),
        }
    }

    pub(crate) async fn rollback(self) {
        match self {
            Self::Postgres(tx) => tx.rollback().await.unwrap(),
            Self::Sqlite(tx) => tx.rollback().await.unwrap(),
        }
    }
}
