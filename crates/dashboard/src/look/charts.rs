//! What happened over time, from what workers counted per minute.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovage_core::stats::{Counts, DepthSample, Histogram, StatsStore, Tally, Window, minute};
use lovage_core::{BackendError, QueueName, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::At;
use super::queues::QueueRow;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// The ranges that can be asked for.
pub(crate) const RANGES: [(&str, Duration); 5] = [
    ("5m", Duration::from_secs(300)),
    ("1h", Duration::from_secs(3_600)),
    ("6h", Duration::from_secs(6 * 3_600)),
    ("1d", Duration::from_secs(86_400)),
    ("7d", Duration::from_secs(7 * 86_400)),
];
const UNLESS_SAID: (&str, Duration) = RANGES[1];
/// Why there are no counts.
pub(crate) const NOT_COUNTED: &str =
    "What happens is not counted here: that needs results in SQLite or PostgreSQL (`LOVAGE_RESULTS_URL`).";
/// Rows of the tables that tell the same as the charts.
const ROWS: usize = 12;

/// What happened in a range of time.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Charts {
    /// How far back: `5m`, `1h`, `6h`, `1d` or `7d`.
    pub(crate) range: &'static str,
    pub(crate) since: At,
    pub(crate) until: At,
    /// The length of a step in seconds.
    pub(crate) step: u64,
    /// Why there is nothing, where nobody counts or the counts cannot be read.
    pub(crate) trouble: Option<String>,
    /// The steps in which a task ended.
    pub(crate) ends: Vec<Ends>,
    /// What queues looked like, the most in each step; steps in which nobody looked are missing.
    pub(crate) queues: Vec<QueueLine>,
    /// The same as `ends` in a few longer steps, to be read.
    #[serde(skip)]
    pub(crate) told: Vec<Ends>,
}

/// What ended in a step.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Ends {
    /// The begin of the step.
    pub(crate) at: At,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Failed attempts that were to be tried again.
    pub(crate) retried: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    /// Seconds from the publish of a task to its first start.
    pub(crate) wait: Option<Quantiles>,
    /// Seconds that attempts ran.
    pub(crate) run: Option<Quantiles>,
}

/// In seconds, at most 27 % too large.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

/// A queue over time.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct QueueLine {
    pub(crate) name: String,
    pub(crate) points: Vec<Seen>,
}

/// What a queue looked like in a step.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Seen {
    /// The begin of the step.
    pub(crate) at: At,
    pub(crate) ready: u64,
    pub(crate) leased: u64,
    pub(crate) delayed: u64,
    pub(crate) dead: u64,
    /// Seconds that the oldest ready task had been waiting.
    pub(crate) oldest: f64,
}

/// Charts of the range that is asked for.
pub(crate) async fn data(call: &Call, queues: &[QueueRow]) -> Result<Charts, Problem> {
    let (range, window) = window(call)?;
    let empty = Charts::empty(range, window);
    let Some(stats) = call.app.parts.results.stats() else {
        return Ok(Charts { trouble: Some(NOT_COUNTED.to_owned()), ..empty });
    };
    sample(&call.app, stats, queues, call.now).await;
    match read(stats, window).await {
        Ok((tallies, samples)) => Ok(Charts {
            ends: ends(&tallies, window.step()),
            told: ends(&tallies, coarse(&window)),
            queues: lines(samples),
            ..empty
        }),
        Err(error) => {
            Ok(Charts { trouble: Some(format!("What was counted cannot be read: {error}.")), ..empty })
        }
    }
}

/// Charts of one task, without queues, and all that was counted of it.
pub(super) async fn of_task(call: &Call, task: &str) -> Result<(Charts, Vec<Tally>), Problem> {
    let (range, window) = window(call)?;
    let empty = Charts::empty(range, window);
    let without = |why| Ok((Charts { trouble: Some(why), ..empty.clone() }, Vec::new()));
    let Some(stats) = call.app.parts.results.stats() else { return without(NOT_COUNTED.to_owned()) };
    let mut tallies = match stats.read(window).await {
        Ok(tallies) => tallies,
        Err(error) => return without(format!("What was counted cannot be read: {error}.")),
    };
    tallies.retain(|tally| tally.task == task);
    let (ends, told) = (ends(&tallies, window.step()), ends(&tallies, coarse(&window)));
    Ok((Charts { ends, told, ..empty }, tallies))
}

