//! The life of a task: one exhaustive, pure function.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DeadReason, Directive, RetryPolicy};

/// The state of a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waiting for a worker.
    Pending,
    /// Due in the future.
    Scheduled,
    /// Running.
    Started,
    /// Waiting for its next attempt.
    Retry,
    /// Ended with a result.
    Success,
    /// Ended without: exhausted, permanent, poisoned, undeliverable or unreadable.
    Failure,
    /// Ended because somebody cancelled it.
    Revoked,
    /// Ended because nobody started it in time.
    Expired,
    /// Ended quietly by its own decision.
    Discarded,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Scheduled,
        Self::Started,
        Self::Retry,
        Self::Success,
        Self::Failure,
        Self::Revoked,
        Self::Expired,
        Self::Discarded,
    ];

    /// The word that is stored, such as `success`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Started => "started",
            Self::Retry => "retry",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Discarded => "discarded",
        }
    }

    /// Whether only "run again" leads out of it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Scheduled | Self::Started | Self::Retry => false,
            Self::Success | Self::Failure | Self::Revoked | Self::Expired | Self::Discarded => true,
        }
    }
}

impl fmt::Display for TaskState {
    /// In capitals, as Celery's users know them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str().to_ascii_uppercase())
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase();
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("`{text}` is not a state: expected one of {}", all.join(", "))
        })
    }
}

/// Something that happens to a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Its time has come.
    Due,
    /// A worker starts it.
    Start,
    /// It returned a result.
    Succeed,
    /// It returned an error, panicked or ran out of time.
    Fail {
        /// What the failure asks for.
        directive: Directive,
        /// Failed attempts in this run, this one included.
        failed: u32,
        /// Any number: it decides the jitter.
        random: u64,
    },
    /// It blocks its thread beyond its hard limit and cannot be killed.
    Stick,
    /// It was cancelled.
    Revoke,
    /// Nobody started it in time.
    Expire,
    /// A worker hands it back without an outcome, ready again after this time.
    GiveBack(Duration),
    /// Its lease ended without an outcome.
    LoseLease,
    /// It lost too many leases.
    Poison,
    /// No worker could run it for an hour.
    GiveUp,
    /// Nobody can read it.
    Unreadable,
    /// Somebody wants it to run again.
    RunAgain,
}

/// What an event leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The new state.
    pub state: TaskState,
    /// Ready again after this time.
    pub after: Option<Duration>,
    /// Kept as a dead letter, and why.
    pub dead: Option<DeadReason>,
}

/// An event that cannot happen in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a task that is {state} cannot {event:?}")]
pub struct IllegalTransition {
    state: TaskState,
    event: Event,
}

