//! Whether this process is well: alive, connected, and really moving.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lovage_core::{BackendError, Depth, QueueName, WorkerInfo};

use crate::{Telemetry, micros};

/// The broker must answer within this time.
const ANSWER: Duration = Duration::from_secs(5);
/// A worker with free slots that takes nothing for this long while something waits does not move.
const PATIENCE: Duration = Duration::from_secs(60);
/// A beat that looks this much later than it must does not move.
const BEAT: Duration = Duration::from_secs(60);
/// A loop that does not answer for this long does not move: a task may block its thread for a moment.
const LOOP: Duration = Duration::from_secs(10);

/// What a supervisor asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// Well.
    Good(String),
    /// The broker does not answer: not well, and nothing that starting this process anew would mend. What runs goes on.
    Away(String),
    /// This process does not move: what is wrong, in a sentence.
    Stuck(String),
}

impl Health {
    /// Whether it is well.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    /// The sentence.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Good(words) | Self::Away(words) | Self::Stuck(words) => words,
        }
    }
}

/// What the broker says of workers and queues.
pub(crate) struct Found {
    pub(crate) workers: Vec<WorkerInfo>,
    pub(crate) depths: Vec<(String, Depth)>,
}

impl Telemetry {
    /// Whether the broker answers in time.
    pub async fn ready(&self) -> Health {
        match self.ask().await {
            Ok(_) => Health::Good("ready".to_owned()),
            Err(why) => Health::Away(why),
        }
    }

    /// Whether it is connected and moves: a worker that takes nothing although something waits and it has free slots, or a
    /// beat that no longer looks at its schedule, is not well. It compares with what it saw when it was asked before, so ask
    /// it at least each minute.
    pub async fn progress(&self) -> Health {
        let found = match self.ask().await {
            Ok(found) => found,
            Err(why) => return Health::Away(why),
        };
        let now = micros(self.clock.monotonic());
        let since = |then: u64| Duration::from_micros(now.saturating_sub(then));
        if let Some(interval) = self.beat {
            let looked = since(self.looked.load(Ordering::Relaxed));
            if looked > interval + BEAT {
                return Health::Stuck(format!(
                    "the beat has not looked at its schedule for {} s",
                    looked.as_secs()
                ));
            }
        }
        let stuck_since = self.stuck_since.get().and_then(|stuck_since| stuck_since());
        if let Some(since) = stuck_since.filter(|since| self.clock.now().since(*since) > LOOP) {
            return Health::Stuck(format!("the worker's loop does not answer since {since}"));
        }
        let slots = self.slots.load(Ordering::Relaxed);
        if slots == 0 {
            return Health::Good("it moves".to_owned());
        }
        let held = u64::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(0);
        let waits = |depth: &Depth| depth.ready > 0 && !depth.paused && depth.limit.is_none();
        let waiting: Vec<&str> =
            found.depths.iter().filter(|(_, depth)| waits(depth)).map(|(name, _)| name.as_str()).collect();
        if waiting.is_empty() || held >= slots {
            self.waiting.store(u64::MAX, Ordering::Relaxed);
            return Health::Good(format!("it moves: {held} of {slots} slots are busy"));
        }
        let began = self.waiting.load(Ordering::Relaxed).min(now);
        self.waiting.store(began, Ordering::Relaxed);
        let idle = since(began.max(self.taken.load(Ordering::Relaxed)));
        if idle < PATIENCE {
            return Health::Good(format!("it moves: {held} of {slots} slots are busy"));
        }
        Health::Stuck(format!(
            "it has taken nothing for {} s although tasks wait in {} and {held} of {slots} slots are busy",
            idle.as_secs(),
            waiting.join(", ")
        ))
    }

    /// Asks the broker for everything that is shown.
    pub(crate) async fn ask(&self) -> Result<Found, String> {
        let asked = async {
            let workers = self.broker.workers(None).await?;
            let queues = self.shown().await?;
            let mut depths = Vec::with_capacity(queues.len());
            for queue in queues {
                depths.push((queue.to_string(), self.broker.depth(&queue, None).await?));
            }
            Ok::<_, BackendError>(Found { workers, depths })
        };
        tokio::select! {
            found = asked => found.map_err(|error| format!("the broker cannot be asked: {error}")),
            () = self.clock.sleep(ANSWER) => Err(format!("the broker does not answer within {} s", ANSWER.as_secs())),
        }
    }

    async fn shown(&self) -> Result<Vec<QueueName>, BackendError> {
        if self.queues.is_empty() { self.broker.queues().await } else { Ok(self.queues.clone()) }
    }
}
