//! Retry arithmetic.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a failed task is tried again, and how long it waits before each try.
///
/// The default is 3 retries after 1 s, 2 s, 4 s (doubling up to 10 min), each with full jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Tries after the first one; 0 retries nothing.
    pub max_retries: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// Full jitter: a random delay between zero and the computed one, so that failures do not come back in step.
    pub jitter: bool,
}

/// How the delay before a retry grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Backoff {
    /// Always the same delay.
    Fixed(Duration),
    /// `base`, doubled for each failed attempt, at most `cap`.
    Exponential {
        /// The delay before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
    },
}

impl RetryPolicy {
    /// Never tries again.
    pub const NEVER: Self = Self { max_retries: 0, backoff: Backoff::Fixed(Duration::ZERO), jitter: false };

    /// The default policy with another number of retries.
    #[must_use]
    pub const fn times(max_retries: u32) -> Self {
        Self {
            max_retries,
            backoff: Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_secs(600) },
            jitter: true,
        }
    }

    /// The delay before the next try after `failed` failed attempts (1 or more), or `None` when no retry is left.
    /// `random` is any number of the whole range; it decides the jitter.
    #[must_use]
    pub fn delay(&self, failed: u32, random: u64) -> Option<Duration> {
        if failed > self.max_retries {
            return None;
        }
        let full = match self.backoff {
            Backoff::Fixed(delay) => delay,
            Backoff::Exponential { base, cap } => {
                let doublings = failed.saturating_sub(1).min(63);
                u32::try_from(1_u64 << doublings.min(31))
                    .ok()
                    .and_then(|by| base.checked_mul(by))
                    .unwrap_or(cap)
                    .min(cap)
            }
        };
        if !self.jitter {
            return Some(full);
        }
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        // A multiplication instead of a remainder: no bias, and no special case for zero.
        let scaled = (u128::from(micros) * u128::from(random)) >> 64;
        Some(Duration::from_micros(u64::try_from(scaled).unwrap_or(u64::MAX)))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::times(3)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::times(60) };
        let seconds: Vec<u64> = (1..=12).map(|n| policy.delay(n, 0).unwrap().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(policy.delay(60, 0), Some(Duration::from_secs(600)));
        assert_eq!(policy.delay(61, 0), None);
        assert_eq!(RetryPolicy::NEVER.delay(1, 0), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_the_delay(failed in 1_u32..200, random: u64, base in 0_u64..100_000, cap in 0_u64..100_000) {
            let backoff = Backoff::Exponential { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let plain = RetryPolicy { max_retries: 300, backoff, jitter: false };
            let full = plain.delay(failed, random).unwrap();
            let jittered = RetryPolicy { jitter: true, ..plain }.delay(failed, random).unwrap();
            prop_assert!(jittered <= full);
            prop_assert!(full <= Duration::from_millis(cap));
            prop_assert!(plain.delay(failed + 1, random).unwrap() >= full);
        }
    }
}
