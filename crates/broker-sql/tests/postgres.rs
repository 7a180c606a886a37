//! What only PostgreSQL has: plans, notifications, locks, and tables that are to stay small.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use lovage_broker_sql::{MIGRATIONS, PgBroker};
use lovage_core::{
    Broker as _, Clock as _, Control as _, Hint, Inspect as _, Message, QueueName, Reserve, Settle, Settled,
    Settlement, SlotWants, Token, limits,
};
use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use lovage_system::{SystemClock, SystemEntropy};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);
/// Idle handles whose connection is there.
const LISTENERS: &str = "SELECT count(*) FROM pg_locks AS l, lovage_idle AS i WHERE l.locktype = 'advisory'
    AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = i.handle";

struct Bed {
    url: String,
    db: PgDatabase,
    queue: QueueName,
}

async fn bed() -> Bed {
    let url = fresh_url().unwrap();
    let db = PgDatabase::connect(&url).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await.unwrap();
    Bed { url, db, queue: lovage_testkit::queue("q") }
}

impl Bed {
    /// A participant with connections of its own.
    async fn join(&self) -> PgBroker {
        PgBroker::open(PgDatabase::connect(&self.url).await.unwrap()).await.unwrap()
    }

    async fn fill(&self, broker: &PgBroker, count: usize) {
        let batch: Vec<Message> = (0..count).map(|_| lovage_testkit::message(&self.queue).build()).collect();
        for part in batch.chunks(limits::PUBLISH_BATCH) {
            broker.publish(part, None).await.unwrap();
        }
    }

    fn request(&self, max: usize) -> Reserve<'_> {
        Reserve {
            queue: &self.queue,
            want: SlotWants::any(max),
            token: Token::new(&SystemEntropy),
            lease: LEASE,
            suspects: true,
        }
    }

    /// Reserves and acknowledges until nothing is left; answers how many there were.
    async fn drain(&self, broker: &PgBroker) -> usize {
        let mut drained = 0;
        loop {
            let request = self.request(limits::RESERVE_BATCH);
            let reserved = broker.reserve(request, None).await.unwrap();
            if reserved.deliveries.is_empty() {
                return drained;
            }
            let done: Vec<Settlement> = reserved
                .deliveries
                .iter()
                .map(|found| Settlement { id: found.id, how: Settle::Ack })
                .collect();
            let answers = broker.settle(&self.queue, request.token, &done, None).await.unwrap();
            assert!(answers.iter().all(|answer| *answer == Settled::Applied), "{answers:?}");
            drained += done.len();
        }
    }

    async fn one<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.db.rows("test", sqlx::query(sql)).await.unwrap()[0].get(0)
    }

    /// How many rows of all tables a call reads, by index and in whole tables.
    async fn cost(&self, call: &'static str) -> (i64, i64) {
        self.cost_of(sqlx::query(call)).await
    }

    async fn cost_of(&self, query: Query<'static, Postgres, PgArguments>) -> (i64, i64) {
        let mut tx = self.db.begin("test").await.unwrap();
        let before = costs(&mut tx).await;
        tx.rows("test", query).await.unwrap();
        let after = costs(&mut tx).await;
        tx.commit("test").await.unwrap();
        (after.0 - before.0, after.1 - before.1)
    }
}

async fn costs(tx: &mut lovage_sql::postgres::PgTransaction) -> (i64, i64) {
    let read = sqlx::query(
        "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint, coalesce(sum(seq_tup_read), 0)::bigint
         FROM pg_stat_xact_user_tables WHERE schemaname = current_schema()",
    );
    let row = &tx.rows("test", read).await.unwrap()[0];
    (row.get(0), row.get(1))
}

async fn next_work(broker: &PgBroker) -> QueueName {
    lovage_testkit::within(&SystemClock::new(), PATIENCE, "a hint of work", async {
        loop {
            if let Hint::Work(queue) = broker.hint().await {
                return queue;
            }
        }
    })
    .await
}

