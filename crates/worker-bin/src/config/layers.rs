//! The layers that settings come from, and how a value is found in them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lovage_core::nearest;
use toml::de::{DeTable, DeValue};

use super::Found;
use super::schedules::{self, Declared};
use super::setting::Setting;
use crate::error::CliError;

const FILE: &str = "lovage.toml";
/// The table of the dashboard's settings.
const DASHBOARD: &str = "dashboard";
const DOT_ENV: &str = ".env";
const FILE_VARIABLE: &str = "LOVAGE_CONFIG";
/// Variables of ours that are no settings.
const OTHER_VARIABLES: [&str; 2] = [FILE_VARIABLE, "LOVAGE_TEST_"];

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Nobody said anything.
    Default,
    /// A line of a file.
    File { path: PathBuf, line: usize },
    /// A variable in `.env`.
    DotEnv { path: PathBuf, line: usize, variable: String },
    /// A variable of the environment.
    Environment { variable: String },
    /// A flag.
    Flag { flag: String },
}

/// What settings are read from; made by hand in tests.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// Values of flags.
    pub(crate) flags: Vec<(Setting, String)>,
    /// The file of `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The variables whose name starts with `LOVAGE_`.
    pub(crate) environment: Vec<(String, String)>,
    /// Where `.env` and `lovage.toml` are looked for.
    pub(crate) directory: PathBuf,
}

type Values = BTreeMap<Setting, Found>;

/// What the layers say.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The value of each setting from the strongest layer that has it.
    pub(super) values: Values,
    /// The entries of the schedule in the file; nothing where there is no file.
    pub(super) schedules: Option<Vec<Declared>>,
    /// For people.
    pub(super) warnings: Vec<String>,
}

/// The file's part.
#[derive(Debug, Default)]
struct File {
    values: Values,
    schedules: Option<Vec<Declared>>,
}

impl Layers {
    /// The environment of this process and the files of the current directory.
    pub(crate) fn of_process(flags: Vec<(Setting, String)>, file: Option<PathBuf>) -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("LOVAGE_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self { flags, file, environment: ours.collect(), directory: PathBuf::new() }
    }

    /// Everything that the layers say.
    pub(super) fn read(&self) -> Result<Read, CliError> {
        let mut warnings = Vec::new();
        let mut dot_env = self.dot_env()?;
        let file_variable = dot_env.iter().position(|(name, _)| name == FILE_VARIABLE);
        let file_of_dot_env = file_variable.map(|at| PathBuf::from(dot_env.remove(at).1.text));
        // The weakest layer first: stronger ones write over it.
        let File { mut values, schedules } = self.file(file_of_dot_env)?;
        let environment = self.environment.iter().map(|(variable, text)| {
            let source = Source::Environment { variable: variable.clone() };
            (variable.clone(), Found { text: text.clone(), source })
        });
        for (variable, found) in dot_env.into_iter().chain(environment) {
            // What deployment tools pass for "not set".
            if found.text.is_empty() {
                continue;
            }
            match Setting::by_variable(&variable) {
                Some(setting) => drop(values.insert(setting, found)),
                None => warnings.extend(unknown_variable(&variable, &found.source)),
            }
        }
        for (setting, text) in &self.flags {
            let source = Source::Flag { flag: setting.spec().flag.to_owned() };
            values.insert(*setting, Found { text: text.clone(), source });
        }
        Ok(Read { values, schedules, warnings })
    }

