//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Digest, digest};

/// Attempts are counted for this long from the first.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Attempts for one name from one address.
const PER_PAIR: u32 = 10;
/// Attempts for one name from all addresses from which it has not logged in. A user whose password others try from many
/// addresses can still log in from an address of an earlier login.
const PER_NAME: u32 = 100;
/// Attempts from one address: several people may share it.
const PER_ADDRESS: u32 = 50;
/// Names and addresses that are remembered; beyond that those that were counted first are forgotten.
const REMEMBERED: usize = 10_000;
/// How many are forgotten at a time: each attempt of a flood looks at few others that way.
const FORGOTTEN: usize = REMEMBERED / 10;

/// Counts attempts to log in, by name, by address, and by both. An attempt counts when it begins, so that many at the same time do
/// not slip through; a success takes its count back.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    counts: Mutex<HashMap<Source, Count>>,
    /// When a name last logged in from an address.
    known: Mutex<HashMap<Source, Duration>>,
}

/// Where an attempt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    Name(Digest),
    Address(IpAddr),
    /// The address where it is known.
    Pair(Digest, Option<IpAddr>),
}

#[derive(Debug)]
struct Count {
    since: Duration,
    attempts: u32,
}

impl Source {
    /// What an attempt for a name from an address counts for.
    pub(crate) fn of(name: &str, address: Option<IpAddr>) -> Vec<Self> {
        let (name, address) = (digest(name), address.map(whole));
        [Self::Pair(name, address), Self::Name(name)].into_iter().chain(address.map(Self::Address)).collect()
    }

    const fn limit(self) -> u32 {
        match self {
            Self::Pair(..) => PER_PAIR,
            Self::Name(_) => PER_NAME,
            Self::Address(_) => PER_ADDRESS,
        }
    }
}

/// One person may have a whole /64 of IPv6.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::from((u128::from_be_bytes(address.octets()) & (u128::MAX << 64)).to_be_bytes())
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Attempts {
    /// Counts an attempt at `now` (monotonic).
    ///
    /// # Errors
    /// When there were too many: how long to wait.
    pub(crate) fn begin(&self, now: Duration, sources: &[Source]) -> Result<(), Duration> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = sources.iter().any(|source| known.contains_key(source));
        drop(known);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = sources.iter().filter(|source| !(is_known && matches!(source, Source::Name(_))));
        let wait = sources.clone().filter_map(|source| counts.get(source)?.wait(now, source.limit())).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for source in sources {
            if counts.len() >= REMEMBERED && !counts.contains_key(source) {
                make_room(&mut counts, now);
            }
            let count = counts.entry(*source).or_insert(Count { since: now, attempts: 0 });
            if now.saturating_sub(count.since) >= WINDOW {
                *count = Count { since: now, attempts: 0 };
            }
            count.attempts += 1;
        }
        Ok(())
    }

    /// The attempt succeeded at `now` (monotonic).
    pub(crate) fn succeeded(&self, now: Duration, sources: &[Source]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources.iter().filter(|source| matches!(source, Source::Pair(_, Some(_)))) {
            if known.len() >= REMEMBERED && !known.contains_key(source) {
                forget_oldest(&mut known, |last_login| *last_login);
            }
            known.insert(*source, now);
        }
        drop(known);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources {
            match source {
                Source::Name(_) | Source::Pair(..) => drop(counts.remove(source)),
                // Somebody who knows one password must not guess others without end.
                Source::Address(_) => {
                    counts
                        .entry(*source)
                        .and_modify(|count| count.attempts = count.attempts.saturating_sub(1));
                }
            }
        }
    }
}

impl Count {
    fn wait(&self, now: Duration, limit: u32) -> Option<Duration> {
        let left = WINDOW.checked_sub(now.saturating_sub(self.since))?;
        (self.attempts >= limit && !left.is_zero()).then_some(left)
    }
}

fn make_room(counts: &mut HashMap<Source, Count>, now: Duration) {
    counts.retain(|_, count| now.saturating_sub(count.since) < WINDOW);
    if counts.len() < REMEMBERED {
        return;
    }
    forget_oldest(counts, |count| count.since);
}

