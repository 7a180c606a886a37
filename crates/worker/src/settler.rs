//! Records a batch of outcomes, then settles it. One path, one order: what is settled has been recorded.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lovage_core::{
    BackendError, Broker, Clock, Entropy, Outcome, QueueName, Recorded, ResultStore, SettlePart, Settled,
    Settlement, SharedStore, TaskId, TaskRecord, Token,
};
use lovage_system::OutageLog;
use tokio::sync::mpsc;

use crate::dispatcher::Event;

/// Most outcomes that are recorded together.
const BATCH: usize = 512;

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
    pub(crate) shared: Option<Arc<dyn SharedStore>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) lost_leases: Arc<OutageLog>,
}

impl Settler {
    /// Until the dispatcher hangs up.
    pub(crate) async fn run(self, mut items: mpsc::UnboundedReceiver<Item>) {
        let mut batch = Vec::with_capacity(BATCH);
        while items.recv_many(&mut batch, BATCH).await > 0 {
            let work = Work::of(mem::take(&mut batch));
            let done = match self.at_once(&work).await {
                Some(answers) => work.done(answers, &self.lost_leases),
                None => self.in_two_steps(work).await,
            };
            // The dispatcher may be gone already; then nobody counts any more.
            let _gone = self.events.send(Event::Settled(done));
        }
    }

    /// In one transaction, where there is one database and it does not refuse a record.
    async fn at_once(&self, work: &Work) -> Option<Vec<Vec<Settled>>> {
        let shared = self.shared.as_ref().filter(|_| !work.records.is_empty() && !work.parts.is_empty())?;
        let operation = || shared.record_and_settle(&work.records, &work.parts);
        self.insist("database", BackendError::is_transient, operation).await.flatten()
    }

    async fn in_two_steps(&self, mut work: Work) -> Vec<Done> {
        self.record(mem::take(&mut work.records)).await;
        let answers = join_all(work.parts.iter().map(|part| async move {
            let SettlePart { queue, token, batch } = part;
            let settle = || self.broker.settle(queue, *token, batch, None);
            self.insist("broker", BackendError::is_transient, settle).await.unwrap_or_default()
        }))
        .await;
        work.done(answers, &self.lost_leases)
    }

    async fn record(&self, records: Vec<TaskRecord>) {
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
                    if attempt > 0 {
                        let _gone = self.events.send(Event::Blocked(false));
                    }
                    tracing::error!("the {what} cannot take outcomes: {error}");
                    return None;
                }
            }
        }
    }
}

/// A reservation's token, the message, and whether it was settled.
type Done = (Token, TaskId, bool);

/// A batch of items, sorted by what is done with their parts.
#[derive(Debug, Default)]
struct Work {
    records: Vec<TaskRecord>,
    parts: Vec<SettlePart>,
    /// What only had to be recorded.
    recorded: Vec<Done>,
}

impl Work {
    fn of(items: Vec<Item>) -> Self {
        let mut work = Self::default();
        let mut at: HashMap<Token, usize> = HashMap::new();
        for Item { queue, token, id, record, settlement } in items {
            work.records.extend(record);
            let Some(settlement) = settlement else {
                work.recorded.push((token, id, false));
                continue;
            };
            let at = *at.entry(token).or_insert_with(|| {
                work.parts.push(SettlePart { queue, token, batch: Vec::new() });
                work.parts.len() - 1
            });
            work.parts[at].batch.push(settlement);
        }
        work
    }

    /// `answers` has one for each settlement, or none for a part that was given up.
    fn done(self, answers: Vec<Vec<Settled>>, lost_leases: &OutageLog) -> Vec<Done> {
        let mut done = self.recorded;
        for (part, answers) in self.parts.into_iter().zip(answers) {
            for (at, settlement) in part.batch.into_iter().enumerate() {
                if answers.get(at) == Some(&Settled::LeaseLost) {
                    lost_leases.failed(format_args!("task [{}] may run a second time", settlement.id));
                }
                done.push((part.token, settlement.id, true));
            }
        }
        done
    }
}

/// 200 ms, then 400 ms, between half and the whole of it: no longer, so that a server that is back finds every worker at work
/// within a second. Refusing these few calls costs it next to nothing.
pub(crate) fn backoff(attempt: u32, entropy: &dyn Entropy) -> Duration {
    let full = Duration::from_millis(100 << attempt.min(2));
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
