//! Entries as they are written down: in columns, in JSON, in configuration files.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::crontab::CrontabText;
use super::interval::{ClockedText, IntervalText, instant};
use super::solar::SolarText;
use super::{Entry, Schedule, ScheduleError};
use crate::{Expires, Hidden, Priority, QueueName, Timestamp, format_duration, parse_duration};

/// No arguments by position.
pub(super) const LIST: &str = "[]";
/// No arguments by name, no headers.
pub(super) const OBJECT: &str = "{}";

/// An [`Entry`] that nobody has checked yet, with each field as people write it. What is wrong in it is told by the name of
/// the field when it is made into an [`Entry`].
///
/// As JSON `args`, `kwargs`, `schedule` and `headers` are values, not texts; all but `name`, `task` and `schedule` may be
/// left out. From TOML it is read by way of [`serde_json::Value`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryText {
    /// 1 to 200 bytes without control characters.
    pub name: String,
    /// The name of a task.
    pub task: String,
    /// A JSON list.
    #[serde(default = "list", with = "raw")]
    pub args: String,
    /// A JSON object.
    #[serde(default = "object", with = "raw")]
    pub kwargs: String,
    /// The JSON of a [`Schedule`].
    #[serde(with = "raw")]
    pub schedule: String,
    /// The name of a queue.
    #[serde(default = "queue")]
    pub queue: String,
    /// 0 to 9.
    #[serde(default)]
    pub priority: i64,
    /// A JSON object of texts.
    #[serde(default = "object", with = "raw")]
    pub headers: String,
    /// RFC 3339, or a duration from the publish such as `10m`.
    #[serde(default)]
    pub expires: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub start_time: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub end_time: Option<String>,
    /// See [`Entry::one_off`].
    #[serde(default)]
    pub one_off: bool,
    /// See [`Entry::enabled`].
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// `skip`, `once` or `all(N)`.
    #[serde(default = "once")]
    pub misfire: String,
    /// `allow` or `skip`.
    #[serde(default = "allow")]
    pub overlap: String,
    /// A duration such as `30s`.
    #[serde(default)]
    pub jitter: Option<String>,
}

impl TryFrom<EntryText> for Entry {
    type Error = ScheduleError;

    fn try_from(text: EntryText) -> Result<Self, ScheduleError> {
        let entry = Self {
            name: named("name", &text.name)?,
            task: named("task", &text.task)?,
            args: text.args,
            kwargs: text.kwargs,
            schedule: schedule(&text.schedule)?,
            queue: named("queue", &text.queue)?,
            priority: priority(text.priority)?,
            headers: headers(&text.headers)?,
            expires: text.expires.as_deref().map(expires).transpose()?,
            start_time: text.start_time.as_deref().map(|at| instant("start_time", at)).transpose()?,
            end_time: text.end_time.as_deref().map(|at| instant("end_time", at)).transpose()?,
            one_off: text.one_off,
            enabled: text.enabled,
            description: text.description,
            misfire: text.misfire.parse()?,
            overlap: text.overlap.parse()?,
            jitter: text.jitter.as_deref().map(jitter).transpose()?.unwrap_or_default(),
        };
        entry.check()?;
        Ok(entry)
    }
}

impl From<&Entry> for EntryText {
    fn from(entry: &Entry) -> Self {
        Self {
            name: entry.name.as_str().to_owned(),
            task: entry.task.as_str().to_owned(),
            args: entry.args.clone(),
            kwargs: entry.kwargs.clone(),
            // Neither can fail: their keys are texts.
            schedule: serde_json::to_string(&entry.schedule).unwrap_or_default(),
            headers: serde_json::to_string(&entry.headers).unwrap_or_default(),
            queue: entry.queue.as_str().to_owned(),
            priority: entry.priority.get().into(),
            expires: entry.expires.map(|expires| match expires {
                Expires::At(at) => at.to_string(),
                Expires::After(time) => format_duration(time),
            }),
            start_time: entry.start_time.map(|at| at.to_string()),
            end_time: entry.end_time.map(|at| at.to_string()),
            one_off: entry.one_off,
            enabled: entry.enabled,
            description: entry.description.clone(),
            misfire: entry.misfire.to_string(),
            overlap: entry.overlap.to_string(),
            jitter: (!entry.jitter.is_zero()).then(|| format_duration(entry.jitter)),
        }
    }
}

