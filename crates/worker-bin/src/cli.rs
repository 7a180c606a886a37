//! What can be typed.

mod dashboard;
mod schedule;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lovage_core::{DeadReason, Place, QueueName, TaskId, Timestamp, WorkerInfo, parse_duration};

use crate::config::Setting;

pub(crate) use dashboard::{DashboardArgs, DashboardCommand, UserCommand};
pub(crate) use schedule::{EntryArgs, EntryFlags, Names, Schedule, When};
pub(crate) use worker::{BeatArgs, Dev, RelayArgs, WorkerArgs};

/// Sends tasks, runs them, and looks at them.
///
/// Settings come from flags, then the environment (LOVAGE_…), then .env, then lovage.toml. Durations are written as 250ms, 10s, 5m, 1h30m or 7d. Exit codes: 0 done, 1 failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where everything is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Common {
    /// The broker: sqlite://path.db, redis://host:port or postgres://user:password@host/database [LOVAGE_BROKER_URL; default: sqlite://lovage.db]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// The results [LOVAGE_RESULTS_URL; default: where the broker is]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) results: Option<String>,
    /// The application's own database, whose transactions send tasks [LOVAGE_OUTBOX_URL; default: none]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) outbox: Option<String>,
    /// The schedule, in SQL [LOVAGE_SCHEDULES_URL; default: where the broker is if that is SQL, else sqlite://lovage.db]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) schedules: Option<String>,
    /// The configuration file [LOVAGE_CONFIG; default: lovage.toml where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: try tasks out without any set-up
    Dev(Dev),
    /// Run tasks until a signal comes
    Worker(WorkerArgs),
    /// Send what the schedule says, until a signal comes; any number may run
    Beat(BeatArgs),
    /// See and steer everything in a browser, until a signal comes
    Dashboard(Box<DashboardArgs>),
    /// Publish what transactions have left in the outbox, until a signal comes; workers with the same outbox do so too
    Relay(RelayArgs),
    /// Send a task
    Call(Box<Call>),
    /// The result of a task
    Result(ResultArgs),
    /// Why a task is not running, or what became of it, in a sentence
    Explain(ExplainArgs),
    /// The live workers and beats
    Status(Format),
    /// Look at what is queued and what workers do
    #[command(subcommand)]
    Inspect(Inspect),
    /// Change what is queued and tell workers
    #[command(subcommand)]
    Control(Control),
    /// How much is where in each queue
    Queues(Format),
    /// Remove what waits in a queue
    Purge(Purge),
    /// Dead letters: tasks that failed for good or that nobody can run
    #[command(subcommand)]
    Dead(Dead),
    /// What is sent when: look at the schedule, and change it
    #[command(subcommand)]
    Schedule(Box<Schedule>),
    /// Make the tables of SQL databases: of the broker, the results, the schedule and the outbox; safe to repeat
    Migrate(Migrate),
    /// Versions, configuration without secrets, and what can be reached
    Report(Format),
}

