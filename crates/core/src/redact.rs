//! Rendering arguments for people: the one place that hides what must not be seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Envelope, Param, Payload, TaskInfo};

/// What stands in the place of a hidden value.
pub const HIDDEN: &str = "[redacted]";

/// An argument that must not be shown, as a message is marked with, and as workers register of their tasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RedactedArg {
    /// Its position in a positional call.
    pub index: u8,
    /// Its name in a call by name.
    pub name: String,
}

impl RedactedArg {
    /// The marks of a task's parameters.
    #[must_use]
    pub fn of(params: &[Param]) -> Vec<Self> {
        let hidden = params.iter().enumerate().filter(|(_, param)| param.redacted);
        let mark = |(index, param): (usize, &Param)| Self {
            index: u8::try_from(index).unwrap_or(u8::MAX),
            name: param.name.to_owned(),
        };
        hidden.map(mark).collect()
    }
}

/// What tasks hide, as workers registered it (see [`Inspect::hidden`](crate::Inspect::hidden)). A task that was sent by its
/// name alone has no marks in its message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hidden {
    tasks: BTreeMap<String, Vec<RedactedArg>>,
    /// Nobody could be asked: then all is hidden.
    is_unknown: bool,
}

impl Hidden {
    /// Where nobody could be asked what tasks hide.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { tasks: BTreeMap::new(), is_unknown: true }
    }

    /// Whether nobody could be asked.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Takes what a worker says of its tasks, in the place of what was known of them.
    pub fn learn(&mut self, tasks: &[TaskInfo]) {
        for task in tasks {
            match &task.redacted {
                // An older worker does not say.
                None => {}
                Some(none) if none.is_empty() => drop(self.tasks.remove(&task.name)),
                Some(marks) => drop(self.tasks.insert(task.name.clone(), marks.clone())),
            }
        }
    }

    /// Hides more of a task.
    pub fn add(&mut self, task: &str, marks: Vec<RedactedArg>) {
        if !marks.is_empty() {
            self.tasks.entry(task.to_owned()).or_default().extend(marks);
        }
    }

    /// The tasks that hide something, and what.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &[RedactedArg])> {
        self.tasks.iter().map(|(task, marks)| (task.as_str(), marks.as_slice()))
    }

    /// What is registered of a task.
    #[must_use]
    pub fn of(&self, task: &str) -> &[RedactedArg] {
        self.tasks.get(task).map_or(&[], Vec::as_slice)
    }

    /// The arguments of a message as people may see them.
    #[must_use]
    pub fn shown(&self, envelope: &Envelope) -> String {
        if self.is_unknown { nothing() } else { envelope.shown(self.of(&envelope.task)) }
    }

    /// The same of arguments that are JSON already, of a row or of an entry of the schedule.
    #[must_use]
    pub fn shown_json(&self, task: &str, json: &str) -> String {
        if self.is_unknown { nothing() } else { render_json(json, self.of(task)) }
    }
}

impl<S: Into<String>> FromIterator<(S, Vec<RedactedArg>)> for Hidden {
    fn from_iter<I: IntoIterator<Item = (S, Vec<RedactedArg>)>>(tasks: I) -> Self {
        let tasks = tasks.into_iter().map(|(task, marks)| (task.into(), marks)).collect();
        Self { tasks, is_unknown: false }
    }
}

impl Envelope {
    /// The arguments as people may see them, by the marks of the message and those that its task is known to have.
    #[must_use]
    pub fn shown(&self, registered: &[RedactedArg]) -> String {
        match (&self.payload, registered) {
            (payload, []) => render_arguments(payload, &self.redacted),
            (payload, _) => render_arguments(payload, &[&self.redacted, registered].concat()),
        }
    }
}

/// The arguments as JSON for logs, rows and pages, with the marked ones replaced. What cannot be rendered is hidden.
#[must_use]
pub fn render_arguments(payload: &Payload, redacted: &[RedactedArg]) -> String {
    match payload {
        Payload::Postcard { bytes, .. } => format!("\"[postcard, {} bytes]\"", bytes.len()),
        Payload::Json(text) => render_json(text, redacted),
    }
}

