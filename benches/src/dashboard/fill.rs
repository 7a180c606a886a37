//! A month of production: what a dashboard has to show.

use std::time::Duration;

use lovage_core::audit::{Action, AuditStore};
use lovage_core::schedule::{Entry, Schedule};
use lovage_core::stats::{Counts, DepthSample, StatsStore, Tally};
use lovage_core::{
    Broker, DeadReason, Delay, EntryName, Envelope, Message, Note, Payload, Place, Priority, QueueName,
    Reserve, Settle, Settlement, SlotWants, Source, TaskId, TaskName, Timestamp, Token, WorkerId, WorkerInfo,
    limits,
};
use lovage_sql::Database;
use lovage_system::SystemEntropy;
use serde_json::json;

use crate::{Bed, Fallible};

/// As `finished.sql` names them.
const AREAS: [&str; 4] = ["shop", "mail", "media", "billing"];
const WORDS: [&str; 10] =
    ["sync", "send", "resize", "charge", "index", "export", "notify", "clean", "report", "fetch"];
const QUEUES: [&str; 6] = ["default", "mail", "media", "billing", "reports", "slow"];
const WORKERS: usize = 50;
/// Messages that wait, and as many that are due later.
const LIVE: usize = 100_000;
const DEAD: usize = 1_000;
const ENTRIES: usize = 1_000;
/// Of counts per minute: as long as they are kept.
const MINUTES: u64 = 8 * 1_440;
/// Of people.
const ACTIONS: usize = 100_000;
/// Finished tasks of one statement.
const STEP: i64 = 500_000;
/// Longer than everything that is measured.
const STAYS: Duration = Duration::from_secs(86_400);
const CONTEXT: &str = "filling the results";

/// What became of it.
pub(crate) struct Filled {
    /// Of each finished task.
    pub(crate) bytes_each: f64,
}

/// Writes all of it.
pub(crate) async fn fill(bed: &Bed, finished: u32) -> Fallible<Filled> {
    let broker = bed.broker().await?;
    let now = bed.clock.now();
    dead(&*broker, now).await?;
    live(&*broker, now).await?;
    workers(&*broker, now).await?;
    entries(bed).await?;
    let results = bed.backends(&beside(bed)?).await?.results;
    stats(results.stats().ok_or("results without counts")?, now).await?;
    actions(results.audit().ok_or("results without an audit")?, now).await?;
    self::finished(&bed.url, i64::from(finished)).await
}

/// The place of results that is the broker's own.
pub(crate) fn beside(bed: &Bed) -> Fallible<String> {
    Ok(bed.result_places()?.into_iter().next().ok_or("no place for results")?.0)
}

/// The id of a finished task by its number, as `finished.sql` makes it.
pub(crate) fn id(number: usize) -> TaskId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&(number as u64).to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    TaskId::from_bytes(bytes)
}

fn names() -> impl Iterator<Item = String> {
    AREAS.iter().flat_map(|area| WORDS.iter().map(move |word| format!("{area}.tasks.{word}")))
}

async fn dead(broker: &dyn Broker, now: Timestamp) -> Fallible<()> {
    let queue = QueueName::new("default")?;
    publish(broker, now, DEAD, &queue, Delay::None).await?;
    let mut left = DEAD;
    while left > 0 {
        let token = Token::new(&SystemEntropy);
        let request = Reserve {
            queue: &queue,
            want: SlotWants::any(limits::RESERVE_BATCH),
            token,
            lease: STAYS,
            suspects: true,
        };
        let found = broker.reserve(request, None).await?.deliveries;
        let give_up = |id| {
            let note = Note::new(now, "worker-7@host-7", "connection to db-7.internal timed out after 30s");
            Settlement { id, how: Settle::DeadLetter { reason: DeadReason::Exhausted, note } }
        };
        let settlements: Vec<Settlement> = found.iter().map(|delivery| give_up(delivery.id)).collect();
        if settlements.is_empty() {
            return Err("the dead letters are not handed out".into());
        }
        broker.settle(&queue, token, &settlements, None).await?;
        left -= settlements.len().min(left);
    }
    Ok(())
}

async fn live(broker: &dyn Broker, now: Timestamp) -> Fallible<()> {
    for name in QUEUES {
        let queue = QueueName::new(name)?;
        publish(broker, now, LIVE / QUEUES.len(), &queue, Delay::None).await?;
        publish(broker, now, LIVE / QUEUES.len(), &queue, Delay::For(STAYS)).await?;
    }
    let waits = broker.depth(&QueueName::new("default")?, None).await?.ready;
    if waits == 0 { Err("nothing waits".into()) } else { Ok(()) }
}

async fn publish(
    broker: &dyn Broker,
    now: Timestamp,
    count: usize,
    queue: &QueueName,
    delay: Delay,
) -> Fallible<()> {
    let names: Vec<String> = names().collect();
    let message = |number: usize| {
        let arguments = format!("[{number},\"customer-{}\"]", number % 5_000);
        Message {
            id: TaskId::new(now, &SystemEntropy),
            queue: queue.clone(),
            priority: Priority::LOWEST,
            delay,
            unique: None,
            fence: None,
            body: Envelope::new(&names[number % names.len()], Payload::Json(arguments)).encode(),
        }
    };
    let numbers: Vec<usize> = (0..count).collect();
    for part in numbers.chunks(1_000) {
        let batch: Vec<Message> = part.iter().map(|number| message(*number)).collect();
        broker.publish(&batch, None).await?;
    }
    Ok(())
}

