//! Arguments on their way in and out, decoded one by one so that an error can name the one that is wrong.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::encode::{write_json, write_postcard};
use crate::{Codec, Param, Payload, TaskError, limits};

/// Why arguments do not fit a task.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// They were encoded from other types than this worker's: another release may be able to run them.
    #[error(
        "the arguments were encoded from other types (fingerprint {found:016x}) than this worker's ({expected:016x}): deploy the worker and its clients from the same task declarations"
    )]
    Fingerprint {
        /// This worker's.
        expected: u64,
        /// The message's.
        found: u64,
    },
    /// Nobody can run them as they are.
    #[error("{0}")]
    Invalid(String),
}

impl ArgumentsError {
    /// The failure of a task that got these arguments: it is not retried.
    #[must_use]
    pub fn into_task_error(self) -> TaskError {
        let report = crate::ErrorReport::new("arguments", self.to_string());
        TaskError::from_report(crate::Directive::Permanent, report)
    }
}

/// Encodes the arguments of a call, one after another.
#[derive(Debug)]
pub struct ArgumentsBuilder {
    codec: Codec,
    out: Result<Vec<u8>, String>,
    first: bool,
}

impl ArgumentsBuilder {
    /// An empty argument list.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        let out = match codec {
            Codec::Json => vec![b'['],
            Codec::Postcard { .. } => Vec::new(),
        };
        Self { codec, out: Ok(out), first: true }
    }

    /// Adds the next argument. An argument that does not serialize is reported by [`finish`](Self::finish).
    #[must_use]
    pub fn arg<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let Ok(mut out) = self.out else { return self };
        let written = match self.codec {
            Codec::Json => {
                if !std::mem::take(&mut self.first) {
                    out.push(b',');
                }
                write_json(&mut out, value).map(|()| out)
            }
            Codec::Postcard { .. } => write_postcard(out, value),
        };
        self.out = written.map_err(|error| format!("argument `{name}` cannot be encoded: {error}"));
        self
    }

    /// The encoded arguments.
    ///
    /// # Errors
    /// Names the argument that could not be encoded, and why.
    pub fn finish(self) -> Result<Payload, String> {
        let mut bytes = self.out?;
        match self.codec {
            Codec::Postcard { fingerprint } => Ok(Payload::Postcard { fingerprint, bytes }),
            Codec::Json => {
                bytes.push(b']');
                String::from_utf8(bytes).map(Payload::Json).map_err(|error| error.to_string())
            }
        }
    }
}

/// The arguments of one run, taken one after another in the order of the parameters.
#[derive(Debug)]
pub struct Arguments {
    task: &'static str,
    params: &'static [Param],
    values: Values,
    next: usize,
}

#[derive(Debug)]
enum Values {
    Json(Vec<Option<Box<RawValue>>>),
    Postcard { bytes: Vec<u8>, at: usize },
}

impl Arguments {
    /// Lays a payload out over the parameters of a task.
    ///
    /// # Errors
    /// When the payload was made from other types, is not a list or an object, or has too many or unknown arguments.
    pub fn new(
        task: &'static str,
        params: &'static [Param],
        codec: Codec,
        payload: Payload,
    ) -> Result<Self, ArgumentsError> {
        let values = match (payload, codec) {
            (Payload::Json(text), _) => Values::Json(lay_out(task, params, &text)?),
            (Payload::Postcard { fingerprint, bytes }, Codec::Postcard { fingerprint: expected }) => {
                if fingerprint != expected {
                    return Err(ArgumentsError::Fingerprint { expected, found: fingerprint });
                }
                Values::Postcard { bytes, at: 0 }
            }
            (Payload::Postcard { fingerprint, .. }, Codec::Json) => {
                return Err(ArgumentsError::Fingerprint { expected: 0, found: fingerprint });
            }
        };
        Ok(Self { task, params, values, next: 0 })
    }

    /// The next argument; `default` supplies one that the call left out. A missing `Option` is `None`.
    ///
    /// # Errors
    /// When the argument is missing or does not decode; the message names the task, the parameter and its type.
    pub fn take<T: DeserializeOwned>(&mut self, default: Option<fn() -> T>) -> Result<T, ArgumentsError> {
        let index = self.next;
        self.next += 1;
        let param = self.params.get(index);
        let (name, wants) = param.map_or(("?", "?"), |param| (param.name, param.type_name));
        let task = self.task;
        let invalid = |error: &dyn fmt::Display| {
            let why = match param {
                // What serde says repeats the value.
                Some(Param { redacted: true, .. }) => "its value is not shown".to_owned(),
                Some(_) | None => shortened(error.to_string()),
            };
            ArgumentsError::Invalid(format!("{task}: argument `{name}` is not a valid {wants}: {why}"))
        };
        match &mut self.values {
            Values::Json(values) => match values.get_mut(index).and_then(Option::take) {
                Some(raw) => serde_json::from_str(raw.get()).map_err(|error| invalid(&error)),
                None => match default {
                    Some(default) => Ok(default()),
                    None => T::deserialize(Missing).map_err(|_| {
                        ArgumentsError::Invalid(format!(
                            "{task}: argument `{name}` ({wants}) is missing; {}",
                            signature(self.params)
                        ))
                    }),
                },
            },
            Values::Postcard { bytes, at } => {
                let left = bytes.get(*at..).unwrap_or_default();
                let (value, rest) = postcard::take_from_bytes(left).map_err(|error| invalid(&error))?;
                *at = bytes.len() - rest.len();
                Ok(value)
            }
        }
    }
}

