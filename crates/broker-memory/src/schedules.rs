//! The schedule in the memory of this process.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::schedule::{
    Advance, Advanced, BadEntry, Change, DisabledBy, Due, Entry, EntryFilter, Expected, Fate, Firing,
    HistoryQuery, Identity, Listed, Merged, Rewound, Saved, ScheduleStore, StoredEntry, check_declared,
    merge, put_step, refused, reset_step,
};
use lovage_core::{BackendError, Clock, Page, Paged, Source, StoreId, Timestamp, limits};
use tokio::sync::Notify;

use crate::page::{bad_page, paged};

/// The number of stores made in this process, from which each gets an identity of its own.
static STORES: AtomicU64 = AtomicU64::new(1);

/// A handle to a [`ScheduleStore`] in the memory of this process, the oracle of the others.
pub struct MemorySchedules {
    shared: Arc<Shared>,
    /// The change that this handle was told of last.
    told: AtomicU64,
}

struct Shared {
    id: StoreId,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Listed>,
    /// The enabled ones, by the instant at which they are due.
    due: BTreeSet<(Timestamp, String)>,
    history: BTreeMap<Key, Firing>,
    changes: u64,
}

/// Entry, slot, and the word of the fate.
type Key = (String, Timestamp, &'static str);

impl MemorySchedules {
    /// An empty store that lives by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&STORES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let id = StoreId::from_bytes(id);
        let shared = Shared { id, clock, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared), told: AtomicU64::new(u64::MAX) }
    }

    /// Another handle to the same store, with changes of its own to be told of.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), told: AtomicU64::new(u64::MAX) }
    }

    /// Makes an entry one that cannot be read, as a row of a database can become behind a store's back.
    pub fn spoil(&self, name: &str, reason: &str) {
        let mut state = self.lock();
        let Some(Ok(stored)) = state.rows.get(name) else { return };
        let bad = BadEntry {
            name: name.to_owned(),
            reason: reason.to_owned(),
            revision: stored.revision,
            enabled: stored.entry.enabled,
            done_until: stored.done_until,
            ownership: stored.ownership.clone(),
        };
        state.rows.insert(name.to_owned(), Err(bad));
        self.tell(state);
    }

    fn now(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.shared.clock.now())
    }

    /// Writes the entry, and that it changed.
    fn write(&self, mut state: MutexGuard<'_, State>, change: Change) -> StoredEntry {
        let stored = state.write(change);
        self.tell(state);
        stored
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.changes += 1;
        drop(state);
        self.shared.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ScheduleStore for MemorySchedules {
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError> {
        let now = self.now(now);
        let mut state = self.lock();
        let mut entries = Vec::new();
        let bound = now.plus(ahead);
        let found: Vec<_> = state.due.iter().take_while(|(at, _)| *at <= bound).cloned().collect();
        for key in &found {
            match state.rows.get(&key.1) {
                Some(Ok(stored)) if entries.len() < limit.max(1) => {
                    let mut stored = stored.clone();
                    stored.fired_ahead = state.fired_ahead(&stored);
                    entries.push(stored);
                }
                Some(Err(bad)) => {
                    let bad = BadEntry { enabled: false, revision: bad.revision + 1, ..bad.clone() };
                    state.rows.insert(key.1.clone(), Err(bad));
                    state.due.remove(key);
                }
                Some(Ok(_)) | None => {}
            }
        }
        let returned: HashSet<&str> = entries.iter().map(|stored| stored.entry.name.as_str()).collect();
        let mut others = state.due.iter().filter(|(_, name)| !returned.contains(name.as_str()));
        let next_at = others.next().map(|(at, _)| *at);
        let latest = now.plus(limits::CLOCK_TOLERANCE);
        let rows = state.rows.values().filter_map(|listed| listed.as_ref().ok());
        let ahead_of_clock =
            rows.filter(|stored| stored.entry.enabled && stored.done_until > latest).cloned().collect();
        Ok(Due { store: self.shared.id, now, ahead_of_clock, entries, next_at })
    }

    async fn identity(&self) -> Result<Identity, BackendError> {
        Ok(Identity { id: self.shared.id, place: "memory".to_owned() })
    }

    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError> {
        let mut state = self.lock();
        Ok(batch.iter().map(|advance| state.advance(advance)).collect())
    }

    async fn put(
        &self,
        entry: &Entry,
        expected: Expected,
        now: Option<Timestamp>,
    ) -> Result<Saved, BackendError> {
        entry.check().map_err(|error| refused(entry.name.as_str(), &error))?;
        let now = self.now(now);
        let state = self.lock();
        let change = match put_step(state.rows.get(entry.name.as_str()), entry, expected, now)? {
            Ok(change) => change,
            Err(conflict) => return Ok(conflict),
        };
        Ok(Saved::Saved(Box::new(self.write(state, change))))
    }

    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError> {
        let now = self.now(now);
        let state = self.lock();
        let Some(listed) = state.rows.get(name) else { return Ok(None) };
        let stored = listed.as_ref().map_err(BadEntry::refusal)?;
        match stored.enable(enabled, now) {
            Some(change) => Ok(Some(self.write(state, change))),
            None => Ok(Some(stored.clone())),
        }
    }

    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError> {
        let now = self.now(now);
        let state = self.lock();
        let Some(listed) = state.rows.get(name) else { return Ok(None) };
        let change = reset_step(listed, now)?;
        Ok(Some(self.write(state, change)))
    }

    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError> {
        let mut state = self.lock();
        let count = names.iter().filter(|name| state.rows.remove(**name).is_some()).count();
        state.due.retain(|(_, name)| !names.contains(&name.as_str()));
        if count > 0 {
            self.tell(state);
        }
        Ok(count)
    }

    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError> {
        check_declared(declared)?;
        let now = self.now(now);
        let mut state = self.lock();
        let (merged, changes) = merge(state.rows.values(), source, declared, now);
        if changes.is_empty() {
            return Ok(merged);
        }
        for change in changes {
            state.write(change);
        }
        self.tell(state);
        Ok(merged)
    }

    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError> {
        let state = self.lock();
        Ok(names.iter().map(|name| state.rows.get(*name).cloned()).collect())
    }

    async fn list(&self, filter: &EntryFilter, page: Page) -> Result<Paged<Listed>, BackendError> {
        let state = self.lock();
        let after = page.after.as_deref();
        let found = state
            .rows
            .iter()
            .filter(|(name, listed)| {
                after.is_none_or(|after| name.as_str() > after) && matches(filter, name, listed)
            })
            .map(|(name, listed)| (name.clone(), listed.clone()));
        Ok(paged(found, page.limit))
    }

    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError> {
        let after = page.after.as_deref().map(read_key).transpose()?;
        let state = self.lock();
        let found = state
            .history
            .iter()
            .rev()
            .filter(|((name, slot, fate), firing)| {
                *name == query.name
                    && query.since.is_none_or(|since| firing.last_slot >= since)
                    && query.until.is_none_or(|until| firing.slot < until)
                    && after.as_ref().is_none_or(|(at, word)| (*slot, *fate) < (*at, word.as_str()))
            })
            .map(|((_, slot, fate), firing)| (format!("{}_{fate}", slot.as_micros()), firing.clone()));
        Ok(paged(found, page.limit))
    }

    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        let until = self.now(now).minus(keep);
        let mut state = self.lock();
        let mut old: Vec<(Timestamp, Key)> = state
            .history
            .iter()
            .filter(|(_, firing)| firing.at < until)
            .map(|(key, firing)| (firing.at, key.clone()))
            .collect();
        old.sort();
        old.truncate(limit);
        for (_, key) in &old {
            state.history.remove(key);
        }
        Ok(old.len())
    }

    async fn changed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            let now = self.lock().changes;
            if self.told.swap(now, Ordering::SeqCst) != now {
                return;
            }
            changed.await;
        }
    }
}

