//! Records a batch of outcomes, then settles it. One path, one order: what is settled has been recorded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lovage_core::{
    BackendError, Broker, Clock, Entropy, Outcome, QueueName, Recorded, ResultStore, Settled, Settlement,
    TaskId, TaskRecord, Token, limits,
};
use tokio::sync::mpsc;

use crate::dispatcher::Event;

/// One outcome on its way.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) queue: QueueName,
    pub(crate) token: Token,
    pub(crate) id: TaskId,
    pub(crate) record: Option<TaskRecord>,
    pub(crate) settlement: Option<Settlement>,
}

pub(crate) struct Settler {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) results: Option<Arc<dyn ResultStore>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Settler {
    /// Until the dispatcher hangs up.
    pub(crate) async fn run(self, mut items: mpsc::UnboundedReceiver<Item>) {
        let mut batch = Vec::with_capacity(limits::RESERVE_BATCH);
        while items.recv_many(&mut batch, limits::RESERVE_BATCH).await > 0 {
            self.record(&mut batch).await;
            self.settle(std::mem::take(&mut batch)).await;
        }
    }

    async fn record(&self, batch: &mut [Item]) {
        let records: Vec<TaskRecord> = batch.iter_mut().filter_map(|item| item.record.take()).collect();
        let Some(results) = self.results.as_ref().filter(|_| !records.is_empty()) else { return };
        let answers = self.insist("result store", |_| true, || results.record(&records, None)).await;
        let Some(answers) = answers else { return };
        for (record, answer) in records.into_iter().zip(answers) {
            if let Recorded::Refused(why) = answer {
                tracing::warn!(id = %record.id, why, "the result store refuses a record; its marker is stored instead");
                let marker = marker(record, why);
                // A store that refuses the marker as well must not block everybody else.
                let _told = self
                    .insist("result store", BackendError::is_transient, || {
                        results.record(std::slice::from_ref(&marker), None)
                    })
                    .await;
            }
        }
    }

    async fn settle(&self, batch: Vec<Item>) {
        let mut groups: HashMap<Token, (QueueName, Vec<Settlement>)> = HashMap::new();
        let mut done = Vec::with_capacity(batch.len());
        for item in batch {
            match item.settlement {
                Some(settlement) => {
                    groups.entry(item.token).or_insert_with(|| (item.queue, Vec::new())).1.push(settlement)
                }
                None => done.push((item.token, item.id, false)),
            }
        }
        let settled = join_all(groups.into_iter().map(|(token, (queue, settlements))| async move {
            let answers = self
                .insist("broker", BackendError::is_transient, || {
                    self.broker.settle(&queue, token, &settlements, None)
                })
                .await;
            (token, settlements, answers.unwrap_or_default())
        }))
        .await;
        for (token, settlements, answers) in settled {
            for (at, settlement) in settlements.into_iter().enumerate() {
                if answers.get(at) == Some(&Settled::LeaseLost) {
                    tracing::warn!(id = %settlement.id, "its lease had ended before it was settled: it may run a second time");
                }
                done.push((token, settlement.id, true));
            }
        }
        // The dispatcher may be gone already; then nobody counts any more.
        let _gone = self.events.send(Event::Settled(done));
    }

    /// Tries until it gets an answer, as long as an error is one to try `again` after: an outcome keeps its lease meanwhile.
    /// Records are tried after any error, because what is not recorded must not be settled. A settlement that trying again
    /// does not help is logged and given up: the lease ends, and whoever gets the task finds its record.
    async fn insist<T, F>(
        &self,
        what: &str,
        again: fn(&BackendError) -> bool,
        operation: impl Fn() -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        let mut attempt = 0;
        loop {
            match operation().await {
                Ok(answer) => {
                    if attempt > 0 {
                        let _gone = self.events.send(Event::Blocked(false));
                    }
                    return Some(answer);
                }
                Err(error) if again(&error) => {
                    if attempt == 0 {
                        let _gone = self.events.send(Event::Blocked(true));
                        let _gone = self.events.send(Event::Unavailable(error.to_string()));
                    }
                    attempt += 1;
                    self.clock.sleep(backoff(attempt, &*self.entropy)).await;
                }
                Err(error) => {
                    tracing::error!("the {what} cannot take outcomes: {error}");
                    return None;
                }
            }
        }
    }
}

/// 100 ms doubling to 5 s, between half and the whole of it.
pub(crate) fn backoff(attempt: u32, entropy: &dyn Entropy) -> Duration {
    let full = Duration::from_millis((100_u64 << attempt.min(6)).min(5_000));
    let half = full / 2;
    half + half.mul_f64(f64::from(u32::try_from(entropy.next_u64() >> 32).unwrap_or(0)) / f64::from(u32::MAX))
}

/// What is stored instead of a record that the store refuses.
fn marker(record: TaskRecord, why: String) -> TaskRecord {
    TaskRecord {
        arguments: "\"[not stored]\"".to_owned(),
        outcome: Outcome::Marker(format!("the result store refused this record: {why}")),
        headers: std::collections::BTreeMap::new(),
        ..record
    }
}
