//! The arguments of a task, laid out to change some of them.

use std::collections::BTreeMap;

use lovage_core::{HIDDEN, RedactedArg};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::problem::Problem;

/// Arguments, each as it is written.
pub(super) enum Laid {
    Placed(Vec<Box<RawValue>>),
    Named(BTreeMap<String, Box<RawValue>>),
}

impl Laid {
    pub(super) fn read(json: &str) -> Option<Self> {
        let placed = serde_json::from_str(json).map(Self::Placed);
        placed.or_else(|_| serde_json::from_str(json).map(Self::Named)).ok()
    }

    pub(super) fn get(&self, arg: &RedactedArg) -> Option<&RawValue> {
        match self {
            Self::Placed(values) => values.get(usize::from(arg.index)).map(|value| &**value),
            Self::Named(values) => values.get(&arg.name).map(|value| &**value),
        }
    }

    pub(super) fn get_mut(&mut self, arg: &RedactedArg) -> Option<&mut Box<RawValue>> {
        match self {
            Self::Placed(values) => values.get_mut(usize::from(arg.index)),
            Self::Named(values) => values.get_mut(&arg.name),
        }
    }

    pub(super) fn any(&self, is_it: impl Fn(&RawValue) -> bool) -> bool {
        match self {
            Self::Placed(values) => values.iter().any(|value| is_it(value)),
            Self::Named(values) => values.values().any(|value| is_it(value)),
        }
    }

    pub(super) fn json(&self) -> Result<String, Problem> {
        let written = match self {
            Self::Placed(values) => serde_json::to_string(values),
            Self::Named(values) => serde_json::to_string(values),
        };
        written.map_err(Problem::wrong)
    }
}

/// Whether it only says that something is hidden.
pub(super) fn is_hidden(value: &RawValue) -> bool {
    serde_json::from_str::<Value>(value.get()).is_ok_and(|value| value == HIDDEN)
}
