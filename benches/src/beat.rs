//! Beat: how late it fires, what a million stored entries cost it, and how soon it acts upon a change.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::schedule::{Entry, Expected, Saved, Schedule, ScheduleStore};
use lovage_core::{
    Broker, EntryName, Envelope, Place, QueueName, Reserve, Settle, Settlement, SlotWants, Source, TaskName,
    Timestamp, Token, limits,
};
use lovage_scheduler::Scheduler;
use lovage_sql::Database;
use lovage_system::{SystemClock, SystemEntropy};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::proc::{cpu_ticks, memory_mib};
use crate::report::Report;
use crate::targets::{
    BEAT_CHANGE, BEAT_DRIFT, BEAT_IDLE_CPU, BEAT_LATE_MANY, BEAT_LATE_STORED, BEAT_RSS, Target, at_least,
    at_most,
};
use crate::{Bed, Fallible, million};

/// Firings a second where there are many.
const MANY: usize = 1_000;
/// For how long.
const TIME: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Until a beat that was just started or told of entries is waiting for its first slot.
const START: Duration = Duration::from_secs(5);
/// What did not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(30);
/// Of the million, due each second.
const DUE_A_SECOND: usize = 10;
const CHANGES: usize = 20;
/// An entry that is edited has its slot so long afterwards.
const SLOT_AFTER: Duration = Duration::from_millis(100);

/// At many firings a second, and with many stored entries.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Fallible<()> {
    let schedules = bed.schedules()?;
    let store = lovage_schedules_sql::open(Database::connect(&schedules).await?).await?;
    let mut firings = Firings::consume(bed).await?;
    let beat = Beat::start(bed, &schedules)?;
    let spread = SECOND / u32::try_from(MANY)?;
    many(bed, report, &*store, &mut firings, "spread over the second", spread).await?;
    many(bed, report, &*store, &mut firings, "all at once", Duration::ZERO).await?;
    drop(beat);
    stored(bed, report, &schedules, &*store, &mut firings).await
}

/// As many entries at one second, each so much later than the one before.
async fn many(
    bed: &Bed,
    report: &mut Report,
    store: &dyn ScheduleStore,
    firings: &mut Firings,
    how: &str,
    apart: Duration,
) -> Fallible<()> {
    let soon = bed.clock.now().plus(START).as_micros() / 1_000_000 + 1;
    let first = Timestamp::from_micros(soon * 1_000_000);
    let every = Schedule::every(SECOND)?;
    let entry = |number: usize| -> Fallible<Entry> {
        let start = first.plus(apart * u32::try_from(number)?);
        Ok(Entry {
            start_time: Some(start),
            end_time: Some(start.plus(TIME - SECOND)),
            ..entry(&format!("{how} {number:04}"), every.clone())?
        })
    };
    let entries = (0..MANY).map(entry).collect::<Fallible<Vec<_>>>()?;
    store.merge(&Source::new("bench")?, &entries, None).await?;
    let expected = MANY * usize::try_from(TIME.as_secs())?;
    let fired = firings.take(bed, expected, first.plus(TIME + PATIENCE)).await;
    let title = format!("beat, {MANY} firings/s, {how}");
    all_fired(report, &title, &fired, expected);
    let mut late: Vec<Duration> = fired.iter().map(|fired| fired.late()).collect();
    lateness(report, &title, &mut late, BEAT_LATE_MANY);
    let ten = SECOND * 10;
    let begin = mean(fired.iter().filter(|fired| fired.slot < first.plus(ten)));
    let end = mean(fired.iter().filter(|fired| fired.slot >= first.plus(TIME - ten)));
    report.judge(
        format!("{title}: drift, mean of the last 10 s less the first"),
        end - begin,
        "ms",
        BEAT_DRIFT,
    );
    Ok(())
}

