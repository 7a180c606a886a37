//! Arguments as JSON: a list, or an object.

use std::collections::BTreeMap;

use lovage_core::{Payload, render_arguments};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Unseen;
use crate::call::Input;

/// Arguments as an entry has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Json {
    pub(crate) args: String,
    pub(crate) kwargs: String,
}

impl Json {
    pub(super) fn none() -> Self {
        Self { args: "[]".to_owned(), kwargs: "{}".to_owned() }
    }

    pub(crate) fn sent(input: &Input) -> Self {
        let text = |name, unsaid: &str| input.get(name).unwrap_or(unsaid).to_owned();
        Self { args: text("args", "[]"), kwargs: text("kwargs", "{}") }
    }

    /// A list or an object, each where it belongs.
    pub(crate) fn of(whole: &str) -> Self {
        if whole.trim_start().starts_with('{') {
            return Self { kwargs: whole.to_owned(), ..Self::none() };
        }
        Self { args: whole.to_owned(), ..Self::none() }
    }

    /// Whether they are by name.
    pub(crate) fn by_name(&self) -> bool {
        is_empty(&self.args) && !is_empty(&self.kwargs)
    }

    /// The list or the object.
    pub(crate) fn whole(&self) -> Result<&str, String> {
        if self.by_name() {
            return Ok(&self.kwargs);
        }
        let is_placed = is_empty(&self.kwargs);
        is_placed.then_some(&*self.args).ok_or_else(|| "some are by position and some by name".to_owned())
    }

    /// The same, where each is what it should be.
    pub(crate) fn valid(&self) -> Result<&str, String> {
        match self.wrong().into_iter().flatten().next() {
            Some(why) => Err(why.to_owned()),
            None => self.whole(),
        }
    }

    /// What is no list, and what is no object.
    pub(crate) fn wrong(&self) -> [Option<&'static str>; 2] {
        let is_list = serde_json::from_str::<Vec<IgnoredAny>>(&self.args).is_ok();
        let is_object = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(&self.kwargs).is_ok();
        [
            (!is_list).then_some("expected a JSON list, such as [16, 16]"),
            (!is_object).then_some("expected a JSON object, such as {\"x\": 16}"),
        ]
    }

    /// As it may go back into a page; and whether something was taken out. Of what cannot be read nobody knows what is hidden.
    pub(crate) fn shown(&self, hidden: Unseen<'_>, before: &str) -> (Self, bool) {
        if hidden.marks.is_empty() {
            return (self.clone(), false);
        }
        let Ok(whole) = self.whole() else { return (Self::of(before), true) };
        let shown = render_arguments(&Payload::Json(whole.to_owned()), hidden.marks);
        let value = |json: &str| serde_json::from_str::<Value>(json).ok();
        let Some(written) = value(whole) else { return (Self::of(before), true) };
        let is_changed = value(&shown) != Some(written);
        let bare = |json: &str| json.split_whitespace().collect::<String>();
        // Else as it is rendered, where of a name that is written twice only one stays.
        if bare(&shown) == bare(whole) { (self.clone(), false) } else { (Self::of(&shown), is_changed) }
    }
}

/// Whether a list or an object has nothing in it.
fn is_empty(json: &str) -> bool {
    json.chars().filter(|c| !c.is_whitespace()).count() == 2
}