/// Removes the [`FORGOTTEN`] oldest entries.
fn forget_oldest<T>(entries: &mut HashMap<Source, T>, time_of: impl Fn(&T) -> Duration) {
    let mut times: Vec<Duration> = entries.values().map(&time_of).collect();
    let (_, &mut latest, _) = times.select_nth_unstable(FORGOTTEN - 1);
    let mut left = FORGOTTEN;
    entries.retain(|_, entry| {
        let goes = left > 0 && time_of(entry) <= latest;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn from(name: &str, address: &str) -> Vec<Source> {
        Source::of(name, Some(address.parse().unwrap()))
    }

    #[test]
    fn a_name_is_tried_ten_times_and_again_after_the_window() {
        for sources in [from("ann", "10.0.0.1"), Source::of("ann", None)] {
            let attempts = Attempts::default();
            for _ in 0..PER_PAIR {
                assert_eq!(attempts.begin(NOW, &sources), Ok(()));
            }
            let later = NOW + Duration::from_secs(60);
            assert_eq!(attempts.begin(later, &sources), Err(Duration::from_secs(14 * 60)));
            assert_eq!(attempts.begin(NOW, &from("bob", "10.0.0.1")), Ok(()));
            assert_eq!(attempts.begin(NOW + WINDOW, &sources), Ok(()));
        }
    }

    #[test]
    fn nobody_locks_somebody_out_from_one_address() {
        let attempts = Attempts::default();
        for _ in 0..1_000 {
            for name in ["ann", "bob"] {
                let _refused_at_some_time = attempts.begin(NOW, &from(name, "10.0.0.1"));
            }
        }
        assert_eq!(attempts.begin(NOW, &from("ann", "10.0.0.2")), Ok(()));
        assert_eq!(attempts.begin(NOW, &from("bob", "10.0.0.2")), Ok(()));
    }

    #[test]
    fn a_name_is_tried_a_hundred_times_from_everywhere() {
        let attempts = Attempts::default();
        let tries = (0..10_000_u32).filter(|n| {
            let address = IpAddr::from(n.to_be_bytes());
            attempts.begin(NOW, &Source::of("ann", Some(address))).is_ok()
        });
        assert_eq!(tries.count(), 100);
        assert_eq!(attempts.begin(NOW, &from("bob", "10.0.0.2")), Ok(()));
    }

    #[test]
    fn addresses_of_earlier_logins_cannot_be_locked_out() {
        let attempts = Attempts::default();
        let office = from("ann", "10.0.0.1");
        assert_eq!(attempts.begin(NOW, &office), Ok(()));
        attempts.succeeded(NOW, &office);
        for number in 0..10_000_u32 {
            let address = IpAddr::from((0x0b00_0000 + number / 10).to_be_bytes());
            let _refused_at_some_time = attempts.begin(NOW, &Source::of("ann", Some(address)));
        }
        assert!(attempts.begin(NOW, &from("ann", "10.0.0.2")).is_err());
        for _ in 0..PER_PAIR {
            assert_eq!(attempts.begin(NOW, &office), Ok(()));
        }
        assert!(attempts.begin(NOW, &office).is_err(), "the password is not guessed without end from there");
    }

    #[test]
    fn a_refused_attempt_counts_nowhere_and_a_good_one_is_taken_back() {
        let attempts = Attempts::default();
        for round in 0..200_u32 {
            let sources = from(&format!("user{round}"), "10.0.0.1");
            assert_eq!(attempts.begin(NOW, &sources), Ok(()));
            attempts.succeeded(NOW, &sources);
        }
        for round in 0..PER_ADDRESS {
            assert_eq!(attempts.begin(NOW, &from(&format!("user{round}"), "10.0.0.1")), Ok(()));
        }
        let victim = from("ann", "10.0.0.1");
        assert!(attempts.begin(NOW, &victim).is_err());
        let counts = attempts.counts.lock().unwrap();
        assert!(!counts.contains_key(&victim[0]) && !counts.contains_key(&victim[1]));
    }

    #[test]
    fn a_whole_64_of_ipv6_is_one_source_and_memory_is_bounded() {
        let one = from("ann", "2001:db8::1");
        assert_eq!(one, from("ann", "2001:db8::ffff:1"));
        assert_ne!(one, from("ann", "2001:db8:0:1::1"));
        let attempts = Attempts::default();
        for number in 0..REMEMBERED {
            let at = NOW + Duration::from_millis(u64::try_from(number / 20).unwrap());
            assert_eq!(attempts.begin(at, &Source::of(&number.to_string(), None)), Ok(()));
        }
        let counts = attempts.counts.lock().unwrap();
        assert!((REMEMBERED - FORGOTTEN..=REMEMBERED).contains(&counts.len()), "{}", counts.len());
        let is_known = |name: usize| counts.contains_key(&Source::of(&name.to_string(), None)[0]);
        assert!(is_known(REMEMBERED - 1) && !is_known(0), "the first are forgotten");
    }
}