/// A million entries, of which some are due.
async fn stored(
    bed: &Bed,
    report: &mut Report,
    schedules: &str,
    store: &dyn ScheduleStore,
    firings: &mut Firings,
) -> Fallible<()> {
    let entries = million::fill(schedules, bed.clock.now()).await?;
    let beat = Beat::start(bed, schedules)?;
    bed.clock.sleep(START).await;

    let time = u32::try_from(TIME.as_secs())?;
    let expected = DUE_A_SECOND * usize::try_from(time)?;
    let first = bed.clock.now().plus(START);
    million::make_due(schedules, expected, first, SECOND / u32::try_from(DUE_A_SECOND)?).await?;
    bed.clock.sleep(START).await;
    let busy = cpu_ticks(beat.pid())?;
    let fired = firings.take(bed, expected, first.plus(TIME + PATIENCE)).await;
    let busy = cpu_ticks(beat.pid())? - busy;
    let title = format!("beat, {entries} entries, {DUE_A_SECOND} due a second");
    all_fired(report, &title, &fired, expected);
    let mut late: Vec<Duration> = fired.iter().map(|fired| fired.late()).collect();
    lateness(report, &title, &mut late, BEAT_LATE_STORED);
    report.add(format!("{title}: CPU"), percent(busy, TIME), "%");
    report.judge(format!("{title}: RSS"), memory_mib(beat.pid(), "VmRSS:"), "MiB", BEAT_RSS);
    report.add("  of it its own, not mapped from files", memory_mib(beat.pid(), "RssAnon:"), "MiB");

    let idle = cpu_ticks(beat.pid())?;
    bed.clock.sleep(TIME).await;
    let idle = cpu_ticks(beat.pid())? - idle;
    let title = format!("beat, {entries} entries");
    report.judge(format!("{title}, none due for 60 s: CPU"), percent(idle, TIME), "%", BEAT_IDLE_CPU);
    changes(bed, report, store, firings, &title).await
}

/// An entry of the million is edited so that it is due soon.
async fn changes(
    bed: &Bed,
    report: &mut Report,
    store: &dyn ScheduleStore,
    firings: &mut Firings,
    title: &str,
) -> Fallible<()> {
    let mut took = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let name = million::name(900_000 + number);
        let Some(Some(Ok(stored))) = store.get(&[&name]).await?.into_iter().next() else {
            return Err(format!("there is no entry {name}").into());
        };
        let edited = bed.clock.now();
        let entry =
            Entry { start_time: None, schedule: Schedule::at(edited.plus(SLOT_AFTER)), ..stored.entry };
        let Saved::Saved(_) = store.put(&entry, Expected::Revision(stored.revision), None).await? else {
            return Err("somebody else edits the schedule".into());
        };
        let fired = firings.take(bed, 1, edited.plus(PATIENCE)).await;
        let fired = fired.first().ok_or("a change was not acted upon")?;
        took.push(fired.published_at.since(edited));
        // Not in step with anything.
        bed.clock.sleep(SLOT_AFTER * u32::try_from(number % 7)?).await;
    }
    took.sort_unstable();
    let most = took.last().copied().unwrap_or_default();
    let what = format!(
        "{title}: from an edit to its firing, due {} ms after it, the longest of {CHANGES}",
        SLOT_AFTER.as_millis()
    );
    report.judge(what, most.as_secs_f64(), "s", BEAT_CHANGE);
    Ok(())
}

fn entry(name: &str, schedule: Schedule) -> Fallible<Entry> {
    let mut entry = Entry::new(EntryName::new(name)?, TaskName::new("bench.fired")?, schedule);
    entry.queue = queue();
    Ok(entry)
}

pub(crate) fn queue() -> QueueName {
    crate::queue("beat")
}

fn all_fired(report: &mut Report, title: &str, fired: &[Fired], expected: usize) {
    let mut slots: Vec<_> = fired.iter().map(|fired| (&fired.name, fired.slot)).collect();
    slots.sort_unstable();
    slots.dedup();
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (found, expected, twice) = (slots.len() as f64, expected as f64, (fired.len() - slots.len()) as f64);
    report.judge(format!("{title}: different slots fired"), found, "", at_least(expected));
    report.judge(format!("{title}: slots fired twice"), twice, "", at_most(0.0));
}

fn lateness(report: &mut Report, title: &str, late: &mut [Duration], target: Target) {
    late.sort_unstable();
    let of = |per_mille: usize| {
        late.get((late.len() * per_mille / 1_000).min(late.len().saturating_sub(1))).map_or(f64::NAN, millis)
    };
    report.add(format!("{title}: lateness p50"), of(500), "ms");
    report.judge(format!("{title}: lateness p99"), of(990), "ms", target);
    report.add(format!("{title}: lateness max"), of(1_000), "ms");
}

