//! The arguments of a call as bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::encode::{check_depth, write_json};

/// The arguments of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// A JSON list (by position) or object (by name). The outermost list or object is always the argument list.
    Json(String),
    /// The arguments one after another in postcard, with the fingerprint of their types.
    Postcard {
        /// See [`Signature`](crate::Signature).
        fingerprint: u64,
        /// The encoded arguments.
        bytes: Vec<u8>,
    },
}

impl Payload {
    /// No arguments.
    #[must_use]
    pub fn empty() -> Self {
        Self::Json("[]".to_owned())
    }

    /// Arguments as the JSON text of a list or object, which is kept as it is: no number loses a digit.
    ///
    /// # Errors
    /// When it is no such text, or nests deeper than 127 levels; the text is not repeated.
    pub fn from_json(text: String) -> Result<Self, String> {
        check_depth(&text).map_err(|error| format!("the arguments cannot be encoded: {error}"))?;
        let is_list = serde_json::from_str::<Vec<&RawValue>>(&text).is_ok();
        if is_list || serde_json::from_str::<BTreeMap<String, &RawValue>>(&text).is_ok() {
            return Ok(Self::Json(text));
        }
        Err("the arguments are not valid: expected a JSON list or object".to_owned())
    }

    /// Arguments from a value that serializes as a list or object.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json), and for what JSON cannot hold.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, String> {
        let mut json = Vec::new();
        write_json(&mut json, value).map_err(|error| format!("the arguments cannot be encoded: {error}"))?;
        Self::from_json(String::from_utf8(json).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_arguments_are_kept_as_they_are() {
        let text = "[123456789012345678901234567890, 1.10]".to_owned();
        assert_eq!(Payload::from_json(text.clone()), Ok(Payload::Json(text)));
        assert!(Payload::from_json("7".to_owned()).unwrap_err().contains("expected a JSON list or object"));
        assert!(Payload::from_json(format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
    }
}
