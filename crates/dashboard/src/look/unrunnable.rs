//! What is in a queue and no live worker of it can run: as its workers tell, because the queue shows it as due later.

use std::collections::BTreeMap;

use lovage_core::{Misfit, QueueName, Unrunnable, WorkerInfo, WorkerMode};
use schemars::JsonSchema;
use serde::Serialize;

/// Tasks of one kind that no live worker of their queue can run: they gave them back, and try again until an hour has passed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Stranded {
    /// Their name; empty where no worker can read it.
    pub(crate) task: String,
    /// `unregistered`: no worker has a task of this name. `arguments`: another release sent them, with other arguments.
    /// `format`: a later release of Lovage sent them.
    pub(crate) why: &'static str,
    /// How many: about, where several workers tell; at least, from 10,000 on.
    pub(crate) tasks: u64,
    /// How many workers tell.
    pub(crate) told_by: usize,
}

/// Those of a queue that holds this many tasks which have not ended.
pub(crate) fn stranded(queue: &QueueName, held: u64, workers: &[WorkerInfo]) -> Vec<Stranded> {
    let readers: Vec<&WorkerInfo> =
        workers.iter().filter(|worker| !worker.is_beat() && worker.queues.contains(queue)).collect();
    let mut kinds: BTreeMap<(Misfit, &str), Vec<(&WorkerInfo, u64)>> = BTreeMap::new();
    for worker in &readers {
        for kind in worker.unrunnable.iter().filter(|kind| kind.queue == *queue) {
            kinds.entry((kind.why, &kind.task)).or_default().push((worker, kind.tasks));
        }
    }
    kinds.retain(|(why, task), telling| {
        let taking = readers.iter().filter(|worker| worker.mode == WorkerMode::Running);
        let silent = |worker: &&&WorkerInfo| telling.iter().all(|(other, _)| other.id != worker.id);
        !taking.filter(silent).any(|worker| may_run(worker, *why, task, telling))
    });
    let kind = |((why, task), telling): ((Misfit, &str), Vec<(&WorkerInfo, u64)>)| Stranded {
        task: task.to_owned(),
        why: word(why),
        tasks: telling.iter().map(|(_, tasks)| tasks).sum::<u64>().min(held),
        told_by: telling.len(),
    };
    let mut stranded: Vec<Stranded> = kinds.into_iter().map(kind).filter(|kind| kind.tasks > 0).collect();
    stranded.sort_by_key(|kind| std::cmp::Reverse(kind.tasks));
    stranded
}

/// Whether a worker that gave none back may be of the release that can run them, as while a deploy goes on.
fn may_run(worker: &WorkerInfo, why: Misfit, task: &str, telling: &[(&WorkerInfo, u64)]) -> bool {
    match why {
        Misfit::Unregistered | Misfit::Arguments => worker.tasks.iter().any(|known| known.name == task),
        Misfit::Format | Misfit::Other => telling.iter().all(|(other, _)| other.version != worker.version),
    }
}

const fn word(why: Misfit) -> &'static str {
    match why {
        Misfit::Unregistered => "unregistered",
        Misfit::Arguments => "arguments",
        Misfit::Format => "format",
        Misfit::Other => "other",
    }
}

impl Stranded {
    /// From this number on workers do not count.
    pub(crate) fn is_at_least(&self) -> bool {
        usize::try_from(self.tasks).is_ok_and(|tasks| tasks >= Unrunnable::MOST)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn worker(number: u8, mode: &str, knows: &[&str], tells: &[(&str, &str, u64)]) -> WorkerInfo {
        let tasks: Vec<_> =
            knows.iter().map(|name| json!({ "name": name, "signature": "() -> ()" })).collect();
        let unrunnable: Vec<_> = tells
            .iter()
            .map(|(task, why, tasks)| json!({ "queue": "q", "task": task, "why": why, "tasks": tasks }))
            .collect();
        let info = json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(number.into())), "name": "w", "host": "h",
            "pid": 1, "version": number.to_string(), "started_at": lovage_core::Timestamp::default(), "mode": mode,
            "queues": ["q"], "concurrency": 4, "blocking": 1, "tasks": tasks, "active": [], "reserved": 0, "succeeded": 0,
            "failed": 0, "unrunnable": unrunnable,
        });
        serde_json::from_value(info).unwrap()
    }

    fn found(workers: &[WorkerInfo], held: u64) -> Vec<(String, u64, usize)> {
        let stranded = stranded(&QueueName::new("q").unwrap(), held, workers);
        stranded.into_iter().map(|kind| (kind.task, kind.tasks, kind.told_by)).collect()
    }

    #[test]
    fn what_every_worker_of_the_queue_gave_back_is_stranded() {
        let tells = [("lost", "unregistered", 9), ("add", "arguments", 3)];
        let (one, two) = (worker(1, "running", &["add"], &tells), worker(2, "running", &["other"], &[]));
        assert_eq!(found(&[one.clone(), two], 50), [("lost".into(), 9, 1), ("add".into(), 3, 1)]);
        let both = [one.clone(), worker(2, "running", &[], &tells[..1])];
        assert_eq!(found(&both, 10)[0], ("lost".into(), 10, 2), "no more than the queue holds");
        assert_eq!(found(&[one], 0), [], "they were cancelled or purged since");
    }

    #[test]
    fn a_worker_that_may_run_it_keeps_it_from_being_stranded_while_it_takes_tasks() {
        let tells = [("lost", "unregistered", 9), ("add", "arguments", 3), ("", "format", 2)];
        let old = worker(1, "running", &["add"], &tells);
        let next = |mode| worker(2, mode, &["lost", "add"], &[]);
        assert_eq!(found(&[old.clone(), next("running")], 50), []);
        assert_eq!(found(&[old.clone(), next("quiet")], 50).len(), 3);
        let mut elsewhere = next("running");
        elsewhere.queues = vec![QueueName::new("r").unwrap()];
        assert_eq!(found(&[old, elsewhere], 50).len(), 3);
    }
}
