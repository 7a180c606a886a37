//! What a participant has been told and nobody has taken yet. How it is told differs between databases.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lovage_core::{Hint, QueueName, TaskId};
use tokio::sync::{Notify, oneshot};

/// What one participant tells another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// There may be work in a queue.
    Work(QueueName),
    /// A message that it holds was cancelled.
    Revoked(TaskId),
    /// A message that it waits for has ended.
    Ended(TaskId),
    /// Its worker was told something.
    Command,
}

impl Signal {
    /// The functions in PostgreSQL write the same.
    #[cfg(feature = "sqlite")]
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Work(queue) => format!("w{queue}"),
            Self::Revoked(id) => format!("x{id}"),
            Self::Ended(id) => format!("o{id}"),
            Self::Command => String::from("c"),
        }
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let rest = text.get(1..)?;
        match text.as_bytes().first()? {
            b'w' => Some(Self::Work(QueueName::new(rest).ok()?)),
            b'x' => Some(Self::Revoked(rest.parse().ok()?)),
            b'o' => Some(Self::Ended(rest.parse().ok()?)),
            b'c' => Some(Self::Command),
            _ => None,
        }
    }
}

/// Hints that wait to be taken, and those who wait for the end of a message.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    hints: VecDeque<Hint>,
    waiters: HashMap<TaskId, Vec<oneshot::Sender<()>>>,
    /// At how many entries those who gave up waiting are cleared away.
    clear_at: usize,
}

impl Inbox {
    /// The next hint. Dropping the future loses nothing.
    pub(crate) async fn hint(&self) -> Hint {
        loop {
            let arrived = self.arrived.notified();
            if let Some(hint) = self.lock().hints.pop_front() {
                return hint;
            }
            arrived.await;
        }
    }

    /// Ends when a message has ended.
    pub(crate) fn wait_for(&self, id: TaskId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.waiters.len() >= state.clear_at {
            state.waiters.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
            state.clear_at = (state.waiters.len() * 2).max(64);
        }
        state.waiters.entry(id).or_default().push(sender);
        receiver
    }

    pub(crate) fn take_in(&self, signal: Signal) {
        let hint = match signal {
            Signal::Work(queue) => Hint::Work(queue),
            Signal::Revoked(id) => Hint::Revoked(id),
            Signal::Command => Hint::Command,
            Signal::Ended(id) => {
                let waiters = self.lock().waiters.remove(&id);
                for waiter in waiters.into_iter().flatten() {
                    // A receiver that is gone no longer waits.
                    let _no_longer_waits = waiter.send(());
                }
                return;
            }
        };
        self.put(hint);
    }

    /// Something may have been missed: all waiters end, so that they ask again, and everything is to be looked at.
    pub(crate) fn look_at_everything(&self) {
        self.lock().waiters.clear();
        self.put(Hint::Everything);
    }

    fn put(&self, hint: Hint) {
        let mut state = self.lock();
        if !state.hints.contains(&hint) {
            state.hints.push_back(hint);
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "sqlite")]
    #[test]
    fn signals_survive_the_wire() {
        let id = TaskId::from_bytes([7; 16]);
        let queue = QueueName::default();
        for signal in [Signal::Work(queue), Signal::Revoked(id), Signal::Ended(id), Signal::Command] {
            assert_eq!(Signal::decode(&signal.encode()), Some(signal));
        }
    }

    #[test]
    fn garbage_does_no_harm() {
        for garbage in ["", "z", "x123", "wä ö", "w a", "ä"] {
            assert_eq!(Signal::decode(garbage), None);
        }
    }

    #[tokio::test]
    async fn waiters_of_the_living_survive_those_who_gave_up() {
        let inbox = Inbox::default();
        let id = |n: u8| TaskId::from_bytes([n; 16]);
        let kept = inbox.wait_for(id(0));
        for n in 1..200 {
            drop(inbox.wait_for(id(n)));
        }
        assert!(inbox.lock().waiters.len() < 100);
        inbox.take_in(Signal::Ended(id(0)));
        kept.await.unwrap();
    }
}
