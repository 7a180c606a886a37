//! The arguments of a call as bytes.

use serde::{Deserialize, Serialize};

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
}
