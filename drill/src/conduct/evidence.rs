//! What the conductor has seen when all is over: the history that is judged, and where things stand when it goes wrong.

use std::collections::HashMap;
use std::path::Path;

use lovage::TaskId;
use lovage_core::{Clock as _, Page, Place, ResultFilter, TaskRecord, Timestamp};
use lovage_drill::judge::{AGAIN, History, Sent, twice};
use lovage_drill::sender::Ledger;

use super::{Conductor, ledger_of};
use crate::Fallible;
use crate::process::log_of;
use crate::report::say;
use crate::services::Kind;

impl Conductor<'_> {
    pub(super) async fn history(&self) -> Fallible<History> {
        say("judging");
        let mut sent: HashMap<TaskId, Sent> = HashMap::new();
        for name in ["s1", "s2", "conductor"] {
            sent.extend(Ledger::read(&ledger_of(self.dir, name))?);
        }
        let executions = self.executions(&self.names)?;
        let results = self.client.results().ok_or("the client has no results")?;
        let mut attempts = HashMap::new();
        for id in twice(&executions) {
            attempts.insert(id, results.history(id).await?);
        }
        let depth = self.client.broker().depth(&self.queue, None).await?;
        let records = self.records(&sent).await?;
        let told = self.names.iter().flat_map(|name| lost_leases(self.dir, name)).collect();
        let left = depth.ready + depth.delayed + depth.leased + depth.dead;
        let (faults, lease) = (self.faults.clone(), self.plan.lease);
        let on_its_way = self.plan.on_its_way;
        Ok(History { sent, executions, records, attempts, faults, told, left, lease, on_its_way })
    }

    /// Every row. Redis lists only the newest ones, so that there each task is asked for.
    async fn records(&self, sent: &HashMap<TaskId, Sent>) -> Fallible<Vec<TaskRecord>> {
        let results = self.client.results().ok_or("the client has no results")?;
        let mut records = Vec::new();
        if self.plan.results == Kind::Redis {
            let ids: Vec<TaskId> = sent.keys().copied().collect();
            for ids in ids.chunks(1_000) {
                records.extend(results.get(ids, None).await?.into_iter().flatten());
            }
            return Ok(records);
        }
        let mut after = None;
        loop {
            let page = results.list(&ResultFilter::default(), Page { after, limit: 1_000 }).await?;
            records.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(records);
            }
        }
    }

    /// Where things stand: for whoever has to find out why.
    pub(super) async fn diagnosis(&self) -> String {
        let mut lines = Vec::new();
        let broker = self.client.broker();
        tokio::select! {
            depth = broker.depth(&self.queue, None) => lines.push(format!("queue: {depth:?}")),
            () = self.clock.sleep(AGAIN) => lines.push("queue: the broker does not answer".to_owned()),
        }
        for place in [Place::Leased, Place::Dead] {
            tokio::select! {
                some = broker.peek(&self.queue, place, Page::first(3)) => if let Ok(some) = some {
                    lines.extend(some.items.iter().map(|m| format!("  {}: {} deliveries {} attempts {} losses {} at {:?} {:?}", place.as_str(), m.id, m.delivery, m.attempt, m.losses, m.at, m.notes)));
                },
                () = self.clock.sleep(AGAIN) => {}
            }
        }
        for name in &self.names {
            let runs = self.executions(std::slice::from_ref(name)).unwrap_or_default();
            let open = runs.iter().filter(|run| run.ended.is_none()).count();
            let last: Option<Timestamp> = runs.iter().map(|run| run.began).max();
            lines.push(format!(
                "{name}: {} runs, {open} without an end, the last began at {last:?}",
                runs.len()
            ));
        }
        for process in self.workers.iter().chain(&self.senders) {
            lines.push(format!("{} says at last:\n    {}", process.name, process.tail()));
        }
        lines.join("\n")
    }
}

/// The tasks of which a worker's log says that their lease was lost.
fn lost_leases(dir: &Path, worker: &str) -> Vec<(String, TaskId)> {
    let log = std::fs::read_to_string(log_of(dir, worker)).unwrap_or_default();
    let lost =
        log.lines().filter(|line| line.contains("its lease ended") || line.contains("its lease had ended"));
    let ids = lost.flat_map(|line| line.split(['[', ']', ' ', '=']).filter_map(|word| word.parse().ok()));
    ids.map(|id| (worker.to_owned(), id)).collect()
}