fn mean<'a>(fired: impl Iterator<Item = &'a Fired>) -> f64 {
    let late: Vec<f64> = fired.map(|fired| millis(&fired.late())).collect();
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let count = late.len() as f64;
    late.iter().sum::<f64>() / count
}

fn millis(time: &Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Linux counts in ticks of 10 ms.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn percent(ticks: u64, time: Duration) -> f64 {
    ticks as f64 / time.as_secs_f64()
}

/// A message that beat published.
#[derive(Debug)]
struct Fired {
    name: String,
    slot: Timestamp,
    /// By the broker's clock, which is this machine's.
    published_at: Timestamp,
}

impl Fired {
    fn late(&self) -> Duration {
        self.published_at.since(self.slot)
    }
}

/// What comes out of the queue.
struct Firings {
    arrived: UnboundedReceiver<Fired>,
    consuming: tokio::task::JoinHandle<()>,
}

impl Firings {
    async fn consume(bed: &Bed) -> Fallible<Self> {
        let broker = bed.broker().await?;
        while broker.purge(&queue(), Place::Ready, 1_000).await? > 0 {}
        let (send, arrived) = unbounded_channel();
        let clock = Arc::clone(&bed.clock);
        let consuming = tokio::spawn(async move {
            let to = queue();
            loop {
                match step(&*broker, &to).await {
                    Ok(fired) if fired.is_empty() => tokio::select! {
                        _ = broker.hint() => {}
                        () = clock.sleep(SECOND) => {}
                    },
                    Ok(fired) => fired.into_iter().for_each(|fired| {
                        // Nobody listens at the end.
                        let _over = send.send(fired);
                    }),
                    Err(_) => clock.sleep(SECOND / 10).await,
                }
            }
        });
        Ok(Self { arrived, consuming })
    }

    /// The next ones; fewer when no more come until then.
    async fn take(&mut self, bed: &Bed, count: usize, until: Timestamp) -> Vec<Fired> {
        let deadline = bed.clock.monotonic() + until.since(bed.clock.now());
        let mut fired = Vec::with_capacity(count);
        while fired.len() < count {
            tokio::select! {
                next = self.arrived.recv() => match next {
                    Some(next) => fired.push(next),
                    None => break,
                },
                () = bed.clock.sleep_until(deadline) => break,
            }
        }
        fired
    }
}

impl Drop for Firings {
    fn drop(&mut self) {
        self.consuming.abort();
    }
}

async fn step(broker: &dyn Broker, queue: &QueueName) -> Result<Vec<Fired>, lovage_core::BackendError> {
    let token = Token::new(&SystemEntropy);
    let request =
        Reserve { queue, want: SlotWants::any(limits::RESERVE_BATCH), token, lease: LEASE, suspects: true };
    let deliveries = broker.reserve(request, None).await?.deliveries;
    let settlements: Vec<Settlement> =
        deliveries.iter().map(|delivery| Settlement { id: delivery.id, how: Settle::Ack }).collect();
    if !settlements.is_empty() {
        broker.settle(queue, token, &settlements, None).await?;
    }
    let fired = deliveries.into_iter().filter_map(|delivery| {
        let schedule = Envelope::decode(&delivery.body).ok()?.schedule?;
        Some(Fired { name: schedule.name, slot: schedule.slot, published_at: delivery.published_at })
    });
    Ok(fired.collect())
}

/// Is a beat until SIGTERM.
pub(crate) async fn run(bed: &Bed, schedules: &str) -> Fallible<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let store = lovage_schedules_sql::open(Database::connect(schedules).await?).await?;
    let stop = async move {
        terminated.recv().await;
    };
    Scheduler::new(store, bed.broker().await?, Arc::new(SystemClock::new())).run_until(stop).await;
    Ok(())
}

/// A beat in a process of its own.
struct Beat(Child);

impl Beat {
    fn start(bed: &Bed, schedules: &str) -> Fallible<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--broker", &bed.url, "--beat", schedules, "--threads", "1"])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}
