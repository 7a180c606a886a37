//! An application that sends in its own transactions, with its broker in the same database or elsewhere.

use std::future::Future;

use lovage::{Call, Client, Tx};
use lovage_conformance::documented;
use lovage_core::Clock as _;
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing;
use lovage_system::SystemClock;
use serde_json::{Value, json};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::runtime::Runtime;

use crate::UNKNOWN;
use crate::support::{Bed, PATIENCE, Running};

const AWAY: &str = "the outbox is not emptied, everything stays in it and is tried again: ";

/// The application: this process, which knows Lovage by the client only.
struct Shop {
    runtime: Runtime,
    client: Client,
    pool: Pool,
    /// Its commands have the outbox as a setting.
    bed: Bed,
    /// Those of this one do not.
    plain: Bed,
    redis: Option<RedisServer>,
}

enum Pool {
    Postgres(PgPool, String),
    Sqlite(SqlitePool),
}

impl Shop {
    fn with_the_broker_in_its_database() -> Self {
        let url = testing::fresh_url().unwrap();
        let bed = Bed::new().with("LOVAGE_BROKER_URL", &url);
        bed.ok(&["migrate", "--outbox", &url]);
        // No outbox anywhere: nothing has to be named, nothing has to run.
        Self::new(bed, &url, None, None, postgres(&url))
    }

    fn on_postgres_with_redis() -> Self {
        let url = testing::fresh_url().unwrap();
        let redis = RedisServer::start_own(&[]).unwrap();
        let bed = with_outbox(redis.url(), &url);
        let made = bed.ok(&["migrate"]);
        assert!(
            made.contains("outbox postgres://") && made.contains("applied migration 1 (outbox)"),
            "{made}"
        );
        let (broker, pool) = (redis.url().to_owned(), postgres(&url));
        Self::new(bed, &broker, Some(&url), Some(redis), pool)
    }

    fn on_sqlite_with_redis() -> Self {
        let redis = RedisServer::start_own(&[]).unwrap();
        let directory = Bed::new();
        let url = format!("sqlite://{}", directory.path().join("shop.db").display());
        let bed = directory.with("LOVAGE_BROKER_URL", redis.url()).with("LOVAGE_OUTBOX_URL", &url);
        let pool = async {
            // In the application's own way.
            Pool::Sqlite(SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap())
        };
        let broker = redis.url().to_owned();
        Self::new(bed, &broker, Some(&url), Some(redis), pool)
    }

    fn new(
        bed: Bed,
        broker: &str,
        outbox: Option<&str>,
        redis: Option<RedisServer>,
        pool: impl Future<Output = Pool>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut builder = Client::builder(broker);
        if let Some(outbox) = outbox {
            builder = builder.outbox(outbox);
        }
        let (pool, client) = runtime.block_on(async { (pool.await, builder.connect().await.unwrap()) });
        let plain = Bed::new().with("LOVAGE_BROKER_URL", broker);
        let shop = Self { runtime, client, pool, bed, plain, redis };
        shop.sql("CREATE TABLE orders (task text NOT NULL)");
        shop
    }

