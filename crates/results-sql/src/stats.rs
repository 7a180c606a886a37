//! What the two kinds of database have in common when they count: rows of three lengths, as JSON on their way.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::stats::{Counts, DepthSample, Histogram, Tally, Window, floor};
use lovage_core::{BackendError, QueueName, Timestamp};
use serde_json::{Value, json};

use crate::rules::corrupt;

/// Lengths of rows in minutes, the longest first. The statements that trim name them, too.
const SPANS: [u16; 3] = [60, 10, 1];

/// Where a window is read: rows of this length serve each of its steps whole.
pub(crate) fn span(window: &Window) -> u16 {
    let minutes = window.step().as_secs() / 60;
    SPANS.into_iter().find(|span| minutes.is_multiple_of(u64::from(*span))).unwrap_or(1)
}

/// The rows that a batch adds to, each once and in the order of their keys: so two that add to the same ones do not wait for
/// each other crosswise.
pub(crate) fn tally_rows(batch: &[Tally]) -> String {
    let mut rows: BTreeMap<(u16, Timestamp, &QueueName, &str), Counts> = BTreeMap::new();
    for tally in batch {
        for span in SPANS {
            let key = (span, begin(tally.at, span), &tally.queue, tally.task.as_str());
            rows.entry(key).or_default().add(&tally.counts);
        }
    }
    let row = |((span, since, queue, task), counts): (_, Counts)| {
        let Counts { succeeded, failed, retried, cancelled, expired, wait, run } = counts;
        let since: Timestamp = since;
        let queue: &QueueName = queue;
        json!([
            span,
            since.as_micros(),
            queue.as_str(),
            task,
            succeeded,
            failed,
            retried,
            cancelled,
            expired,
            wait,
            run
        ])
    };
    Value::Array(rows.into_iter().map(row).collect()).to_string()
}

/// The same of samples.
pub(crate) fn sample_rows(batch: &[DepthSample]) -> String {
    let mut rows: BTreeMap<(u16, Timestamp, &QueueName), DepthSample> = BTreeMap::new();
    for sample in batch {
        for span in SPANS {
            let row = rows.entry((span, begin(sample.at, span), &sample.queue));
            row.and_modify(|most| most.most(sample)).or_insert_with(|| sample.clone());
        }
    }
    let row = |((span, since, queue), sample): ((u16, Timestamp, &QueueName), DepthSample)| {
        let DepthSample { ready, leased, delayed, dead, oldest, .. } = sample;
        json!([span, since.as_micros(), queue.as_str(), ready, leased, delayed, dead, micros(oldest)])
    };
    Value::Array(rows.into_iter().map(row).collect()).to_string()
}

/// Rows that were read, summed to steps.
#[derive(Debug)]
pub(crate) struct Tallies {
    window: Window,
    sums: BTreeMap<(Timestamp, QueueName, String), Counts>,
}

impl Tallies {
    pub(crate) fn of(window: Window) -> Self {
        Self { window, sums: BTreeMap::new() }
    }

    pub(crate) fn row(
        &mut self,
        since: i64,
        queue: &str,
        task: String,
        sums: &str,
    ) -> Result<(), BackendError> {
        type Row = (u64, u64, u64, u64, u64, Histogram, Histogram);
        let (succeeded, failed, retried, cancelled, expired, wait, run): Row =
            serde_json::from_str(sums).map_err(|error| corrupt(&error))?;
        let counts = Counts { succeeded, failed, retried, cancelled, expired, wait, run };
        let at = self.window.step_of(Timestamp::from_micros(since));
        self.sums.entry((at, name(queue)?, task)).or_default().add(&counts);
        Ok(())
    }

    pub(crate) fn done(self) -> Vec<Tally> {
        let tally = |((at, queue, task), counts)| Tally { at, queue, task, counts };
        self.sums.into_iter().map(tally).collect()
    }
}

/// Samples that were read in the order of instant and queue, of each step the most.
#[derive(Debug)]
pub(crate) struct Samples {
    window: Window,
    most: BTreeMap<(Timestamp, QueueName), DepthSample>,
}

impl Samples {
    pub(crate) fn of(window: Window) -> Self {
        Self { window, most: BTreeMap::new() }
    }

    pub(crate) fn row(&mut self, since: i64, queue: &str, sums: &str) -> Result<(), BackendError> {
        let (ready, leased, delayed, dead, oldest): (u64, u64, u64, u64, u64) =
            serde_json::from_str(sums).map_err(|error| corrupt(&error))?;
        let at = self.window.step_of(Timestamp::from_micros(since));
        let queue = name(queue)?;
        let oldest = Duration::from_micros(oldest);
        let sample = DepthSample { at, queue: queue.clone(), ready, leased, delayed, dead, oldest };
        self.most.entry((at, queue)).and_modify(|most| most.most(&sample)).or_insert(sample);
        Ok(())
    }

    pub(crate) fn done(self) -> Vec<DepthSample> {
        self.most.into_values().collect()
    }
}

pub(crate) fn name(queue: &str) -> Result<QueueName, BackendError> {
    QueueName::new(queue).map_err(|error| corrupt(&error))
}

fn begin(at: Timestamp, span: u16) -> Timestamp {
    floor(at, Duration::from_secs(60) * u32::from(span))
}

fn micros(time: Duration) -> u64 {
    // The column is a signed number.
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 2)
}
