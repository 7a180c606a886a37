//! Who takes what beats publish: not a worker, but the bare broker, and every delivery is written down before it is settled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lovage_core::{
    BackendError, Broker, Clock as _, Delivery, Envelope, QueueName, Reserve, Settle, Settlement, SlotWants,
    TaskId, Timestamp, Token, limits,
};
use lovage_system::{SystemClock, SystemEntropy};

/// Short: what was under way when the broker was killed is back soon.
const LEASE: Duration = Duration::from_secs(2);
const MAINTAIN_EVERY: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

/// A message that was handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The entry and the slot that it says it is for.
    pub slot: Option<(String, Timestamp)>,
    /// The task.
    pub id: TaskId,
    /// See [`Delivery::delivery`].
    pub delivery: u32,
    /// When the broker took it: what tells a second publish from a second delivery.
    pub published_at: Timestamp,
}

/// What was handed out so far.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<Seen>>>);

impl Record {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much it is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Takes and settles everything from a queue, for ever. At once, so that nothing is live any more when a late beat publishes
/// it again: the broker would refuse that for its id alone.
pub async fn consume(broker: Arc<dyn Broker>, queue: QueueName, record: Record) {
    let clock = SystemClock::new();
    let mut maintained = clock.monotonic();
    loop {
        if clock.monotonic() >= maintained + MAINTAIN_EVERY {
            // When the broker is away the next one does it.
            let _later = broker.maintain(&queue, limits::PUBLISH_BATCH, LEASE, None).await;
            maintained = clock.monotonic();
        }
        match step(&*broker, &queue, &record).await {
            Ok(0) => tokio::select! {
                _ = broker.hint() => {}
                () = clock.sleep(PAUSE) => {}
            },
            Ok(_) => {}
            Err(_) => clock.sleep(PAUSE).await,
        }
    }
}

async fn step(broker: &dyn Broker, queue: &QueueName, record: &Record) -> Result<usize, BackendError> {
    let token = Token::new(&SystemEntropy);
    let request =
        Reserve { queue, want: SlotWants::any(limits::RESERVE_BATCH), token, lease: LEASE, suspects: true };
    let deliveries = broker.reserve(request, None).await?.deliveries;
    record.0.lock().unwrap_or_else(PoisonError::into_inner).extend(deliveries.iter().map(seen));
    let settlements: Vec<Settlement> =
        deliveries.iter().map(|delivery| Settlement { id: delivery.id, how: Settle::Ack }).collect();
    if !settlements.is_empty() {
        broker.settle(queue, token, &settlements, None).await?;
    }
    Ok(settlements.len())
}

fn seen(delivery: &Delivery) -> Seen {
    let schedule = Envelope::decode(&delivery.body).ok().and_then(|envelope| envelope.schedule);
    Seen {
        slot: schedule.map(|schedule| (schedule.name, schedule.slot)),
        id: delivery.id,
        delivery: delivery.delivery,
        published_at: delivery.published_at,
    }
}