    /// Takes an order, which is a row and a task, and answers the task's id.
    fn order(&self, is_paid: bool) -> String {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Postgres(pool, orders) => {
                    let mut tx = pool.begin().await.unwrap();
                    let id = self.send((&mut tx).into()).await;
                    let insert = AssertSqlSafe(format!("INSERT INTO {orders} VALUES ($1)"));
                    sqlx::query(insert).bind(&id).execute(&mut *tx).await.unwrap();
                    if is_paid { tx.commit().await } else { tx.rollback().await }.unwrap();
                    id
                }
                Pool::Sqlite(pool) => {
                    let mut tx = pool.begin().await.unwrap();
                    let id = self.send((&mut tx).into()).await;
                    sqlx::query("INSERT INTO orders VALUES ($1)").bind(&id).execute(&mut *tx).await.unwrap();
                    if is_paid { tx.commit().await } else { tx.rollback().await }.unwrap();
                    id
                }
            }
        })
    }

    async fn send(&self, tx: Tx<'_>) -> String {
        let call: Call<Value> = Call::by_name("movies.tasks.add", &json!([1, 3]));
        self.client.send_in(tx, call).await.unwrap().id().to_string()
    }

    /// Runs a statement; `orders` and `lovage_…` are in a schema of the test's own.
    fn sql(&self, sql: &str) {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Postgres(pool, orders) => {
                    let schema = orders.trim_end_matches("orders");
                    let sql = sql.replace("lovage_", &format!("{schema}lovage_"));
                    let sql = sql.replace("TABLE orders", &format!("TABLE {orders}"));
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
                }
                Pool::Sqlite(pool) => {
                    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
                }
            }
        });
    }

    fn rows(&self) -> i64 {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Postgres(pool, orders) => {
                    let count = format!("SELECT count(*) FROM {}", orders.replace("orders", "lovage_outbox"));
                    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(pool).await.unwrap()
                }
                Pool::Sqlite(pool) => {
                    sqlx::query_scalar("SELECT count(*) FROM lovage_outbox").fetch_one(pool).await.unwrap()
                }
            }
        })
    }

    fn relay(&self) -> Running {
        let mut relay = self.bed.start(&["relay"]);
        relay.wait_for(" ready");
        relay
    }

    /// An order whose row a relay publishes and cannot remove.
    fn published_and_kept(&self) -> (String, Hold) {
        match &self.pool {
            Pool::Postgres(pool, orders) => {
                let lock = orders.replace("orders", "hold");
                self.sql(&format!(
                    "CREATE FUNCTION lovage_hold() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN PERFORM pg_advisory_xact_lock(hashtext('{lock}')); RETURN NULL; END $$;
                     CREATE TRIGGER hold BEFORE DELETE ON lovage_outbox EXECUTE FUNCTION lovage_hold()"
                ));
                let hold = self.runtime.block_on(async {
                    let mut connection = pool.acquire().await.unwrap();
                    let take = sqlx::query("SELECT pg_advisory_lock(hashtext($1))").bind(lock);
                    take.execute(&mut *connection).await.unwrap();
                    connection
                });
                (self.order(true), Hold::Postgres(hold))
            }
            Pool::Sqlite(pool) => loop {
                let id = self.order(true);
                // Before the relay, which looks every few milliseconds, has seen it and removed it; else once more.
                let hold = self.runtime.block_on(pool.begin_with("BEGIN IMMEDIATE")).unwrap();
                if self.rows() == 1 {
                    return (id, Hold::Sqlite(hold));
                }
                // Within the runtime, which dropping it would need.
                self.runtime.block_on(hold.rollback()).unwrap();
            },
        }
    }

    fn let_go(&self, hold: Hold) {
        self.runtime.block_on(async {
            match hold {
                Hold::Postgres(mut connection) => {
                    let unlock =
                        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut *connection).await;
                    unlock.unwrap();
                }
                Hold::Sqlite(tx) => tx.rollback().await.unwrap(),
            }
        });
    }
}

