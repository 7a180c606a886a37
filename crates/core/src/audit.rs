//! Who did what, and when: the actions of people and programs, kept for those who ask later.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{BackendError, Page, Paged, Timestamp};

/// How long actions are kept unless said otherwise: 400 days, so that a year ago is still there when somebody looks back.
pub const KEEP: Duration = Duration::from_secs(400 * 86_400);

/// A store of actions. Beside results, where those are in a database.
///
/// 1. `record` keeps all of a batch, or nothing on an error. It adds only: two actions that are alike are two, and nothing
///    that was kept changes. A batch whose answer was lost may have been kept.
/// 2. `list` answers the newest first by [`Action::at`]; of one instant, what was recorded last is first. It goes by key-set
///    pages: whoever reads on sees each action once, whatever is recorded meanwhile.
/// 3. Filters compare whole texts, and apply together. `since` is part of the time that is asked for, `until` is not.
/// 4. Texts that are longer than an action may have are cut, see [`Action::fitted`]; no text makes a batch fail.
/// 5. `trim` removes what happened before an instant, the oldest first.
/// 6. Instants are given, never made here.
#[async_trait]
pub trait AuditStore: Send + Sync + fmt::Debug {
    /// Keeps actions.
    async fn record(&self, batch: &[Action]) -> Result<(), BackendError>;

    /// Actions that match a filter, the newest first.
    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<Action>, BackendError>;

    /// Removes what happened before this instant, at most `limit` actions; answers how many.
    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError>;
}

/// One action of somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// When.
    pub at: Timestamp,
    /// The name of the person or the program.
    pub who: String,
    /// The address that it came from; empty where that is not known.
    pub address: String,
    /// What, such as `queues/pause`.
    pub what: String,
    /// To what: a queue, a task, an entry of the schedule. Empty where there is no such thing.
    pub to: String,
    /// What became of it, in a sentence.
    pub outcome: String,
}

impl Action {
    /// Bytes of a name, an address and the word for what was done.
    pub const LONGEST_NAME: usize = 200;
    /// Bytes of what an action was done to.
    pub const LONGEST_TARGET: usize = 500;
    /// Bytes of an outcome.
    pub const LONGEST_OUTCOME: usize = 1_000;

    /// The action with each text cut to its longest, between characters, and control characters replaced: neither a row of
    /// a table nor a line of a log can be forged.
    #[must_use]
    pub fn fitted(&self) -> Self {
        Self {
            at: self.at,
            who: fitted(&self.who, Self::LONGEST_NAME),
            address: fitted(&self.address, Self::LONGEST_NAME),
            what: fitted(&self.what, Self::LONGEST_NAME),
            to: fitted(&self.to, Self::LONGEST_TARGET),
            outcome: fitted(&self.outcome, Self::LONGEST_OUTCOME),
        }
    }
}

fn fitted(text: &str, longest: usize) -> String {
    // What replaces a character may be longer than it was, so the cut comes last.
    let plain: String = text
        .chars()
        .take(longest)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    plain[..plain.floor_char_boundary(longest)].to_owned()
}

/// Which actions to list; everything that is `None` matches all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditFilter {
    /// Of this person or program.
    pub who: Option<String>,
    /// This one, such as `queues/pause`.
    pub what: Option<String>,
    /// At or after this instant.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// The filter with its texts as [`fitted`](Action::fitted) actions have them: what was cut is found by what was given.
    #[must_use]
    pub fn fitted(&self) -> Self {
        let name = |text: &Option<String>| text.as_deref().map(|text| fitted(text, Action::LONGEST_NAME));
        Self { who: name(&self.who), what: name(&self.what), ..self.clone() }
    }

    /// Whether an action is asked for.
    #[must_use]
    pub fn matches(&self, action: &Action) -> bool {
        self.who.as_ref().is_none_or(|who| *who == action.who)
            && self.what.as_ref().is_none_or(|what| *what == action.what)
            && self.since.is_none_or(|since| action.at >= since)
            && self.until.is_none_or(|until| action.at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_keep_to_their_line() {
        let long = "é".repeat(Action::LONGEST_OUTCOME);
        let action = Action {
            at: Timestamp::default(),
            who: format!("x{long}"),
            address: String::new(),
            what: "queues/pause".into(),
            to: "a\nb\0c\u{85}d".into(),
            outcome: long.clone(),
        };
        let fitted = action.fitted();
        assert_eq!(fitted.who, format!("x{}", "é".repeat(99)));
        assert_eq!(fitted.outcome.len(), Action::LONGEST_OUTCOME);
        assert_eq!(fitted.to, "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(fitted.fitted(), fitted);
    }
}
