//! The tasks of the worker that gets bad input.

use std::collections::BTreeMap;

use lovage::{TaskDef, TaskError};

#[lovage::task(name = "add")]
pub(crate) async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[lovage::task(name = "compact", codec = "postcard")]
pub(crate) async fn compact(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[lovage::task(name = "echo")]
pub(crate) async fn echo(text: String) -> Result<String, TaskError> {
    Ok(text)
}

#[lovage::task(name = "length")]
pub(crate) async fn length(text: String) -> Result<usize, TaskError> {
    Ok(text.len())
}

#[lovage::task(name = "large")]
pub(crate) async fn large(bytes: usize) -> Result<String, TaskError> {
    Ok("x".repeat(bytes))
}

/// JSON has no keys that are lists.
#[lovage::task(name = "pairs")]
pub(crate) async fn pairs(x: i64) -> Result<BTreeMap<Vec<i64>, i64>, TaskError> {
    Ok(BTreeMap::from([(vec![x], x)]))
}

#[lovage::task(name = "fails")]
pub(crate) async fn fails(message: String) -> Result<(), TaskError> {
    Err(TaskError::new(message))
}

#[lovage::task(name = "panics")]
pub(crate) async fn panics(message: String) -> Result<(), TaskError> {
    panic!("{message}")
}

pub(crate) fn all() -> Vec<TaskDef> {
    lovage::tasks![add, compact, echo, length, large, pairs, fails, panics]
}