/// What keeps a relay from removing rows.
enum Hold {
    Postgres(PoolConnection<Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// The pool does not have the test's schema in its `search_path`; it has to be named.
async fn postgres(url: &str) -> Pool {
    let (place, schema) = url.split_once("?schema=").unwrap();
    let (schema, _) = schema.split_once('&').unwrap();
    Pool::Postgres(PgPool::connect(place).await.unwrap(), format!("{schema}.orders"))
}

fn with_outbox(broker: &str, outbox: &str) -> Bed {
    Bed::new().with("LOVAGE_BROKER_URL", broker).with("LOVAGE_OUTBOX_URL", outbox)
}

fn terminated(running: Running) -> String {
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
    said
}

/// How often a worker began to run a task.
fn runs(said: &str, id: &str) -> usize {
    said.lines().filter(|line| line.contains(&format!("[{id}] received"))).count()
}

macro_rules! on_each_shop {
    ($story:ident: $($shop:ident),+) => {
        mod $story {
            $(#[test]
            fn $shop() {
                super::$story(super::Shop::$shop());
            })+
        }
    };
}

on_each_shop!(the_order_and_its_task: with_the_broker_in_its_database, on_postgres_with_redis, on_sqlite_with_redis);
on_each_shop!(what_waits_and_what_is_set_aside: on_postgres_with_redis, on_sqlite_with_redis);
on_each_shop!(a_broker_that_is_away: on_postgres_with_redis, on_sqlite_with_redis);
on_each_shop!(a_relay_that_is_killed_after_its_publish: on_postgres_with_redis, on_sqlite_with_redis);

/// A worker is all that runs beside the application.
fn the_order_and_its_task(shop: Shop) {
    let worker = shop.bed.worker(&[]);
    let given_up = shop.order(false);
    let paid = shop.order(true);
    assert_eq!(shop.bed.ok(&["result", &paid, "--wait"]), "4");
    let unknown = shop.bed.fails(1, &["result", &given_up]);
    assert!(unknown.contains("is not known"), "{unknown}");
    let said = terminated(worker);
    assert_eq!((runs(&said, &given_up), runs(&said, &paid)), (0, 1), "{said}");
    // Once more with nothing running until the end.
    let late = shop.order(true);
    assert_eq!(shop.bed.run(&["worker", "--burst"]).code, 0);
    assert_eq!(shop.bed.ok(&["result", &late]), "4");
}

fn what_waits_and_what_is_set_aside(shop: Shop) {
    assert_eq!(shop.bed.ok(&["inspect", "outbox"]), "nothing waits for a relay");
    let (bad, good) = (shop.order(true), shop.order(true));
    let waiting = shop.bed.ok(&["inspect", "outbox"]);
    assert!(waiting.starts_with("2 wait for a relay, the oldest was written "), "{waiting}");
    let explained = shop.bed.run(&["explain", &good]);
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    assert!(explained.stdout.contains("it waits in the outbox"), "{}", explained.stdout);
    assert!(explained.stderr.contains("lovage relay"), "{}", explained.stderr);
    let error = shop.bed.fails(1, &["result", &good]);
    assert!(error.contains("has not ended: it is PENDING"), "{error}");

    shop.sql("UPDATE lovage_outbox SET options = '{\"version\":2}' WHERE seq = (SELECT min(seq) FROM lovage_outbox)");
    let said = shop.bed.run(&["relay", "--burst"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, "took 2 messages from the outbox\n"),
        "{}",
        said.stderr
    );
    let reason = "its options are of version 2 and this relay knows version 1: upgrade it";
    let line = said.stderr.lines().find(|line| line.contains(reason)).unwrap();
    documented(
        "row … of the outbox is set aside in lovage_outbox_refused: its options are of version 2 and this relay knows version 1: upgrade it, then put the row back",
        &line[line.find("row ").unwrap()..],
    );
    assert_eq!(shop.plain.run(&["worker", "--burst"]).code, 0);
    assert_eq!(shop.bed.ok(&["result", &good]), "4");
    let shown = shop.bed.ok(&["inspect", "outbox"]);
    for part in ["nothing waits", "1 were set aside", &bad, reason] {
        assert!(shown.contains(part), "{shown}");
    }
    let shown = shop.bed.json(&["inspect", "outbox"]);
    assert_eq!((&shown["set_aside"], &shown["rows"][0]["id"]), (&json!(1), &json!(bad)));
}

fn a_broker_that_is_away(shop: Shop) {
    let mut shop = shop;
    let mut relay = shop.relay();
    let mut redis = shop.redis.take().unwrap();
    redis.stop().unwrap();
    let id = shop.order(true);
    let line = relay.wait_for(AWAY);
    documented(&format!("{AWAY}…"), &line[line.find(AWAY).unwrap()..]);
    assert_eq!(shop.rows(), 1);
    redis.restart().unwrap();
    let line = relay.wait_for("recovered after");
    documented(
        "recovered after …: the outbox is not emptied, …",
        &line[line.find("recovered after").unwrap()..],
    );
    assert_eq!(shop.plain.run(&["worker", "--burst"]).code, 0);
    assert_eq!(shop.plain.ok(&["result", &id]), "4");
    let said = terminated(relay);
    assert_eq!(said.matches(AWAY).count(), 1, "{said}");
}

fn a_relay_that_is_killed_after_its_publish(shop: Shop) {
    let worker = shop.plain.worker(&[]);
    let relay = shop.relay();
    let (id, hold) = shop.published_and_kept();
    // Nobody but a worker that got it from the broker knows its end.
    let clock = SystemClock::new();
    while shop.plain.run(&["result", &id]).code != 0 {
        assert!(clock.monotonic() < PATIENCE, "it does not run");
    }
    assert_eq!(shop.rows(), 1);
    relay.signal("KILL");
    assert_eq!(relay.exit_code(), -1);
    shop.let_go(hold);
    let next = shop.relay();
    let after = shop.order(true);
    assert_eq!(shop.bed.ok(&["result", &after, "--wait=20s"]), "4");
    shop.bed.until(&["inspect", "outbox"], |outbox| outbox["waiting"] == 0);
    let relayed = terminated(next);
    assert!(
        relayed.contains(&format!("task {id} has ended already and is not published again")),
        "{relayed}"
    );
    let said = terminated(worker);
    assert_eq!((runs(&said, &id), runs(&said, &after)), (1, 1), "{said}");
}

#[test]
fn a_relay_that_has_nothing_to_do_says_why() {
    let error = Bed::new().fails(2, &["relay"]);
    assert!(error.contains("there is no outbox") && error.contains("LOVAGE_OUTBOX_URL"), "{error}");
    let url = "postgres://me:hunter2@127.0.0.1:1/shop";
    let error = with_outbox(url, url).fails(2, &["relay"]);
    assert!(error.contains("nothing to relay") && !error.contains("hunter2"), "{error}");
    let error = Bed::new().fails(2, &["relay", "--outbox", "redis://me:hunter2@127.0.0.1:1"]);
    assert!(!error.contains("hunter2"), "{error}");
    documented(
        "setting `outbox` from …: `redis://…` is no database that an outbox can be in: expected the application's own, sqlite://path.db or postgres://user:password@host/database",
        error.trim_end().strip_prefix("error: ").unwrap(),
    );
    let error = with_outbox("sqlite://lovage.db", "sqlite://shop.db").fails(1, &["inspect", "outbox"]);
    assert!(error.contains("shop.db does not exist") && error.contains("LOVAGE_OUTBOX_URL"), "{error}");
}

#[test]
fn without_its_tables_everything_that_needs_the_outbox_says_migrate() {
    let url = testing::fresh_url().unwrap();
    let bed = Bed::new().with("LOVAGE_OUTBOX_URL", &url);
    let check = bed.run(&["migrate", "--check"]);
    assert!(check.code == 1 && check.stdout.contains("outbox postgres://"), "{}", check.stdout);
    for args in [&["relay"][..], &["worker"], &["inspect", "outbox"], &["explain", UNKNOWN]] {
        let error = bed.fails(1, args);
        for part in ["the tables of the outbox", "lovage migrate --outbox", "LOVAGE_OUTBOX_URL"] {
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
    assert_eq!(bed.run(&["worker", "--burst", "--migrate"]).code, 0);
    assert_eq!(bed.run(&["migrate", "--check"]).code, 0);
    assert!(bed.ok(&["report"]).contains("the outbox answers: 0 waiting"));
}
