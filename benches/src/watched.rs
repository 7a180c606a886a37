//! A worker in a process of its own that tells of each start, so that it can be killed and what it did is known.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lovage::{Context, TaskError, Worker, tasks};
use lovage_core::{Clock as _, TaskId, Timestamp};
use lovage_system::SystemClock;

use crate::{Bed, Fallible};

/// Short, so that its end does not take long to wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// Tasks at once.
pub(crate) const SLOTS: usize = 64;
/// An id, and when it was started.
const RECORD: usize = 24;

/// Standard output without a buffer: what was told before a kill is known.
static OUT: OnceLock<File> = OnceLock::new();

/// Tells of its start.
#[lovage::task(name = "bench.mark")]
pub(crate) async fn mark(ctx: &Context) -> Result<(), TaskError> {
    tell(ctx)
}

/// Tells of its start; the first time it then runs for longer than anybody waits.
#[lovage::task(name = "bench.hold")]
pub(crate) async fn hold(ctx: &Context) -> Result<(), TaskError> {
    tell(ctx)?;
    if ctx.info().delivery == 1 {
        SystemClock::new().sleep(Duration::from_secs(3_600)).await;
    }
    Ok(())
}

fn tell(ctx: &Context) -> Result<(), TaskError> {
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(ctx.id().as_bytes());
    record[16..].copy_from_slice(&SystemClock::new().now().as_micros().to_be_bytes());
    let mut out = OUT.get().ok_or_else(|| TaskError::new("nobody listens"))?;
    // One write below the size of a pipe's atomic ones.
    out.write_all(&record).map_err(|error| TaskError::new(error.to_string()))
}

/// Works until stdin ends.
pub(crate) async fn work(bed: &Bed, queue: &str) -> Fallible<()> {
    OUT.get_or_init(|| File::options().write(true).open("/proc/self/fd/1").unwrap_or_else(|_| no_output()));
    let worker = Worker::builder()
        .tasks(tasks![mark, hold])
        .queues(vec![(crate::queue(queue), 1)])
        .concurrency(SLOTS)
        .lease(LEASE)
        .build(bed.broker().await?, None)?;
    let running = worker.start();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    running.stop();
    running.join().await?;
    Ok(())
}

#[expect(clippy::panic, reason = "a child process of a benchmark")]
fn no_output() -> File {
    panic!("standard output cannot be opened")
}

/// Such a process, seen from its parent.
pub(crate) struct Watched {
    child: Child,
    started: Arc<Mutex<Vec<(TaskId, Timestamp)>>>,
}

impl Watched {
    pub(crate) fn start(bed: &Bed, queue: &str) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--broker", &bed.url, "--work", queue])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = child.stdout.take().ok_or("no pipe")?;
        let started = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&started);
        std::thread::spawn(move || {
            let mut record = [0; RECORD];
            while out.read_exact(&mut record).is_ok() {
                let (id, at) = record.split_at(16);
                let id = id.try_into().map(TaskId::from_bytes);
                let at = at.try_into().map(i64::from_be_bytes).map(Timestamp::from_micros);
                if let (Ok(id), Ok(at)) = (id, at) {
                    told.lock().unwrap_or_else(PoisonError::into_inner).push((id, at));
                }
            }
        });
        Ok(Self { child, started })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it started so far.
    pub(crate) fn started(&self) -> Vec<(TaskId, Timestamp)> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many starts there were so far.
    pub(crate) fn count(&self) -> usize {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many different tasks it started so far.
    pub(crate) fn distinct(&self) -> usize {
        self.started().iter().map(|(id, _)| *id).collect::<HashSet<_>>().len()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ended = self.kill();
    }
}