impl EntryText {
    /// The entry as people may see it: without the arguments that its task hides.
    #[must_use]
    pub fn shown(entry: &Entry, hidden: &Hidden) -> Self {
        let text = Self::from(entry);
        let shown = |json: &str| hidden.shown_json(&text.task, json);
        Self { args: shown(&text.args), kwargs: shown(&text.kwargs), ..text }
    }
}

impl From<Entry> for EntryText {
    fn from(entry: Entry) -> Self {
        Self::from(&entry)
    }
}

/// A list and an object, of which one is empty: a message has its arguments either by position or by name.
pub(super) fn check_arguments(args: &str, kwargs: &str) -> Result<(), ScheduleError> {
    let is_list = serde_json::from_str::<Vec<&RawValue>>(args).is_ok();
    if !is_list {
        return Err(ScheduleError::new("args", args, "a JSON list, such as [16, 16]"));
    }
    let is_object = serde_json::from_str::<BTreeMap<String, &RawValue>>(kwargs).is_ok();
    if !is_object {
        return Err(ScheduleError::new("kwargs", kwargs, "a JSON object, such as {\"x\": 16}"));
    }
    if !is_empty(args) && !is_empty(kwargs) {
        let expected = "{} where args are given: all arguments are given by position, or all by name";
        return Err(ScheduleError::new("kwargs", kwargs, expected));
    }
    Ok(())
}

/// Whether a JSON list or object has nothing in it.
pub(super) fn is_empty(json: &str) -> bool {
    json.chars().filter(|c| !c.is_ascii_whitespace()).count() == 2
}

pub(super) fn named<T: FromStr>(field: &'static str, text: &str) -> Result<T, ScheduleError> {
    let expected = match field {
        "task" => "1 to 200 bytes without white space and control characters",
        "queue" => "1 to 100 of letters, digits, `_`, `-`, `.`, `:`",
        _ => "1 to 200 bytes without control characters",
    };
    text.parse().map_err(|_| ScheduleError::new(field, text, expected))
}

/// Through the forms of the kinds, whose errors name the field that is wrong.
fn schedule(text: &str) -> Result<Schedule, ScheduleError> {
    #[derive(Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum ScheduleText {
        Interval(IntervalText),
        Crontab(CrontabText),
        Solar(SolarText),
        Clocked(ClockedText),
    }
    let read = serde_json::from_str(text).map_err(|error| {
        let expected = format!(
            "an object with the kind interval, crontab, solar or clocked, and the fields of that kind ({})",
            without_place(&error)
        );
        ScheduleError::new("schedule", text, expected)
    })?;
    Ok(match read {
        ScheduleText::Interval(text) => Schedule::Interval(text.try_into()?),
        ScheduleText::Crontab(text) => Schedule::Crontab(text.try_into()?),
        ScheduleText::Solar(text) => Schedule::Solar(text.try_into()?),
        ScheduleText::Clocked(text) => Schedule::Clocked(text.try_into()?),
    })
}

/// Without serde's "at line 1 column 2", which says nothing about a line that the reader did not write.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
}

fn priority(value: i64) -> Result<Priority, ScheduleError> {
    u8::try_from(value)
        .ok()
        .and_then(|value| Priority::new(value).ok())
        .ok_or_else(|| ScheduleError::new("priority", value, "0 to 9, where 9 is run first"))
}

fn headers(text: &str) -> Result<BTreeMap<String, String>, ScheduleError> {
    serde_json::from_str(text)
        .map_err(|_| ScheduleError::new("headers", text, "a JSON object of texts, such as {\"a\": \"b\"}"))
}

fn expires(text: &str) -> Result<Expires, ScheduleError> {
    let at = Timestamp::parse(text).map(Expires::At);
    at.or_else(|_| parse_duration(text).map(Expires::After)).map_err(|_| {
        let expected = "a duration such as 10m, or a point in time such as 2026-11-23T13:00:00Z";
        ScheduleError::new("expires", text, expected)
    })
}

fn jitter(text: &str) -> Result<std::time::Duration, ScheduleError> {
    parse_duration(text).map_err(|_| ScheduleError::new("jitter", text, "a duration such as 30s, up to 1d"))
}

/// A text that is JSON, as a part of the JSON around it.
mod raw {
    use super::*;

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| raw.get().to_owned())
    }
}

fn list() -> String {
    LIST.to_owned()
}

fn object() -> String {
    OBJECT.to_owned()
}

fn queue() -> String {
    QueueName::default_queue().into()
}

fn yes() -> bool {
    true
}

fn once() -> String {
    "once".to_owned()
}

fn allow() -> String {
    "allow".to_owned()
}
