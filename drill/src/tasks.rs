//! The tasks of the drill. Each answers its own number, so that a result can be checked, and keeps a journal of its runs.

use std::time::Duration;

use lovage::{Context, State, TaskError};
use lovage_core::Clock as _;
use lovage_system::SystemClock;

use crate::journal::Journal;

/// What a flaky task fails with.
pub const PLANNED_FAILURE: &str = "the first attempt always fails";

/// Does nothing.
#[lovage::task(name = "drill.quick")]
pub async fn quick(number: u64, ctx: &Context, journal: State<Journal>) -> Result<u64, TaskError> {
    journal.begin(ctx.info()).succeed();
    Ok(number)
}

/// Waits, so that it is under way when something happens.
#[lovage::task(name = "drill.nap")]
pub async fn nap(number: u64, millis: u64, ctx: &Context, journal: State<Journal>) -> Result<u64, TaskError> {
    let run = journal.begin(ctx.info());
    SystemClock::new().sleep(Duration::from_millis(millis)).await;
    run.succeed();
    Ok(number)
}

/// A plain function, on a thread of its own.
#[lovage::task(name = "drill.plain")]
pub fn plain(number: u64, ctx: &Context, journal: State<Journal>) -> Result<u64, TaskError> {
    let run = journal.begin(ctx.info());
    hold_thread(Duration::from_millis(2));
    run.succeed();
    Ok(number)
}

/// Fails at its first attempt.
#[lovage::task(name = "drill.flaky", retry_delay = "200ms")]
pub async fn flaky(number: u64, ctx: &Context, journal: State<Journal>) -> Result<u64, TaskError> {
    let run = journal.begin(ctx.info());
    if ctx.attempt() == 1 {
        run.fail();
        return Err(TaskError::new(PLANNED_FAILURE));
    }
    run.succeed();
    Ok(number)
}

/// What nobody should write: an async function that keeps its thread.
#[lovage::task(name = "drill.block")]
pub async fn block(
    number: u64,
    millis: u64,
    ctx: &Context,
    journal: State<Journal>,
) -> Result<u64, TaskError> {
    let run = journal.begin(ctx.info());
    hold_thread(Duration::from_millis(millis));
    run.succeed();
    Ok(number)
}

#[expect(clippy::disallowed_methods, reason = "keeping the thread is what these tasks are for")]
fn hold_thread(time: Duration) {
    std::thread::sleep(time);
}
