//! One request, after the guard has let it in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::request::Parts;
use lovage_core::Timestamp;
use lovage_core::audit::Action;
use serde_json::Value;

use crate::app::App;
use crate::auth::Who;
use crate::params::{Need, Param};
use crate::problem::Problem;

/// A request: from whom, and what it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    /// Nobody on public routes.
    pub(crate) who: Option<Who>,
    pub(crate) parts: Parts,
    /// Path and query behind the base.
    pub(crate) at: String,
    pub(crate) input: Input,
    /// The instant that ages count from.
    pub(crate) now: Timestamp,
}

/// The fields of a query, of a form, or of a JSON object.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Input(Vec<(String, String)>);

impl Call {
    pub(crate) fn is_operator(&self) -> bool {
        self.who.as_ref().is_some_and(Who::is_operator)
    }

    /// Whom the audit names.
    pub(crate) fn name(&self) -> &str {
        self.who.as_ref().map_or("", |who| who.name.as_str())
    }

    /// What the audit keeps of what somebody does by this request.
    pub(crate) fn action(&self, what: &str, to: String, outcome: impl Into<String>) -> Action {
        let address = self.app.guard.client(&self.parts);
        Action {
            at: self.now,
            who: self.name().to_owned(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            what: what.to_owned(),
            to,
            outcome: outcome.into(),
        }
    }

    /// What forms must carry.
    pub(crate) fn csrf(&self) -> &str {
        let session = self.who.as_ref().and_then(|who| who.session.as_ref());
        session.map_or("", |session| session.csrf.as_str())
    }
}

impl Input {
    pub(crate) fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The fields of a JSON object. Where a list is asked for it is a field that comes several times; other lists, and
    /// objects, stay JSON.
    pub(crate) fn from_json(value: Value, params: &[Param]) -> Result<Self, Problem> {
        let Value::Object(object) = value else {
            return Err(Problem::wrong("the body is not a JSON object"));
        };
        let is_many = |name: &str| params.iter().any(|param| param.name == name && param.need == Need::Many);
        let mut fields = Vec::new();
        for (name, value) in object {
            if value.is_null() {
                continue;
            }
            let values = if is_many(&name) { one_by_one(value) } else { vec![value] };
            fields.extend(values.into_iter().map(|value| (name.clone(), text(value))));
        }
        Ok(Self(fields))
    }

    /// Removes all fields of a name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(found, _)| found != name);
    }

    /// Adds the fields of another input behind these.
    pub(crate) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// A field that is not empty, without white space around it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A field that is not empty, as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, text)| found == name && !text.is_empty()).map(|(_, text)| text.as_str())
    }

    /// All values of a field that are not empty.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let values = self.0.iter().filter(move |(found, _)| found == name);
        values.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::wrong(format!("`{name}` is missing")))
    }

    /// Reads a field.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let value = self.get(name).map(str::parse).transpose();
        value.map_err(|error: T::Err| Problem::wrong(format!("`{name}`: {error}")))
    }

    /// A field that says yes or no; no where it says nothing.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("no" | "false") => Ok(false),
            Some("yes" | "true") => Ok(true),
            Some(other) => Err(Problem::wrong(format!("`{name}`: expected yes or no, found `{other}`"))),
        }
    }

    /// Reads a field that must be there.
    pub(crate) fn needed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<T, Problem> {
        self.parsed(name)?.ok_or_else(|| Problem::wrong(format!("`{name}` is missing")))
    }

    /// All fields, by name.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

fn one_by_one(value: Value) -> Vec<Value> {
    if let Value::Array(values) = value { values } else { vec![value] }
}

fn text(value: Value) -> String {
    if let Value::String(text) = value { text } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_forms_give_the_same_fields() {
        let json =
            json!({ "queue": "q", "ids": ["a", "b"], "limit": 5, "on": true, "args": ["1"], "none": null });
        let input = Input::from_json(json, &[crate::params::IDS]).unwrap();
        assert_eq!(input.all("ids").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(input.get("args"), Some("[\"1\"]"));
        assert_eq!(input.needed::<u32>("limit"), Ok(5));
        assert_eq!(input.get("none"), None);
        assert!(input.needed::<u32>("queue").unwrap_err().sentence.starts_with("`queue`: "));
        assert!(Input::from_json(json!([1]), &[]).is_err());
        let form = Input::new(vec![("name".into(), " x ".into()), ("empty".into(), " ".into())]);
        assert_eq!((form.get("name"), form.raw("name"), form.get("empty")), (Some("x"), Some(" x "), None));
    }
}
