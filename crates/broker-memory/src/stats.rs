//! What was counted, in the memory of this process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lovage_core::stats::{Counts, DepthSample, StatsStore, Tally, Window, minute};
use lovage_core::{BackendError, QueueName, Timestamp};

use crate::MemoryResults;

/// Sums and samples of each minute.
#[derive(Default)]
pub(crate) struct Minutes {
    sums: BTreeMap<(Timestamp, QueueName, String), Counts>,
    samples: BTreeMap<(Timestamp, QueueName), DepthSample>,
}

#[async_trait]
impl StatsStore for MemoryResults {
    async fn add(&self, batch: &[Tally]) -> Result<(), BackendError> {
        let mut minutes = self.minutes();
        for Tally { at, queue, task, counts } in batch {
            minutes.sums.entry((minute(*at), queue.clone(), task.clone())).or_default().add(counts);
        }
        Ok(())
    }

    async fn read(&self, window: Window) -> Result<Vec<Tally>, BackendError> {
        let mut steps: BTreeMap<_, Counts> = BTreeMap::new();
        for ((at, queue, task), counts) in &self.minutes().sums {
            if (window.since()..window.until()).contains(at) {
                let key = (window.step_of(*at), queue.clone(), task.clone());
                steps.entry(key).or_default().add(counts);
            }
        }
        let tally = |((at, queue, task), counts)| Tally { at, queue, task, counts };
        Ok(steps.into_iter().map(tally).collect())
    }

    async fn sample(&self, batch: &[DepthSample]) -> Result<(), BackendError> {
        let mut minutes = self.minutes();
        for sample in batch {
            most(&mut minutes.samples, minute(sample.at), sample);
        }
        Ok(())
    }

    async fn sampled(&self, at: Timestamp) -> Result<Vec<QueueName>, BackendError> {
        let minutes = self.minutes();
        let seen = minutes.samples.keys().filter(|(minute_of, _)| *minute_of == minute(at));
        Ok(seen.map(|(_, queue)| queue.clone()).collect())
    }

    async fn depths(&self, window: Window) -> Result<Vec<DepthSample>, BackendError> {
        let mut steps = BTreeMap::new();
        for ((at, _), sample) in &self.minutes().samples {
            if (window.since()..window.until()).contains(at) {
                most(&mut steps, window.step_of(*at), sample);
            }
        }
        Ok(steps.into_values().collect())
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut minutes = self.minutes();
        let old: Vec<_> = minutes.sums.keys().filter(|(at, ..)| *at < before).take(limit).cloned().collect();
        let seen: Vec<_> =
            minutes.samples.keys().filter(|(at, _)| *at < before).take(limit).cloned().collect();
        old.iter().for_each(|key| drop(minutes.sums.remove(key)));
        seen.iter().for_each(|key| drop(minutes.samples.remove(key)));
        Ok(old.len() + seen.len())
    }
}

fn most(samples: &mut BTreeMap<(Timestamp, QueueName), DepthSample>, at: Timestamp, sample: &DepthSample) {
    let sample = DepthSample { at, ..sample.clone() };
    let key = (at, sample.queue.clone());
    samples.entry(key).and_modify(|known| known.most(&sample)).or_insert(sample);
}
