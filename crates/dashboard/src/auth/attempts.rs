//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Digest, digest};

/// Attempts are counted for this long from the first.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Attempts for one name.
const PER_NAME: u32 = 10;
/// Attempts from one address: several people may share it.
const PER_ADDRESS: u32 = 50;
/// Names and addresses that are remembered; beyond that the one that was counted first is forgotten.
const REMEMBERED: usize = 10_000;

/// Counts attempts to log in, by name and by address. An attempt counts when it begins, so that many at the same time do
/// not slip through; a success takes its count back.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    counts: Mutex<HashMap<Source, Count>>,
}

/// Where an attempt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    Name(Digest),
    Address(IpAddr),
}

#[derive(Debug)]
struct Count {
    since: Duration,
    attempts: u32,
}

impl Source {
    pub(crate) fn name(name: &str) -> Self {
        Self::Name(digest(name))
    }

    /// One person may have a whole /64 of IPv6.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::from((u128::from_be_bytes(address.octets()) & (u128::MAX << 64)).to_be_bytes())
            }
            address @ IpAddr::V4(_) => address,
        })
    }

    const fn limit(self) -> u32 {
        match self {
            Self::Name(_) => PER_NAME,
            Self::Address(_) => PER_ADDRESS,
        }
    }
}

impl Attempts {
    /// Counts an attempt at `now` (monotonic).
    ///
    /// # Errors
    /// When there were too many: how long to wait.
    pub(crate) fn begin(&self, now: Duration, sources: &[Source]) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = sources.iter().filter_map(|source| counts.get(source)?.wait(now, source.limit())).max();
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

    /// The attempt was a good one.
    pub(crate) fn succeeded(&self, sources: &[Source]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources {
            match source {
                Source::Name(_) => drop(counts.remove(source)),
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
    if let Some(first) = counts.iter().min_by_key(|(_, count)| count.since).map(|(source, _)| *source) {
        counts.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_name_is_tried_ten_times_and_again_after_the_window() {
        let attempts = Attempts::default();
        let name = [Source::name("ann")];
        for _ in 0..PER_NAME {
            assert_eq!(attempts.begin(NOW, &name), Ok(()));
        }
        assert_eq!(attempts.begin(NOW + Duration::from_secs(60), &name), Err(Duration::from_secs(14 * 60)));
        assert_eq!(attempts.begin(NOW, &[Source::name("bob")]), Ok(()));
        assert_eq!(attempts.begin(NOW + WINDOW, &name), Ok(()));
    }

    #[test]
    fn a_refused_attempt_counts_nowhere_and_a_good_one_is_taken_back() {
        let attempts = Attempts::default();
        let address = Source::address(IpAddr::from([10, 0, 0, 1]));
        for round in 0..200_u32 {
            let sources = [Source::name(&format!("user{round}")), address];
            assert_eq!(attempts.begin(NOW, &sources), Ok(()));
            attempts.succeeded(&sources);
        }
        for _ in 0..PER_ADDRESS {
            assert_eq!(attempts.begin(NOW, &[address]), Ok(()));
        }
        let victim = Source::name("ann");
        assert!(attempts.begin(NOW, &[victim, address]).is_err());
        let counts = attempts.counts.lock().unwrap();
        assert!(!counts.contains_key(&victim));
    }

    #[test]
    fn a_whole_64_of_ipv6_is_one_source_and_memory_is_bounded() {
        let one = Source::address("2001:db8::1".parse().unwrap());
        assert_eq!(one, Source::address("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(one, Source::address("2001:db8:0:1::1".parse().unwrap()));
        let attempts = Attempts::default();
        for number in 0..REMEMBERED + 100 {
            assert_eq!(attempts.begin(NOW, &[Source::name(&number.to_string())]), Ok(()));
        }
        assert_eq!(attempts.counts.lock().unwrap().len(), REMEMBERED);
    }
}