    /// Our variables in `.env`; where one stands twice, the first counts.
    fn dot_env(&self) -> Result<Vec<(String, Found)>, CliError> {
        let path = self.directory.join(DOT_ENV);
        let Some(text) = read_if_there(&path)? else { return Ok(Vec::new()) };
        let mut values: Vec<(String, Found)> = Vec::new();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            let (variable, value) = entry.map_err(|error| bad_dot_env(&path, &text, &error))?;
            if variable.starts_with("LOVAGE_") && !values.iter().any(|(known, _)| *known == variable) {
                let line = line_of_variable(&text, &variable);
                let source = Source::DotEnv { path: path.clone(), line, variable: variable.clone() };
                values.push((variable, Found { text: value, source }));
            }
        }
        Ok(values)
    }

    fn file(&self, of_dot_env: Option<PathBuf>) -> Result<File, CliError> {
        let of_environment = self.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        let named = self
            .file
            .clone()
            .or_else(|| of_environment.map(|(_, path)| PathBuf::from(path)))
            .or(of_dot_env)
            .filter(|path| !path.as_os_str().is_empty());
        let path = self.directory.join(named.as_deref().unwrap_or(Path::new(FILE)));
        match read_if_there(&path)? {
            Some(text) => parse_file(&path, &text),
            None if named.is_some() => {
                Err(CliError::usage(format!("the configuration file {} does not exist", path.display()))
                    .hint("it is named by --config or LOVAGE_CONFIG"))
            }
            None => Ok(File::default()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::DotEnv { path, line, variable } => {
                write!(f, "{variable} in {} line {line}", path.display())
            }
            Self::Environment { variable } => write!(f, "the environment variable {variable}"),
            Self::Flag { flag } => write!(f, "the flag {flag}"),
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::usage(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn parse_file(path: &Path, text: &str) -> Result<File, CliError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        CliError::usage(format!("{} line {line} is not valid TOML: {}", path.display(), error.message()))
    })?;
    let mut file = File { values: Values::new(), schedules: Some(Vec::new()) };
    for (key, value) in table.get_ref() {
        let place = |offset| Source::File { path: path.to_owned(), line: line_at(text, offset) };
        let source = place(key.span().start);
        let key = key.get_ref().as_ref();
        let value = value.get_ref();
        if key == schedules::KEY {
            file.schedules = Some(schedules::declared(value, &source, place)?);
        } else if let Some(own) = value.as_table().filter(|_| key == DASHBOARD) {
            for (key, value) in own {
                let source = place(key.span().start);
                let key = format!("{DASHBOARD}.{}", key.get_ref());
                let (setting, text) = setting(&key, value.get_ref(), &source)?;
                file.values.insert(setting, Found { text, source });
            }
        } else {
            let (setting, text) = setting(key, value, &source)?;
            file.values.insert(setting, Found { text, source });
        }
    }
    Ok(file)
}

/// A setting of the file, and its value as a flag would say it.
fn setting(key: &str, value: &DeValue<'_>, source: &Source) -> Result<(Setting, String), CliError> {
    let setting = Setting::by_key(key).ok_or_else(|| unknown_key(key, source))?;
    let text = as_text(setting, value).ok_or_else(|| {
        let expected = match setting {
            Setting::Routes => "a table of task patterns and queues, as in \"videos.*\" = \"media\"",
            Setting::Queues => "a text such as \"q1:3,q2\" or a list of such texts",
            Setting::DashboardProxies | Setting::DashboardOperators | Setting::DashboardOperatorGroups => {
                "a text such as \"a,b\" or a list of texts"
            }
            Setting::DashboardSecureCookies => "true or false",
            Setting::Broker
            | Setting::Results
            | Setting::Outbox
            | Setting::Schedules
            | Setting::Name
            | Setting::Concurrency
            | Setting::Blocking
            | Setting::Lease
            | Setting::Grace
            | Setting::BurstTimeout
            | Setting::TimeLimit
            | Setting::SoftTimeLimit
            | Setting::LogLevel
            | Setting::LogFormat
            | Setting::ResultTtl
            | Setting::FailureTtl
            | Setting::MaxInterval
            | Setting::Metrics
            | Setting::DashboardListen
            | Setting::DashboardBase
            | Setting::DashboardUsers
            | Setting::DashboardUserHeader
            | Setting::DashboardGroupsHeader => "a text or a number",
        };
        CliError::usage(format!("setting `{key}` from {source}: expected {expected}"))
    })?;
    Ok((setting, text))
}

/// The value as a flag would say it.
fn as_text(setting: Setting, value: &DeValue<'_>) -> Option<String> {
    match (setting, value) {
        (Setting::Routes, DeValue::Table(table)) => {
            let routes = table
                .iter()
                .map(|(pattern, queue)| Some(format!("{}={}", pattern.get_ref(), queue.get_ref().as_str()?)));
            Some(routes.collect::<Option<Vec<_>>>()?.join(","))
        }
        (
            Setting::Queues
            | Setting::DashboardProxies
            | Setting::DashboardOperators
            | Setting::DashboardOperatorGroups,
            DeValue::Array(list),
        ) => {
            let texts = list.iter().map(|text| text.get_ref().as_str());
            Some(texts.collect::<Option<Vec<_>>>()?.join(","))
        }
        (Setting::DashboardSecureCookies, DeValue::Boolean(yes)) => Some(yes.to_string()),
        (_, DeValue::String(text)) => Some(text.to_string()),
        (_, DeValue::Integer(number)) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        (_, DeValue::Float(number)) => Some(number.as_str().replace('_', "")),
        (_, DeValue::Integer(_) | DeValue::Boolean(_) | DeValue::Datetime(_)) => None,
        (_, DeValue::Array(_) | DeValue::Table(_)) => None,
    }
}

fn unknown_key(key: &str, source: &Source) -> CliError {
    let error = CliError::usage(format!("there is no setting `{key}` ({source})"));
    let keys = Setting::ALL.map(|setting| setting.spec().key);
    match nearest(key, keys) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the settings are {}, and the table schedules", keys.join(", "))),
    }
}

fn unknown_variable(variable: &str, source: &Source) -> Option<String> {
    if OTHER_VARIABLES.iter().any(|known| variable.starts_with(known)) {
        return None;
    }
    let known = Setting::ALL.map(|setting| setting.spec().variable);
    let near = nearest(variable, known).map_or(String::new(), |near| format!("; did you mean {near}?"));
    let place = match source {
        Source::DotEnv { path, line, .. } => format!(" ({} line {line})", path.display()),
        Source::Default | Source::File { .. } | Source::Environment { .. } | Source::Flag { .. } => {
            String::new()
        }
    };
    Some(format!("{variable}{place} is not a setting and has no effect{near}"))
}

/// The line itself is not shown: it may hold a password.
fn bad_dot_env(path: &Path, text: &str, error: &dotenvy::Error) -> CliError {
    let mut line = String::new();
    if let dotenvy::Error::LineParse(bad, _) = error
        && let Some(at) = text.lines().position(|line| line.trim() == bad.trim())
    {
        line = format!(" line {}", at + 1);
    }
    CliError::usage(format!("{}{} is not NAME=value", path.display(), line))
}

fn line_of_variable(text: &str, variable: &str) -> usize {
    let names_it = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        line.strip_prefix(variable).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(names_it).map_or(1, |at| at + 1)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
