//! What an idle worker costs: a process of its own that waits for work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::proc::{cpu_ticks, memory_mib};
use crate::report::Report;
use crate::targets::{IDLE_CPU, IDLE_REQUESTS, IDLE_RSS};
use crate::watched::Watched;
use crate::{Bed, Fallible, Kind};

/// Until it has done all that a start brings, and PostgreSQL has counted that: it may take 10 s.
const START: Duration = Duration::from_secs(12);

/// Watches such a process for some seconds.
pub(crate) async fn measure(bed: &Bed, report: &mut Report, seconds: u64) -> Fallible<()> {
    let worker = Watched::start(bed, "idle")?;
    bed.clock.sleep(START).await;
    let before = cpu_ticks(worker.pid())?;
    let requests = Requests::watch(bed)?;
    bed.clock.sleep(Duration::from_secs(seconds)).await;
    let ticks = cpu_ticks(worker.pid())? - before;
    report.judge("idle worker, RSS", memory_mib(worker.pid(), "VmRSS:"), "MiB", IDLE_RSS);
    report.add("  of it its own, not mapped from files", memory_mib(worker.pid(), "RssAnon:"), "MiB");
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    {
        // Linux counts in ticks of 10 ms.
        report.judge("idle worker, CPU", ticks as f64 / seconds as f64, "%", IDLE_CPU);
        if let Some(requests) = requests.count()? {
            let each = requests as f64 / seconds as f64;
            report.judge("idle worker, requests to the broker", each, "/s", IDLE_REQUESTS);
        }
    }
    Ok(())
}

/// Counts what is asked of a server.
enum Requests {
    /// `MONITOR` tells of each command; what a script does is marked.
    Redis(Arc<AtomicUsize>, Arc<AtomicBool>),
    /// The transactions of the database, which its statistics count, and what they were.
    Postgres(String, usize),
    /// Nobody counts.
    Unknown,
}

impl Requests {
    fn watch(bed: &Bed) -> Fallible<Self> {
        Ok(match bed.kind {
            Kind::Redis => Self::monitor(&bed.url)?,
            Kind::Postgres => {
                autovacuum(&bed.url, "SET autovacuum = off");
                match transactions(&bed.url) {
                    Some(before) => Self::Postgres(bed.url.clone(), before),
                    None => Self::Unknown,
                }
            }
            Kind::Memory | Kind::Sqlite | Kind::Cluster => Self::Unknown,
        })
    }

    fn monitor(url: &str) -> Fallible<Self> {
        let (count, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut lines = BufReader::new(crate::memory::connect(url)?);
        lines.get_mut().write_all(b"MONITOR\r\n")?;
        lines.read_line(&mut String::new())?;
        let (counted, ended) = (Arc::clone(&count), Arc::clone(&over));
        std::thread::spawn(move || {
            for line in lines.split(b'\n').map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if !String::from_utf8_lossy(&line).contains(" lua] ") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self::Redis(count, over))
    }

    fn count(self) -> Fallible<Option<usize>> {
        Ok(match self {
            Self::Redis(count, over) => {
                over.store(true, Ordering::Relaxed);
                Some(count.load(Ordering::Relaxed))
            }
            // The question itself is one.
            Self::Postgres(url, before) => {
                let counted = transactions(&url).map(|now| now.saturating_sub(before + 1));
                autovacuum(&url, "RESET autovacuum");
                counted
            }
            Self::Unknown => None,
        })
    }
}

fn transactions(url: &str) -> Option<usize> {
    psql(
        url,
        &["SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"],
    )?
    .trim()
    .parse()
    .ok()
}

/// Its transactions would be counted as the worker's. Who may not set it counts them, too.
fn autovacuum(url: &str, change: &str) {
    let _ = psql(url, &[&format!("ALTER SYSTEM {change}"), "SELECT pg_reload_conf()"]);
}

/// What psql prints for these queries, where there is a psql.
fn psql(url: &str, queries: &[&str]) -> Option<String> {
    let mut psql = Command::new("psql");
    psql.args([url.split('?').next()?, "-At"]);
    for query in queries {
        psql.args(["-c", query]);
    }
    String::from_utf8(psql.output().ok()?.stdout).ok()
}
