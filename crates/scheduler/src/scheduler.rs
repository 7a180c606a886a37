//! The loop: look, plan, publish, advance, sleep.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::schedule::{Advance, Advanced, Due, ScheduleStore};
use lovage_core::{
    BackendError, BackendErrorKind, Broker, Clock, Message, Published, QueueName, Timestamp, limits,
};

use crate::publish::{advance, message};
use crate::{Planned, plan};

/// Most entries in one look.
const ENTRIES: usize = 1_000;
/// A publish ends with the message that reaches so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// The time of day may step while a beat sleeps: it looks again after this time at the latest.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a round in hand may go on when the beat is told to stop.
const FINISH: Duration = Duration::from_secs(5);

/// A beat.
///
/// Any number of them may serve one store and one broker. Dropping one at any point loses no slot and fires none twice.
#[derive(Debug)]
#[must_use = "a scheduler does nothing until `run_until`"]
pub struct Scheduler {
    store: Arc<dyn ScheduleStore>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
}

impl Scheduler {
    /// A beat with handles of its own.
    pub fn new(store: Arc<dyn ScheduleStore>, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) -> Self {
        Self { store, broker, clock }
    }

    /// Fires what is due from now on, until `stop` ends. A round in hand is finished, if that takes 5 s at most. While store
    /// or broker are away it tries again after 100 ms, doubling to 5 s.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut trouble = Trouble::default();
        loop {
            let round = match select(&mut stop, Box::pin(self.round())).await {
                Either::Right((round, _)) => round,
                Either::Left(((), round)) => {
                    let _out_of_time = select(round, self.clock.sleep(FINISH)).await;
                    return;
                }
            };
            let waiting = async {
                match round {
                    Ok(wait) => {
                        trouble.is_over();
                        select(self.clock.sleep(wait.min(LONGEST_SLEEP)), self.store.changed()).await;
                    }
                    Err(error) => self.clock.sleep(trouble.is_there(&error)).await,
                }
            };
            if let Either::Left(_) = select(&mut stop, pin!(waiting)).await {
                return;
            }
        }
    }

    /// Fires what is due now, and answers how long there is nothing more to do.
    async fn round(&self) -> Result<Duration, BackendError> {
        let due = self.store.due(Duration::ZERO, ENTRIES, None).await?;
        let now = due.now;
        let next_at = due.next_at;
        let (advances, failed) = self.publish(plans(due), now).await;
        if !advances.is_empty() {
            let answers = self.store.advance(&advances).await?;
            // Somebody else was first: what is left to do is seen in the next look.
            if failed.is_none() && answers.contains(&Advanced::Lost) {
                return Ok(Duration::ZERO);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let next_runs = advances.iter().filter_map(|advance| advance.next_run_at);
        let next = next_runs.chain(next_at).min();
        Ok(next.map_or(LONGEST_SLEEP, |next| next.since(now)))
    }

    /// One publish per queue. What one queue refuses does not stop the others; entries whose messages may not have been
    /// taken are not advanced.
    async fn publish(&self, plans: Vec<Planned>, now: Timestamp) -> (Vec<Advance>, Option<BackendError>) {
        let mut queues: BTreeMap<QueueName, Vec<Planned>> = BTreeMap::new();
        for planned in plans {
            queues.entry(planned.stored.entry.queue.clone()).or_default().push(planned);
        }
        let mut advances = Vec::new();
        let mut failed = None;
        for plans in queues.into_values() {
            let mut rest = plans.as_slice();
            while !rest.is_empty() {
                let (batch, messages) = batch(&mut rest);
                match self.publish_batch(batch, &messages, now).await {
                    Ok(batch) => advances.extend(batch),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        (advances, failed)
    }

    async fn publish_batch(
        &self,
        plans: &[Planned],
        messages: &[Message],
        now: Timestamp,
    ) -> Result<Vec<Advance>, BackendError> {
        let answers = match messages {
            [] => Ok(Vec::new()),
            messages => self.broker.publish(messages, None).await,
        };
        match answers {
            Ok(answers) => {
                let mut rest = answers.as_slice();
                Ok(plans.iter().map(|planned| advance(planned, take(&mut rest, planned), now)).collect())
            }
            Err(error) if error.kind() != BackendErrorKind::Refused => Err(error),
            Err(_) => self.one_by_one(plans, now).await,
        }
    }

    /// One entry may be to blame, and the others have nothing to do with it.
    async fn one_by_one(&self, plans: &[Planned], now: Timestamp) -> Result<Vec<Advance>, BackendError> {
        let mut advances = Vec::new();
        for planned in plans {
            let messages: Vec<Message> = planned.slots.iter().map(|slot| message(planned, *slot)).collect();
            if messages.is_empty() {
                advances.push(advance(planned, &[], now));
                continue;
            }
            match self.broker.publish(&messages, None).await {
                Ok(answers) => advances.push(advance(planned, &answers, now)),
                Err(error) if error.kind() == BackendErrorKind::Refused => {
                    tracing::error!("the schedule `{}` does not fire: {error}", planned.stored.entry.name);
                    advances.push(crate::publish::refused(planned, &error, now));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(advances)
    }
}

fn plans(due: Due) -> Vec<Planned> {
    let now = due.now;
    due.entries.into_iter().map(|stored| plan(stored, now)).collect()
}

/// The next entries of a queue whose messages go out together: at least one, and never a part of one.
fn batch<'a>(rest: &mut &'a [Planned]) -> (&'a [Planned], Vec<Message>) {
    let mut messages: Vec<Message> = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for planned in *rest {
        let is_full = messages.len() + planned.slots.len() > limits::PUBLISH_BATCH || bytes >= BATCH_BYTES;
        if count > 0 && is_full {
            break;
        }
        for slot in &planned.slots {
            let message = message(planned, *slot);
            bytes += message.body.len();
            messages.push(message);
        }
        count += 1;
    }
    let (batch, others) = rest.split_at(count);
    *rest = others;
    (batch, messages)
}

fn take<'a>(rest: &mut &'a [Published], planned: &Planned) -> &'a [Published] {
    let (answers, others) = rest.split_at(planned.slots.len().min(rest.len()));
    *rest = others;
    answers
}

/// What keeps a beat from its work, said once.
#[derive(Debug, Default)]
struct Trouble(Option<Duration>);

impl Trouble {
    /// Answers how long to wait.
    fn is_there(&mut self, error: &BackendError) -> Duration {
        let pause = match self.0 {
            None => {
                tracing::warn!("schedules do not fire now, what is due is tried again: {error}");
                FIRST_PAUSE
            }
            Some(pause) => {
                tracing::debug!("not yet: {error}");
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        self.0 = Some(pause);
        pause
    }

    fn is_over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("schedules fire again");
        }
    }
}

#[cfg(test)]
mod tests;
