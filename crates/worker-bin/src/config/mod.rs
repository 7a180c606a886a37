//! Configuration: flags over the environment over `.env` over `lovage.toml` over defaults. Each value knows its source.

mod dashboard;
mod layers;
mod schedules;
mod setting;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use lovage_core::url::{mask, scheme};
use lovage_core::{QueueName, format_duration, parse_duration};
use lovage_worker::Routes;

pub(crate) use dashboard::{DashboardConfig, USERS_FILE, listen};
pub(crate) use layers::{Layers, Source};
pub(crate) use schedules::Declared;
pub(crate) use setting::Setting;

use crate::error::CliError;

/// The effective configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) broker: String,
    /// `None`: where the broker is.
    pub(crate) results: Option<String>,
    /// The application's database, for what its transactions send.
    pub(crate) outbox: Option<String>,
    /// `None`: see [`schedules_url`](Self::schedules_url).
    pub(crate) schedules: Option<String>,
    /// The entries of the schedule that `lovage.toml` declares; `None` where there is no such file.
    pub(crate) declared: Option<Vec<Declared>>,
    pub(crate) name: Option<String>,
    pub(crate) queues: Vec<(QueueName, u32)>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) blocking: Option<usize>,
    pub(crate) lease: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    /// How long a burst waits for servers that are away.
    pub(crate) burst_timeout: Duration,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) soft_time_limit: Option<Duration>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    pub(crate) routes: Routes,
    pub(crate) result_ttl: Option<Duration>,
    pub(crate) failure_ttl: Option<Duration>,
    pub(crate) max_interval: Option<Duration>,
    /// Where metrics and health are served.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) dashboard: DashboardConfig,
    /// What was found, for people: unknown variables for example.
    pub(crate) warnings: Vec<String>,
    found: BTreeMap<Setting, Found>,
}

/// How long `worker --burst` waits for a broker that is away, unless it is set.
const BURST_TIMEOUT: Duration = Duration::from_secs(30);

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A value as somebody wrote it, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) source: Source,
}

impl Config {
    /// Reads the layers.
    ///
    /// # Errors
    /// Names the setting, its source and what would be right.
    pub(crate) fn load(layers: &Layers) -> Result<Self, CliError> {
        let layers::Read { values: found, schedules: declared, warnings } = layers.read()?;
        let read = Reader(&found);
        Ok(Self {
            broker: read
                .one(Setting::Broker, url)?
                .unwrap_or_else(|| lovage_worker::connect::DEFAULT_URL.to_owned()),
            results: read.one(Setting::Results, url)?,
            outbox: read
                .one(Setting::Outbox, |text| sql_url(text, "an outbox", "the application's own, "))?,
            schedules: read.one(Setting::Schedules, |text| sql_url(text, "a schedule", ""))?,
            declared,
            name: read.one(Setting::Name, |text| Ok(text.to_owned()))?,
            queues: read
                .one(Setting::Queues, queues)?
                .unwrap_or_else(|| vec![(QueueName::default_queue(), 1)]),
            concurrency: read.one(Setting::Concurrency, |text| number(text, 100_000))?,
            blocking: read.one(Setting::Blocking, |text| number(text, 10_000))?,
            lease: read.one(Setting::Lease, lease)?,
            grace: read.one(Setting::Grace, parse_duration)?,
            burst_timeout: read.one(Setting::BurstTimeout, parse_duration)?.unwrap_or(BURST_TIMEOUT),
            time_limit: read.one(Setting::TimeLimit, positive)?,
            soft_time_limit: read.one(Setting::SoftTimeLimit, positive)?,
            log_level: read.one(Setting::LogLevel, str::parse)?.unwrap_or(LogLevel::Info),
            log_format: read.one(Setting::LogFormat, str::parse)?.unwrap_or(LogFormat::Text),
            routes: read.one(Setting::Routes, routes)?.unwrap_or_default(),
            result_ttl: read.one(Setting::ResultTtl, positive)?,
            failure_ttl: read.one(Setting::FailureTtl, positive)?,
            max_interval: read.one(Setting::MaxInterval, max_interval)?,
            metrics: read.one(Setting::Metrics, listen)?,
            dashboard: DashboardConfig::read(&read)?,
            warnings,
            found,
        })
    }

    /// Where results are.
    pub(crate) fn results_url(&self) -> &str {
        self.results.as_deref().unwrap_or(&self.broker)
    }

    /// Where the schedule is: where somebody said, else in the broker's database, else in a file beside the beat.
    pub(crate) fn schedules_url(&self) -> &str {
        match &self.schedules {
            Some(url) => url,
            None if is_sql(&self.broker) => &self.broker,
            None => lovage_worker::connect::DEFAULT_URL,
        }
    }

    /// Whether the schedule is in a file because nobody said where it is to be.
    pub(crate) fn schedules_by_default_beside_the_beat(&self) -> bool {
        self.schedules.is_none() && !is_sql(&self.broker)
    }

    /// Where a setting comes from.
    pub(crate) fn source(&self, setting: Setting) -> Source {
        self.found.get(&setting).map_or(Source::Default, |found| found.source.clone())
    }

