//! Rendering arguments for people: the one place that hides what must not be seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Param, Payload};

/// What stands in the place of a hidden value.
pub const HIDDEN: &str = "[redacted]";

/// An argument that must not be shown, marked in the message itself.
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

/// The arguments as JSON for logs, rows and pages, with the marked ones replaced. What cannot be rendered is hidden.
#[must_use]
pub fn render_arguments(payload: &Payload, redacted: &[RedactedArg]) -> String {
    match payload {
        Payload::Postcard { bytes, .. } => format!("\"[postcard, {} bytes]\"", bytes.len()),
        Payload::Json(text) if redacted.is_empty() => text.clone(),
        Payload::Json(text) => hide(text, redacted).unwrap_or_else(|| format!("\"{HIDDEN}\"")),
    }
}

/// What is shown stays as it was written: a number may be longer than a program can compute with.
fn hide(json: &str, redacted: &[RedactedArg]) -> Option<String> {
    let hidden = RawValue::from_string(format!("\"{HIDDEN}\"")).ok()?;
    if let Ok(mut list) = serde_json::from_str::<Vec<&RawValue>>(json) {
        for arg in redacted {
            if let Some(value) = list.get_mut(usize::from(arg.index)) {
                *value = &hidden;
            }
        }
        return serde_json::to_string(&list).ok();
    }
    let mut map: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    for arg in redacted {
        if let Some(value) = map.get_mut(&arg.name) {
            *value = &hidden;
        }
    }
    serde_json::to_string(&map).ok()
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
}
