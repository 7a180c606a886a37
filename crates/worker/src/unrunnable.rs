//! What a worker gave back because it cannot run it, so that somebody is told: in the queue it looks like what is due later.

use std::collections::HashMap;
use std::time::Duration;

use lovage_core::{Misfit, QueueName, TaskId, Unrunnable, WorkerInfo};

use crate::plan::Meta;

type Kind = (QueueName, String, Misfit);

/// Messages that were given back, until somebody must have tried again.
#[derive(Debug, Default)]
pub(crate) struct GivenBack(HashMap<Kind, HashMap<TaskId, Duration>>);

impl GivenBack {
    /// Remembers one that is due again at this time. Answers whether it is the first one of its kind.
    pub(crate) fn add(&mut self, meta: &Meta, misfit: Misfit, due: Duration, period: Duration) -> bool {
        let task = if misfit == Misfit::Format { String::new() } else { meta.task.clone() };
        self.remember((meta.queue.clone(), task, misfit), meta.delivery.id, until(due, period))
    }

    fn remember(&mut self, kind: Kind, id: TaskId, until: Duration) -> bool {
        let is_new = !self.0.contains_key(&kind);
        if is_new && self.0.len() >= Unrunnable::KINDS {
            return false;
        }
        let ids = self.0.entry(kind).or_default();
        if ids.len() < Unrunnable::MOST || ids.contains_key(&id) {
            ids.insert(id, until);
        }
        is_new
    }

    /// What is to be told, the most first.
    pub(crate) fn told(&mut self, now: Duration) -> Vec<Unrunnable> {
        self.forget(now);
        let told = |((queue, task, why), ids): (&Kind, &HashMap<TaskId, Duration>)| Unrunnable {
            queue: queue.clone(),
            task: task.clone(),
            why: *why,
            tasks: u64::try_from(ids.len()).unwrap_or(u64::MAX),
        };
        let mut told: Vec<Unrunnable> = self.0.iter().map(told).collect();
        told.sort_unstable_by(|a, b| {
            b.tasks.cmp(&a.tasks).then_with(|| (&a.queue, &a.task, a.why).cmp(&(&b.queue, &b.task, b.why)))
        });
        told
    }

    fn forget(&mut self, now: Duration) {
        self.0.retain(|_, ids| {
            ids.retain(|_, until| *until > now);
            !ids.is_empty()
        });
    }
}

/// How long a message is remembered, unless it comes here again: after it is due, too, as the next heartbeat must tell of it.
fn until(due: Duration, period: Duration) -> Duration {
    due + period.max(WorkerInfo::HEARTBEAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kind(task: &str) -> Kind {
        (QueueName::new("q").unwrap(), task.to_owned(), Misfit::Unregistered)
    }

    fn id(number: usize) -> TaskId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TaskId::from_bytes(bytes)
    }

    fn names(told: &[Unrunnable]) -> Vec<(&str, u64)> {
        told.iter().map(|kind| (kind.task.as_str(), kind.tasks)).collect()
    }

    #[test]
    fn a_message_counts_once_until_somebody_must_have_tried_again() {
        let mut given_back = GivenBack::default();
        assert!(given_back.remember(kind("a"), id(1), SECOND), "the first of its kind is news");
        assert!(given_back.remember(kind("b"), id(2), SECOND * 9));
        assert!(!given_back.remember(kind("b"), id(3), SECOND * 9));
        assert!(!given_back.remember(kind("a"), id(1), SECOND * 3));
        assert_eq!(names(&given_back.told(SECOND * 2)), [("b", 2), ("a", 1)]);
        assert_eq!(names(&given_back.told(SECOND * 3)), [("b", 2)]);
        assert!(given_back.remember(kind("a"), id(1), SECOND * 12), "it is news again");
        assert_eq!(names(&given_back.told(SECOND * 9)), [("a", 1)]);
    }

    #[test]
    fn a_message_is_remembered_until_a_heartbeat_after_it_is_due() {
        assert_eq!(until(SECOND * 2, SECOND), SECOND * 7);
        let mut given_back = GivenBack::default();
        let period = WorkerInfo::heartbeat_every(1_000);
        given_back.remember(kind("a"), id(1), until(SECOND, period));
        assert_eq!(names(&given_back.told(period)), [("a", 1)], "the next heartbeat tells of it");
        assert!(given_back.told(SECOND + period).is_empty());
    }

    #[test]
    fn of_very_many_a_bounded_number_is_remembered() {
        let mut given_back = GivenBack::default();
        for number in 0..Unrunnable::MOST + 5 {
            given_back.remember(kind("many"), id(number), SECOND);
        }
        for number in 0..Unrunnable::KINDS + 5 {
            given_back.remember(kind(&number.to_string()), id(number), SECOND);
        }
        let told = given_back.told(Duration::ZERO);
        assert_eq!((told.len(), told[0].tasks), (Unrunnable::KINDS, 10_000));
    }
}