async fn workers(broker: &dyn Broker, now: Timestamp) -> Fallible<()> {
    let tasks: Vec<_> = names()
        .map(|name| json!({ "name": name, "signature": "(order: u64, customer: String) -> ()" }))
        .collect();
    let waiting = broker.peek(&QueueName::new("default")?, Place::Ready, lovage_core::Page::first(4)).await?;
    for number in 0..WORKERS {
        let active: Vec<_> = waiting
            .items
            .iter()
            .map(|found| json!({ "id": found.id, "task": "shop.tasks.sync", "queue": "default", "started_at": now }))
            .collect();
        let info: WorkerInfo = serde_json::from_value(json!({
            "id": WorkerId::new(&SystemEntropy), "name": format!("worker-{number}@host-{}", number % 10),
            "host": format!("host-{}", number % 10), "pid": 1_000 + number, "version": env!("CARGO_PKG_VERSION"),
            "started_at": now, "mode": "running", "queues": QUEUES, "concurrency": 64, "blocking": 8, "tasks": tasks,
            "active": active, "reserved": 2, "succeeded": 48_211, "failed": 17, "memory": 50_541_363, "cpu": 420,
        }))?;
        broker.heartbeat(&info, STAYS, None).await?;
    }
    Ok(())
}

async fn entries(bed: &Bed) -> Fallible<()> {
    let store = lovage_schedules_sql::open(Database::connect(&bed.schedules()?).await?).await?;
    let names: Vec<String> = names().collect();
    let entry = |number: usize| -> Fallible<Entry> {
        let every = Schedule::every(Duration::from_secs(3_600 + number as u64))?;
        let task = TaskName::new(&names[number % names.len()])?;
        Ok(Entry::new(EntryName::new(format!("entry-{number:04}"))?, task, every))
    };
    let entries = (0..ENTRIES).map(entry).collect::<Fallible<Vec<_>>>()?;
    store.merge(&Source::new("bench")?, &entries, None).await?;
    Ok(())
}

/// Each task in a queue, each queue, each minute.
async fn stats(store: &dyn StatsStore, now: Timestamp) -> Fallible<()> {
    let queues = QUEUES.iter().map(QueueName::new).collect::<Result<Vec<_>, _>>()?;
    for minute in 0..MINUTES {
        let at = now.minus(Duration::from_secs(minute * 60));
        let tally = |(number, task): (u64, String)| {
            let mut counts = Counts { succeeded: 6 + (minute + number) % 5, ..Counts::default() };
            counts.failed = (minute * 7 + number) % 29 / 28;
            counts.wait.record_many(Duration::from_millis(20 + (minute + number) % 900), 6);
            counts.run.record_many(Duration::from_millis(5 * (number + 1)), 4);
            counts.run.record_many(Duration::from_millis(90 * (number + 1)), 2);
            let queue = queues[usize::try_from(number).unwrap_or(0) % queues.len()].clone();
            Tally { at, queue, task, counts }
        };
        let tallies: Vec<Tally> = (0..).zip(names()).map(tally).collect();
        let sample = |queue: &QueueName| DepthSample {
            at,
            queue: queue.clone(),
            ready: minute % 977,
            leased: 64,
            delayed: 12,
            dead: 3,
            oldest: Duration::from_secs(minute % 50),
        };
        store.add(&tallies).await?;
        store.sample(&queues.iter().map(sample).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Of a year.
async fn actions(store: &dyn AuditStore, now: Timestamp) -> Fallible<()> {
    let action = |number: usize| Action {
        at: now.minus(Duration::from_secs(300 * number as u64)),
        who: format!("person-{}", number % 30),
        address: "10.0.0.7".to_owned(),
        what: ["queues/pause", "queues/resume", "tasks/again", "login"][number % 4].to_owned(),
        to: QUEUES[number % QUEUES.len()].to_owned(),
        outcome: "It was done.".to_owned(),
    };
    let numbers: Vec<usize> = (0..ACTIONS).collect();
    for part in numbers.chunks(1_000) {
        store.record(&part.iter().map(|number| action(*number)).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// As rows: through the store it would take longer than everything that is measured.
async fn finished(url: &str, count: i64) -> Fallible<Filled> {
    let Database::Postgres(db) = Database::connect(url).await? else {
        return Err("finished tasks are filled in on PostgreSQL only".into());
    };
    let mut connection = db.dedicated(CONTEXT).await?;
    sqlx::raw_sql("SET statement_timeout = 0; SET synchronous_commit = off").execute(&mut connection).await?;
    let mut first = 1;
    while first <= count {
        let last = count.min(first + STEP - 1);
        let insert = sqlx::query(include_str!("../../sql/finished.sql")).bind(first).bind(last).bind(count);
        insert.execute(&mut connection).await?;
        first = last + 1;
    }
    // As a database is that has had them for long.
    sqlx::raw_sql("VACUUM (ANALYZE) lovage_result").execute(&mut connection).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    let size = sqlx::query_scalar::<_, i64>("SELECT pg_total_relation_size('lovage_result')");
    let bytes = size.fetch_one(&mut connection).await?;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    Ok(Filled { bytes_each: bytes as f64 / count as f64 })
}
