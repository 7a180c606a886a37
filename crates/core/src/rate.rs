//! How many messages of a queue may be handed out in a time.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// The most per unit, and the largest burst.
const MOST: u32 = 1_000_000;

/// A rate limit of a queue: so many hand-outs per second, minute or hour, over all workers together.
///
/// It is a bucket of tokens. Each hand-out takes one; they come back evenly, one each `unit / count`, up to `burst`. So no
/// span of time has more hand-outs than its share and `burst` together.
///
/// ```
/// use lovage_core::RateLimit;
///
/// let limit: RateLimit = "10/s".parse()?;
/// assert_eq!((limit.burst(), limit.to_string().as_str()), (2, "10/s"));
/// let limit: RateLimit = "100/m burst 20".parse()?;
/// assert_eq!(limit.to_string(), "100/m burst 20");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RateLimit {
    count: u32,
    per: Unit,
    burst: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl RateLimit {
    /// How many may be handed out at once after a while without any, 1 to 1,000,000. Unless said otherwise a tenth of what
    /// a second allows, and one more: enough that a worker that looks a little late loses nothing of the rate.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which one token comes back, in microseconds, at least 1.
    #[must_use]
    pub const fn gap(self) -> i64 {
        self.per.micros() / self.count as i64
    }

    /// How many may be handed out at `now`. `spent` is the instant at which all tokens are back, as
    /// [`spend`](Self::spend) answered it; any past one for a queue that handed nothing out so far.
    ///
    /// Backends in SQL and Lua keep this arithmetic in their own language.
    #[must_use]
    pub fn tokens(self, spent: Timestamp, now: Timestamp) -> usize {
        let missing = self.spent_by(spent, now).as_micros() - now.as_micros();
        usize::try_from((i64::from(self.burst) * self.gap() - missing) / self.gap()).unwrap_or(0)
    }

    /// The instant at which all tokens are back, after this many were taken at `now`.
    #[must_use]
    pub fn spend(self, spent: Timestamp, now: Timestamp, count: usize) -> Timestamp {
        let time = self.gap().saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        Timestamp::from_micros(self.spent_by(spent, now).as_micros().saturating_add(time))
    }

    /// The instant at which all tokens are back, after this many were returned because their messages were not started.
    #[must_use]
    pub fn refund(self, spent: Timestamp, count: usize) -> Timestamp {
        let time = self.gap().saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        Timestamp::from_micros(spent.as_micros().saturating_sub(time))
    }

    /// A clock that was set back must not make a queue wait for longer than an empty bucket does.
    fn spent_by(self, spent: Timestamp, now: Timestamp) -> Timestamp {
        let full = Timestamp::from_micros(now.as_micros() + i64::from(self.burst) * self.gap());
        spent.clamp(now, full)
    }

    /// From when on there is at least one token, in the past where there is one.
    #[must_use]
    pub fn next_token(self, spent: Timestamp) -> Timestamp {
        Timestamp::from_micros(spent.as_micros() - (i64::from(self.burst) - 1) * self.gap())
    }

    fn usual_burst(count: u32, per: Unit) -> u32 {
        let per_second = i64::from(count) * Unit::Second.micros() / per.micros();
        1 + u32::try_from(per_second / 10).unwrap_or(0)
    }
}

impl Unit {
    const fn micros(self) -> i64 {
        match self {
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

/// As it is read.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())?;
        if self.burst == Self::usual_burst(self.count, self.per) {
            return Ok(());
        }
        write!(f, " burst {}", self.burst)
    }
}

/// `10/s`, `100/m`, `5000/h`, each with ` burst 20` where that is wanted.
impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            let found: String = text.chars().take(60).collect();
            format!(
                "expected a rate such as 10/s, 100/m, 5000/h or 10/s burst 20, with numbers from 1 to 1000000, found `{found}`"
            )
        };
        let number = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|number| (1..=MOST).contains(number));
            number.ok_or_else(expected)
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (rate, burst) = match words[..] {
            [rate] => (rate, None),
            [rate, "burst", burst] => (rate, Some(number(burst)?)),
            _ => return Err(expected()),
        };
        let (count, unit) = rate.split_once('/').ok_or_else(expected)?;
        let per = match unit {
            "s" | "sec" | "second" => Unit::Second,
            "m" | "min" | "minute" => Unit::Minute,
            "h" | "hour" => Unit::Hour,
            _ => return Err(expected()),
        };
        let count = number(count)?;
        Ok(Self { count, per, burst: burst.unwrap_or_else(|| Self::usual_burst(count, per)) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn limit(text: &str) -> RateLimit {
        text.parse().unwrap()
    }

    #[test]
    fn is_read_as_it_is_written() {
        for text in ["10/s", "1/h", "1000000/s", "100/m burst 20", "1000/s burst 1"] {
            assert_eq!(limit(text).to_string(), text);
        }
        assert_eq!(limit("10/s burst 2").to_string(), "10/s");
        assert_eq!(limit(" 6/min ").to_string(), "6/m");
        for text in
            ["", "10", "0/s", "1000001/s", "-1/s", "10/d", "10/s burst", "10/s burst 0", "1.5/s", "10/s 3"]
        {
            let told = text.parse::<RateLimit>().unwrap_err();
            assert!(told.contains("10/s burst 20") && told.contains(text), "{told}");
        }
    }

    #[test]
    fn a_slow_rate_has_one_token_at_a_time() {
        let limit = limit("1/h");
        let start = Timestamp::from_micros(1_000_000);
        assert_eq!(limit.tokens(Timestamp::from_micros(0), start), 1);
        let spent = limit.spend(Timestamp::from_micros(0), start, 1);
        assert_eq!(limit.tokens(spent, start), 0);
        assert_eq!(limit.next_token(spent), start.plus(Duration::from_secs(3_600)));
        assert_eq!(limit.tokens(spent, limit.next_token(spent)), 1);
    }

    proptest! {
        /// Whoever looks whenever there is a token gets the whole rate, and nobody gets more.
        #[test]
        fn the_rate_is_reached_and_never_passed(
            count in 1_u32..2_000, burst in 1_u32..50, late in prop::collection::vec(0_u64..20_000, 1..60), most in 1_usize..80,
        ) {
            let limit = limit(&format!("{count}/s burst {burst}"));
            let start = Timestamp::from_micros(1_700_000_000_000_000);
            let (mut now, mut spent, mut taken) = (start, Timestamp::from_micros(0), 0_usize);
            for late in late {
                let tokens = limit.tokens(spent, now);
                let got = tokens.min(most);
                spent = limit.spend(spent, now, got);
                taken += got;
                let share = now.since(start).as_micros() / u128::try_from(limit.gap()).unwrap();
                prop_assert!(taken as u128 <= share + u128::from(burst), "{taken} in {:?}", now.since(start));
                let next = limit.next_token(spent);
                prop_assert!(next > now || limit.tokens(spent, now) > 0);
                if next > now {
                    prop_assert_eq!(limit.tokens(spent, Timestamp::from_micros(next.as_micros() - 1)), 0);
                    prop_assert!(limit.tokens(spent, next) >= 1);
                }
                now = now.max(next).plus(Duration::from_micros(late));
            }
        }
    }
}
