//! Carrying out plans: everything but the writing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use lovage_core::schedule::{Advance, StoredEntry};
use lovage_core::{
    BackendError, BackendErrorKind, Broker, Clock, EntryName, Message, Published, QueueName, Timestamp,
    limits,
};

use crate::Planned;
use crate::publish::{advance, messages, refused};

/// A publish ends with the message that reaches so many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// What became of plans.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// What is to be written of entries.
    pub(crate) written: Vec<(StoredEntry, Advance)>,
    /// Entries that have to be read again to know what became of their slots, and the newest slot of each that was published.
    pub(crate) doubts: Vec<(EntryName, Timestamp)>,
    /// Entries whose messages may not have been taken, or were not sent because too much time had passed.
    pub(crate) left: Vec<EntryName>,
    /// Why.
    pub(crate) error: Option<BackendError>,
    /// Whether the broker took anything.
    pub(crate) reached: bool,
}

/// Sends plans that were made at `now`. One publish per queue; what one queue refuses does not stop the others.
pub(crate) struct Sender<'a> {
    pub(crate) broker: &'a dyn Broker,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) now: Timestamp,
    /// No publish begins later: a process that was stopped in between knows nothing of edits since.
    pub(crate) until: Duration,
}

impl Sender<'_> {
    pub(crate) async fn send(&self, plans: Vec<Planned>) -> Sent {
        let mut sent = Sent::default();
        let mut queues: BTreeMap<QueueName, Vec<Planned>> = BTreeMap::new();
        for planned in plans {
            if planned.slots.is_empty() {
                sent.take(planned, &[], self.now);
            } else {
                queues.entry(planned.stored.entry.queue.clone()).or_default().push(planned);
            }
        }
        for queue in join_all(queues.into_values().map(|plans| self.send_queue(plans))).await {
            sent.written.extend(queue.written);
            sent.doubts.extend(queue.doubts);
            sent.left.extend(queue.left);
            sent.error = sent.error.or(queue.error);
            sent.reached |= queue.reached;
        }
        sent
    }

    async fn send_queue(&self, plans: Vec<Planned>) -> Sent {
        let mut sent = Sent::default();
        let mut rest = plans;
        while !rest.is_empty() && sent.error.is_none() && self.clock.monotonic() <= self.until {
            let (count, messages) = batch(&rest);
            let others = rest.split_off(count);
            self.send_batch(std::mem::replace(&mut rest, others), &messages, &mut sent).await;
        }
        sent.left.extend(rest.iter().map(|planned| planned.stored.entry.name.clone()));
        sent
    }

    async fn send_batch(&self, plans: Vec<Planned>, messages: &[Message], sent: &mut Sent) {
        match self.broker.publish(messages, None).await {
            Ok(answers) => {
                sent.reached = true;
                let mut rest = answers.as_slice();
                for planned in plans {
                    let (answers, others) = rest.split_at(planned.slots.len().min(rest.len()));
                    rest = others;
                    sent.take(planned, answers, self.now);
                }
            }
            Err(error) if error.kind() == BackendErrorKind::Refused && plans.len() > 1 => {
                self.one_by_one(plans, error, sent).await;
            }
            Err(error) if error.kind() == BackendErrorKind::Refused => {
                plans.into_iter().for_each(|planned| sent.refuse(planned, &error, self.now));
            }
            Err(error) => sent.leave(plans, error),
        }
    }

    /// One entry may be to blame, and the others have nothing to do with it. When all are refused it is none of them.
    async fn one_by_one(&self, plans: Vec<Planned>, error: BackendError, sent: &mut Sent) {
        let (mut refused, mut left) = (Vec::new(), None);
        let mut taken = 0;
        let mut plans = plans.into_iter();
        for planned in plans.by_ref() {
            let messages: Vec<Message> = messages(&planned).collect();
            match self.broker.publish(&messages, None).await {
                Ok(answers) => {
                    (taken, sent.reached) = (taken + 1, true);
                    sent.take(planned, &answers, self.now);
                }
                Err(error) if error.kind() == BackendErrorKind::Refused => refused.push((planned, error)),
                Err(error) => {
                    left = Some((planned, error));
                    break;
                }
            }
        }
        if let Some((planned, error)) = left {
            sent.leave(std::iter::once(planned).chain(plans), error);
        }
        if taken == 0 {
            sent.leave(refused.into_iter().map(|(planned, _)| planned), error);
        } else {
            refused.into_iter().for_each(|(planned, error)| sent.refuse(planned, &error, self.now));
        }
    }
}

impl Sent {
    fn take(&mut self, planned: Planned, answers: &[Published], now: Timestamp) {
        match advance(&planned, answers, now) {
            Ok(advance) => self.write(planned.stored, advance),
            Err(newest) => self.doubts.push((planned.stored.entry.name, newest)),
        }
    }

    fn refuse(&mut self, planned: Planned, error: &BackendError, now: Timestamp) {
        let advance = refused(&planned, error, now);
        self.write(planned.stored, advance);
    }

    fn leave(&mut self, plans: impl IntoIterator<Item = Planned>, error: BackendError) {
        self.left.extend(plans.into_iter().map(|planned| planned.stored.entry.name));
        self.error = Some(error);
    }

    /// An error is said once, not with every slot.
    fn write(&mut self, stored: StoredEntry, advance: Advance) {
        if let Some(error) = advance.error.as_ref().filter(|_| advance.error != stored.last_error) {
            tracing::error!(schedule = stored.entry.name.as_str(), "a slot did not fire: {error}");
        }
        self.written.push((stored, advance));
    }
}

/// How many of these plans go out together, and their messages: at least one, and never a part of one.
fn batch(plans: &[Planned]) -> (usize, Vec<Message>) {
    let mut batch: Vec<Message> = Vec::new();
    let mut bytes = 0;
    for (count, planned) in plans.iter().enumerate() {
        let is_full = batch.len() + planned.slots.len() > limits::PUBLISH_BATCH || bytes >= BATCH_BYTES;
        if count > 0 && is_full {
            return (count, batch);
        }
        for message in messages(planned) {
            bytes += message.body.len();
            batch.push(message);
        }
    }
    (plans.len(), batch)
}
