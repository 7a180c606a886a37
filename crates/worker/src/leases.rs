//! The lease keeper: renews every reservation that this worker holds, from a thread and connection of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{Broker, Clock, Leases, QueueName, Token};
use tokio::sync::mpsc;

use crate::control::LeaseEnd;
use crate::dispatcher::Event;

/// What the keeper is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Renew this one.
    Hold(QueueName, Token, Arc<LeaseEnd>),
    /// It is settled.
    Release(Token),
}

pub(crate) struct Keeper {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

type Held = HashMap<QueueName, HashMap<Token, Arc<LeaseEnd>>>;

impl Keeper {
    /// On a thread of its own, so that a task that blocks every thread of the runtime loses no lease.
    pub(crate) fn spawn_thread(self, orders: mpsc::UnboundedReceiver<Order>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("lovage-leases".to_owned())
            .spawn(move || runtime.block_on(self.run(orders)))?;
        Ok(())
    }

    /// Until the dispatcher hangs up.
    pub(crate) async fn run(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut held = Held::new();
        let mut connection: Option<Box<dyn Leases>> = None;
        let mut next = self.clock.monotonic() + self.lease / 3;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => obey(&mut held, order),
                    None => return,
                },
                () = self.clock.sleep_until(next) => {
                    // All that was ordered meanwhile, so that nothing settled is asked for.
                    while let Ok(order) = orders.try_recv() {
                        obey(&mut held, order);
                    }
                    let renewed = self.renew(&mut held, &mut connection).await;
                    // After a failure soon again: two thirds of the lease are left for that.
                    let pause = if renewed { self.lease / 3 } else { self.lease / 15 };
                    next = self.clock.monotonic() + pause;
                }
            }
        }
    }

    /// Renews all; false when the broker could not be reached.
    async fn renew(&self, held: &mut Held, connection: &mut Option<Box<dyn Leases>>) -> bool {
        if held.values().all(HashMap::is_empty) {
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
        for (queue, tokens) in held.iter_mut().filter(|(_, tokens)| !tokens.is_empty()) {
            let all: Vec<Token> = tokens.keys().copied().collect();
            match leases.extend(queue, &all, self.lease, None).await {
                Ok(answer) => {
                    let end = self.clock.now().plus(self.lease);
                    tokens.retain(|token, _| !answer.lost.contains(token));
                    tokens.values().for_each(|lease| lease.set(end));
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

fn obey(held: &mut Held, order: Order) {
    match order {
        Order::Hold(queue, token, lease) => drop(held.entry(queue).or_default().insert(token, lease)),
        Order::Release(token) => held.values_mut().for_each(|tokens| drop(tokens.remove(&token))),
    }
}
