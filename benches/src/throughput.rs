//! How fast tasks are sent and drained.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lovage::{TaskError, Worker, tasks};
use lovage_client::connect::Backends;
use lovage_core::{
    Broker, Delay, Envelope, Message, Outcome, Payload, Place, Priority, QueueName, Reserve, Settle,
    Settlement, SlotWants, TaskId, TaskRecord, TaskState, Token,
};
use lovage_redis::{Redis, RedisConfig, Script};
use lovage_system::SystemEntropy;
use tokio::sync::Notify;

use crate::report::Report;
use crate::targets::{NONE, SEND_OF_ROUND_TRIPS};
use crate::{Bed, Fallible, Kind, queue};

const ONE_BY_ONE: usize = 3_000;
const AT_ONCE: usize = 64;
/// By each of them.
const EACH: usize = 300;
const LEASE: Duration = Duration::from_secs(30);

static DONE: AtomicUsize = AtomicUsize::new(0);
static TARGET: AtomicUsize = AtomicUsize::new(0);
static REACHED: Notify = Notify::const_new();

/// The task of every queue's benchmark: two integers, nothing to do.
#[lovage::task(name = "bench.noop")]
async fn noop(x: i64, y: i64) -> Result<i64, TaskError> {
    if DONE.fetch_add(1, Ordering::Relaxed) + 1 == TARGET.load(Ordering::Relaxed) {
        REACHED.notify_one();
    }
    Ok(x + y)
}

/// One by one, 64 at a time, and in bulk.
pub(crate) async fn send(bed: &Bed, report: &mut Report, tasks: usize) -> Fallible<()> {
    one_by_one(bed, report).await?;
    at_once(bed, report).await?;
    in_bulk(bed, report, tasks).await?;
    let broker = bed.broker().await?;
    while broker.purge(&queue("send"), Place::Ready, 1_000).await? > 0 {}
    Ok(())
}

async fn one_by_one(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let (client, broker, to) = (bed.client().await?, bed.broker().await?, queue("send"));
    let nothing = Script::new("nothing", "return 1");
    let redis = match bed.kind {
        Kind::Redis => Some(Redis::connect(&RedisConfig::parse(&bed.url)?).await?),
        Kind::Memory | Kind::Sqlite | Kind::Cluster | Kind::Postgres => None,
    };
    // The ceilings are interleaved with what is compared with them: the machine's speed drifts.
    let (mut ours, mut raw, mut bare) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..10 {
        let start = bed.clock.monotonic();
        for _ in 0..ONE_BY_ONE / 10 {
            noop::call(1, 3).queue(&to).send(&client).await?;
        }
        ours += bed.clock.monotonic() - start;
        let start = bed.clock.monotonic();
        for _ in 0..ONE_BY_ONE / 10 {
            broker.publish(&[message(bed, &to)], None).await?;
        }
        raw += bed.clock.monotonic() - start;
        let start = bed.clock.monotonic();
        if let Some(redis) = &redis {
            for _ in 0..ONE_BY_ONE / 10 {
                nothing.run(redis, vec![], vec![]).await?;
            }
        }
        bare += bed.clock.monotonic() - start;
    }
    let ours = rate(ONE_BY_ONE, ours);
    report.rate("send one by one; raw: the broker alone", ours, rate(ONE_BY_ONE, raw), NONE);
    if redis.is_some() {
        let what = "send one by one; raw: round trips of a script that does nothing";
        report.rate(what, ours, rate(ONE_BY_ONE, bare), SEND_OF_ROUND_TRIPS);
    }
    Ok(())
}