fn lay_out(task: &str, params: &[Param], text: &str) -> Result<Vec<Option<Box<RawValue>>>, ArgumentsError> {
    let invalid = |what: String| ArgumentsError::Invalid(format!("{task}: {what}; {}", signature(params)));
    if text.trim_start().starts_with('{') {
        let mut named: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)
            .map_err(|error| invalid(format!("the arguments are not valid JSON: {error}")))?;
        let values = params.iter().map(|param| named.remove(param.name)).collect();
        return match named.keys().next() {
            Some(unknown) => Err(invalid(format!("there is no argument `{}`", shortened(unknown.clone())))),
            None => Ok(values),
        };
    }
    let list: Vec<Box<RawValue>> = serde_json::from_str(text)
        .map_err(|error| invalid(format!("the arguments are not a JSON list or object: {error}")))?;
    if list.len() > params.len() {
        return Err(invalid(format!("found {} arguments, expected {}", list.len(), params.len())));
    }
    Ok(list.into_iter().map(Some).collect())
}

/// What a message holds may have megabytes, and serde repeats it.
fn shortened(mut error: String) -> String {
    if error.len() > limits::NOTE_BYTES {
        error.truncate(error.floor_char_boundary(limits::NOTE_BYTES));
        error.push('…');
    }
    error
}

/// `expected (x: i64, y: Option<i64>)`, for error messages.
fn signature(params: &[Param]) -> String {
    let list: Vec<String> =
        params.iter().map(|param| format!("{}: {}", param.name, param.type_name)).collect();
    format!("expected ({})", list.join(", "))
}

/// Deserializes "nothing was given": `None` for an `Option`, an error for everything else. Works through type
/// aliases and newtypes, which a look at the type's name would not.
struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde_json::Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: &[Param] = &[
        Param { name: "x", type_name: "i64", optional: false, redacted: false },
        Param { name: "y", type_name: "Option<i64>", optional: true, redacted: false },
    ];

    fn json(text: &str) -> Result<Arguments, ArgumentsError> {
        Arguments::new("t", PARAMS, Codec::Json, Payload::Json(text.to_owned()))
    }

    #[test]
    fn a_missing_option_is_none_in_both_forms() {
        for text in ["[1]", r#"{"x":1}"#, "[1,null]"] {
            let mut args = json(text).unwrap();
            assert_eq!(args.take::<i64>(None), Ok(1));
            assert_eq!(args.take::<Option<i64>>(None), Ok(None));
        }
    }

    #[test]
    fn a_default_fills_in() {
        let mut args = json("[1]").unwrap();
        let _x: i64 = args.take(None).unwrap();
        assert_eq!(args.take::<i64>(Some(|| 7)), Ok(7));
    }

    #[test]
    fn wrong_arguments_say_what_was_expected() {
        for (text, part) in [
            ("[1,2,3]", "found 3 arguments, expected 2"),
            (r#"{"z":1}"#, "no argument `z`"),
            ("7", "not a JSON list or object"),
            ("", "not a JSON list"),
        ] {
            let message = json(text).unwrap_err().to_string();
            assert!(
                message.contains(part) && message.contains("expected (x: i64, y: Option<i64>)"),
                "{message}"
            );
        }
        let message = json(r#"["one"]"#).unwrap().take::<i64>(None).unwrap_err().to_string();
        assert!(message.contains("argument `x` is not a valid i64"), "{message}");
        assert!(json("[]").unwrap().take::<i64>(None).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn an_argument_that_json_cannot_hold_is_refused_by_name() {
        let error = ArgumentsBuilder::new(Codec::Json).arg("x", &1).arg("ratio", &f64::NAN).finish();
        let error = error.unwrap_err();
        assert!(error.contains("argument `ratio` cannot be encoded") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn an_error_holds_no_secret_and_no_megabytes() {
        const CARD: &[Param] = &[Param { name: "card", type_name: "u64", optional: false, redacted: true }];
        let error = |params, text: String| {
            let mut args = Arguments::new("t", params, Codec::Json, Payload::Json(text)).unwrap();
            args.take::<u64>(None).unwrap_err().to_string()
        };
        let message = error(CARD, r#"["4111-1111"]"#.to_owned());
        assert_eq!(message, "t: argument `card` is not a valid u64: its value is not shown");
        let message = error(PARAMS, format!(r#"["{}"]"#, "ü".repeat(50_000)));
        assert!(message.contains("invalid type") && message.ends_with("ü…"), "{message}");
        assert!(message.len() < 1_200, "{}", message.len());
    }

    #[test]
    fn postcard_round_trips_and_refuses_another_fingerprint() {
        let codec = Codec::Postcard { fingerprint: 7 };
        let payload = ArgumentsBuilder::new(codec).arg("x", &1_i64).arg("y", &Some(2_i64)).finish().unwrap();
        let mut args = Arguments::new("t", PARAMS, codec, payload.clone()).unwrap();
        assert_eq!(args.take::<i64>(None), Ok(1));
        assert_eq!(args.take::<Option<i64>>(None), Ok(Some(2)));
        let error = Arguments::new("t", PARAMS, Codec::Postcard { fingerprint: 8 }, payload).unwrap_err();
        assert_eq!(error, ArgumentsError::Fingerprint { expected: 8, found: 7 });
    }
}