/// The same of JSON.
pub(crate) fn render_json(text: &str, redacted: &[RedactedArg]) -> String {
    if redacted.is_empty() {
        return text.to_owned();
    }
    let Some(mut parts) = Parts::of(text) else { return nothing() };
    let stand_in = nothing();
    let Ok(stand_in) = serde_json::from_str(&stand_in) else { return nothing() };
    for arg in redacted {
        if let Some(value) = parts.get_mut(arg) {
            *value = stand_in;
        }
    }
    parts.to_json()
}

/// Takes back what must not be seen: where `after`, which somebody wrote over the arguments that were shown, still has
/// `[redacted]` in a marked place, there stays what the same argument was `before`, by position or by name. All else stays as it is written.
#[must_use]
pub fn keep_hidden(before: &str, after: &str, redacted: &[RedactedArg]) -> String {
    let (Some(before), Some(mut parts)) = (Parts::of(before), Parts::of(after)) else {
        return after.to_owned();
    };
    for arg in redacted {
        if let (Some(old), Some(new)) = (before.get(arg), parts.get_mut(arg))
            && is_hidden(new)
        {
            *new = old;
        }
    }
    parts.to_json()
}

/// Whether `[redacted]` stands in the place of an argument.
#[must_use]
pub fn has_hidden(arguments: &str) -> bool {
    match Parts::of(arguments) {
        Some(Parts::ByPosition(list)) => list.into_iter().any(is_hidden),
        Some(Parts::ByName(map)) => map.into_values().any(is_hidden),
        None => false,
    }
}

fn is_hidden(value: &RawValue) -> bool {
    serde_json::from_str::<String>(value.get()).is_ok_and(|text| text == HIDDEN)
}

/// Arguments, each as it is written: a number may be longer than those of a `Value`.
enum Parts<'a> {
    ByPosition(Vec<&'a RawValue>),
    ByName(BTreeMap<String, &'a RawValue>),
}

impl<'a> Parts<'a> {
    fn of(json: &'a str) -> Option<Self> {
        let by_position = serde_json::from_str(json).map(Self::ByPosition);
        by_position.or_else(|_| serde_json::from_str(json).map(Self::ByName)).ok()
    }

    fn get(&self, arg: &RedactedArg) -> Option<&'a RawValue> {
        match self {
            Self::ByPosition(list) => list.get(usize::from(arg.index)).copied(),
            Self::ByName(map) => map.get(&arg.name).copied(),
        }
    }

    fn get_mut(&mut self, arg: &RedactedArg) -> Option<&mut &'a RawValue> {
        match self {
            Self::ByPosition(list) => list.get_mut(usize::from(arg.index)),
            Self::ByName(map) => map.get_mut(&arg.name),
        }
    }

    /// Neither form can fail: their keys are texts.
    fn to_json(&self) -> String {
        let written = match self {
            Self::ByPosition(list) => serde_json::to_string(list),
            Self::ByName(map) => serde_json::to_string(map),
        };
        written.unwrap_or_else(|_| nothing())
    }
}

