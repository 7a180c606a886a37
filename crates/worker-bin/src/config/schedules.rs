//! Entries of the schedule in `lovage.toml`: `[schedules.NAME]` with the fields of an entry.

use lovage_core::schedule::{Entry, EntryText};
use lovage_worker::Routes;
use serde_json::{Map, Value};
use toml::de::DeValue;

use super::Source;
use crate::error::CliError;

/// The table of all entries.
pub(super) const KEY: &str = "schedules";

/// An entry that the file declares. It is checked; a queue that it does not name comes from the routes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Declared {
    entry: Entry,
    names_queue: bool,
}

impl Declared {
    /// The entry, in its queue.
    pub(crate) fn entry(&self, routes: &Routes) -> Entry {
        let mut entry = self.entry.clone();
        if !self.names_queue {
            entry.queue = routes.queue(entry.task.as_str());
        }
        entry
    }
}

/// Reads the table.
pub(super) fn declared(
    value: &DeValue<'_>,
    source: &Source,
    place: impl Fn(usize) -> Source,
) -> Result<Vec<Declared>, CliError> {
    let DeValue::Table(table) = value else {
        return Err(CliError::usage(format!(
            "`{KEY}` from {source}: expected tables such as [{KEY}.nightly], found {}",
            kind(value)
        ))
        .hint("the database that keeps the schedule is named by `schedules_url`"));
    };
    table
        .iter()
        .map(|(name, value)| one(name.get_ref(), value.get_ref(), &place(name.span().start)))
        .collect()
}

fn one(name: &str, value: &DeValue<'_>, source: &Source) -> Result<Declared, CliError> {
    let wrong = |why: String| CliError::usage(format!("the schedule `{name}` from {source}: {why}"));
    let DeValue::Table(table) = value else {
        return Err(wrong(format!("expected a table with task and schedule, found {}", kind(value))));
    };
    let names_queue = table.contains_key("queue");
    let mut fields = Map::new();
    fields.insert("name".to_owned(), name.into());
    for (key, value) in table {
        let key = key.get_ref().as_ref();
        if key == "name" {
            return Err(wrong("`name` stands in the table's title, as in [schedules.nightly]".to_owned()));
        }
        fields.insert(key.to_owned(), json(value.get_ref()).map_err(|why| wrong(format!("{key}: {why}")))?);
    }
    let text: EntryText =
        serde_json::from_value(Value::Object(fields)).map_err(|error| wrong(error.to_string()))?;
    let entry = Entry::try_from(text).map_err(|error| wrong(error.to_string()))?;
    Ok(Declared { entry, names_queue })
}

/// The same value in JSON, which has no instants: they become texts.
fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
            parsed.map_err(|_| format!("the number {} does not fit into 64 bits", number.as_str()))?.into()
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().replace('_', "").parse().ok().and_then(serde_json::Number::from_f64);
            parsed.ok_or_else(|| format!("JSON has no number {}", number.as_str()))?.into()
        }
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|value| json(value.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let pairs =
                table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), json(value.get_ref())?)));
            Value::Object(pairs.collect::<Result<_, String>>()?)
        }
    })
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a point in time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
