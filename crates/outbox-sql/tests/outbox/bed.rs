//! An application with a database of its own, an outbox in it, and a Redis.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lovage_broker_redis::RedisBroker;
use lovage_core::{
    Broker, Clock as _, Delivery, Inspect as _, Message, QueueName, Reserve, Settle, Settled, Settlement,
    SlotWants, Token, limits,
};
use lovage_outbox_sql::{MIGRATIONS, Outbox, Tx};
use lovage_redis::RedisConfig;
use lovage_redis::testing::RedisServer;
use lovage_sql::Database;
use lovage_sql::postgres::testing::fresh_url;
use lovage_system::{SystemClock, SystemEntropy};
use lovage_testkit::{FaultyBroker, within};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tracing::subscriber::DefaultGuard;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Bed {
    pub(crate) pool: Pool,
    pub(crate) url: String,
    pub(crate) outbox: Outbox,
    pub(crate) broker: Arc<FaultyBroker>,
    pub(crate) queue: QueueName,
    /// What tells its tables from those of other tests, with a dot.
    pub(crate) schema: String,
    _redis: RedisServer,
    _dir: tempfile::TempDir,
}

/// The application's connections, which Lovage knows nothing of.
#[derive(Clone)]
pub(crate) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

pub(crate) enum Transact {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// What is logged on this thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(text).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bed {
    /// The application's connections do not have Lovage's schema in their `search_path`.
    pub(crate) async fn postgres() -> Self {
        let url = fresh_url().unwrap();
        let (place, query) = url.split_once('?').unwrap();
        let schema = query.split('&').find_map(|pair| pair.strip_prefix("schema=")).unwrap();
        let pool = Pool::Postgres(PgPool::connect(place).await.unwrap());
        let schema = format!("{schema}.");
        Self::new(pool, url, schema).await
    }

    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("app.db").display());
        // In the application's own way: no WAL, for one.
        let pool = Pool::Sqlite(SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap());
        Self { _dir: dir, ..Self::new(pool, url, String::new()).await }
    }

    async fn new(pool: Pool, url: String, schema: String) -> Self {
        let database = Database::connect(&url).await.unwrap();
        lovage_sql::migrate(&database, &MIGRATIONS).await.unwrap();
        let outbox = Outbox::open(database).await.unwrap();
        let redis = RedisServer::start().unwrap();
        let config = RedisConfig::parse(redis.url()).unwrap();
        let broker = FaultyBroker::new(RedisBroker::connect(&config).await.unwrap());
        let queue = lovage_testkit::queue(redis.unique_name("q"));
        let dir = tempfile::tempdir().unwrap();
        Self { pool, url, outbox, broker, queue, schema, _redis: redis, _dir: dir }
    }

    pub(crate) async fn begin(&self) -> Transact {
        match &self.pool {
            Pool::Postgres(pool) => Transact::Postgres(pool.begin().await.unwrap()),
            Pool::Sqlite(pool) => Transact::Sqlite(pool.begin().await.unwrap()),
        }
    }

    pub(crate) fn message(&self) -> Message {
        lovage_testkit::message(&self.queue).build()
    }

    /// Writes messages in a transaction and commits it.
    pub(crate) async fn commit(&self, batch: &[Message]) {
        let mut tx = self.begin().await;
        self.outbox.write(tx.tx(), batch).await.unwrap();
        tx.commit().await;
    }

    pub(crate) async fn commit_many(&self, count: usize) {
        let batch: Vec<Message> = (0..count).map(|_| self.message()).collect();
        for part in batch.chunks(limits::PUBLISH_BATCH) {
            self.commit(part).await;
        }
    }

    pub(crate) async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.replace("lovage_", &format!("{}lovage_", self.schema)));
        match &self.pool {
            Pool::Postgres(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
            Pool::Sqlite(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
        }
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}{table}", self.schema));
        match &self.pool {
            Pool::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Pool::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        }
    }

    pub(crate) async fn ready(&self) -> u64 {
        self.broker.depth(&self.queue, None).await.unwrap().ready
    }

    /// Waits for the next message as a worker does, and settles it.
    pub(crate) async fn next(&self) -> Delivery {
        let next = async {
            loop {
                let token = Token::new(&SystemEntropy);
                let lease = Duration::from_secs(30);
                let request =
                    Reserve { queue: &self.queue, want: SlotWants::any(1), token, lease, suspects: true };
                if let Some(found) = self.broker.reserve(request, None).await.unwrap().deliveries.pop() {
                    let done = [Settlement { id: found.id, how: Settle::Ack }];
                    let answers = self.broker.settle(&self.queue, token, &done, None).await.unwrap();
                    assert_eq!(answers, [Settled::Applied]);
                    return found;
                }
                self.broker.hint().await;
            }
        };
        within(&SystemClock::new(), PATIENCE, "a message", next).await
    }

    /// Waits until something is as it should be.
    pub(crate) async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let clock = SystemClock::new();
        let looking = async {
            while !is().await {
                clock.sleep(Duration::from_millis(5)).await;
            }
        };
        within(&clock, PATIENCE, what, looking).await;
    }
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
