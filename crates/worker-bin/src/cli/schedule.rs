//! `schedule …`: entries and what is stated of them. All fields are kept as text: what is wrong is told in the same way
//! whether it comes from a flag, from a file or from the dashboard.

use clap::{Args, Subcommand};

use super::{Format, at_least_one};

#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// The entries by name, with their last and next runs
    List {
        /// Only those whose name begins so
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
        /// Only of this task
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
        /// Only those that are enabled
        #[arg(long, conflicts_with = "disabled")]
        enabled: bool,
        /// Only those that are disabled
        #[arg(long)]
        disabled: bool,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_one)]
        limit: usize,
        #[command(flatten)]
        format: Format,
    },
    /// One entry, and what became of its newest slots
    Show {
        /// The entry
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Add an entry
    Add {
        /// Its name, which is new
        name: String,
        /// Add it disabled
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Change fields of an entry; the others stay, and from then on code and lovage.toml leave it alone
    Edit {
        /// The entry
        name: String,
        /// Only if this is still its revision, which `show` tells
        #[arg(long, value_name = "N")]
        revision: Option<i64>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Let entries fire
    Enable(Names),
    /// Let entries not fire
    Disable(Names),
    /// Send the task of an entry now, whatever its schedule says
    Run {
        /// The entry
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Give entries that were edited back to the code or the file that declares them
    Reset(Names),
    /// Remove entries
    Delete(Names),
    /// The next slots of an entry, with what summer time does to them
    Preview {
        /// The entry
        name: String,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
        count: usize,
        /// Those after this instant [default: now]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Which slots of an entry should have fired, which did, and why the others did not
    Audit {
        /// The entry
        name: String,
        /// Slots at or after this instant, or this long ago
        #[arg(long, value_name = "TIME|DURATION", default_value = "1d")]
        from: String,
        /// Slots before this instant, or this long ago
        #[arg(long, value_name = "TIME|DURATION", default_value = "0s")]
        to: String,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Entries
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// What is sent and when.
#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    /// Arguments by position: JSON where it parses, else a string
    #[arg(allow_negative_numbers = true, value_name = "ARG")]
    pub(crate) arguments: Vec<String>,
    #[command(flatten)]
    pub(crate) flags: EntryFlags,
    #[command(flatten)]
    pub(crate) when: When,
}

#[derive(Debug, Args)]
pub(crate) struct EntryFlags {
    /// The task's name
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// All arguments by position as a JSON list
    #[arg(long, value_name = "JSON", conflicts_with = "arguments", allow_hyphen_values = true)]
    pub(crate) args: Option<String>,
    /// All arguments by name as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["arguments", "args"], allow_hyphen_values = true)]
    pub(crate) kwargs: Option<String>,
    /// The queue [default: the task's own, or by routes, or default]
    #[arg(short = 'Q', long, value_name = "QUEUE")]
    pub(crate) queue: Option<String>,
    /// 0 to 9, 9 first
    #[arg(long, value_name = "0-9", allow_hyphen_values = true)]
    pub(crate) priority: Option<String>,
    /// A header of the message; may be repeated, and replaces all that there were
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,
    /// A message is not started after this duration or instant; none takes it away
    #[arg(long, value_name = "DURATION|TIME", allow_hyphen_values = true)]
    pub(crate) expires: Option<String>,
    /// No slot before this instant; none takes it away
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) start: Option<String>,
    /// No slot after this instant; none takes it away
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) end: Option<String>,
    /// Disable it once it has run
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) one_off: Option<bool>,
    /// Of slots that were missed while no beat ran: skip, once (the newest runs) or all(N) (the newest N) [default: once]
    #[arg(long, value_name = "POLICY")]
    pub(crate) misfire: Option<String>,
    /// While the last one still waits or runs: allow, or skip the slot [default: allow]
    #[arg(long, value_name = "POLICY")]
    pub(crate) overlap: Option<String>,
    /// Each slot fires up to this much later, at most a day
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) jitter: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) description: Option<String>,
}

/// When it is due: one of four kinds.
#[derive(Debug, Args)]
#[command(next_help_heading = "When")]
pub(crate) struct When {
    /// Again and again after this time, 100ms and up
    #[arg(long, value_name = "DURATION", group = "kind", allow_hyphen_values = true)]
    pub(crate) every: Option<String>,
    /// By the clock: "MINUTE HOUR DAY MONTH WEEKDAY", with seconds in front if there are six, or @daily and its kin
    #[arg(long, value_name = "EXPRESSION", group = "kind")]
    pub(crate) crontab: Option<String>,
    /// The time zone of the crontab, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with_all = ["every", "solar", "at"])]
    pub(crate) zone: Option<String>,
    /// By the sun: dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, sunset, dusk_civil, … at a place
    #[arg(long, value_name = "EVENT,LATITUDE,LONGITUDE", group = "kind")]
    pub(crate) solar: Option<String>,
    /// Once, at this instant, such as 2026-11-23T13:00:00Z
    #[arg(long, value_name = "TIME", group = "kind")]
    pub(crate) at: Option<String>,
}
