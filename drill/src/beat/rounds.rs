//! What a beat does, seen at its store: when it found something due, and when it has written what it made of that. A beat
//! that is killed or frozen in between is the one that tempts the others to publish a second time, or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::schedule::{
    Advance, Advanced, Due, Entry, EntryFilter, Expected, Firing, HistoryQuery, Identity, Listed, Merged,
    Saved, ScheduleStore, StoredEntry,
};
use lovage_core::{BackendError, Page, Paged, Source, Timestamp};

/// A store that keeps a journal of the rounds of its beat: one `write` to the system a line.
#[derive(Debug)]
pub struct Watched {
    store: Arc<dyn ScheduleStore>,
    journal: File,
}

/// What the journal of a beat tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rounds {
    /// Entries that it advanced.
    pub won: usize,
    /// Entries that another beat had advanced before.
    pub lost: usize,
    /// Whether it has found something due and has not written what became of it.
    pub under_way: bool,
}

impl Watched {
    /// A store with its journal, which is continued.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(store: Arc<dyn ScheduleStore>, journal: &Path) -> io::Result<Self> {
        let journal = OpenOptions::new().create(true).append(true).open(journal)?;
        let watched = Self { store, journal };
        watched.tell("B 0 0");
        Ok(watched)
    }

    #[expect(clippy::expect_used, reason = "without journals the drill proves nothing")]
    fn tell(&self, line: &str) {
        (&self.journal).write_all(format!("{line}\n").as_bytes()).expect("the journal cannot be written");
    }
}

/// Reads the journal of a beat; none yet is an empty one.
///
/// # Errors
/// When the file cannot be read or has a line that is not one of ours.
pub fn read(path: &Path) -> io::Result<Rounds> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: a line cannot be read", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Rounds::default()),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<Rounds> {
    let mut rounds = Rounds::default();
    // A beat may be about to write the last line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, first, second] = words[..] else { return None };
        let (first, second): (usize, usize) = (first.parse().ok()?, second.parse().ok()?);
        match kind {
            "B" => rounds.under_way = false,
            "D" => rounds.under_way = true,
            "A" => rounds = Rounds { won: rounds.won + first, lost: rounds.lost + second, under_way: false },
            _ => return None,
        }
    }
    Some(rounds)
}

#[async_trait]
impl ScheduleStore for Watched {
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError> {
        let due = self.store.due(ahead, limit, now).await?;
        if !due.entries.is_empty() {
            self.tell(&format!("D {} 0", due.entries.len()));
        }
        Ok(due)
    }

    async fn identity(&self) -> Result<Identity, BackendError> {
        self.store.identity().await
    }

    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError> {
        let answers = self.store.advance(batch).await?;
        let won = answers.iter().filter(|answer| **answer == Advanced::Done).count();
        self.tell(&format!("A {won} {}", answers.len() - won));
        Ok(answers)
    }

    async fn put(
        &self,
        entry: &Entry,
        expected: Expected,
        now: Option<Timestamp>,
    ) -> Result<Saved, BackendError> {
        self.store.put(entry, expected, now).await
    }

    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError> {
        self.store.set_enabled(name, enabled, now).await
    }

    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError> {
        self.store.reset(name, now).await
    }

    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError> {
        self.store.delete(names).await
    }

    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError> {
        self.store.merge(source, declared, now).await
    }

    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError> {
        self.store.get(names).await
    }

    async fn list(&self, filter: &EntryFilter, page: Page) -> Result<Paged<Listed>, BackendError> {
        self.store.list(filter, page).await
    }

    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError> {
        self.store.history(query, page).await
    }

    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        self.store.forget(keep, limit, now).await
    }

    async fn changed(&self) {
        self.store.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_under_way_until_it_is_written() {
        let rounds = |won, lost, under_way| Some(Rounds { won, lost, under_way });
        assert_eq!(parse(""), rounds(0, 0, false));
        assert_eq!(parse("B 0 0\nD 500 0\n"), rounds(0, 0, true));
        // Its last line is not whole.
        assert_eq!(parse("B 0 0\nD 500 0\nA 49"), rounds(0, 0, true));
        assert_eq!(parse("D 500 0\nA 490 10\nD 1 0\nA 1 0\n"), rounds(491, 10, false));
        // It was killed then, and began anew.
        assert_eq!(parse("D 500 0\nB 0 0\n"), rounds(0, 0, false));
        assert_eq!(parse("X 1 1\n"), None);
    }
}
