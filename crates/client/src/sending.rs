//! Sends single messages together when many are sent at once: what comes while others are on their way waits for their
//! answer, and then travels as one batch. Who sends alone never waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lovage_core::{BackendError, BackendErrorKind, Broker, Message, Published, QueueName, limits};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How many calls of one queue are on their way at a time: while the broker works on one, the next is made ready.
const FLIGHTS: usize = 2;
/// A batch ends with the message that reaches so many bytes: nobody waits long for the large messages of others.
const BATCH_BYTES: usize = 1 << 20;

type Answer = Result<Published, BackendError>;

/// The way of single messages to a broker.
#[derive(Clone)]
pub(crate) struct Sending(Arc<Inner>);

struct Inner {
    broker: Arc<dyn Broker>,
    /// Only queues that something is on its way to.
    lanes: Mutex<HashMap<QueueName, Lane>>,
}

#[derive(Default)]
struct Lane {
    flights: usize,
    waiting: Vec<Waiting>,
}

struct Waiting {
    message: Message,
    answer: oneshot::Sender<Answer>,
}

enum Turn {
    Now(Message, Flight),
    After(oneshot::Receiver<Answer>),
}

/// One of the calls that may be on their way to a queue. Who ends it takes along what came meanwhile.
struct Flight {
    inner: Arc<Inner>,
    queue: QueueName,
    over: bool,
}

impl Sending {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        Self(Arc::new(Inner { broker, lanes: Mutex::default() }))
    }

    /// Sends one message. Dropping the future takes nothing back, and leaves nobody else behind.
    pub(crate) async fn send(&self, message: Message) -> Answer {
        match self.turn(message) {
            Turn::Now(message, flight) => {
                let answer = flight.alone(&message).await;
                drop(flight);
                answer
            }
            Turn::After(answer) => answer.await.unwrap_or_else(|_| Err(abandoned())),
        }
    }

    fn turn(&self, message: Message) -> Turn {
        let mut lanes = self.0.lock();
        // An entry would clone the name for each message that finds one.
        let lane = match lanes.get_mut(&message.queue) {
            Some(lane) => lane,
            None => lanes.entry(message.queue.clone()).or_default(),
        };
        if lane.flights < FLIGHTS {
            lane.flights += 1;
            let flight = Flight { inner: Arc::clone(&self.0), queue: message.queue.clone(), over: false };
            return Turn::Now(message, flight);
        }
        let (sender, receiver) = oneshot::channel();
        lane.waiting.push(Waiting { message, answer: sender });
        Turn::After(receiver)
    }
}

impl Inner {
    /// What waits for this queue, as much as one batch takes; the flight ends where that is nothing.
    fn next(&self, queue: &QueueName) -> Vec<Waiting> {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(queue) else { return Vec::new() };
        let mut bytes = 0;
        let fits = lane.waiting.iter().take(limits::PUBLISH_BATCH).take_while(|waiting| {
            let room = bytes < BATCH_BYTES;
            bytes += waiting.message.body.len();
            room
        });
        let count = fits.count();
        let batch = lane.waiting.drain(..count).collect::<Vec<_>>();
        if batch.is_empty() {
            lane.flights -= 1;
            if lane.flights == 0 {
                lanes.remove(queue);
            }
        }
        batch
    }

    /// A panic elsewhere leaves the map as it was between two operations: going on is safe.
    fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    async fn alone(&self, message: &Message) -> Answer {
        let mut answers = self.inner.broker.publish(std::slice::from_ref(message), None).await?;
        answers.pop().ok_or_else(unanswered)
    }

    /// Sends what waits, batch by batch, until nothing does.
    async fn go_on(mut self, mut batch: Vec<Waiting>) {
        while !batch.is_empty() {
            self.together(batch).await;
            batch = self.inner.next(&self.queue);
        }
        self.over = true;
    }

    async fn together(&self, batch: Vec<Waiting>) {
        let (messages, senders): (Vec<Message>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.message, waiting.answer)).unzip();
        match self.inner.broker.publish(&messages, None).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for sender in senders {
                    // Nobody waits any more where the sending was given up.
                    let _gone = sender.send(answers.next().ok_or_else(unanswered));
                }
            }
            // One of them may be to blame, and the others have nothing to do with it.
            Err(error) if messages.len() > 1 && !error.is_transient() && !error.is_maybe_applied() => {
                for (message, sender) in messages.iter().zip(senders) {
                    let _gone = sender.send(self.alone(message).await);
                }
            }
            Err(error) => {
                for sender in senders {
                    let _gone = sender.send(Err(copy(&error)));
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let batch = if self.over { Vec::new() } else { self.inner.next(&self.queue) };
        if batch.is_empty() {
            return;
        }
        // In a task of its own: the future that ends here belongs to one sender, who may drop it.
        let flight = Self { inner: Arc::clone(&self.inner), queue: self.queue.clone(), over: false };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(flight.go_on(batch))),
            // No runtime, nobody to send: those who wait are told by the end of their channels.
            Err(_) => drop(batch),
        }
    }
}

fn unanswered() -> BackendError {
    BackendError::new(BackendErrorKind::Corrupt, "the broker did not answer for each message")
}

fn abandoned() -> BackendError {
    let message = "the runtime that sent this message has ended: it may have been sent";
    BackendError::new(BackendErrorKind::Unavailable, message).maybe_applied()
}

fn copy(error: &BackendError) -> BackendError {
    let copy = BackendError::new(error.kind(), error.to_string());
    if error.is_maybe_applied() { copy.maybe_applied() } else { copy }
}