/// Plans are made when the tables are empty and kept while they grow: each call must read what it needs and no more.
#[tokio::test]
async fn calls_read_what_they_need_of_a_table_that_was_never_analyzed() {
    let bed = bed().await;
    for table in ["lovage_message", "lovage_ready", "lovage_delayed", "lovage_leased", "lovage_dead"] {
        let off = sqlx::AssertSqlSafe(format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"));
        bed.db.rows("test", sqlx::query(off)).await.unwrap();
    }
    let broker = bed.join().await;
    bed.fill(&broker, 20_000).await;
    let later: Vec<Message> = (0..1_000)
        .map(|n| lovage_testkit::message(&bed.queue).delay(Duration::from_secs(60 + n)).build())
        .collect();
    broker.publish(&later, None).await.unwrap();
    let before = bed.one::<i64>("SELECT count(*) FROM pg_stat_user_tables WHERE schemaname = current_schema() AND (last_analyze IS NOT NULL OR last_autoanalyze IS NOT NULL)").await;
    assert_eq!(before, 0, "nothing was analyzed");
    for (what, call, most) in [
        ("reserving 100", "SELECT count(*) FROM lovage_reserve('q', NULL, 100, '00000000-0000-0000-0000-000000000001', 30000000, true, 1, '{100,100}')", 1_200),
        ("settling 2", "SELECT count(*) FROM lovage_settle('q', NULL, '00000000-0000-0000-0000-000000000001',
            (SELECT array_agg(id) FROM (SELECT id FROM lovage_leased WHERE token = '00000000-0000-0000-0000-000000000001' LIMIT 1) AS l),
            (SELECT array_agg(id) FROM (SELECT id FROM lovage_leased WHERE token = '00000000-0000-0000-0000-000000000001' ORDER BY id DESC LIMIT 1) AS l),
            '{retry}', '{1000000}', '{null}', '{null}', 10, 10000)", 400),
        ("maintaining", "SELECT lovage_maintain('q', NULL, 100, 30000000)", 100),
        ("renewing", "SELECT count(*) FROM lovage_extend('q', NULL, '{00000000-0000-0000-0000-000000000001}', 30000000)", 400),
        ("publishing", "SELECT count(*) FROM lovage_publish('q', NULL, false, '{00000000-0000-0000-0000-00000000000a}', '{0}', '{a}', true, '{null}', '{null}', '{k}', '{null}', '{f}', '{f}', '{null}', '{null}')", 50),
        ("cancelling", "SELECT lovage_cancel('00000000-0000-0000-0000-00000000000a', NULL, NULL)", 60),
        ("promoting", "SELECT lovage_promote((SELECT id FROM lovage_delayed LIMIT 1), NULL, NULL)", 60),
        ("purging 10", "SELECT lovage_purge('q', 'ready', 10)", 120),
    ] {
        let (by_index, in_whole) = bed.cost(call).await;
        assert!(by_index <= most, "{what} reads {by_index} rows by index");
        // Queues, workers and idle handles are few: those tables may be read in whole.
        assert!(in_whole <= 20, "{what} reads {in_whole} rows of whole tables");
    }
}

/// However long the queue is, and wherever the page begins.
#[tokio::test]
async fn a_page_of_a_long_queue_reads_no_more_than_the_page() {
    let bed = bed().await;
    let broker = bed.join().await;
    bed.fill(&broker, 3_000).await;
    let later = (0..1_000).map(|n| lovage_testkit::message(&bed.queue).delay(LEASE * (n + 1)).build());
    broker.publish(&later.collect::<Vec<_>>(), None).await.unwrap();
    for statement in
        [include_str!("../sql/postgres/peek_ready.sql"), include_str!("../sql/postgres/peek_delayed.sql")]
    {
        let page = sqlx::query(statement).bind("q").bind(i64::MIN).bind(i64::MIN).bind(51_i64);
        let (by_index, whole) = bed.cost_of(page).await;
        assert!(by_index <= 51 * 3 && whole <= 1, "{by_index} and {whole} rows for\n{statement}");
    }
}

#[tokio::test]
async fn handle_that_is_gone_is_passed_over() {
    let bed = bed().await;
    let (gone, here) = (bed.join().await, bed.join().await);
    for broker in [&gone, &here] {
        assert!(broker.reserve(bed.request(1), None).await.unwrap().deliveries.is_empty());
    }
    drop(gone);
    // Its connection closes in the background.
    let free = async { while bed.one::<i64>(LISTENERS).await > 1 {} };
    lovage_testkit::within(&SystemClock::new(), PATIENCE, "the lock of the one that is gone", free).await;
    bed.fill(&here, 1).await;
    assert_eq!(next_work(&here).await, bed.queue);
}

#[tokio::test]
async fn connection_that_listens_is_made_again() {
    let bed = bed().await;
    let broker = bed.join().await;
    let message = lovage_testkit::message(&bed.queue).delay(Duration::from_secs(3_600)).build();
    broker.publish(std::slice::from_ref(&message), None).await.unwrap();
    let watch = broker.watch(&bed.queue, message.id).await.unwrap();
    let lovage_core::Watch::Waiting(waiter) = watch else { panic!("it is live") };
    assert!(broker.reserve(bed.request(1), None).await.unwrap().deliveries.is_empty());
    let ended: bool = bed
        .one(
            "SELECT bool_or(pg_terminate_backend(l.pid)) FROM pg_locks AS l, lovage_idle AS i WHERE l.locktype = 'advisory'
             AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = i.handle",
        )
        .await;
    assert!(ended);
    let clock = SystemClock::new();
    lovage_testkit::within(&clock, PATIENCE, "the waiter asks again", waiter).await;
    let all = async { while broker.hint().await != Hint::Everything {} };
    lovage_testkit::within(&clock, PATIENCE, "a hint to look at everything", all).await;
    assert!(broker.reserve(bed.request(1), None).await.unwrap().deliveries.is_empty());
    bed.fill(&broker, 1).await;
    assert_eq!(next_work(&broker).await, bed.queue);
}

/// All that takes locks, at once, in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_when_everybody_is_in_everybodys_way() {
    const EACH: usize = 400;
    let bed = Arc::new(bed().await);
    let other = lovage_testkit::queue("p");
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let (bed, other) = (Arc::clone(&bed), other.clone());
        tasks.push(tokio::spawn(async move {
            let broker = bed.join().await;
            for n in 0..EACH / 4 {
                let queues = if n % 2 == 0 { [&bed.queue, &other] } else { [&other, &bed.queue] };
                let batch: Vec<Message> = queues
                    .into_iter()
                    .flat_map(|queue| {
                        let message = || lovage_testkit::message(queue);
                        [message().build(), message().delay(Duration::from_millis(5)).build()]
                    })
                    .collect();
                broker.publish(&batch, None).await.unwrap();
                broker.maintain(&bed.queue, 100, LEASE, None).await.unwrap();
                broker.cancel(batch[n % 4].id, None, None).await.unwrap();
            }
        }));
    }
    let mut takers = Vec::new();
    for _ in 0..3 {
        let (bed, other) = (Arc::clone(&bed), other.clone());
        takers.push(tokio::spawn(async move {
            let broker = bed.join().await;
            let mut done = 0;
            let mut idle = 0;
            while idle < 50 {
                let queue = if done % 2 == 0 { &bed.queue } else { &other };
                let mut found = 0;
                for queue in [queue, &bed.queue, &other] {
                    let request = Reserve { queue, ..bed.request(7) };
                    let reserved = broker.reserve(request, None).await.unwrap();
                    let batch: Vec<Settlement> = reserved
                        .deliveries
                        .iter()
                        .map(|delivery| {
                            let again =
                                delivery.delivery == 1 && delivery.id.as_bytes()[15].is_multiple_of(3);
                            let after = Duration::from_millis(u64::from(delivery.id.as_bytes()[15] % 2));
                            let back = Settle::GiveBack { after, refused: false };
                            Settlement { id: delivery.id, how: if again { back } else { Settle::Ack } }
                        })
                        .collect();
                    let answers = broker.settle(queue, request.token, &batch, None).await.unwrap();
                    assert!(answers.iter().all(|answer| *answer == Settled::Applied), "{answers:?}");
                    done += batch.iter().filter(|end| end.how == Settle::Ack).count();
                    found += batch.len();
                }
                idle = if found == 0 { idle + 1 } else { 0 };
                SystemClock::new().sleep(Duration::from_millis(u64::from(found == 0) * 10)).await;
            }
            done
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut done = 0;
    for taker in takers {
        done += taker.await.unwrap();
    }
    assert_eq!(done, 3 * EACH);
    let broker = bed.join().await;
    for queue in [&bed.queue, &other] {
        assert_eq!(broker.depth(queue, None).await.unwrap(), lovage_core::Depth::default());
    }
    assert_eq!(bed.one::<i64>("SELECT count(*) FROM lovage_message").await, 0);
    assert_eq!(bed.one::<i64>("SELECT count(*) FROM lovage_leased").await, 0);
    assert_eq!(bed.one::<i64>("SELECT count(*) FROM lovage_reservation").await, 0);
}

/// What is read all the time does not grow with what has passed.
#[tokio::test]
async fn tables_stay_small() {
    let bed = bed().await;
    let broker = bed.join().await;
    let mut sizes = Vec::new();
    for _ in 0..4 {
        bed.fill(&broker, 5_000).await;
        assert_eq!(bed.drain(&broker).await, 5_000);
        // What autovacuum does, at an instant of our own.
        for table in ["lovage_message", "lovage_ready", "lovage_leased", "lovage_reservation", "lovage_queue"]
        {
            let vacuum = sqlx::AssertSqlSafe(format!("VACUUM {table}"));
            bed.db.rows("test", sqlx::query(vacuum)).await.unwrap();
        }
        sizes.push(
            bed.one::<i64>(
                "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                 AND relkind = 'r' AND relname LIKE 'lovage\\_%'",
            )
            .await,
        );
    }
    assert!(sizes[3] <= sizes[1] * 3 / 2, "{sizes:?}");
}
