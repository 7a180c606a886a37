//! A row as the two kinds of database have it: texts that nobody has checked yet.

use lovage_core::schedule::{
    BadEntry, Change, DisabledBy, Entry, EntryText, Fate, Firing, Listed, Ownership, Rewound, StoredEntry,
};
use lovage_core::{BackendError, BackendErrorKind, Source, TaskId, Timestamp};
use serde::Serialize;

/// The most entries that [`due`](lovage_core::schedule::ScheduleStore::due) answers.
pub(crate) const MOST_DUE: usize = 10_000;
/// The most entries that it answers as done ahead of the clock.
pub(crate) const MOST_AHEAD: i64 = 1_000;

/// A row of `lovage_schedule`. As JSON it is what an edit writes.
#[derive(Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) task: String,
    pub(crate) args: String,
    pub(crate) kwargs: String,
    pub(crate) schedule: String,
    pub(crate) queue: String,
    pub(crate) priority: i64,
    pub(crate) headers: String,
    pub(crate) expires: Option<String>,
    pub(crate) start_time: Option<String>,
    pub(crate) end_time: Option<String>,
    pub(crate) one_off: bool,
    pub(crate) enabled: bool,
    pub(crate) description: String,
    pub(crate) misfire: String,
    pub(crate) overlap: String,
    pub(crate) jitter: Option<String>,
    pub(crate) revision: i64,
    pub(crate) done_until: Timestamp,
    pub(crate) next_run_at: Option<Timestamp>,
    pub(crate) last_error: Option<String>,
    pub(crate) disabled_by: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) declared: Option<String>,
    pub(crate) edited: bool,
    pub(crate) gone: bool,
    // Only beats write these.
    #[serde(skip)]
    pub(crate) last_run_at: Option<Timestamp>,
    #[serde(skip)]
    pub(crate) last_task_id: Option<TaskId>,
    #[serde(skip)]
    pub(crate) total_run_count: i64,
    #[serde(skip)]
    pub(crate) rewound_at: Option<Timestamp>,
    #[serde(skip)]
    pub(crate) rewound_from: Option<Timestamp>,
}

impl Row {
    /// What an edit writes.
    pub(crate) fn of(stored: &StoredEntry) -> Self {
        let text = EntryText::from(&stored.entry);
        let Ownership { source, declared, edited, gone } = &stored.ownership;
        Self {
            name: text.name,
            task: text.task,
            args: text.args,
            kwargs: text.kwargs,
            schedule: text.schedule,
            queue: text.queue,
            priority: text.priority,
            headers: text.headers,
            expires: text.expires,
            start_time: text.start_time,
            end_time: text.end_time,
            one_off: text.one_off,
            enabled: text.enabled,
            description: text.description,
            misfire: text.misfire,
            overlap: text.overlap,
            jitter: text.jitter,
            revision: stored.revision,
            done_until: stored.done_until,
            next_run_at: stored.next_run_at,
            last_error: stored.last_error.clone(),
            disabled_by: stored.disabled_by.map(|why| why.as_str().to_owned()),
            source: source.as_ref().map(|source| source.as_str().to_owned()),
            declared: declared.as_ref().and_then(|entry| serde_json::to_string(entry).ok()),
            edited: *edited,
            gone: *gone,
            ..Self::default()
        }
    }

    /// What it says, or why that cannot be read.
    pub(crate) fn listed(self) -> Listed {
        let source = self.source.as_deref().map(str::parse::<Source>).transpose();
        let ownership = Ownership {
            source: source.as_ref().ok().cloned().flatten(),
            declared: self.declared.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            edited: self.edited,
            gone: self.gone,
        };
        let (name, revision, enabled, done_until) =
            (self.name.clone(), self.revision, self.enabled, self.done_until);
        let bad = |reason: String| BadEntry {
            name: name.clone(),
            reason,
            revision,
            enabled,
            done_until,
            ownership: ownership.clone(),
        };
        source.map_err(|error| bad(error.to_string()))?;
        let state = (self.last_run_at, self.last_task_id, self.total_run_count);
        let (next_run_at, last_error) = (self.next_run_at, self.last_error.clone());
        let rewound = self.rewound_at.zip(self.rewound_from).map(|(at, from)| Rewound { from, at });
        let disabled_by = self.disabled_by.as_deref().and_then(DisabledBy::parse);
        let entry = Entry::try_from(self.text()).map_err(|error| bad(error.to_string()))?;
        Ok(StoredEntry {
            entry,
            revision,
            done_until,
            next_run_at,
            last_run_at: state.0,
            last_task_id: state.1,
            total_run_count: state.2,
            last_error,
            disabled_by,
            rewound,
            fired_ahead: Vec::new(),
            ownership,
        })
    }

    fn text(self) -> EntryText {
        EntryText {
            name: self.name,
            task: self.task,
            args: self.args,
            kwargs: self.kwargs,
            schedule: self.schedule,
            queue: self.queue,
            priority: self.priority,
            headers: self.headers,
            expires: self.expires,
            start_time: self.start_time,
            end_time: self.end_time,
            one_off: self.one_off,
            enabled: self.enabled,
            description: self.description,
            misfire: self.misfire,
            overlap: self.overlap,
            jitter: self.jitter,
        }
    }
}

/// The rows that changes write, as a JSON list.
pub(crate) fn rows_json(changes: &[Change]) -> String {
    let rows: Vec<Row> = changes.iter().map(|change| Row::of(&change.stored)).collect();
    // Texts and numbers: nothing that could fail.
    serde_json::to_string(&rows).unwrap_or_default()
}

/// The fate of a stored firing.
pub(crate) fn fate(word: &str, task: Option<TaskId>, note: Option<String>) -> Result<Fate, BackendError> {
    Fate::from_stored(word, task, note).ok_or_else(|| corrupt(&format!("a firing with the fate `{word}`")))
}

/// What is stored beside the fate.
pub(crate) fn note(firing: &Firing) -> Option<String> {
    firing.fate.stored_note().map(|note| note.replace('\0', "\u{fffd}"))
}

/// A value that this crate did not write.
pub(crate) fn corrupt(what: &str) -> BackendError {
    let message =
        format!("the history of the schedule has {what}: somebody else wrote to it; remove the row");
    BackendError::new(BackendErrorKind::Corrupt, message)
}
