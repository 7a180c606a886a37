//! The entries that a program declares, in code and in `lovage.toml`, and how they come into the store.

use lovage_core::schedule::{Entry, Fit, Merged, ScheduleError, ScheduleStore, When};
use lovage_core::{BackendError, Broker, EntryName, QueueName, Source, TaskName, WorkerInfo, nearest};
use lovage_worker::__private::ScheduledCall;
use lovage_worker::Routes;

use crate::error::CliError;
use crate::session::Session;

/// The source of what `lovage.toml` declares.
const FILE: &str = "lovage.toml";
const LONGEST_SOURCE: usize = 100;

/// An entry that [`App`](crate::App) declares.
#[derive(Clone, Debug)]
pub(crate) struct InCode {
    name: String,
    when: When,
    call: Result<ScheduledCall, String>,
    /// Only for `dev`.
    pub(crate) dev: bool,
}

impl InCode {
    pub(crate) fn new(name: String, when: When, call: Result<ScheduledCall, String>, dev: bool) -> Self {
        Self { name, when, call, dev }
    }

    /// The entry, in the call's queue or in that of the routes.
    ///
    /// # Errors
    /// Names the entry, the first field that is wrong, and what is allowed there.
    pub(crate) fn entry(&self, routes: &Routes) -> Result<Entry, CliError> {
        let wrong = |why: &dyn std::fmt::Display| {
            CliError::usage(format!("the schedule `{}` of this program: {why}", self.name))
        };
        let call = self.call.as_ref().map_err(|why| wrong(why))?;
        self.entry_of(call, routes).map_err(|error| wrong(&error))
    }

    fn entry_of(&self, call: &ScheduledCall, routes: &Routes) -> Result<Entry, ScheduleError> {
        let mut entry = self.when.clone().entry(&self.name, &call.task)?;
        let by_name = call.arguments.trim_start().starts_with('{');
        let arguments = if by_name { &mut entry.kwargs } else { &mut entry.args };
        arguments.clone_from(&call.arguments);
        entry.queue = call.queue.clone().unwrap_or_else(|| routes.queue(&call.task));
        entry.priority = call.priority;
        entry.headers.clone_from(&call.headers);
        entry.expires = call.expires;
        entry.check()?;
        Ok(entry)
    }
}

impl Session {
    /// What this program declares and in which source's name; of the file only where there is one.
    ///
    /// # Errors
    /// When an entry is not valid, or when two have one name.
    pub(crate) fn declared(&self, for_dev: bool) -> Result<Vec<(Source, Vec<Entry>)>, CliError> {
        let routes = &self.config.routes;
        let in_code = self.schedules.iter().filter(|entry| for_dev || !entry.dev);
        let in_code = in_code.map(|entry| entry.entry(routes)).collect::<Result<Vec<_>, _>>()?;
        lovage_core::schedule::check_declared(&in_code)
            .map_err(|error| CliError::usage(error.to_string()))?;
        let mut declared = vec![(source_of_code(&self.program)?, in_code)];
        if let Some(in_file) = &self.config.declared {
            let entries = in_file.iter().map(|entry| entry.entry(routes)).collect();
            declared.push((source(FILE)?, entries));
        }
        Ok(declared)
    }
}

/// What live workers say of the task of an entry.
pub(crate) fn fit(entry: &Entry, workers: &[WorkerInfo]) -> Fit {
    Fit::of(entry, workers.iter().flat_map(|worker| &worker.tasks))
}

