//! Slots of which the history does not tell, though their tasks ran: the results know.

use std::collections::HashMap;

use lovage_core::schedule::{Audit, Firing, StoredEntry};
use lovage_core::{StoreId, TaskId, TaskState, Timestamp};
use lovage_scheduler::{fired_by_results, states, untold};

use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// What the results tell of slots that an audit knows nothing about.
///
/// The audit stands without it: where the results cannot be asked, a note says so.
pub(super) async fn from_results(
    session: &Session,
    store: StoreId,
    stored: &StoredEntry,
    audit: &Audit,
) -> Vec<Firing> {
    let asked = untold(store, stored, audit);
    if asked.is_empty() {
        return Vec::new();
    }
    let found = look_up(session, stored, &asked).await.unwrap_or_else(|error| {
        let why = error.in_one_line();
        Out.note(format!(
            "note: the results were not asked about slots that the history does not know: {why}"
        ));
        Vec::new()
    });
    if !found.is_empty() {
        let count = found.len();
        Out.note(format!(
            "note: {count} of these slots are not in the history; that they fired is known from the results of their tasks"
        ));
    }
    found
}

/// The states of tasks that have ended.
pub(super) type Ended = HashMap<TaskId, TaskState>;

/// How the tasks of an audit ended, as far as the results know.
pub(super) async fn ended(session: &Session, audit: &Audit) -> Ended {
    let tasks: Vec<TaskId> = audit.lines.iter().filter_map(|line| line.outcome.published()).collect();
    if tasks.is_empty() {
        return Ended::new();
    }
    let found = async {
        let client = session.connect_to_look().await?;
        let Some(results) = client.results() else { return Ok(Ended::new()) };
        Ok::<_, CliError>(states(&**results, &tasks).await?)
    };
    found.await.unwrap_or_else(|error| {
        Out.note(format!("note: it is not known how the tasks ended: {}", error.in_one_line()));
        Ended::new()
    })
}

async fn look_up(
    session: &Session,
    stored: &StoredEntry,
    asked: &[(Timestamp, TaskId)],
) -> Result<Vec<Firing>, CliError> {
    let client = session.connect_to_look().await?;
    let Some(results) = client.results() else { return Ok(Vec::new()) };
    Ok(fired_by_results(&**results, stored, asked).await?)
}
