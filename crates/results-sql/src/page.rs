//! Pages of a list: where one ends, the next begins.

use lovage_core::{
    BackendError, BackendErrorKind, Found, Page, ResultFilter, TaskId, TaskRecord, TaskState, Timestamp,
};

/// Rows that are read for one page. What did not match there is left behind: the page may be short, or empty, and its `next`
/// goes on behind them. So each page is answered in time, however few match.
pub(crate) const SEARCH_WINDOW: usize = 20_000;
/// What errors name.
pub(crate) const CONTEXT: &str = "listing results";

pub(crate) const LARGEST_PAGE: usize = 1_000;

/// What to list.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) filter: &'a ResultFilter,
    pub(crate) page: &'a Page,
    /// See [`SEARCH_WINDOW`].
    pub(crate) window: usize,
}

/// The row in front of which everything is already answered. The order is that of the lists, backwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) finished_at: Timestamp,
    pub(crate) id: TaskId,
}

impl Search<'_> {
    /// Where the page begins.
    pub(crate) fn after(&self) -> Result<Key, BackendError> {
        let end = Key { finished_at: Timestamp::from_micros(i64::MAX), id: TaskId::from_bytes([0xff; 16]) };
        let after = self.page.after.as_deref().map_or(Ok(end), read_key)?;
        // Nothing that ended at `until` or later comes before the lowest id at that instant.
        let until = self.filter.until.map(|finished_at| Key { finished_at, id: TaskId::from_bytes([0; 16]) });
        Ok(until.map_or(after, |until| after.min(until)))
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.filter.since.unwrap_or(Timestamp::from_micros(i64::MIN))
    }

    /// The words of the states, if any are asked for.
    pub(crate) fn states(&self) -> Option<Vec<&'static str>> {
        let words: Vec<&str> = self.filter.states.iter().map(|state| state.as_str()).collect();
        (!words.is_empty()).then_some(words)
    }

    /// The text that failures must say, as [`said`](lovage_core::ErrorReport::said) has it.
    pub(crate) fn said(&self) -> Option<String> {
        self.filter.error_contains.as_deref().map(str::to_ascii_lowercase)
    }

    pub(crate) fn limit(&self) -> usize {
        self.page.limit.clamp(1, LARGEST_PAGE)
    }

    /// One more than the limit: that tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        count(self.limit() + 1)
    }

    /// The index that serves the list, and what it begins with.
    pub(crate) fn way(&self) -> Way<'_> {
        match (&self.filter.error_contains, &self.filter.task, self.filter.states.as_slice()) {
            (Some(_), ..) => Way::Error,
            (None, Some(task), _) => Way::Task(task),
            (None, None, [state]) => Way::State(*state),
            (None, None, _) => Way::All,
        }
    }
}

/// Which rows are read, by which index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'a> {
    /// All rows.
    All,
    /// Those of one task.
    Task(&'a str),
    /// Those in one state.
    State(TaskState),
    /// Failures.
    Error,
}

/// The page of what was found, of which there may be one more than it holds; `window_end` is where it stopped to read.
pub(crate) fn page(mut found: Vec<TaskRecord>, limit: usize, window_end: Option<Key>) -> Found {
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|last| Key { finished_at: last.finished_at, id: last.id });
    let (next, stopped) = if more { (last, None) } else { (window_end, window_end) };
    Found {
        items: found,
        next: next.map(write_key),
        searched_back_to: stopped.map(|stopped| stopped.finished_at),
    }
}

pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn write_key(key: Key) -> String {
    format!("{}_{}", key.finished_at.as_micros(), key.id)
}

fn read_key(text: &str) -> Result<Key, BackendError> {
    let parts = text
        .split_once('_')
        .and_then(|(micros, id)| Some((Timestamp::from_micros(micros.parse().ok()?), id.parse().ok()?)));
    let (finished_at, id) = parts.ok_or_else(|| no_page(text))?;
    Ok(Key { finished_at, id })
}

pub(crate) fn no_page(text: &str) -> BackendError {
    let message = format!("`{text}` is no end of a page: pass on what the last page said");
    BackendError::new(BackendErrorKind::Config, message)
}
