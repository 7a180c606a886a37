//! Who did what, and when.

use std::sync::Arc;

use axum::http::StatusCode;
use lovage_core::audit::{Action, AuditFilter};
use schemars::JsonSchema;
use serde::Serialize;

use super::tasks::Part;
use super::{At, instant, part};
use crate::audit::{FAILED_LOGIN, LOGIN, LOGOUT};
use crate::call::Call;
use crate::jobs::Job;
use crate::problem::Problem;
use crate::routes::{Handler, Route, Surface, table};

/// An action of somebody.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct ActionRow {
    pub(crate) at: At,
    /// The name of the person or the program; `(unknown)` where somebody tried to log in who is none of the users.
    pub(crate) who: String,
    /// The address that it came from; empty where that is not known.
    pub(crate) address: String,
    /// What, such as `queues/pause` or `login`.
    pub(crate) what: String,
    /// To what: a queue, a task, an entry of the schedule.
    pub(crate) to: String,
    /// What became of it.
    pub(crate) outcome: String,
    /// The job that it began, stopped or was, while this dashboard remembers it.
    pub(crate) job: Option<String>,
}

pub(crate) async fn data(call: Call) -> Result<Part<ActionRow>, Problem> {
    let Some(store) = call.app.parts.results.audit() else {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "Actions are in the log alone, under the target `lovage::audit`: to keep them here, have results in SQLite or \
             PostgreSQL (`LOVAGE_RESULTS_URL`).",
        ));
    };
    let filter = AuditFilter {
        who: call.input.get("who").map(str::to_owned),
        what: call.input.get("what").map(str::to_owned),
        since: instant(&call, "since")?,
        until: instant(&call, "until")?,
    };
    call.app.audit.settle(&call.app.parts).await;
    let found = part(&call, |page| store.list(&filter, page)).await?;
    let jobs = call.app.jobs.all();
    let row = |action: Action| {
        let is_of = |job: &&Arc<Job>| action.outcome.contains(&job.id) || action.to.contains(&job.id);
        let job = jobs.iter().find(is_of).map(|job| job.id.clone());
        ActionRow { job, ..ActionRow::from(action) }
    };
    Ok(Part { items: found.items.into_iter().map(row).collect(), next: found.next })
}

/// Everything that can be done, by name.
pub(crate) fn kinds() -> Vec<&'static str> {
    let is_action = |route: &&Route| matches!(route.handler, Handler::Action(_) | Handler::Form(_));
    let actions = table().iter().filter(is_action).filter(|route| route.surface == Surface::Page);
    let paths = actions.map(|route| route.path.trim_start_matches('/'));
    let mut kinds: Vec<&str> = paths.chain([LOGIN, FAILED_LOGIN, LOGOUT, "schedules/put"]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

impl From<Action> for ActionRow {
    fn from(action: Action) -> Self {
        let Action { at, who, address, what, to, outcome } = action;
        Self { at: At(at), who, address, what, to, outcome, job: None }
    }
}
