//! The lease keeper: renews every reservation that this worker holds, from a thread and connection of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{Broker, Clock, Leases, QueueName, Token};
use tokio::sync::{mpsc, oneshot};

use crate::control::LeaseEnd;
use crate::dispatcher::Event;

type Held = HashMap<QueueName, HashMap<Token, Arc<LeaseEnd>>>;

/// The reservations that this worker holds: the dispatcher writes, the keeper reads when it renews. Shared and not sent,
/// because a message for each reservation would wake the keeper's thread for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings(Arc<Mutex<Held>>);

impl Holdings {
    /// Renew this one from now on.
    pub(crate) fn hold(&self, queue: &QueueName, token: Token, lease: Arc<LeaseEnd>) {
        let mut held = self.lock();
        match held.get_mut(queue) {
            Some(tokens) => tokens.insert(token, lease),
            None => held.entry(queue.clone()).or_default().insert(token, lease),
        };
    }

    /// It is settled, or lost.
    pub(crate) fn release(&self, token: Token) {
        self.lock().values_mut().for_each(|tokens| drop(tokens.remove(&token)));
    }

    fn queues(&self) -> Vec<QueueName> {
        self.lock().iter().filter(|(_, tokens)| !tokens.is_empty()).map(|(queue, _)| queue.clone()).collect()
    }

    fn of(&self, queue: &QueueName) -> Vec<(Token, Arc<LeaseEnd>)> {
        let held = self.lock();
        let tokens = held.get(queue).into_iter().flatten();
        tokens.map(|(token, lease)| (*token, Arc::clone(lease))).collect()
    }

    /// A panic elsewhere leaves the map as it was between two operations: going on is safe.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Keeper {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) holdings: Holdings,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Keeper {
    /// On a thread of its own, so that a task that blocks every thread of the runtime loses no lease.
    pub(crate) fn spawn_thread(self, over: oneshot::Receiver<()>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("lovage-leases".to_owned())
            .spawn(move || runtime.block_on(self.run(over)))?;
        Ok(())
    }

    /// Until the other end of `over` is dropped.
    pub(crate) async fn run(self, mut over: oneshot::Receiver<()>) {
        let mut connection: Option<Box<dyn Leases>> = None;
        let mut next = self.clock.monotonic() + self.lease / 3;
        loop {
            tokio::select! {
                _ = &mut over => return,
                () = self.clock.sleep_until(next) => {
                    let renewed = self.renew(&mut connection).await;
                    // After a failure soon again: two thirds of the lease are left for that.
                    let pause = if renewed { self.lease / 3 } else { self.lease / 15 };
                    next = self.clock.monotonic() + pause;
                }
            }
        }
    }

    /// Renews all; false when the broker could not be reached.
    async fn renew(&self, connection: &mut Option<Box<dyn Leases>>) -> bool {
        let queues = self.holdings.queues();
        if queues.is_empty() {
            return true;
        }
        let leases = match connection {
            Some(leases) => leases,
            None => match self.broker.open_leases().await {
                Ok(opened) => connection.insert(opened),
                Err(error) => {
                    tracing::warn!("the connection that renews leases cannot be opened: {error}");
                    return false;
                }
            },
        };
        let mut reached = true;
        for queue in queues {
            let held = self.holdings.of(&queue);
            let tokens: Vec<Token> = held.iter().map(|(token, _)| *token).collect();
            match leases.extend(&queue, &tokens, self.lease, None).await {
                Ok(answer) => {
                    let end = self.clock.now().plus(self.lease);
                    answer.lost.iter().for_each(|token| self.holdings.release(*token));
                    let renewed = held.iter().filter(|(token, _)| !answer.lost.contains(token));
                    renewed.for_each(|(_, lease)| lease.set(end));
                    let _gone =
                        self.events.send(Event::Leases { lost: answer.lost, revoked: answer.revoked });
                }
                Err(error) => {
                    tracing::warn!(%queue, "leases cannot be renewed: {error}");
                    reached = false;
                }
            }
        }
        reached
    }
}
