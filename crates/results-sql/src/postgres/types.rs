//! Intervals on the wire, exact to the microsecond.

use std::time::Duration;

pub(crate) use lovage_sql::postgres::Instant;
use sqlx::postgres::types::PgInterval;

/// An interval without days and months.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

/// What [`interval`] made.
pub(crate) fn duration(interval: &PgInterval) -> Duration {
    Duration::from_micros(u64::try_from(interval.microseconds).unwrap_or(0))
}
