//! What an idle worker costs: a process of its own that waits for work.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use lovage::{TaskError, Worker, tasks};

use crate::report::Report;
use crate::{Bed, Fallible, queue};

#[lovage::task(name = "bench.idle")]
async fn idle() -> Result<(), TaskError> {
    Ok(())
}

/// Waits for work until stdin ends.
pub(crate) async fn be_idle(bed: &Bed) -> Fallible<()> {
    let worker = Worker::builder()
        .tasks(tasks![idle])
        .queues(vec![(queue("idle"), 1)])
        .build(bed.broker().await?, None)?;
    let running = worker.start();
    say_ready();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    running.stop();
    running.join().await?;
    Ok(())
}

/// Watches such a process for some seconds.
pub(crate) async fn measure(bed: &Bed, report: &mut Report, seconds: u64) -> Fallible<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--broker", &bed.url, "--name", "idle", "--idle-worker"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut String::new())?;
    }
    let before = cpu_ticks(child.id())?;
    bed.clock.sleep(Duration::from_secs(seconds)).await;
    let ticks = cpu_ticks(child.id())? - before;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("0")
        .parse()?;
    drop(child.stdin.take());
    child.wait()?;
    report.add("idle worker, RSS", kib / 1_024.0, "MiB");
    // Linux counts in ticks of 10 ms.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    report.add("idle worker, CPU", ticks as f64 / seconds as f64, "%");
    Ok(())
}

/// User and system time of a process in ticks.
fn cpu_ticks(pid: u32) -> Fallible<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}

#[expect(clippy::print_stdout, reason = "tells the parent process")]
fn say_ready() {
    println!("ready");
}
