//! What happened, counted in memory where it happens and added to the store now and then: a worker that is killed loses what
//! it counted since the last time, which is [`FLUSH`] at most.

use std::collections::HashMap;
use std::time::Duration;

use lovage_core::stats::{Counts, DepthSample, KEEP, StatsStore, Tally, minute};
use lovage_core::{BackendError, Broker, QueueName, TaskRecord, Timestamp};

/// How long something is counted before it is added to the store.
pub(crate) const FLUSH: Duration = Duration::from_secs(10);
/// How often what is old is removed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// Rows removed at a time, and how many times in one go.
const TRIM_LIMIT: usize = 5_000;
const TRIM_TIMES: usize = 50;
/// Sums that are kept while the store cannot be reached: three hours of 60 tasks.
const MOST: usize = 10_000;

/// The sums of a worker that are not in the store yet. The loop owns them, so counting takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    at: Timestamp,
    /// Those of the minute `at`.
    sums: HashMap<QueueName, HashMap<String, Counts>>,
    /// Those of earlier minutes, and what the store did not take.
    done: Vec<Tally>,
    /// Something was counted since the queues were looked at.
    has_worked: bool,
    /// The minute in which they were looked at.
    looked: Timestamp,
    /// Something was added since the last trimming.
    has_added: bool,
    trimmed: Option<Duration>,
}

impl Counting {
    /// Counts an end.
    pub(crate) fn count(&mut self, record: &TaskRecord) {
        let at = minute(record.finished_at);
        if at != self.at {
            self.close();
            self.at = at;
        }
        self.has_worked = true;
        // The names are copied for what was not there before only.
        match self.sums.get_mut(&record.queue).and_then(|tasks| tasks.get_mut(&record.task)) {
            Some(counts) => tally(counts, record),
            None => {
                let tasks = self.sums.entry(record.queue.clone()).or_default();
                tally(tasks.entry(record.task.clone()).or_default(), record);
            }
        }
    }

    /// Everything that is to be added; empty when nothing happened.
    pub(crate) fn take(&mut self) -> Vec<Tally> {
        self.close();
        std::mem::take(&mut self.done)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.done.is_empty()
    }

    /// What the store did not take is tried again with the next sums.
    pub(crate) fn added(&mut self, left: Vec<Tally>) {
        self.has_added |= left.is_empty();
        self.done.extend(left);
        self.done.truncate(MOST);
    }

    /// Whether a worker should look at its queues now: once per minute in which it works or has worked since.
    pub(crate) fn wants_look(&mut self, is_busy: bool, now: Timestamp) -> bool {
        let wants = (is_busy || self.has_worked) && minute(now) > self.looked;
        if wants {
            self.looked = minute(now);
            self.has_worked = false;
        }
        wants
    }

    /// Whether what is old should be removed: now and then, and only by a worker that works.
    pub(crate) fn wants_trim(&mut self, now: Duration) -> bool {
        let wants = self.has_added && self.trimmed.is_none_or(|trimmed| now >= trimmed + TRIM_EVERY);
        if wants {
            self.has_added = false;
            self.trimmed = Some(now);
        }
        wants
    }

    fn close(&mut self) {
        let at = self.at;
        for (queue, tasks) in self.sums.drain() {
            let tally = |(task, counts)| Tally { at, queue: queue.clone(), task, counts };
            self.done.extend(tasks.into_iter().map(tally));
        }
    }
}

fn tally(counts: &mut Counts, record: &TaskRecord) {
    counts.end(record.state);
    if let Some(run_time) = record.run_time {
        counts.run.record(run_time);
    }
    if let Some(waited) = waited(record) {
        counts.wait.record(waited);
    }
}

/// From the publish, or the slot, to the first start; nothing for attempts that are not the first.
pub(crate) fn waited(record: &TaskRecord) -> Option<Duration> {
    let started_at = record.started_at.filter(|_| (record.run, record.delivery) == (1, 1))?;
    let slot = record.schedule.as_ref().map_or(record.enqueued_at, |schedule| schedule.slot);
    Some(started_at.since(record.enqueued_at.max(slot)))
}

/// Adds; answers what may be tried again. What may have been added already is not: no counts are better than wrong ones.
pub(crate) async fn add(stats: &dyn StatsStore, batch: Vec<Tally>) -> Vec<Tally> {
    match stats.add(&batch).await {
        Ok(()) => Vec::new(),
        Err(error) => {
            tracing::debug!("statistics are not added: {error}");
            if error.is_transient() && !error.is_maybe_applied() { batch } else { Vec::new() }
        }
    }
}

/// Looks at those queues that nobody has looked at in this minute.
pub(crate) async fn look(
    broker: &dyn Broker,
    stats: &dyn StatsStore,
    queues: &[QueueName],
    now: Timestamp,
) -> Result<(), BackendError> {
    let seen = stats.sampled(now).await?;
    let mut samples = Vec::new();
    for queue in queues.iter().filter(|queue| !seen.contains(queue)) {
        samples.push(DepthSample::new(now, queue.clone(), &broker.depth(queue, None).await?));
    }
    stats.sample(&samples).await
}

/// Removes what is old.
pub(crate) async fn trim(stats: &dyn StatsStore, now: Timestamp) -> Result<(), BackendError> {
    for _ in 0..TRIM_TIMES {
        if stats.trim(now.minus(KEEP), TRIM_LIMIT).await? == 0 {
            break;
        }
    }
    Ok(())
}