impl Command {
    /// Whether it goes on until a signal comes.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        match self {
            Self::Dev(_) | Self::Worker(_) | Self::Beat(_) | Self::Relay(_) => true,
            Self::Dashboard(args) => args.command.is_none(),
            Self::Call(_)
            | Self::Result(_)
            | Self::Explain(_)
            | Self::Status(_)
            | Self::Inspect(_)
            | Self::Control(_)
            | Self::Queues(_)
            | Self::Purge(_)
            | Self::Dead(_)
            | Self::Schedule(_)
            | Self::Migrate(_)
            | Self::Report(_) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The task's name
    pub(crate) task: String,
    /// Arguments by position: JSON where it parses, else a string
    #[arg(allow_negative_numbers = true, value_name = "ARG")]
    pub(crate) arguments: Vec<String>,
    /// All arguments by position as a JSON list
    #[arg(long, value_name = "JSON", conflicts_with = "arguments")]
    pub(crate) args: Option<String>,
    /// All arguments by name as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["arguments", "args"])]
    pub(crate) kwargs: Option<String>,
    /// Not before this time has passed
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "eta")]
    pub(crate) countdown: Option<Duration>,
    /// Not before this instant, such as 2026-11-23T13:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub(crate) eta: Option<Timestamp>,
    /// Not started after this duration or instant
    #[arg(long, value_name = "DURATION|TIME", value_parser = parse_expires)]
    pub(crate) expires: Option<lovage_core::Expires>,
    /// The queue [default: the task's own, or by routes, or default]
    #[arg(short = 'Q', long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// 0 to 9, 9 first
    #[arg(long, value_name = "0-9", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) priority: Option<u8>,
    /// Refuse it while another call of the task with this key is live
    #[arg(long, value_name = "KEY")]
    pub(crate) unique: Option<String>,
    /// Hold the key for this time at most
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "unique")]
    pub(crate) unique_for: Option<Duration>,
    /// Hold the key only until a worker starts the task
    #[arg(long, requires = "unique")]
    pub(crate) until_start: bool,
    /// Take the key from a call that waits, which ends as revoked
    #[arg(long, requires = "unique")]
    pub(crate) replace: bool,
    /// The id, instead of a new one
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<TaskId>,
    /// Wait for the result and print it, at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's form of a flag with an optional value")]
    pub(crate) wait: Option<Option<Duration>>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// The task's id
    pub(crate) id: TaskId,
    /// Wait for it, at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's form of a flag with an optional value")]
    pub(crate) wait: Option<Option<Duration>>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The task's id
    pub(crate) id: TaskId,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    /// Tasks that workers run, as of each one's last heartbeat
    Active(Format),
    /// How much workers have taken and not started, as of their last heartbeat
    Reserved(Format),
    /// Tasks that wait for their time
    Scheduled(Listing),
    /// Tasks that wait for their next attempt
    Retry(Listing),
    /// Tasks that the live workers can run
    Registered(Format),
    /// What each worker did since its start
    Stats(Format),
    /// What transactions have left in the outbox, and what no relay can read
    Outbox(Format),
    /// The configuration of this command, and where each value comes from
    Conf(Format),
    /// Which workers are alive; exit code 1 when there is none
    Ping(Format),
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Only this queue
    #[arg(short = 'Q', long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// At most this many of each queue
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Control {
    /// Cancel tasks: a waiting one does not run, a running one is told to stop
    Revoke {
        /// Ids of tasks
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TaskId>,
    },
    /// Run tasks that wait for their time now
    Promote {
        /// Ids of tasks
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TaskId>,
    },
    /// Stop handing out tasks of a queue
    Pause {
        /// The queue
        queue: QueueName,
    },
    /// Hand out tasks of a queue again
    Resume {
        /// The queue
        queue: QueueName,
    },
    /// Limit how many tasks of a queue are handed out in a time, over all workers together
    RateLimit {
        /// The queue
        queue: QueueName,
        /// 10/s, 100/m or 5000/h, each with `burst N` for how many may come at once; or off
        #[arg(value_name = "RATE", num_args = 1..=3, required = true)]
        rate: Vec<String>,
    },
    /// Tell workers to stop gracefully
    Shutdown {
        #[command(flatten)]
        workers: Workers,
        /// How long running tasks may go on [default: the worker's own grace period]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        grace: Option<Duration>,
    },
    /// Tell workers to take no more tasks and finish what runs
    Quiet {
        #[command(flatten)]
        workers: Workers,
    },
    /// Tell a worker how many async tasks to run at once; those that run go on
    Concurrency {
        /// The worker's name or id
        node: String,
        /// 1 to 100000
        #[arg(value_name = "N", value_parser = slots)]
        slots: usize,
    },
    /// Tell a worker to take tasks of one more queue
    AddQueue {
        /// The worker's name or id
        node: String,
        /// The queue
        queue: QueueName,
        /// How many turns it gets: 1 to 100
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
        weight: u32,
    },
    /// Tell a worker to take no more tasks of a queue; those that run go on
    DropQueue {
        /// The worker's name or id
        node: String,
        /// The queue
        queue: QueueName,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Workers {
    /// The worker's name or id
    pub(crate) node: Option<String>,
    /// All workers
    #[arg(long)]
    pub(crate) all: bool,
}

impl Workers {
    /// One by its name or id.
    pub(crate) fn named(node: String) -> Self {
        Self { node: Some(node), all: false }
    }
}

/// What can be purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Purgeable {
    /// Waiting for a worker
    Ready,
    /// Waiting for its time
    Delayed,
    /// Dead letters
    Dead,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The queue
    pub(crate) queue: QueueName,
    /// What to remove; may be repeated [default: ready and delayed]
    #[arg(long = "state", value_name = "STATE")]
    pub(crate) states: Vec<Purgeable>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// The dead letters, the newest first
    List {
        #[command(flatten)]
        filter: DeadFilter,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
        limit: usize,
        #[command(flatten)]
        format: Format,
    },
    /// One dead letter with its attempts
    Show {
        /// The task's id
        id: TaskId,
        #[command(flatten)]
        format: Format,
    },
    /// Run dead letters again
    Retry(DeadSelection),
    /// Remove dead letters
    Delete(DeadSelection),
}

#[derive(Debug, Args)]
pub(crate) struct DeadFilter {
    /// Only of this queue
    #[arg(short = 'Q', long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// Only of this task
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only with this reason: exhausted, permanent, poisoned, undeliverable or unreadable
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    pub(crate) reason: Option<DeadReason>,
}

#[derive(Debug, Args)]
pub(crate) struct DeadSelection {
    #[command(flatten)]
    pub(crate) letters: Letters,
    #[command(flatten)]
    pub(crate) filter: DeadFilter,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Letters {
    /// Ids of tasks
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<TaskId>,
    /// All that match
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Only look: exit code 1 when something is to be done
    #[arg(long)]
    pub(crate) check: bool,
}

impl Cli {
    /// The settings that flags give.
    pub(crate) fn flags(&self) -> Vec<(Setting, String)> {
        let common = [
            (Setting::Broker, &self.common.broker),
            (Setting::Results, &self.common.results),
            (Setting::Outbox, &self.common.outbox),
            (Setting::Schedules, &self.common.schedules),
        ];
        let own = match &self.command {
            Command::Dev(dev) => dev.worker.flags(),
            Command::Worker(worker) => worker.flags(),
            Command::Beat(beat) => beat.flags(),
            Command::Relay(relay) => relay.flags(),
            Command::Dashboard(dashboard) => dashboard.flags(),
            Command::Call(_) | Command::Result(_) | Command::Explain(_) => Vec::new(),
            Command::Status(_) | Command::Inspect(_) => Vec::new(),
            Command::Control(_) | Command::Queues(_) | Command::Purge(_) | Command::Dead(_) => Vec::new(),
            Command::Schedule(_) | Command::Migrate(_) | Command::Report(_) => Vec::new(),
        };
        let given = common.into_iter().chain(own);
        given.filter_map(|(setting, text)| Some((setting, text.clone()?))).collect()
    }
}

impl Purgeable {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Ready => Place::Ready,
            Self::Delayed => Place::Delayed,
            Self::Dead => Place::Dead,
        }
    }
}

fn parse_expires(text: &str) -> Result<lovage_core::Expires, String> {
    // A point in time has a `T` or a space in it, a duration never has.
    if text.contains(['T', 't', ' ']) {
        return Timestamp::parse(text).map(lovage_core::Expires::At);
    }
    parse_duration(text).map(lovage_core::Expires::After)
}

fn parse_reason(word: &str) -> Result<DeadReason, String> {
    DeadReason::parse(word)
        .ok_or_else(|| "expected exhausted, permanent, poisoned, undeliverable or unreadable".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn slots(text: &str) -> Result<usize, String> {
    let most = WorkerInfo::MOST_SLOTS;
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("expected 1 to {most}"))
}

#[cfg(test)]
mod tests;