impl fmt::Debug for MemorySchedules {
    /// Not the entries: their arguments may be what nobody should read in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySchedules").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

impl State {
    fn write(&mut self, change: Change) -> StoredEntry {
        let Change { stored, passed } = change;
        if let Some(firing) = passed {
            self.tell_of(&firing);
        }
        let name = stored.entry.name.as_str().to_owned();
        self.schedule(&name, stored.next_run_at);
        self.rows.insert(name, Ok(stored.clone()));
        stored
    }

    /// The slots of an entry that fired though it is not done with them.
    fn fired_ahead(&self, stored: &StoredEntry) -> Vec<Timestamp> {
        let name = stored.entry.name.as_str();
        let later = self.history.range((name.to_owned(), stored.done_until, "")..);
        later
            .take_while(|((of, _, _), _)| of == name)
            .filter(|(_, firing)| firing.slot > stored.done_until && matches!(firing.fate, Fate::Fired(_)))
            .map(|(_, firing)| firing.slot)
            .collect()
    }

    fn schedule(&mut self, name: &str, next_run_at: Option<Timestamp>) {
        self.due.retain(|(_, other)| other != name);
        self.due.extend(next_run_at.map(|at| (at, name.to_owned())));
    }

    /// Whether it was not known yet. Where slots were passed over again, after a clock was set back, one firing stands for
    /// all of them.
    fn tell_of(&mut self, firing: &Firing) -> bool {
        let key = (firing.name.as_str().to_owned(), firing.slot, firing.fate.as_str());
        let is_new = self
            .history
            .get(&key)
            .is_none_or(|known| known.fate.task().is_none() && firing.last_slot > known.last_slot);
        if is_new {
            self.history.insert(key, firing.clone());
        }
        is_new
    }

