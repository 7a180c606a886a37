//! What runs until a signal comes, and its settings.

use std::net::SocketAddr;

use clap::Args;

use crate::config::{Setting, listen};

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Run this task, print its result and end
    pub(crate) task: Option<String>,
    /// Its arguments: JSON where it parses, else a string
    #[arg(allow_negative_numbers = true, value_name = "ARG")]
    pub(crate) arguments: Vec<String>,
    #[command(flatten)]
    pub(crate) worker: WorkerSettings,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) settings: WorkerSettings,
    /// Remove what waits in its queues first
    #[arg(long)]
    pub(crate) purge: bool,
    /// End when the queues are empty
    #[arg(long)]
    pub(crate) burst: bool,
    /// How long --burst waits for a broker that is away before it ends with 1 [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "burst")]
    burst_timeout: Option<String>,
    /// Make the tables on PostgreSQL first, as `migrate` does; on SQLite that is always done
    #[arg(long)]
    pub(crate) migrate: bool,
    /// Be a beat, too: send what the schedule says; any number may
    #[arg(short = 'B', long, conflicts_with = "burst")]
    pub(crate) beat: bool,
    /// Serve the dashboard, too, at this address [default: dashboard.listen, which is 127.0.0.1:8410]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, value_parser = listen, conflicts_with = "burst")]
    #[expect(clippy::option_option, reason = "clap's form of a flag with an optional value")]
    pub(crate) dashboard: Option<Option<SocketAddr>>,
}

#[derive(Debug, Args)]
pub(crate) struct BeatArgs {
    /// Look at the schedule after this time at the latest, whatever is due: 100ms to 1h [default: 10s]
    #[arg(long, value_name = "DURATION")]
    max_interval: Option<String>,
    /// Make the tables on PostgreSQL first, as `migrate` does; on SQLite that is always done
    #[arg(long)]
    pub(crate) migrate: bool,
    #[command(flatten)]
    operations: Operations,
}

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// End when the outbox is empty
    #[arg(long)]
    pub(crate) burst: bool,
    /// How long --burst waits for a broker that is away before it ends with 1 [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "burst")]
    burst_timeout: Option<String>,
    #[command(flatten)]
    pub(super) log: LogSettings,
}

/// Kept as text: the configuration reads them, so that mistakes are told the same way for each source.
#[derive(Debug, Args)]
pub(crate) struct WorkerSettings {
    /// Queues, with weights where some get more turns: q1,q2 or q1:3,q2:1 [default: default]
    #[arg(short = 'Q', long, value_name = "QUEUES")]
    queues: Option<String>,
    /// Async tasks at once [default: 64]
    #[arg(short, long, value_name = "N")]
    concurrency: Option<String>,
    /// Plain functions at once [default: one per core]
    #[arg(long, value_name = "N")]
    blocking: Option<String>,
    /// Its name for people [default: worker@HOST]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    operations: Operations,
    /// How long a task stays with a worker that died: 1s to 1h [default: 30s]
    #[arg(long, value_name = "DURATION")]
    lease: Option<String>,
    /// How long running tasks may go on after a signal [default: 25s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Stop tasks that set no limit of their own after this time
    #[arg(long, value_name = "DURATION")]
    time_limit: Option<String>,
    /// Ask them to finish after this time
    #[arg(long, value_name = "DURATION")]
    soft_time_limit: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Operations {
    /// Serve metrics for Prometheus and health for supervisors at this address [LOVAGE_METRICS; default: nowhere]
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Args)]
pub(super) struct LogSettings {
    /// off, error, warn, info, debug or trace [default: info]
    #[arg(short, long, alias = "loglevel", value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl WorkerArgs {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        [(Setting::BurstTimeout, &self.burst_timeout)].into_iter().chain(self.settings.flags()).collect()
    }
}

impl RelayArgs {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        [(Setting::BurstTimeout, &self.burst_timeout)].into_iter().chain(self.log.flags()).collect()
    }
}

impl WorkerSettings {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        let own = [
            (Setting::Queues, &self.queues),
            (Setting::Concurrency, &self.concurrency),
            (Setting::Blocking, &self.blocking),
            (Setting::Name, &self.name),
            (Setting::Lease, &self.lease),
            (Setting::Grace, &self.grace),
            (Setting::TimeLimit, &self.time_limit),
            (Setting::SoftTimeLimit, &self.soft_time_limit),
        ];
        own.into_iter().chain(self.operations.flags()).collect()
    }
}

impl Operations {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        [(Setting::Metrics, &self.metrics)].into_iter().chain(self.log.flags()).collect()
    }
}

impl LogSettings {
    pub(super) fn flags(&self) -> [(Setting, &Option<String>); 2] {
        [(Setting::LogLevel, &self.log_level), (Setting::LogFormat, &self.log_format)]
    }
}

impl BeatArgs {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        [(Setting::MaxInterval, &self.max_interval)].into_iter().chain(self.operations.flags()).collect()
    }
}