/// The range that is asked for.
pub(super) fn window(call: &Call) -> Result<(&'static str, Window), Problem> {
    let (range, length) = range(call)?;
    Ok((range, Window::last(length, call.now)))
}

impl Charts {
    fn empty(range: &'static str, window: Window) -> Self {
        Self {
            range,
            since: At(window.since()),
            until: At(window.until()),
            step: window.step().as_secs(),
            trouble: None,
            ends: Vec::new(),
            queues: Vec::new(),
            told: Vec::new(),
        }
    }
}

fn range(call: &Call) -> Result<(&'static str, Duration), Problem> {
    let Some(asked) = call.input.get("range") else { return Ok(UNLESS_SAID) };
    let found = RANGES.into_iter().find(|(name, _)| *name == asked);
    found
        .ok_or_else(|| Problem::wrong(format!("range `{asked}` is not valid: expected 5m, 1h, 6h, 1d or 7d")))
}

pub(super) async fn read(
    stats: &dyn StatsStore,
    window: Window,
) -> Result<(Vec<Tally>, Vec<DepthSample>), BackendError> {
    Ok((stats.read(window).await?, stats.depths(window).await?))
}

/// Keeps what was just seen, once a minute: so that queues are looked at while no worker is there to do it.
pub(super) async fn sample(app: &App, stats: &dyn StatsStore, queues: &[QueueRow], now: Timestamp) {
    let this = minute(now).as_micros();
    if app.sampled.swap(this, Ordering::Relaxed) == this {
        return;
    }
    let seen = queues.iter().filter_map(|row| {
        Some(DepthSample {
            at: now,
            queue: QueueName::new(&row.name).ok()?,
            ready: row.ready,
            leased: row.leased,
            delayed: row.delayed,
            dead: row.dead,
            oldest: row.oldest_ready.map_or(Duration::ZERO, |at| now.since(at.0)),
        })
    });
    if let Err(error) = stats.sample(&seen.collect::<Vec<_>>()).await {
        tracing::debug!("the depths of queues are not kept: {error}");
    }
}

/// A step of which a range has few.
fn coarse(window: &Window) -> Duration {
    let steps = window.steps().count().div_ceil(ROWS);
    window.step() * u32::try_from(steps).unwrap_or(u32::MAX)
}

fn ends(tallies: &[Tally], step: Duration) -> Vec<Ends> {
    let mut steps: BTreeMap<Timestamp, Counts> = BTreeMap::new();
    for tally in tallies {
        steps.entry(lovage_core::stats::floor(tally.at, step)).or_default().add(&tally.counts);
    }
    let ends = |(at, counts): (Timestamp, Counts)| Ends {
        at: At(at),
        succeeded: counts.succeeded,
        failed: counts.failed,
        retried: counts.retried,
        cancelled: counts.cancelled,
        expired: counts.expired,
        wait: quantiles(&counts.wait),
        run: quantiles(&counts.run),
    };
    steps.into_iter().map(ends).collect()
}

pub(super) fn quantiles(times: &Histogram) -> Option<Quantiles> {
    let seconds = |p| times.quantile(p).map(|time| time.as_secs_f64());
    Some(Quantiles { p50: seconds(0.5)?, p95: seconds(0.95)?, p99: seconds(0.99)? })
}

/// The queues with the most waiting first.
fn lines(samples: Vec<DepthSample>) -> Vec<QueueLine> {
    let mut queues: BTreeMap<QueueName, Vec<Seen>> = BTreeMap::new();
    for sample in samples {
        let DepthSample { at, ready, leased, delayed, dead, oldest, queue } = sample;
        let seen = Seen { at: At(at), ready, leased, delayed, dead, oldest: oldest.as_secs_f64() };
        queues.entry(queue).or_default().push(seen);
    }
    let line = |(name, points): (QueueName, _)| QueueLine { name: name.to_string(), points };
    let mut lines: Vec<QueueLine> = queues.into_iter().map(line).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.points.iter().map(|seen| seen.ready).max()));
    lines
}