    fn advance(&mut self, advance: &Advance) -> Advanced {
        let name = advance.name.as_str();
        let wins = self.rows.get(name).is_some_and(|listed| {
            let seen = (advance.revision, advance.seen);
            listed.as_ref().is_ok_and(|stored| (stored.revision, stored.done_until) == seen)
        });
        let told: Vec<&Firing> = advance
            .firings
            .iter()
            .filter(|firing| (wins || firing.fate.task().is_some()) && self.tell_of(firing))
            .collect();
        let Some(Ok(stored)) = self.rows.get_mut(name) else { return Advanced::Lost };
        for firing in told {
            let Some(task) = firing.fate.task() else { continue };
            stored.total_run_count += 1;
            if stored.last_run_at.is_none_or(|last| last <= firing.at) {
                (stored.last_run_at, stored.last_task_id) = (Some(firing.at), Some(task));
            }
        }
        if !wins {
            return Advanced::Lost;
        }
        if advance.rewinds {
            stored.rewound = Some(Rewound { from: stored.done_until, at: advance.done_until });
        }
        stored.done_until = advance.done_until;
        stored.next_run_at = advance.next_run_at;
        stored.last_error.clone_from(&advance.error);
        if advance.ends {
            stored.entry.enabled = false;
            stored.disabled_by = Some(DisabledBy::Done);
            stored.revision += 1;
        }
        let next = stored.next_run_at;
        self.schedule(name, next);
        Advanced::Done
    }
}

fn matches(filter: &EntryFilter, name: &str, listed: &Listed) -> bool {
    let (task, enabled) = match listed {
        Ok(stored) => (Some(stored.entry.task.as_str()), stored.entry.enabled),
        Err(bad) => (None, bad.enabled),
    };
    filter.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
        && filter.task.as_deref().is_none_or(|wanted| task == Some(wanted))
        && filter.enabled.is_none_or(|wanted| enabled == wanted)
}

fn read_key(text: &str) -> Result<(Timestamp, String), BackendError> {
    let parts = text.split_once('_').and_then(|(micros, word)| {
        let known = Fate::WORDS.contains(&word);
        micros.parse().ok().filter(|_| known).map(|micros| (Timestamp::from_micros(micros), word.to_owned()))
    });
    parts.ok_or_else(|| bad_page(text))
}
