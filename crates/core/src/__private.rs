//! What the macros expand to; not for people, and free to change in any release.

pub use inventory;

use serde::Serialize;

use crate::encode::{EncodeError, unstored, write_json};
use crate::{Directive, ErrorReport, TaskError, TaskResult};

/// The success type of a `Result`, also behind a type alias.
pub trait TaskReturn {
    /// `T` of `Result<T, E>`.
    type Output;
}

impl<T, E> TaskReturn for Result<T, E> {
    type Output = T;
}

/// Ends a run with a value. One that JSON cannot hold, or that no reader takes, is a success that is not stored.
///
/// # Errors
/// When the value does not serialize: trying again would not help.
pub fn finish<T: Serialize>(value: &T) -> TaskResult {
    let mut json = Vec::new();
    match write_json(&mut json, value) {
        Ok(()) => Ok(String::from_utf8(json).unwrap_or_default()),
        Err(EncodeError::Unfit(why)) => Ok(unstored(&format_args!("the result is not stored: {why}"))),
        Err(EncodeError::Other(error)) => {
            let report = ErrorReport::new("result", format!("the result cannot be stored as JSON: {error}"));
            Err(TaskError::from_report(Directive::Permanent, report))
        }
    }
}

/// The length of a module path with dots, as [`dotted`] makes it.
#[must_use]
pub const fn dotted_len(path: &str) -> usize {
    let bytes = path.as_bytes();
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        at += if bytes[at] == b':' { 2 } else { 1 };
        len += 1;
    }
    len
}

/// `movies::tasks::add` as `movies.tasks.add`.
#[must_use]
pub const fn dotted<const N: usize>(path: &str) -> [u8; N] {
    let bytes = path.as_bytes();
    let mut out = [0; N];
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b':' {
            out[len] = b'.';
            at += 2;
        } else {
            out[len] = bytes[at];
            at += 1;
        }
        len += 1;
    }
    out
}

/// The text of [`dotted`]'s bytes.
#[must_use]
pub const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A module path is valid UTF-8, and only ASCII was replaced.
        Err(_) => "",
    }
}
