//! What each figure is to reach on two cores with the server on the same machine.

use crate::bed::Kind;

/// The targets of one broker; `None` where none is set.
pub(crate) struct Targets {
    /// Tasks a second, without results.
    pub(crate) drain: Target,
    /// Send to start, 50 of 100, in ms.
    pub(crate) start_p50: Target,
    /// Send to start, 99 of 100, in ms.
    pub(crate) start_p99: Target,
    /// 64 at once, and bulk, a second.
    pub(crate) send_at_once: Target,
    pub(crate) send_bulk: Target,
}

/// What one figure is to reach.
#[derive(Clone, Copy, Default)]
pub(crate) struct Target {
    pub(crate) at_least: Option<f64>,
    pub(crate) at_most: Option<f64>,
    /// Percent of the raw ceiling.
    pub(crate) of_raw: Option<f64>,
}

/// Nothing is asked of this figure.
pub(crate) const NONE: Target = Target { at_least: None, at_most: None, of_raw: None };
/// One by one beside the bare round trips of the same connection.
pub(crate) const SEND_OF_ROUND_TRIPS: Target = Target { of_raw: Some(85.0), ..NONE };
/// From send to the value in hand, 50 of 100, in ms, for a queue in Redis with its results in PostgreSQL.
pub(crate) const VALUE_P50: Target = at_most(3.0);
pub(crate) const IDLE_RSS: Target = at_most(10.0);
pub(crate) const IDLE_REQUESTS: Target = at_most(0.5);
pub(crate) const IDLE_CPU: Target = at_most(0.1);
pub(crate) const REDIS_MEMORY: Target = at_most(350.0);
/// After the Redis answers again.
pub(crate) const CONSUMES_AGAIN: Target = at_most(1.0);

/// Of 1,000 firings a second, 99 of 100, in ms.
pub(crate) const BEAT_LATE_MANY: Target = at_most(20.0);
/// How much later it fires in the end of a minute than in the beginning, in ms.
pub(crate) const BEAT_DRIFT: Target = at_most(1.0);
/// With a million stored entries, 99 of 100, in ms.
pub(crate) const BEAT_LATE_STORED: Target = at_most(50.0);
pub(crate) const BEAT_RSS: Target = at_most(100.0);
pub(crate) const BEAT_IDLE_CPU: Target = at_most(1.0);
/// Seconds until a beat acts upon a change.
pub(crate) const BEAT_CHANGE: Target = at_most(1.0);

/// Of the answers of each page of the dashboard, in ms.
pub(crate) const DASHBOARD_P50: Target = at_most(150.0);
pub(crate) const DASHBOARD_P99: Target = at_most(500.0);
/// What pages that stay open may add to it, in MiB: nothing but the noise of an allocator.
pub(crate) const DASHBOARD_GROWTH: Target = at_most(2.0);

pub(crate) const fn at_most(value: f64) -> Target {
    Target { at_most: Some(value), ..NONE }
}

pub(crate) const fn at_least(value: f64) -> Target {
    Target { at_least: Some(value), ..NONE }
}

impl Kind {
    pub(crate) fn targets(self) -> Targets {
        let nothing =
            Targets { drain: NONE, start_p50: NONE, start_p99: NONE, send_at_once: NONE, send_bulk: NONE };
        match self {
            Self::Memory | Self::Cluster => nothing,
            Self::Sqlite => Targets { drain: at_least(25_000.0), start_p50: at_most(2.0), ..nothing },
            Self::Redis => Targets {
                drain: Target { of_raw: Some(40.0), ..at_least(150_000.0) },
                start_p50: at_most(0.3),
                start_p99: at_most(1.0),
                send_at_once: at_least(120_000.0),
                send_bulk: at_least(350_000.0),
            },
            Self::Postgres => Targets { drain: at_least(60_000.0), start_p50: at_most(1.5), ..nothing },
        }
    }

    /// Tasks a second with a result row each in this other place.
    pub(crate) fn drain_with_results(self, place: Self) -> Target {
        match (self, place) {
            (Self::Redis, Self::Postgres) => at_least(50_000.0),
            (Self::Redis, Self::Sqlite) | (Self::Postgres, Self::Postgres) => at_least(30_000.0),
            (Self::Sqlite, Self::Sqlite) => at_least(15_000.0),
            (Self::Memory | Self::Sqlite | Self::Redis | Self::Cluster | Self::Postgres, _) => NONE,
        }
    }
}

impl Target {
    /// Whether the figure reaches it.
    pub(crate) fn is_met(self, value: f64, raw: Option<f64>) -> bool {
        self.at_least.is_none_or(|least| value >= least)
            && self.at_most.is_none_or(|most| value <= most)
            && self.of_raw.is_none_or(|percent| raw.is_none_or(|raw| value / raw * 100.0 >= percent))
    }

    /// In words; empty where nothing is asked.
    pub(crate) fn describe(self) -> String {
        let least = self.at_least.map(|value| format!("at least {value}"));
        let most = self.at_most.map(|value| format!("at most {value}"));
        let of_raw = self.of_raw.map(|percent| format!("{percent} % of raw"));
        [least, most, of_raw].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
