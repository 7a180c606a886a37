//! What faults cost: tasks that run a second time after a kill, and how long it takes until the work goes on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lovage::{TaskError, Worker, tasks};
use lovage_client::Client;
use lovage_core::{Clock as _, TaskId, Timestamp};
use lovage_redis::testing::RedisServer;
use lovage_system::SystemClock;

use crate::report::Report;
use crate::targets::{CONSUMES_AGAIN, at_most};
use crate::watched::{LEASE, SLOTS, Watched, hold, mark};
use crate::{Bed, Fallible, Kind, queue};

const LOAD: usize = 30_000;
const LONG: usize = 20;
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the Redis is away.
const AWAY: Duration = Duration::from_secs(3);

static BEATS: Mutex<Vec<(u64, Timestamp)>> = Mutex::new(Vec::new());

#[lovage::task(name = "bench.beat")]
async fn beat(number: u64) -> Result<(), TaskError> {
    let now = SystemClock::new().now();
    BEATS.lock().unwrap_or_else(PoisonError::into_inner).push((number, now));
    Ok(())
}

pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Fallible<()> {
    second_runs(bed, report).await?;
    runs_again(bed, report).await?;
    if bed.kind == Kind::Redis {
        redis_restarts(bed, report).await?;
    }
    Ok(())
}

/// A loaded worker is killed with SIGKILL, another one takes over.
async fn second_runs(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let (client, to) = (bed.client().await?, queue("kill"));
    for _ in 0..LOAD / 1_000 {
        client.send_all((0..1_000).map(|_| mark::call().queue(&to)).collect()).await?;
    }
    let mut first = Watched::start(bed, "kill")?;
    until(bed, "the first worker to be busy", || first.count() > LOAD / 3).await?;
    let killed = bed.clock.now();
    first.kill()?;
    let second = Watched::start(bed, "kill")?;
    // Also what comes back with the end of the lease.
    let broker = bed.broker().await?;
    let asked = bed.clock.monotonic();
    loop {
        let depth = broker.depth(&to, None).await?;
        if depth.ready + depth.leased + depth.delayed == 0 {
            break;
        }
        if bed.clock.monotonic() - asked > PATIENCE {
            return Err(format!("the second worker does not end its work: {depth:?}").into());
        }
        bed.clock.sleep(Duration::from_millis(50)).await;
    }
    let ran: HashSet<TaskId> = first.started().iter().map(|(id, _)| *id).collect();
    let again: HashSet<TaskId> = second.started().iter().map(|(id, _)| *id).collect();
    if ran.union(&again).count() != LOAD {
        return Err(format!("{} of {LOAD} tasks ran", ran.union(&again).count()).into());
    }
    let window = killed.minus(Duration::from_millis(10));
    let late = first.started().iter().filter(|(_, at)| *at >= window).count();
    let twice = count(ran.intersection(&again).count());
    // Of those that it had started, at most as many as it has slots were not finished 10 ms before.
    let allowed = count(late + SLOTS);
    report.judge("kill -9 of a busy worker: tasks that ran twice", twice, "", at_most(allowed));
    report.add("  tasks that it started in its last 10 ms", count(late), "");
    Ok(())
}

/// Long tasks are killed with their worker; an idle one takes them over.
async fn runs_again(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let (client, to) = (bed.client().await?, queue("long"));
    client.send_all((0..LONG).map(|_| hold::call().queue(&to)).collect()).await?;
    let mut first = Watched::start(bed, "long")?;
    until(bed, "the long tasks to run", || first.distinct() == LONG).await?;
    let second = Watched::start(bed, "long")?;
    // It has registered as idle by then.
    bed.clock.sleep(Duration::from_secs(1)).await;
    let killed = bed.clock.now();
    first.kill()?;
    until(bed, "the long tasks to run again", || second.distinct() == LONG).await?;
    let last = second.started().iter().map(|(_, at)| at.since(killed)).max().unwrap_or_default();
    let what = format!("killed with their worker: until all {LONG} run again (lease {} s)", LEASE.as_secs());
    report.judge(what, last.as_secs_f64(), "s", at_most(LEASE.as_secs_f64() + 5.0));
    Ok(())
}

/// A Redis with an append-only file is killed under load and comes back.
async fn redis_restarts(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let dir = std::env::temp_dir().join(format!("lovage-bench-aof-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let path = dir.display().to_string();
    let mut server = RedisServer::start_own(&["--appendonly", "yes", "--dir", &path])?;
    let at = Bed::attached(server.url())?;
    let to = queue("restart");
    let worker = Worker::builder()
        .tasks(tasks![beat])
        .queues(vec![(to.clone(), 1)])
        .lease(LEASE)
        .build(at.broker().await?, None)?;
    let running = worker.start();
    let stop = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn(send_until(at.client().await?, Arc::clone(&stop)));
    let beats = || BEATS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    until(bed, "a load", || beats().len() > 1_000).await?;
    server.stop()?;
    bed.clock.sleep(AWAY).await;
    server.restart()?;
    let back = bed.clock.now();
    until(bed, "a task to run again", || beats().iter().any(|(_, at)| *at >= back)).await?;
    let first = beats().iter().map(|(_, at)| *at).filter(|at| *at >= back).min().unwrap_or(back);
    let count_then = beats().len();
    until(bed, "a load again", || beats().len() > count_then + 1_000).await?;
    stop.store(true, Ordering::Relaxed);
    let accepted = sender.await?;
    let ran = || beats().iter().map(|(number, _)| *number).collect::<HashSet<u64>>();
    // What was held when it went away comes back with the end of the lease.
    let lost = || accepted.difference(&ran()).count();
    let waited = until(bed, "the last ones", || lost() == 0).await;
    running.stop();
    running.join().await?;
    let _left_behind = std::fs::remove_dir_all(&dir);
    let what = "Redis (AOF) away for 3 s: from its first answer to the first task";
    report.judge(what, first.since(back).as_secs_f64(), "s", CONSUMES_AGAIN);
    report.judge("  tasks that were accepted and never ran", count(lost()), "", at_most(0.0));
    waited
}

/// One task a millisecond; answers with those that were accepted.
async fn send_until(client: Client, stop: Arc<AtomicBool>) -> HashSet<u64> {
    let clock = SystemClock::new();
    let to = queue("restart");
    let mut accepted = HashSet::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match beat::call(number).queue(&to).send(&client).await {
            Ok(_) => drop(accepted.insert(number)),
            Err(_) => clock.sleep(Duration::from_millis(50)).await,
        }
        clock.sleep(Duration::from_millis(1)).await;
    }
    accepted
}

async fn until(bed: &Bed, what: &str, done: impl Fn() -> bool) -> Fallible<()> {
    let start = bed.clock.monotonic();
    while !done() {
        if bed.clock.monotonic() - start > PATIENCE {
            return Err(format!("waited {} s for {what}", PATIENCE.as_secs()).into());
        }
        bed.clock.sleep(LOOK).await;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