    /// The value of a setting for people, without secrets.
    pub(crate) fn shown(&self, setting: Setting) -> String {
        let text = |default: &str| {
            self.found.get(&setting).map_or_else(|| default.to_owned(), |found| found.text.clone())
        };
        match setting {
            Setting::Broker => mask(&self.broker),
            Setting::Results => match &self.results {
                Some(url) => mask(url),
                None => format!("{} (where the broker is)", mask(&self.broker)),
            },
            Setting::Outbox => self.outbox.as_deref().map_or_else(|| "none".to_owned(), mask),
            Setting::Schedules => {
                let url = mask(self.schedules_url());
                match &self.schedules {
                    Some(_) => url,
                    None if self.schedules_by_default_beside_the_beat() => {
                        format!("{url} (a file beside the beat)")
                    }
                    None => format!("{url} (where the broker is)"),
                }
            }
            Setting::Name => text("worker@HOST"),
            Setting::Queues => show_queues(&self.queues),
            Setting::Concurrency => text("64"),
            Setting::Blocking => text("one per core"),
            Setting::Lease => text("30s"),
            Setting::Grace => text("25s"),
            Setting::BurstTimeout => text("30s"),
            Setting::TimeLimit | Setting::SoftTimeLimit => text("none"),
            Setting::LogLevel => self.log_level.to_string(),
            Setting::LogFormat => text("text"),
            Setting::Routes => text("none"),
            Setting::ResultTtl => text("7d"),
            Setting::FailureTtl => text("30d"),
            Setting::MaxInterval => text("10s"),
            Setting::Metrics => self.metrics.map_or_else(|| "none".to_owned(), |at| at.to_string()),
            Setting::DashboardListen => self.dashboard.listen.to_string(),
            Setting::DashboardUsers => self
                .dashboard
                .users_file()
                .map_or_else(|| "none".to_owned(), |path| path.display().to_string()),
            Setting::DashboardBase => text("/"),
            Setting::DashboardSecureCookies => text("false"),
            Setting::DashboardProxies
            | Setting::DashboardUserHeader
            | Setting::DashboardOperators
            | Setting::DashboardGroupsHeader
            | Setting::DashboardOperatorGroups => text("none"),
        }
    }
}

/// `default`, or `critical:3, default` with weights.
pub(crate) fn show_queues(queues: &[(QueueName, u32)]) -> String {
    let shown: Vec<String> = queues
        .iter()
        .map(|(queue, weight)| if *weight == 1 { queue.to_string() } else { format!("{queue}:{weight}") })
        .collect();
    shown.join(", ")
}

struct Reader<'a>(&'a BTreeMap<Setting, Found>);

impl Reader<'_> {
    fn one<T>(
        &self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, CliError> {
        let Some(found) = self.0.get(&setting) else { return Ok(None) };
        parse(found.text.trim()).map(Some).map_err(|why| {
            let key = setting.spec().key;
            CliError::usage(format!("setting `{key}` from {}: {why}", found.source))
        })
    }
}

fn url(text: &str) -> Result<String, String> {
    const FORMS: &str =
        "expected sqlite://path.db, redis://host:port or postgres://user:password@host/database";
    match scheme(text).as_str() {
        "" => Err(format!("the value is not a URL, it has no scheme: {FORMS}")),
        "sqlite" | "postgres" | "postgresql" => Ok(text.to_owned()),
        redis if lovage_client::connect::is_redis(redis) => Ok(text.to_owned()),
        _ => Err(format!("`{}` is not a URL that Lovage knows: {FORMS}", mask(text))),
    }
}

fn sql_url(text: &str, what: &str, whose: &str) -> Result<String, String> {
    if is_sql(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is no database that {what} can be in: expected {whose}sqlite://path.db or postgres://user:password@host/database",
        mask(text)
    ))
}

/// Whether a URL is that of a SQL database.
pub(crate) fn is_sql(url: &str) -> bool {
    matches!(scheme(url).as_str(), "sqlite" | "postgres" | "postgresql")
}

fn queues(text: &str) -> Result<Vec<(QueueName, u32)>, String> {
    let mut queues: Vec<(QueueName, u32)> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        // A colon may belong to the name; it is a weight only when a number follows.
        let (name, weight) = match part.rsplit_once(':') {
            Some((name, weight)) if weight.chars().all(|c| c.is_ascii_digit()) && !weight.is_empty() => {
                let weight = weight.parse().ok().filter(|weight| (1..=100).contains(weight));
                (name, weight.ok_or_else(|| format!("the weight in `{part}` is not 1 to 100"))?)
            }
            _ => (part, 1),
        };
        let name = QueueName::new(name).map_err(|error| error.to_string())?;
        if queues.iter().any(|(known, _)| *known == name) {
            return Err(format!("queue `{name}` is named twice"));
        }
        queues.push((name, weight));
    }
    if queues.is_empty() {
        return Err("there is no queue: expected names such as q1,q2 or with weights q1:3,q2:1".to_owned());
    }
    Ok(queues)
}

fn routes(text: &str) -> Result<Routes, String> {
    let pairs = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
        part.split_once('=')
            .map(|(pattern, queue)| (pattern.trim(), queue.trim()))
            .ok_or_else(|| format!("`{part}` is not a route: expected PATTERN=QUEUE, as in videos.*=media"))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    Routes::new(pairs).map_err(|error| error.to_string())
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    let found = text.parse().ok().filter(|number| (1..=most).contains(number));
    found.ok_or_else(|| format!("expected a number from 1 to {most}, found `{text}`"))
}

fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("expected a duration above zero, such as 30s, found `{text}`")),
        duration => Ok(duration),
    }
}

fn max_interval(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&time) {
        return Ok(time);
    }
    Err(format!("expected 100ms to 1h, found {}", format_duration(time)))
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&lease) {
        return Ok(lease);
    }
    Err(format!("expected a lease of 1s to 1h, found {}", format_duration(lease)))
}

impl LogLevel {
    /// The word that tracing knows it by.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Off),
            "error" | "critical" | "fatal" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(format!("expected off, error, warn, info, debug or trace, found `{text}`")),
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("expected text or json, found `{text}`")),
        }
    }
}

#[cfg(test)]
mod tests;
