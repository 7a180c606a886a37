//! How much goes into queues and out of them, and when they are empty.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::stats::{DepthSample, StatsStore, Tally, Window, minute};
use schemars::JsonSchema;
use serde::Serialize;

use super::charts::{self, NOT_COUNTED};
use super::queues::{self, QueueRow};
use crate::call::Call;
use crate::pages::kit::{per_minute, rough};
use crate::problem::Problem;

/// How far back rates go.
const RANGE: Duration = Duration::from_secs(300);
/// A change per minute that is none: less than one task in the range.
const STILL: f64 = 0.2;

/// A queue and how much goes through it.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct QueueView {
    #[serde(flatten)]
    pub(crate) row: QueueRow,
    pub(crate) flow: Flow,
}

/// How much goes through a queue, over the last five minutes; over less where it was first looked at since.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Flow {
    /// Tasks that came in per minute: those that ended and by how much the tasks became more that wait, run or are due
    /// later. Nothing where nobody counts, or where nobody looked at the queue a minute ago or earlier.
    pub(crate) in_per_minute: Option<f64>,
    /// Tasks that ended per minute; attempts that are tried again are none. Nothing where nobody counts.
    pub(crate) out_per_minute: Option<f64>,
    /// Seconds until nothing waits, if it goes on like this; nothing where it does not become empty.
    pub(crate) empty_in: Option<f64>,
    /// What that leads to, in words.
    pub(crate) words: String,
}

/// Queues, and why nothing is known of their rates.
#[derive(Debug)]
pub(crate) struct Flowing {
    pub(crate) queues: Vec<QueueView>,
    pub(crate) trouble: Option<String>,
}

pub(crate) async fn data(call: Call) -> Result<Vec<QueueView>, Problem> {
    Ok(all(&call).await?.queues)
}

/// All queues by name.
pub(crate) async fn all(call: &Call) -> Result<Flowing, Problem> {
    let rows = queues::rows(&call.app).await?;
    if let Some(stats) = call.app.parts.results.stats() {
        charts::sample(&call.app, stats, &rows, call.now).await;
    }
    Ok(of(call, rows).await)
}

pub(crate) async fn of(call: &Call, rows: Vec<QueueRow>) -> Flowing {
    let unknown = |trouble: String| Flowing {
        queues: rows.iter().map(|row| QueueView { row: row.clone(), flow: Flow::unknown() }).collect(),
        trouble: Some(trouble),
    };
    let Some(stats) = call.app.parts.results.stats() else { return unknown(NOT_COUNTED.to_owned()) };
    match counted(stats, call.now).await {
        Ok(counted) => {
            let view = |row: QueueRow| QueueView { flow: flow(&row, &counted, call.now), row };
            Flowing { queues: rows.into_iter().map(view).collect(), trouble: None }
        }
        Err(error) => unknown(format!("What was counted cannot be read: {error}.")),
    }
}

/// What was counted, and seen, of all queues.
struct Counted {
    since: Timestamp,
    tallies: Vec<Tally>,
    samples: Vec<DepthSample>,
}

async fn counted(stats: &dyn StatsStore, now: Timestamp) -> Result<Counted, lovage_core::BackendError> {
    let window = Window::last(RANGE, now);
    let (tallies, samples) = charts::read(stats, window).await?;
    Ok(Counted { since: window.since(), tallies, samples })
}

fn flow(row: &QueueRow, counted: &Counted, now: Timestamp) -> Flow {
    let ended = |since: Timestamp| {
        let tallies =
            counted.tallies.iter().filter(|tally| tally.queue.as_str() == row.name && tally.at >= since);
        tallies.map(|tally| tally.counts.ends() - tally.counts.retried).sum::<u64>()
    };
    let minutes = |since: Timestamp| now.since(since).as_secs_f64() / 60.0;
    let samples = counted.samples.iter().filter(|seen| seen.queue.as_str() == row.name);
    let first = samples.min_by_key(|seen| seen.at).filter(|seen| seen.at < minute(now));
    // In and out are of the same time, or their difference would tell nothing.
    let since = first.map_or(counted.since, |seen| seen.at);
    let ends = number(ended(since));
    let out = ends / minutes(since);
    let came = first.map(|seen| {
        let before = number(seen.ready + seen.leased + seen.delayed);
        let present = number(row.ready + row.leased + row.delayed);
        // What was looked at within a minute may have been any time in it.
        (ends + present - before).max(0.0) / minutes(since)
    });
    let falls = out - came.unwrap_or(0.0);
    let empty_in = (row.ready > 0 && falls >= STILL).then(|| number(row.ready) / falls * 60.0);
    let range = Duration::from_secs(now.since(since).as_secs() / 60 * 60);
    let words = words(row, out, came, empty_in, &rough(range));
    Flow { in_per_minute: came, out_per_minute: Some(out), empty_in, words }
}

