//! How fast tasks are sent and drained.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lovage::{TaskError, Worker, tasks};
use lovage_client::connect::Backends;
use lovage_core::{
    Delay, Envelope, Message, Outcome, Payload, Priority, QueueName, Reserve, Settle, Settlement, TaskId,
    TaskRecord, TaskState, Token,
};
use lovage_system::SystemEntropy;
use tokio::sync::Notify;

use crate::report::Report;
use crate::{Bed, Fallible, queue};

const ONE_BY_ONE: usize = 3_000;
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
    let client = bed.client().await?;
    let to = queue("send");
    let call = || noop::call(1, 3).queue(&to);

    // The ceiling is interleaved with what it is compared with: the machine's speed drifts.
    let (mut ours, mut raw) = (Duration::ZERO, Duration::ZERO);
    let broker = bed.broker().await?;
    for _ in 0..10 {
        let start = bed.clock.monotonic();
        for _ in 0..ONE_BY_ONE / 10 {
            call().send(&client).await?;
        }
        ours += bed.clock.monotonic() - start;
        let start = bed.clock.monotonic();
        for _ in 0..ONE_BY_ONE / 10 {
            broker.publish(&[message(bed, &to)], None).await?;
        }
        raw += bed.clock.monotonic() - start;
    }
    report.rate("send, one by one", rate(ONE_BY_ONE, ours), rate(ONE_BY_ONE, raw));

    let start = bed.clock.monotonic();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (client, to) = (client.clone(), to.clone());
        senders.spawn(async move {
            for _ in 0..ONE_BY_ONE / 10 {
                noop::call(1, 3).queue(&to).send(&client).await?;
            }
            Ok::<_, lovage::ClientError>(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let at_once = rate(64 * (ONE_BY_ONE / 10), bed.clock.monotonic() - start);
    let batches: Vec<Vec<Message>> =
        (0..ONE_BY_ONE / 10).map(|_| (0..64).map(|_| message(bed, &to)).collect()).collect();
    let start = bed.clock.monotonic();
    for batch in &batches {
        broker.publish(batch, None).await?;
    }
    let raw = rate(64 * (ONE_BY_ONE / 10), bed.clock.monotonic() - start);
    report.rate("send, 64 at a time", at_once, raw);

    let start = bed.clock.monotonic();
    for _ in 0..tasks / 1_000 {
        client.send_all((0..1_000).map(|_| call()).collect()).await?;
    }
    let ours = bed.clock.monotonic() - start;
    let batches: Vec<Vec<Message>> =
        (0..tasks / 1_000).map(|_| (0..1_000).map(|_| message(bed, &to)).collect()).collect();
    let start = bed.clock.monotonic();
    for batch in &batches {
        broker.publish(batch, None).await?;
    }
    report.rate("send, bulk of 1,000", rate(tasks, ours), rate(tasks, bed.clock.monotonic() - start));
    while broker.purge(&to, lovage_core::Place::Ready, 1_000).await? > 0 {}
    Ok(())
}

/// A full queue until it is empty: without results, with results, and the raw reserve and settle.
pub(crate) async fn drain(bed: &Bed, report: &mut Report, tasks: usize) -> Fallible<()> {
    let tasks = tasks / 1_000 * 1_000;
    let ceiling = raw_drain(bed, tasks).await?;
    let without = drain_once(bed, tasks, &queue("drain"), None).await?;
    report.rate(format!("drain {tasks}, results off"), rate(tasks, without), rate(tasks, ceiling));
    for place in bed.result_places() {
        let both = bed.backends(&place).await?;
        let with = drain_once(bed, tasks, &queue("drain-results"), Some(both)).await?;
        let what = format!("drain {tasks}, a result row each in {place}");
        report.rate(what, rate(tasks, with), rate(tasks, raw_results(bed, tasks, &place).await?));
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
            let request = Reserve { queue: &from, max: 256, token, lease: LEASE, suspects: true };
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
