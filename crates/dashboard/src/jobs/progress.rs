//! How far a job is, and how that is said.

use lovage_core::{TaskId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::pages::kit::{count, counted};

/// Different reasons that are kept, the first ones.
const REASONS: usize = 5;

/// What a job is to do, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// As the audit names it, such as `finished/delete`.
    pub(crate) action: &'static str,
    /// Such as `Delete finished tasks`.
    pub(crate) title: &'static str,
    /// To what.
    pub(crate) to: String,
    /// One of those, such as `task`.
    pub(crate) one: &'static str,
    /// What is done to it, such as `deleted`.
    pub(crate) done: &'static str,
    /// How many there are, where that is known before it begins.
    pub(crate) total: Option<u64>,
}

/// How far a job is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Progress {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) reasons: Vec<Reason>,
    /// How many there are in all, done and failed ones included; `None` while that is not known.
    pub(crate) total: Option<u64>,
    /// It goes back in time, and came to this instant.
    pub(crate) reached: Option<Timestamp>,
    /// Why it waits, and tries again.
    pub(crate) trouble: Option<String>,
    pub(crate) end: Option<(Timestamp, End)>,
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Reason {
    pub(crate) why: String,
    /// To how many that happened.
    pub(crate) count: u64,
    /// The id of the first task, where it is known.
    pub(crate) first: Option<String>,
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// All was done that could be.
    Finished,
    /// By somebody.
    Stopped(String),
    /// With the dashboard.
    Shutdown,
    /// It could not go on.
    Failed(String),
}

/// What one step of a job did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) done: usize,
    /// What was not done: the task, where it is known, and why.
    pub(crate) failed: Vec<(Option<TaskId>, String)>,
    /// How many there are in all, where that is known by now.
    pub(crate) total: Option<u64>,
    pub(crate) reached: Option<Timestamp>,
    pub(crate) is_last: bool,
}

impl Progress {
    pub(crate) fn add(&mut self, step: Step) {
        let Step { done, failed, total, reached, is_last: _ } = step;
        let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
        self.done += number(done);
        self.failed += number(failed.len());
        self.total = total.or(self.total);
        self.reached = reached.or(self.reached);
        self.trouble = None;
        failed.into_iter().for_each(|(id, why)| self.explain(id, why));
    }

    pub(crate) fn end_with(&mut self, at: Timestamp, end: End) {
        self.trouble = None;
        self.end = Some((at, end));
    }

    fn explain(&mut self, id: Option<TaskId>, why: String) {
        if let Some(known) = self.reasons.iter_mut().find(|reason| reason.why == why) {
            known.count += 1;
        } else if self.reasons.len() < REASONS {
            self.reasons.push(Reason { why, count: 1, first: id.map(|id| id.to_string()) });
        }
    }

    /// How many are left, where that is known: of a finished job none, whatever others took.
    pub(crate) fn left(&self) -> Option<u64> {
        let is_finished = matches!(self.end, Some((_, End::Finished)));
        self.total.filter(|_| !is_finished).map(|total| total.saturating_sub(self.done + self.failed))
    }
}

impl Plan {
    /// How a job of this plan is, in a sentence or two.
    pub(crate) fn sentence(&self, progress: &Progress) -> String {
        let were = if progress.done == 1 { "was" } else { "were" };
        let did = format!("{} {were} {}", counted(progress.done, self.one), self.done);
        let missed = match progress.reasons.first() {
            Some(first) => format!(" {} could not be: {}.", count(progress.failed), first.why),
            None => String::new(),
        };
        match &progress.end {
            None => format!("{did} so far.{missed}"),
            Some((_, End::Finished)) if progress.done + progress.failed == 0 => "Nothing matched.".to_owned(),
            Some((_, End::Finished)) => format!("{did}.{missed}"),
            Some((_, End::Stopped(who))) => format!("Stopped by {who}: {did} by then.{missed}"),
            Some((_, End::Shutdown)) => format!("The dashboard stopped: {did} by then.{missed}"),
            Some((_, End::Failed(error))) => {
                format!("It ended early: {error}. {did} by then: begin it again for the rest.{missed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        action: "finished/delete",
        title: "Delete finished tasks",
        to: String::new(),
        one: "task",
        done: "deleted",
        total: None,
    };

    fn ended(progress: &Progress, end: End) -> String {
        PLAN.sentence(&Progress { end: Some((Timestamp::default(), end)), ..progress.clone() })
    }

    #[test]
    fn each_state_has_its_sentence() {
        let mut progress = Progress::default();
        assert_eq!(ended(&progress, End::Finished), "Nothing matched.");
        progress.add(Step { done: 1, ..Step::default() });
        assert_eq!(PLAN.sentence(&progress), "1 task was deleted so far.");
        progress.add(Step { done: 1_499, failed: vec![(None, "it is locked".into())], ..Step::default() });
        assert_eq!(
            ended(&progress, End::Finished),
            "1,500 tasks were deleted. 1 could not be: it is locked."
        );
        assert!(ended(&progress, End::Stopped("ann".into())).starts_with("Stopped by ann: 1,500 tasks were"));
        assert!(ended(&progress, End::Failed("disk full".into())).contains("disk full. 1,500 tasks were"));
        assert!(ended(&progress, End::Shutdown).starts_with("The dashboard stopped: 1,500"));
    }

    #[test]
    fn reasons_are_counted_and_only_the_first_are_kept() {
        let mut progress = Progress { total: Some(20), ..Progress::default() };
        let id = TaskId::from_bytes([7; 16]);
        let why = |number: usize| (Some(id), format!("reason {number}"));
        progress.add(Step {
            done: 2,
            failed: (0..9).map(|number| why(number % 7)).collect(),
            ..Step::default()
        });
        assert_eq!((progress.failed, progress.reasons.len(), progress.left()), (9, REASONS, Some(9)));
        assert_eq!((progress.reasons[0].count, progress.reasons[4].count), (2, 1));
        assert_eq!(progress.reasons[0].first, Some(id.to_string()));
    }
}