fn nothing() -> String {
    format!("\"{HIDDEN}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_in_both_forms_and_when_in_doubt() {
        let card = [RedactedArg { index: 1, name: "card".into() }];
        let show = |text: &str| render_arguments(&Payload::Json(text.into()), &card);
        assert_eq!(show(r#"[1,"4111"]"#), r#"[1,"[redacted]"]"#);
        assert_eq!(show(r#"{"card":"4111","id":1}"#), r#"{"card":"[redacted]","id":1}"#);
        assert_eq!(show("4111"), "\"[redacted]\"");
        assert_eq!(show("[1"), "\"[redacted]\"");
    }

    #[test]
    fn what_is_beside_it_stays_as_it_was_written() {
        let card = [RedactedArg { index: 1, name: "card".into() }];
        let show = |text: &str| render_arguments(&Payload::Json(text.into()), &card);
        let long = "340282366920938463463374607431768211455";
        assert_eq!(show(&format!(r#"[{long},"4111",1.10]"#)), format!(r#"[{long},"[redacted]",1.10]"#));
        assert_eq!(
            show(&format!(r#"{{"id":{long},"card":"4111"}}"#)),
            format!(r#"{{"card":"[redacted]","id":{long}}}"#)
        );
    }

    fn task(name: &str, redacted: Option<&[(u8, &str)]>) -> TaskInfo {
        let mark = |&(index, name): &(u8, &str)| RedactedArg { index, name: name.to_owned() };
        let redacted = redacted.map(|marks| marks.iter().map(mark).collect());
        TaskInfo { name: name.to_owned(), signature: "()".to_owned(), redacted, queue: None }
    }

    #[test]
    fn what_message_or_workers_mark_is_hidden_by_position_and_by_name() {
        let mut hidden = Hidden::default();
        hidden.learn(&[task("pay", Some(&[(1, "card"), (2, "pin")])), task("add", Some(&[]))]);
        let envelope = |task: &str, json: &str| Envelope::new(task, Payload::Json(json.to_owned()));
        for (name, json, shown) in [
            ("pay", r#"[7,"4111",9]"#, r#"[7,"[redacted]","[redacted]"]"#),
            ("pay", r#"{"card":"4111","id":7}"#, r#"{"card":"[redacted]","id":7}"#),
            ("pay", "[7]", "[7]"),
            ("pay", "4111", r#""[redacted]""#),
            ("add", r#"[7,"4111"]"#, r#"[7,"4111"]"#),
            ("else", r#"[7,"4111"]"#, r#"[7,"4111"]"#),
        ] {
            assert_eq!(hidden.shown(&envelope(name, json)), shown, "{name} {json}");
            assert_eq!(hidden.shown_json(name, json), shown, "{name} {json}");
        }
        let mut marked = envelope("pay", r#"["a","b","c"]"#);
        marked.redacted = vec![RedactedArg { index: 0, name: "id".to_owned() }];
        assert_eq!(hidden.shown(&marked), r#"["[redacted]","[redacted]","[redacted]"]"#);
    }

    #[test]
    fn where_nobody_could_be_asked_all_is_hidden() {
        let envelope = Envelope::new("add", Payload::Json("[1]".to_owned()));
        assert_eq!(Hidden::unknown().shown(&envelope), r#""[redacted]""#);
        assert_eq!(Hidden::unknown().shown_json("add", "[1]"), r#""[redacted]""#);
    }

    #[test]
    fn a_later_worker_says_anew_and_an_older_one_says_nothing() {
        let mut hidden = Hidden::default();
        hidden.learn(&[task("pay", Some(&[(1, "card")]))]);
        hidden.learn(&[task("pay", None)]);
        assert_eq!(hidden.of("pay")[0].index, 1);
        hidden.learn(&[task("pay", Some(&[(0, "card")]))]);
        assert_eq!(hidden.of("pay")[0].index, 0);
        hidden.learn(&[task("pay", Some(&[]))]);
        assert_eq!(hidden, Hidden::default());
    }

    #[test]
    fn what_is_still_hidden_stays_as_it_was() {
        let card = [RedactedArg { index: 1, name: "card".to_owned() }];
        let kept = |before, after| keep_hidden(before, after, &card);
        assert_eq!(kept(r#"[7,"4111"]"#, r#"[8,"[redacted]"]"#), r#"[8,"4111"]"#);
        assert_eq!(kept(r#"{"card":"4111"}"#, r#"{"card":"[redacted]"}"#), r#"{"card":"4111"}"#);
        assert_eq!(kept(r#"[7,"4111"]"#, r#"["[redacted]","5500"]"#), r#"["[redacted]","5500"]"#);
        assert_eq!(kept(r#"[7,"4111"]"#, r#"{"card":"[redacted]"}"#), r#"{"card":"4111"}"#);
        assert_eq!(kept("[7]", r#"{"card":"[redacted]"}"#), r#"{"card":"[redacted]"}"#);
        let long = "[340282366920938463463374607431768211455,\"[redacted]\"]";
        assert_eq!(kept(r#"[7,"4111"]"#, long), "[340282366920938463463374607431768211455,\"4111\"]");
        assert_eq!(kept("7", "[7"), "[7");
        assert!(has_hidden(r#"[1,"[redacted]"]"#) && has_hidden(r#"{"x":"[redacted]"}"#));
        assert!(!has_hidden(r#"[["[redacted]"]]"#) && !has_hidden("7"));
    }
}