/// The next step in the life of a task. Everything else carries steps out.
///
/// # Errors
/// When the event cannot happen in this state.
pub fn transition(state: TaskState, event: Event, policy: &RetryPolicy) -> Result<Step, IllegalTransition> {
    use TaskState::{Discarded, Expired, Failure, Pending, Retry, Revoked, Scheduled, Started, Success};
    let step = |state| Ok(Step { state, after: None, dead: None });
    let dead = |reason| Ok(Step { state: Failure, after: None, dead: Some(reason) });
    let illegal = || Err(IllegalTransition { state, event });
    match (state, event) {
        (Scheduled | Retry, Event::Due) | (Started, Event::LoseLease) => step(Pending),
        (Pending, Event::Start) => step(Started),
        (Started, Event::Succeed) => step(Success),
        (Started, Event::Fail { directive, failed, random }) => match directive {
            Directive::Discard => step(Discarded),
            Directive::Permanent => dead(DeadReason::Permanent),
            Directive::Policy | Directive::RetryIn(_) => match policy.delay(failed, random) {
                None => dead(DeadReason::Exhausted),
                Some(by_policy) => {
                    let after = if let Directive::RetryIn(chosen) = directive { chosen } else { by_policy };
                    Ok(Step { state: Retry, after: Some(after), dead: None })
                }
            },
        },
        (Started, Event::Stick) => dead(DeadReason::Permanent),
        (Pending | Scheduled | Started | Retry, Event::Revoke) => step(Revoked),
        (Pending | Scheduled | Retry, Event::Expire) => step(Expired),
        // Given back with no delay it is ready; with one it waits for its time.
        (Pending | Started, Event::GiveBack(after)) => Ok(Step {
            state: if after.is_zero() { Pending } else { Scheduled },
            after: Some(after),
            dead: None,
        }),
        (Pending, Event::Poison) => dead(DeadReason::Poisoned),
        (Pending, Event::GiveUp) => dead(DeadReason::Undeliverable),
        (Pending, Event::Unreadable) => dead(DeadReason::Unreadable),
        (Success | Failure | Revoked | Expired | Discarded, Event::RunAgain) => step(Pending),
        (Pending | Started, Event::Due)
        | (Scheduled | Started | Retry, Event::Start)
        | (
            Pending | Scheduled | Retry,
            Event::Succeed | Event::Fail { .. } | Event::Stick | Event::LoseLease,
        )
        | (Started, Event::Expire)
        | (Scheduled | Retry, Event::GiveBack(_))
        | (Scheduled | Started | Retry, Event::Poison | Event::GiveUp | Event::Unreadable)
        | (Pending | Scheduled | Started | Retry, Event::RunAgain) => illegal(),
        (
            Success | Failure | Revoked | Expired | Discarded,
            Event::Due
            | Event::Start
            | Event::Succeed
            | Event::Fail { .. }
            | Event::Stick
            | Event::Revoke
            | Event::Expire
            | Event::GiveBack(_)
            | Event::LoseLease
            | Event::Poison
            | Event::GiveUp
            | Event::Unreadable,
        ) => illegal(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Event> {
        let directive = prop_oneof![
            Just(Directive::Policy),
            Just(Directive::Permanent),
            Just(Directive::Discard),
            (0_u64..1_000).prop_map(|s| Directive::RetryIn(Duration::from_secs(s))),
        ];
        prop_oneof![
            Just(Event::Due),
            Just(Event::Start),
            Just(Event::Succeed),
            Just(Event::Stick),
            Just(Event::Revoke),
            Just(Event::Expire),
            Just(Event::LoseLease),
            Just(Event::Poison),
            Just(Event::GiveUp),
            Just(Event::Unreadable),
            Just(Event::RunAgain),
            (0_u64..90).prop_map(|s| Event::GiveBack(Duration::from_secs(s))),
            (directive, 1_u32..8, any::<u64>()).prop_map(|(directive, failed, random)| Event::Fail {
                directive,
                failed,
                random
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_terminal_state_is_left_only_by_run_again(state in proptest::sample::select(&TaskState::ALL[..]), event in events()) {
            let step = transition(state, event, &RetryPolicy::default());
            if state.is_terminal() {
                prop_assert_eq!(step.is_ok(), event == Event::RunAgain);
            }
            if let Ok(step) = step {
                prop_assert_eq!(step.dead.is_some(), step.state == TaskState::Failure);
                prop_assert!(!step.state.is_terminal() || step.after.is_none());
                prop_assert!(step.state != TaskState::Retry || step.after.is_some());
            }
        }

        #[test]
        fn any_story_keeps_attempts_within_the_policy(story in proptest::collection::vec(events(), 0..60)) {
            let policy = RetryPolicy::times(3);
            let (mut state, mut retries) = (TaskState::Pending, 0);
            for event in story {
                let event = if let Event::Fail { directive, random, .. } = event {
                    Event::Fail { directive, failed: retries + 1, random }
                } else {
                    event
                };
                if let Ok(step) = transition(state, event, &policy) {
                    if event == Event::RunAgain { retries = 0; }
                    if step.state == TaskState::Retry { retries += 1; }
                    state = step.state;
                }
                prop_assert!(retries <= 3);
            }
        }
    }

    #[test]
    fn each_way_to_fail_ends_where_it_should() {
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::times(1) };
        let fail = |directive, failed| {
            transition(TaskState::Started, Event::Fail { directive, failed, random: 0 }, &policy).unwrap()
        };
        assert_eq!(fail(Directive::Policy, 1).after, Some(Duration::from_secs(1)));
        assert_eq!(fail(Directive::RetryIn(Duration::from_secs(9)), 1).after, Some(Duration::from_secs(9)));
        assert_eq!(fail(Directive::Policy, 2).dead, Some(DeadReason::Exhausted));
        assert_eq!(fail(Directive::RetryIn(Duration::ZERO), 2).dead, Some(DeadReason::Exhausted));
        assert_eq!(fail(Directive::Permanent, 1).dead, Some(DeadReason::Permanent));
        assert_eq!(fail(Directive::Discard, 1).state, TaskState::Discarded);
    }
}
