//! What is destructive or big is meant: people are asked before it is done, and told what it is.

use std::collections::BTreeMap;

use crate::pages::kit::{count, counted};

/// What is said of an action over all that match, behind another sentence.
pub(super) const AS_A_JOB: &str =
    " A job does it, which can be watched and stopped; what comes after it began is not meant.";

/// What an action would do.
#[derive(Debug)]
pub(crate) struct Sure {
    /// A question.
    pub(crate) title: &'static str,
    /// What will happen, to how many.
    pub(crate) words: String,
    /// What kinds of things that concerns.
    pub(crate) lines: Lines,
    /// What the button says that does it.
    pub(crate) button: &'static str,
    pub(crate) is_danger: bool,
    pub(crate) confirm: Confirm,
}

/// How somebody says that it is meant: the form has it as `confirm`.
#[derive(Debug)]
pub(crate) enum Confirm {
    /// By the button.
    Pressed,
    /// By typing this: nobody gets back what is removed, and it may be very many.
    Typed(String),
}

/// A table without links.
#[derive(Default, Debug)]
pub(crate) struct Lines {
    pub(crate) head: [&'static str; 3],
    pub(crate) rows: Vec<[String; 3]>,
    /// Whether its last column has numbers.
    pub(crate) are_counted: bool,
}

/// How many there are of each of two things, counted in as many as it is cheap to look at.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    kinds: BTreeMap<[String; 2], u64>,
    total: u64,
    /// There are more than were looked at.
    pub(crate) has_more: bool,
}

impl Tally {
    /// Where there may be more than are counted.
    pub(crate) fn of_some(has_more: bool) -> Self {
        Self { has_more, ..Self::default() }
    }

    pub(crate) fn add(&mut self, first: impl Into<String>, second: impl Into<String>) {
        *self.kinds.entry([first.into(), second.into()]).or_default() += 1;
        self.total += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0 && !self.has_more
    }

    /// `3 tasks`, `at least 1,000 tasks`.
    pub(crate) fn words(&self, what: &str) -> String {
        match (self.total, self.has_more) {
            (0, true) => format!("none of the newest, but perhaps older {what}s,"),
            (total, true) => format!("at least {}", counted(total, what)),
            (total, false) => counted(total, what),
        }
    }

    pub(crate) fn lines(self, first: &'static str, second: &'static str) -> Lines {
        let number = if self.has_more { "Of the newest" } else { "Number" };
        let row = |([first, second], number): ([String; 2], u64)| [first, second, count(number)];
        Lines {
            head: [first, second, number],
            rows: self.kinds.into_iter().map(row).collect(),
            are_counted: true,
        }
    }
}

/// The same with a capital letter, as sentences begin.
pub(super) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
