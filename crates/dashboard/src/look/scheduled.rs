//! What is wrong with the schedule, in a bounded part of it at a time: there may be a million entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lovage_core::schedule::{EntryFilter, Listed, ScheduleStore};
use lovage_core::{BackendError, Page, WorkerInfo};

use super::findings;
use super::overview::{Finding, FindingKind, Level};
use crate::app::App;

/// Entries that fire next, which are looked at each time.
const NEXT: usize = 100;
/// What fires within this time is looked at first.
const SOON: Duration = Duration::from_secs(3_600);
/// Entries of the whole schedule, of which the following ones are looked at the next time.
const PART: usize = 200;
/// Entries with a trouble that are looked at again each time.
const KNOWN: usize = 100;

/// How far the looks at the whole schedule are.
#[derive(Debug, Default)]
pub(crate) struct Scan(Mutex<Progress>);

#[derive(Clone, Debug, Default)]
struct Progress {
    after: Option<String>,
    /// The names of entries that had a trouble.
    known: BTreeSet<String>,
}

/// What is wrong with the schedule. When it cannot be asked, that is what is wrong, and the rest of the page stands.
pub(crate) async fn findings(app: &App, workers: &[WorkerInfo]) -> Vec<Finding> {
    let Some(store) = app.parts.schedules.as_deref() else { return Vec::new() };
    gather(app, store, workers).await.unwrap_or_else(|error| {
        vec![Finding {
            kind: FindingKind::ScheduleStore,
            level: Level::Bad,
            sentence: format!("The schedule cannot be asked: {error}."),
            page: "/schedules".to_owned(),
        }]
    })
}

async fn gather(
    app: &App,
    store: &dyn ScheduleStore,
    workers: &[WorkerInfo],
) -> Result<Vec<Finding>, BackendError> {
    let due = store.due(SOON, NEXT, None).await?;
    let has_beat = workers.iter().any(WorkerInfo::is_beat);
    let idle = !has_beat && (!due.entries.is_empty() || has_enabled(store).await?);
    let mut found: Vec<Finding> = findings::beat(&due.entries, idle, due.now).into_iter().collect();
    let mut entries = look(&app.scan, store).await?;
    entries.extend(due.entries.into_iter().map(|stored| (stored.entry.name.to_string(), Ok(stored))));
    let troubles = findings::entries(entries.values(), workers, due.now);
    app.scan.remember(troubles.iter().flat_map(|trouble| &trouble.entries));
    found.extend(troubles.into_iter().map(|trouble| trouble.finding));
    Ok(found)
}

async fn has_enabled(store: &dyn ScheduleStore) -> Result<bool, BackendError> {
    let enabled = EntryFilter { enabled: Some(true), ..EntryFilter::default() };
    Ok(!store.list(&enabled, Page::first(1)).await?.items.is_empty())
}

/// The next part of the schedule, and those that had a trouble.
async fn look(scan: &Scan, store: &dyn ScheduleStore) -> Result<BTreeMap<String, Listed>, BackendError> {
    let Progress { after, known } = scan.progress();
    let part = store.list(&EntryFilter::default(), Page { after, limit: PART }).await?;
    scan.go_on(part.next);
    let mut entries: BTreeMap<String, Listed> =
        part.items.into_iter().map(|listed| (name(&listed).to_owned(), listed)).collect();
    let again: Vec<&str> =
        known.iter().map(String::as_str).filter(|name| !entries.contains_key(*name)).collect();
    if !again.is_empty() {
        let again = store.get(&again).await?.into_iter().flatten();
        entries.extend(again.map(|listed| (name(&listed).to_owned(), listed)));
    }
    Ok(entries)
}

fn name(listed: &Listed) -> &str {
    match listed {
        Ok(stored) => stored.entry.name.as_str(),
        Err(bad) => &bad.name,
    }
}

impl Scan {
    fn progress(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn go_on(&self, after: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).after = after;
    }

    fn remember<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let known = names.take(KNOWN).cloned().collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known = known;
    }
}
