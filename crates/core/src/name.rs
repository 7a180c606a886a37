//! Names of queues and tasks, checked once and cheap to copy.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} `{found}` is not valid: expected {expected}")]
pub struct NameError {
    what: &'static str,
    found: String,
    expected: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $expected:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and keeps a name.
            ///
            /// # Errors
            /// When the name is empty, too long or has a character that is not allowed.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                let allowed: fn(char) -> bool = $allowed;
                if name.is_empty() || name.len() > $max || !name.chars().all(allowed) {
                    let found = name.chars().take(80).flat_map(char::escape_default).collect();
                    return Err(NameError { what: $what, found, expected: $expected });
                }
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a queue: 1 to 100 of letters, digits, `_`, `-`, `.` and `:`.
    ///
    /// `#` and braces are kept for partitions and for the hash tags of Redis Cluster.
    QueueName, "queue name", 100, "1 to 100 of letters, digits, `_`, `-`, `.`, `:`",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')
}

name! {
    /// The name of a task: 1 to 200 bytes without white space and control characters.
    TaskName, "task name", 200, "1 to 200 bytes without white space and control characters",
    |c| !c.is_whitespace() && !c.is_control()
}

name! {
    /// The name of an entry of the schedule: 1 to 200 bytes without control characters.
    EntryName, "schedule name", 200, "1 to 200 bytes without control characters",
    |c| !c.is_control()
}

name! {
    /// Who declares entries of the schedule, such as `code:shop` or `lovage.toml`: 1 to 100 of letters, digits, `_`, `-`,
    /// `.` and `:`.
    Source, "source", 100, "1 to 100 of letters, digits, `_`, `-`, `.`, `:`",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')
}

impl QueueName {
    /// The queue of a task that names none: `default`.
    #[must_use]
    pub fn default_queue() -> Self {
        Self("default".into())
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self::default_queue()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_says_what_is_allowed() {
        for bad in ["", "a b", "q#1", "{q}", &"x".repeat(101)] {
            let text = QueueName::new(bad).unwrap_err().to_string();
            assert!(text.contains("1 to 100"), "{text}");
        }
        assert!(TaskName::new("movies.tasks.add").is_ok());
        assert!(TaskName::new("two words").is_err());
    }
}