/// What is expected instead of a task that none of these knows.
pub(crate) fn instead(task: &TaskName, workers: &[WorkerInfo]) -> String {
    let tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let mut known: Vec<&str> = tasks.map(|info| info.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    match nearest(task.as_str(), known.iter().copied()) {
        _ if workers.is_empty() => "no worker is alive, so its arguments are not checked".to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

/// Those that run tasks.
///
/// # Errors
/// When the broker cannot be asked.
pub(crate) async fn live_workers(broker: &dyn Broker) -> Result<Vec<WorkerInfo>, BackendError> {
    let mut workers = broker.workers(None).await?;
    workers.retain(|worker| !worker.is_beat());
    Ok(workers)
}

impl Session {
    /// The queue of a task's own, as this program declares it or as live workers register it; `None` where it has none.
    pub(crate) fn own_queue(&self, task: &str, workers: &[WorkerInfo]) -> Option<QueueName> {
        match self.tasks.iter().find(|def| def.name == task) {
            Some(def) => def.options.queue.and_then(|queue| QueueName::new(queue).ok()),
            None => WorkerInfo::queue_of_task(workers, task).cloned(),
        }
    }

    /// Brings what is declared into the store, and logs what that changed there. What is new is compared with what live
    /// workers take: they may be of another release than the beat, so what does not fit is a warning.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) async fn merge(
        &self,
        store: &dyn ScheduleStore,
        broker: &dyn Broker,
        declared: &[(Source, Vec<Entry>)],
    ) -> Result<(), BackendError> {
        for (source, entries) in declared {
            let merged = store.merge(source, entries, None).await?;
            tell(source, &merged);
            let is_new = |entry: &&Entry| {
                [&merged.added, &merged.changed].iter().any(|list| list.contains(&entry.name))
            };
            let new: Vec<&Entry> = entries.iter().filter(is_new).collect();
            if new.is_empty() {
                continue;
            }
            match live_workers(broker).await {
                Ok(workers) => new.iter().for_each(|entry| self.warn_of(source, entry, &workers)),
                Err(error) => tracing::debug!("the arguments of new schedules are not checked: {error}"),
            }
        }
        Ok(())
    }

    fn warn_of(&self, source: &Source, entry: &Entry, workers: &[WorkerInfo]) {
        let (name, task) = (&entry.name, &entry.task);
        match fit(entry, workers) {
            Fit::Fits => {}
            Fit::Wrong(error) => tracing::warn!("schedules of {source}: the schedule `{name}`: {error}"),
            // Workers may start after the beat; and one may be in this process.
            Fit::Unknown if workers.is_empty() || self.tasks.iter().any(|def| def.name == task.as_str()) => {}
            Fit::Unknown => {
                let expected = instead(task, workers);
                tracing::warn!(
                    "schedules of {source}: the schedule `{name}`: no live worker knows the task `{task}`: {expected}"
                );
            }
        }
    }
}

fn tell(source: &Source, merged: &Merged) {
    let Merged { added, changed, edited, taken, gone } = merged;
    for (names, what) in [(added, "new"), (changed, "changed")] {
        if !names.is_empty() {
            tracing::info!("schedules of {source}: {what}: {}", list(names));
        }
    }
    for (names, what) in [
        (edited, "left alone, because somebody edited them (`schedule reset NAME` gives them back)"),
        (taken, "left alone, because another source declares them or their rows cannot be read"),
        (gone, "no longer declared, and disabled"),
    ] {
        if !names.is_empty() {
            tracing::warn!("schedules of {source}: {what}: {}", list(names));
        }
    }
}

/// The first few of them.
fn list(names: &[EntryName]) -> String {
    const MOST: usize = 20;
    let shown: Vec<&str> = names.iter().take(MOST).map(EntryName::as_str).collect();
    let rest = names.len().saturating_sub(MOST);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{more}", shown.join(", "))
}

/// `code:PROGRAM`, so that several programs may share a store.
fn source_of_code(program: &str) -> Result<Source, CliError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let program = program.chars().map(|c| if allowed(c) { c } else { '-' });
    source(&"code:".chars().chain(program).take(LONGEST_SOURCE).collect::<String>())
}

fn source(name: &str) -> Result<Source, CliError> {
    Source::new(name).map_err(|error| CliError::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use lovage_core::schedule::{Units as _, every};

    use super::*;

    #[test]
    fn a_program_of_any_name_is_a_source() {
        assert_eq!(source_of_code("shop worker é").unwrap().as_str(), "code:shop-worker--");
        assert!(source_of_code(&"x".repeat(200)).is_ok());
    }

    #[test]
    fn what_a_schedule_does_not_keep_of_a_call_is_refused() {
        type Call = lovage_worker::Call<serde_json::Value>;
        let call = || Call::by_name("t", &serde_json::json!({ "x": 1 }));
        let entry = |call: Call| {
            let call = lovage_worker::__private::scheduled(call);
            InCode::new("e".to_owned(), every(5.secs()), call, false).entry(&Routes::default())
        };
        let kept = entry(call().priority(3).header("a", "b").expires(60.secs())).unwrap();
        assert_eq!(
            (kept.args.as_str(), kept.kwargs.as_str(), kept.queue.as_str()),
            ("[]", r#"{"x":1}"#, "default")
        );
        assert_eq!((kept.priority.get(), kept.headers.len(), kept.expires.is_some()), (3, 1, true));
        for (call, option) in [
            (call().countdown(1.secs()), "countdown or eta"),
            (call().unique(7), "unique"),
            (call().time_limit(1.secs()), "time_limit"),
            (call().store_result(false), "store_result"),
        ] {
            let error = entry(call).unwrap_err().to_string();
            assert!(error.contains("the schedule `e` of this program: t: a schedule keeps"), "{error}");
            assert!(error.ends_with(&format!("not {option}")), "{error}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<EntryName> = (0..25).map(|n| EntryName::new(format!("e{n}")).unwrap()).collect();
        assert!(list(&names).ends_with("e19 and 5 more"));
        assert_eq!(list(&names[..2]), "e0, e1");
    }
}
