//! Pages of lists: where one ends, the next begins.

use lovage_core::schedule::{EntryFilter, Fate, Firing, HistoryQuery, Listed};
use lovage_core::{BackendError, BackendErrorKind, Page, Paged, Timestamp};

const LARGEST_PAGE: usize = 1_000;
/// Behind every name, which has 200 bytes at most.
const LAST_NAME_CHARS: usize = 51;

/// A range of names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Names {
    /// At or after.
    pub(crate) from: String,
    /// After.
    pub(crate) after: String,
    /// Before.
    pub(crate) until: String,
}

impl Names {
    pub(crate) fn of(filter: &EntryFilter, page: &Page) -> Self {
        let from = filter.prefix.clone().unwrap_or_default();
        let until = behind(&from).unwrap_or_else(|| char::MAX.to_string().repeat(LAST_NAME_CHARS));
        Self { from, after: page.after.clone().unwrap_or_default(), until }
    }
}

/// A range of the history, backwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slots {
    /// Before this slot and fate.
    pub(crate) before: (Timestamp, String),
    /// What reaches to this instant.
    pub(crate) since: Timestamp,
}

impl Slots {
    pub(crate) fn of(query: &HistoryQuery, page: &Page) -> Result<Self, BackendError> {
        // No word comes before the empty one.
        let until = (query.until.unwrap_or(Timestamp::from_micros(i64::MAX)), String::new());
        let before = page.after.as_deref().map(read_key).transpose()?;
        Ok(Self {
            before: before.map_or(until.clone(), |before| before.min(until)),
            since: query.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
        })
    }
}

/// One more than the limit of the page: that tells whether there is a next one.
pub(crate) fn rows(page: &Page) -> i64 {
    i64::try_from(limit(page) + 1).unwrap_or(i64::MAX)
}

pub(crate) fn entries(found: Vec<Listed>, page: &Page) -> Paged<Listed> {
    paged(found, page, |listed| match listed {
        Ok(stored) => stored.entry.name.as_str().to_owned(),
        Err(bad) => bad.name.clone(),
    })
}

pub(crate) fn firings(found: Vec<Firing>, page: &Page) -> Paged<Firing> {
    paged(found, page, |firing| format!("{}_{}", firing.slot.as_micros(), firing.fate.as_str()))
}

fn paged<T>(mut items: Vec<T>, page: &Page, key: impl Fn(&T) -> String) -> Paged<T> {
    let limit = limit(page);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Paged { items, next }
}

fn limit(page: &Page) -> usize {
    page.limit.clamp(1, LARGEST_PAGE)
}

fn read_key(text: &str) -> Result<(Timestamp, String), BackendError> {
    let parts = text.split_once('_').filter(|(_, word)| Fate::WORDS.contains(word));
    let key = parts
        .and_then(|(micros, word)| Some((Timestamp::from_micros(micros.parse().ok()?), word.to_owned())));
    key.ok_or_else(|| {
        let message = format!("`{text}` is no end of a page: pass on what the last page said");
        BackendError::new(BackendErrorKind::Config, message)
    })
}

/// The first text behind all that begin with `prefix`, if there is one.
fn behind(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The range knows which numbers are no characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_prefix_ends_behind_all_that_begin_with_it() {
        assert_eq!(behind("ab").as_deref(), Some("ac"));
        assert_eq!(behind("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(behind("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(behind("\u{10ffff}"), None);
        assert_eq!(behind(""), None);
    }
}