async fn at_once(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let (client, broker, to) = (bed.client().await?, bed.broker().await?, queue("send"));
    let start = bed.clock.monotonic();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, to) = (client.clone(), to.clone());
        senders.spawn(async move {
            for _ in 0..EACH {
                noop::call(1, 3).queue(&to).send(&client).await?;
            }
            Ok::<_, lovage::ClientError>(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let ours = rate(AT_ONCE * EACH, bed.clock.monotonic() - start);
    let raw = rate(AT_ONCE * EACH, publish_all(bed, &*broker, EACH, AT_ONCE).await?);
    let what = format!("send, {AT_ONCE} at once on one client; raw: batches of {AT_ONCE}");
    report.rate(what, ours, raw, bed.kind.targets().send_at_once);
    Ok(())
}

async fn in_bulk(bed: &Bed, report: &mut Report, tasks: usize) -> Fallible<()> {
    let (client, broker, to) = (bed.client().await?, bed.broker().await?, queue("send"));
    let start = bed.clock.monotonic();
    for _ in 0..tasks / 1_000 {
        client.send_all((0..1_000).map(|_| noop::call(1, 3).queue(&to)).collect()).await?;
    }
    let ours = rate(tasks, bed.clock.monotonic() - start);
    let raw = rate(tasks, publish_all(bed, &*broker, tasks / 1_000, 1_000).await?);
    report.rate("send in bulk of 1,000; raw: the broker alone", ours, raw, bed.kind.targets().send_bulk);
    Ok(())
}

/// Messages that are ready made, batch after batch.
async fn publish_all(bed: &Bed, broker: &dyn Broker, batches: usize, size: usize) -> Fallible<Duration> {
    let to = queue("send");
    let batch = || (0..size).map(|_| message(bed, &to)).collect();
    let batches: Vec<Vec<Message>> = (0..batches).map(|_| batch()).collect();
    let start = bed.clock.monotonic();
    for batch in &batches {
        broker.publish(batch, None).await?;
    }
    Ok(bed.clock.monotonic() - start)
}

/// A full queue until it is empty: without results for each of the sizes, with results in each place for the first size,
/// each beside the raw operations.
pub(crate) async fn drain(bed: &Bed, report: &mut Report, sizes: &[usize]) -> Fallible<()> {
    for &tasks in sizes {
        let raw = rate(tasks, raw_drain(bed, tasks).await?);
        let ours = rate(tasks, drain_once(bed, tasks, &queue("drain"), None).await?);
        let what = format!("drain {tasks}, results off; raw: reserve and settle alone");
        report.rate(what, ours, raw, bed.kind.targets().drain);
    }
    let tasks = sizes.first().copied().unwrap_or_default();
    for (place, kind) in bed.result_places()? {
        let raw = rate(tasks, raw_results(bed, tasks, &place).await?);
        let both = bed.backends(&place).await?;
        let ours = rate(tasks, drain_once(bed, tasks, &queue("drain-results"), Some(both)).await?);
        let what = format!("drain {tasks}, a result row each in {place}; raw: the rows alone");
        report.rate(what, ours, raw, bed.kind.drain_with_results(kind));
    }
    Ok(())
}

async fn drain_once(bed: &Bed, tasks: usize, from: &QueueName, both: Option<Backends>) -> Fallible<Duration> {
    fill(bed, tasks, from).await?;
    DONE.store(0, Ordering::Relaxed);
    TARGET.store(tasks, Ordering::Relaxed);
    let worker = Worker::builder().tasks(tasks![noop]).queues(vec![(from.clone(), 1)]);
    let worker = match both {
        Some(Backends { broker, results, shared }) => {
            worker.shared_store(shared).build(broker, Some(results))?
        }
        None => worker.build(bed.broker().await?, None)?,
    };
    let start = bed.clock.monotonic();
    let running = worker.start();
    REACHED.notified().await;
    running.stop();
    // Until everything is recorded and settled, not just run.
    running.join().await?;
    let took = bed.clock.monotonic() - start;
    let left = bed.broker().await?.depth(from, None).await?;
    if left.ready + left.leased + left.delayed > 0 {
        return Err(format!("{from} is not empty after its drain: {left:?}").into());
    }
    Ok(took)
}

/// The same operations without a worker: reserve 256, settle them together with the next reserve.
async fn raw_drain(bed: &Bed, tasks: usize) -> Fallible<Duration> {
    let from = queue("raw");
    fill(bed, tasks, &from).await?;
    let broker = bed.broker().await?;
    let reserve = |token| {
        let broker = Arc::clone(&broker);
        let from = from.clone();
        async move {
            let request =
                Reserve { queue: &from, want: SlotWants::any(256), token, lease: LEASE, suspects: true };
            broker.reserve(request, None).await
        }
    };
    let start = bed.clock.monotonic();
    let mut token = Token::new(&SystemEntropy);
    let mut held = reserve(token).await?.deliveries;
    let mut done = 0;
    while !held.is_empty() {
        done += held.len();
        let settlements: Vec<Settlement> =
            held.iter().map(|d| Settlement { id: d.id, how: Settle::Ack }).collect();
        let next = Token::new(&SystemEntropy);
        let (settled, reserved) =
            tokio::join!(broker.settle(&from, token, &settlements, None), reserve(next));
        settled?;
        held = reserved?.deliveries;
        token = next;
    }
    if done != tasks {
        return Err(format!("the raw drain saw {done} of {tasks} messages").into());
    }
    Ok(bed.clock.monotonic() - start)
}

/// The records alone, 256 at a time: whoever writes a row for each task does at least that.
async fn raw_results(bed: &Bed, tasks: usize, place: &str) -> Fallible<Duration> {
    let results = bed.backends(place).await?.results;
    let from = queue("raw-results");
    let records: Vec<TaskRecord> = (0..tasks).map(|_| record(bed, &from)).collect();
    let start = bed.clock.monotonic();
    for batch in records.chunks(256) {
        results.record(batch, None).await?;
    }
    Ok(bed.clock.monotonic() - start)
}

fn record(bed: &Bed, from: &QueueName) -> TaskRecord {
    let now = bed.clock.now();
    TaskRecord {
        id: TaskId::new(now, &SystemEntropy),
        run: 1,
        delivery: 1,
        attempt: 0,
        task: noop::NAME.to_owned(),
        arguments: "[1,3]".to_owned(),
        state: TaskState::Success,
        outcome: Outcome::Result("4".to_owned()),
        worker: "raw".to_owned(),
        queue: from.clone(),
        priority: Priority::LOWEST,
        enqueued_at: now,
        started_at: Some(now),
        finished_at: now,
        run_time: Some(Duration::from_micros(10)),
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(86_400),
        warning: None,
    }
}

async fn fill(bed: &Bed, tasks: usize, to: &QueueName) -> Fallible<()> {
    let broker = bed.broker().await?;
    for _ in 0..tasks / 1_000 {
        let batch: Vec<Message> = (0..1_000).map(|_| message(bed, to)).collect();
        broker.publish(&batch, None).await?;
    }
    Ok(())
}

pub(crate) fn message(bed: &Bed, to: &QueueName) -> Message {
    Message {
        id: TaskId::new(bed.clock.now(), &SystemEntropy),
        queue: to.clone(),
        priority: Priority::LOWEST,
        delay: Delay::None,
        unique: None,
        fence: None,
        body: Envelope::new(noop::NAME, Payload::Json("[1,3]".into())).encode(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
