//! The dashboard over a month of production: how soon each page answers, and whether pages that stay open make it grow.

mod fill;
mod pages;
mod visit;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lovage_dashboard::{Dashboard, Parts};
use lovage_sql::Database;
use lovage_system::{SystemClock, SystemEntropy};
use tokio::net::TcpListener;

use self::visit::Visitor;
use crate::proc::{cpu_ticks, memory_mib};
use crate::report::Report;
use crate::targets::{DASHBOARD_GROWTH, DASHBOARD_P50, DASHBOARD_P99};
use crate::{Bed, Fallible};

/// How often each page is asked for.
const VISITS: usize = 100;
/// Pages that stay open, and for how long: what they are sent together is what one page is sent in a night of ten hours.
const OPEN: usize = 60;
const WATCHED: Duration = Duration::from_secs(600);
/// Until everything that is allocated once is.
const WARM: Duration = Duration::from_secs(60);

/// Fills everything that a dashboard shows, then visits it.
pub(crate) async fn measure(bed: &Bed, report: &mut Report, finished: u32) -> Fallible<()> {
    let filled = fill::fill(bed, finished).await?;
    report.add("dashboard: finished tasks", f64::from(finished), "");
    report.add("  bytes of each on disk, indexes included", filled.bytes_each, "B");
    let mut served = Served::start(bed)?;
    let visitor = Visitor::log_in(&served.link()?).await?;
    answers(bed, report, &visitor, finished).await?;
    growth(bed, report, &visitor, served.pid()).await
}

/// All pages in turn, so that none has everything to itself in the caches.
async fn answers(bed: &Bed, report: &mut Report, visitor: &Visitor, finished: u32) -> Fallible<()> {
    let pages = pages::all(finished);
    let mut took = vec![Vec::with_capacity(VISITS); pages.len()];
    for round in 0..VISITS {
        for (page, took) in pages.iter().zip(&mut took) {
            let path = (page.path)(round);
            let start = bed.clock.monotonic();
            let answer = visitor.get(&path).await?;
            took.push(bed.clock.monotonic().saturating_sub(start));
            if answer.status != 200 || !answer.body.contains(page.shows) {
                let Answered { status, body } = answer.into();
                return Err(format!("{path}: {status}, without `{}`: {body}", page.shows).into());
            }
        }
    }
    for (page, mut took) in pages.iter().zip(took) {
        took.sort_unstable();
        report.judge(format!("dashboard, {}: p50", page.name), of(&took, 50), "ms", DASHBOARD_P50);
        report.judge(format!("dashboard, {}: p99", page.name), of(&took, 99), "ms", DASHBOARD_P99);
    }
    Ok(())
}

/// Some pages stay open, and are kept up to date.
async fn growth(bed: &Bed, report: &mut Report, visitor: &Visitor, pid: u32) -> Fallible<()> {
    let mut open = Vec::with_capacity(OPEN);
    for number in 0..OPEN {
        let of = ["/", "/queues", "/finished", "/workers", "/schedules"][number % 5];
        open.push(visitor.keep_open(of).await?);
    }
    bed.clock.sleep(WARM).await;
    let (before, busy) = (memory_mib(pid, "VmRSS:"), cpu_ticks(pid)?);
    bed.clock.sleep(WATCHED).await;
    let (after, busy) = (memory_mib(pid, "VmRSS:"), cpu_ticks(pid)? - busy);
    let title = format!("dashboard, {OPEN} pages open for {} s", WATCHED.as_secs());
    report.judge(format!("{title}: growth of its RSS"), after - before, "MiB", DASHBOARD_GROWTH);
    report.add(format!("{title}: RSS"), after, "MiB");
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    // Linux counts in ticks of 10 ms.
    report.add(format!("{title}: CPU"), busy as f64 / WATCHED.as_secs_f64(), "%");
    for page in open {
        page.was_kept_up_to_date()?;
    }
    Ok(())
}

fn of(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

/// A beginning of what was answered, for an error.
struct Answered {
    status: u16,
    body: String,
}

impl From<visit::Answer> for Answered {
    fn from(answer: visit::Answer) -> Self {
        Self { status: answer.status, body: answer.body.chars().take(500).collect() }
    }
}

/// Is a dashboard until stdin ends.
#[expect(clippy::print_stdout, reason = "its parent reads the link")]
pub(crate) async fn serve(bed: &Bed) -> Fallible<()> {
    let schedules = lovage_schedules_sql::open(Database::connect(&bed.schedules()?).await?).await?;
    let backends = bed.backends(&fill::beside(bed)?).await?;
    let dashboard = Dashboard::new(Parts {
        broker: backends.broker,
        results: backends.results,
        schedules: Some(schedules),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", dashboard.links().link(listener.local_addr()?));
    let stop = async {
        let _over = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    };
    Ok(dashboard.serve(listener, stop).await?)
}

/// A dashboard in a process of its own.
struct Served(Child);

impl Served {
    fn start(bed: &Bed) -> Fallible<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--broker", &bed.url, "--dashboard"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// The link that logs in, which is its first line.
    fn link(&mut self) -> Fallible<String> {
        let out = self.0.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}
