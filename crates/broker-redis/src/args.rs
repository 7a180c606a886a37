//! Arguments of scripts.

use std::time::Duration;

use fred::bytes::Bytes;
use fred::types::Value;
use lovage_core::Timestamp;

/// The largest instant: Lua's numbers are exact below 2^53.
const LARGEST: i64 = (1 << 53) - 1;
/// The longest time, 71 years, so that now and it together stay below [`LARGEST`].
const LONGEST: i64 = 1 << 51;

/// `ARGV`, in the making.
#[derive(Default)]
pub(crate) struct Args(Vec<Value>);

impl Args {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts with the instant that the script takes for now; nothing is the server's own clock.
    pub(crate) fn at(now: Option<Timestamp>) -> Self {
        now.map_or_else(|| Self::new().text(""), |now| Self::new().instant(now))
    }

    pub(crate) fn push(&mut self, value: impl Into<Value>) {
        self.0.push(value.into());
    }

    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        self.push(Bytes::copy_from_slice(bytes));
    }

    #[must_use]
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.push(text);
        self
    }

    #[must_use]
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.push_bytes(bytes);
        self
    }

    #[must_use]
    pub(crate) fn number(mut self, number: usize) -> Self {
        self.push(i64::try_from(number).unwrap_or(LARGEST));
        self
    }

    #[must_use]
    pub(crate) fn instant(mut self, at: Timestamp) -> Self {
        self.push(instant(at));
        self
    }

    #[must_use]
    pub(crate) fn duration(mut self, time: Duration) -> Self {
        self.push(micros(time));
        self
    }

    pub(crate) fn into_values(self) -> Vec<Value> {
        self.0
    }
}

/// An instant that Lua's numbers hold.
pub(crate) fn instant(at: Timestamp) -> i64 {
    at.as_micros().clamp(0, LARGEST)
}

/// A time that Lua's numbers hold, in microseconds.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
