//! Priorities: 0 to 9, 9 first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The priority of a task within its queue: 0 to 9, and 9 is run first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// A priority above 9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("priority {0} is not valid: expected 0 to 9, where 9 is run first")]
pub struct PriorityError(u8);

impl Priority {
    /// The lowest priority and the default: 0.
    pub const LOWEST: Self = Self(0);
    /// The highest priority: 9.
    pub const HIGHEST: Self = Self(9);

    /// Checks a priority.
    ///
    /// # Errors
    /// When it is above 9.
    pub const fn new(value: u8) -> Result<Self, PriorityError> {
        if value > 9 { Err(PriorityError(value)) } else { Ok(Self(value)) }
    }

    /// The number, 0 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = PriorityError;
    fn try_from(value: u8) -> Result<Self, PriorityError> {
        Self::new(value)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
