//! Reserves messages: one round over the queues at a time, for the dispatcher that asks for it.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{BackendError, Broker, Entropy, QueueName, Reserve, Reserved, SlotWants, Token, limits};

/// How much `maintain` does at a time.
const MAINTAIN_LIMIT: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) lease: Duration,
}

/// What one round found.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) batches: Vec<Batch>,
    /// When nothing was found: look again after this time at the latest.
    pub(crate) next_check: Option<Duration>,
    /// Whether every queue was asked for messages.
    pub(crate) looked: bool,
}

/// One reservation.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) queue: QueueName,
    pub(crate) token: Token,
    pub(crate) reserved: Reserved,
}

impl Fetcher {
    /// Asks the queues in this order until `want` is found. Without `look` only those are asked that maintenance
    /// made something ready in: what waits there otherwise comes with a hint. A queue that is damaged keeps no other one
    /// from being asked.
    pub(crate) async fn round(
        self,
        queues: Vec<QueueName>,
        want: SlotWants,
        mut suspects: bool,
        maintain: bool,
        look: bool,
    ) -> Result<Round, (Round, BackendError)> {
        let mut round = Round { looked: look, ..Round::default() };
        let mut left = want;
        let mut damage = None;
        for queue in queues {
            let mut look = look;
            if maintain {
                match self.broker.maintain(&queue, MAINTAIN_LIMIT, self.lease, None).await {
                    Ok(done) => look |= done.reclaimed + done.promoted > 0,
                    Err(error) if error.is_transient() => return Err((round, error)),
                    Err(error) => {
                        damage = Some(error);
                        continue;
                    }
                }
            }
            if left.is_none() || !look {
                continue;
            }
            let token = Token::new(&*self.entropy);
            let request = Reserve { queue: &queue, want: left, token, lease: self.lease, suspects };
            match self.broker.reserve(request, None).await {
                Ok(reserved) if reserved.deliveries.is_empty() => {
                    round.next_check = match (round.next_check, reserved.next_check) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                Ok(reserved) => {
                    left = left.less(&reserved.deliveries);
                    suspects &=
                        reserved.deliveries.iter().all(|delivery| delivery.losses < limits::SUSPECT_LOSSES);
                    round.batches.push(Batch { queue, token, reserved });
                }
                // What was reserved so far is handed on: its lease runs.
                Err(error) if error.is_transient() => return Err((round, error)),
                Err(error) => damage = Some(error),
            }
        }
        match damage {
            Some(error) => Err((round, error)),
            None => Ok(round),
        }
    }
}

/// Passes on a hint that this worker cannot follow: it has left the queue, or has no free slot. A reservation of nothing is not
/// registered as idle any more, and hints another worker if something is ready.
pub(crate) async fn pass_on(fetcher: Fetcher, queue: QueueName) {
    let token = Token::new(&*fetcher.entropy);
    let request =
        Reserve { queue: &queue, want: SlotWants::NONE, token, lease: fetcher.lease, suspects: false };
    if let Err(error) = fetcher.broker.reserve(request, None).await {
        tracing::debug!(%queue, "a hint is lost: {error}");
    }
}

/// The queues in turns: by weight, and each turn begins with the next one.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    weights: Vec<(QueueName, u32)>,
    turns: Vec<QueueName>,
    distinct: Vec<QueueName>,
    at: usize,
}

impl Turns {
    pub(crate) fn new(queues: &[(QueueName, u32)]) -> Self {
        let most = queues.iter().map(|(_, weight)| *weight).max().unwrap_or(1);
        // Interleaved, so that a weight of 3 is three turns spread out and not three in a row.
        let turns = (0..most)
            .flat_map(|lap| queues.iter().filter(move |(_, weight)| lap < *weight))
            .map(|(queue, _)| queue.clone());
        Self {
            weights: queues.to_vec(),
            turns: turns.collect(),
            distinct: queues.iter().map(|(queue, _)| queue.clone()).collect(),
            at: 0,
        }
    }

    /// One more queue, or other turns for one that is there.
    pub(crate) fn add(&mut self, queue: &QueueName, weight: u32) {
        let mut weights = std::mem::take(&mut self.weights);
        match weights.iter_mut().find(|(known, _)| known == queue) {
            Some((_, turns)) => *turns = weight,
            None => weights.push((queue.clone(), weight)),
        }
        *self = Self::new(&weights);
    }

    pub(crate) fn remove(&mut self, queue: &QueueName) {
        let mut weights = std::mem::take(&mut self.weights);
        weights.retain(|(known, _)| known != queue);
        *self = Self::new(&weights);
    }

    pub(crate) fn has(&self, queue: &QueueName) -> bool {
        self.distinct.contains(queue)
    }

    /// The queues in the order of the next round.
    pub(crate) fn next(&mut self) -> Vec<QueueName> {
        let Some(first) = self.turns.get(self.at).cloned() else { return Vec::new() };
        self.at = (self.at + 1) % self.turns.len();
        let start = self.distinct.iter().position(|queue| *queue == first).unwrap_or(0);
        self.distinct.iter().cycle().skip(start).take(self.distinct.len()).cloned().collect()
    }

    pub(crate) fn all(&self) -> &[QueueName] {
        &self.distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_turns() {
        let queue = |name| QueueName::new(name).unwrap();
        let mut turns = Turns::new(&[(queue("critical"), 3), (queue("default"), 1)]);
        let firsts: Vec<String> = (0..8).map(|_| turns.next()[0].to_string()).collect();
        let critical = firsts.iter().filter(|name| *name == "critical").count();
        assert_eq!(critical, 6, "{firsts:?}");
        assert_eq!(turns.next().len(), 2);
    }
}