fn words(row: &QueueRow, out: f64, came: Option<f64>, empty_in: Option<f64>, range: &str) -> String {
    if row.ready == 0 {
        return "nothing waits".to_owned();
    }
    if let Some(seconds) = empty_in {
        let time = match Duration::try_from_secs_f64(seconds.ceil()) {
            Ok(time) if time < Duration::from_secs(365 * 86_400) => rough(time),
            Ok(_) | Err(_) => "more than a year".to_owned(),
        };
        let how = if came.is_some() { "at this rate empty in" } else { "if nothing more comes, empty in" };
        return format!("{how} {time}");
    }
    match came.map(|came| came - out) {
        Some(grows) if grows >= STILL && out > 0.0 => format!("grows by {} a minute", per_minute(grows)),
        Some(grows) if grows >= STILL => {
            format!("nothing ended in the last {range}, grows by {} a minute", per_minute(grows))
        }
        _ if out == 0.0 => format!("nothing ended in the last {range}"),
        _ => "stays as long as it is".to_owned(),
    }
}

impl Flow {
    fn unknown() -> Self {
        Self { in_per_minute: None, out_per_minute: None, empty_in: None, words: "not known".to_owned() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate has far fewer digits")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use lovage_core::stats::Counts;
    use lovage_testkit::queue;

    use super::super::queues::QueueState;
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_014_400_000_000);

    fn ago(minutes: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(minutes * 60))
    }

    fn row(ready: u64, leased: u64) -> QueueRow {
        QueueRow {
            name: "q".to_owned(),
            state: QueueState::Open,
            paused: false,
            limit: None,
            ready,
            leased,
            delayed: 0,
            dead: 0,
            oldest_ready: None,
            workers: Vec::new(),
            taken: true,
            growth: None,
            stranded: Vec::new(),
            words: String::new(),
        }
    }

    fn tally(minutes: u64, succeeded: u64, retried: u64) -> Tally {
        let counts = Counts { succeeded, retried, ..Counts::default() };
        Tally { at: ago(minutes), queue: queue("q"), task: "t".to_owned(), counts }
    }

    fn sample(minutes: u64, ready: u64) -> DepthSample {
        let (leased, delayed, dead, oldest) = (0, 0, 7, Duration::ZERO);
        DepthSample { at: ago(minutes), queue: queue("q"), ready, leased, delayed, dead, oldest }
    }

    fn flow_of(row: &QueueRow, tallies: Vec<Tally>, samples: Vec<DepthSample>) -> Flow {
        flow(row, &Counted { since: ago(5), tallies, samples }, NOW)
    }

    #[test]
    fn what_comes_in_is_what_ended_and_by_how_much_it_became_more() {
        let flow = flow_of(&row(100, 10), vec![tally(5, 60, 9), tally(1, 40, 9)], vec![sample(5, 60)]);
        assert_eq!((flow.in_per_minute, flow.out_per_minute, flow.empty_in), (Some(30.0), Some(20.0), None));
        assert_eq!(flow.words, "grows by 10 a minute");
        let later = flow_of(
            &row(80, 0),
            vec![tally(5, 60, 0), tally(1, 40, 0)],
            vec![sample(2, 120), sample(0, 500)],
        );
        assert_eq!((later.in_per_minute, later.out_per_minute), (Some(0.0), Some(20.0)));
    }

    #[test]
    fn soon_after_a_start_in_and_out_are_of_the_same_time() {
        // It was first looked at two minutes ago: what comes is done as it comes.
        let steady = flow_of(&row(10, 0), vec![tally(2, 30, 0), tally(1, 30, 0)], vec![sample(2, 10)]);
        assert_eq!((steady.in_per_minute, steady.out_per_minute), (Some(30.0), Some(30.0)));
        assert_eq!(steady.words, "stays as long as it is");
        let idle = flow_of(&row(10, 0), Vec::new(), vec![sample(2, 10)]);
        assert_eq!(idle.words, "nothing ended in the last 2m");
    }

    #[test]
    fn when_it_is_empty_is_said_in_words() {
        let drains = flow_of(&row(100, 0), vec![tally(3, 200, 0)], vec![sample(5, 200)]);
        assert_eq!((drains.words.as_str(), drains.empty_in), ("at this rate empty in 5m", Some(300.0)));
        let unseen = flow_of(&row(100, 0), vec![tally(3, 500, 0)], vec![sample(0, 100)]);
        assert_eq!(
            (unseen.words.as_str(), unseen.in_per_minute),
            ("if nothing more comes, empty in 1m", None)
        );
        let still = flow_of(&row(100, 0), vec![tally(3, 500, 0)], vec![sample(5, 100)]);
        assert_eq!(still.words, "stays as long as it is");
        let idle = flow_of(&row(100, 0), Vec::new(), vec![sample(5, 100)]);
        assert_eq!(idle.words, "nothing ended in the last 5m");
        let piles_up = flow_of(&row(100, 0), Vec::new(), vec![sample(5, 0)]);
        assert_eq!(piles_up.words, "nothing ended in the last 5m, grows by 20 a minute");
        assert_eq!(flow_of(&row(0, 3), vec![tally(3, 500, 0)], Vec::new()).words, "nothing waits");
        let never = flow_of(&row(u64::MAX / 2, 0), vec![tally(3, 5, 0)], Vec::new());
        assert_eq!(never.words, "if nothing more comes, empty in more than a year");
    }

    #[test]
    fn other_queues_do_not_count() {
        let mut other = tally(3, 500, 0);
        other.queue = queue("other");
        assert_eq!(flow_of(&row(1, 0), vec![other], Vec::new()).out_per_minute, Some(0.0));
    }
}
