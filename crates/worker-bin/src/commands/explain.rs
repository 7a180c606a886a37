//! `explain`: why a task is not running, or what became of it.

use std::process::ExitCode;

use lovage_core::{Explanation, Point, Timestamp};
use serde_json::{Value, json};

use crate::cli::ExplainArgs;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// `lovage explain ID`. Exit code 1 when nobody knows the task.
pub(crate) async fn explain(session: &Session, args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let client = session.connect_to_look_with_outbox().await?;
    let explanation = client.explain(args.id).await?;
    if args.format.json {
        Out.json(&as_json(&explanation))?;
    } else {
        Out.line(explanation.to_string())?;
        for advice in explanation.points.iter().filter_map(|point| advice(session, &explanation, point)) {
            Out.note(format!("hint: {advice}"));
        }
    }
    Ok(if explanation.state.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What can be done about it.
fn advice(session: &Session, explanation: &Explanation, point: &Point) -> Option<String> {
    let (program, id) = (&session.program, explanation.id);
    let queue = explanation.queue.as_ref().map_or_else(String::new, ToString::to_string);
    match point {
        Point::Unknown => Some(session.places()),
        Point::InOutbox => Some(format!(
            "`{program} inspect outbox` shows what waits; start `{program} relay`, or a worker with the same outbox"
        )),
        Point::Paused => Some(format!("`{program} control resume {queue}` hands its tasks out again")),
        Point::NoWorker | Point::Unread { .. } | Point::Quiet { .. } => {
            Some(format!("start a worker with `{program} worker -Q {queue}`"))
        }
        Point::Unregistered { .. } => {
            Some(format!("`{program} inspect registered` lists what live workers can run"))
        }
        Point::Due { .. } | Point::Retry { .. } => {
            Some(format!("`{program} control promote {id}` runs it now"))
        }
        Point::Dead(_) => Some(format!(
            "`{program} dead show {id}` has its attempts, `{program} dead retry {id}` runs it again"
        )),
        // These take their course.
        Point::Replaced { .. } | Point::Cancelled | Point::Unreadable { .. } | Point::Stopping => None,
        Point::Ahead(_)
        | Point::Next { .. }
        | Point::Moving
        | Point::GivenBack { .. }
        | Point::Reserved { .. } => None,
        Point::Running(_) | Point::Abandoned { .. } | Point::Suspect { .. } | Point::Failed { .. } => None,
        Point::HoldsKey { .. } | Point::Ended(_) | Point::Unsettled | Point::Lost { .. } => None,
    }
}

/// Instants are RFC 3339, durations seconds, as everywhere.
fn as_json(explanation: &Explanation) -> Value {
    json!({
        "id": explanation.id.to_string(),
        "task": explanation.task,
        "queue": explanation.queue,
        "state": explanation.state.map(|state| state.as_str()),
        "asked_at": explanation.asked_at.to_string(),
        "text": explanation.to_string(),
        "points": explanation.points.iter().map(point).collect::<Vec<_>>(),
    })
}

fn point(point: &Point) -> Value {
    let instant = |at: &Timestamp| at.to_string();
    let maybe = |at: &Option<Timestamp>| at.as_ref().map(instant);
    match point {
        Point::Unknown => json!({ "kind": "unknown" }),
        Point::InOutbox => json!({ "kind": "in_outbox" }),
        Point::Replaced { by } => json!({ "kind": "replaced", "by": by.to_string() }),
        Point::Cancelled => json!({ "kind": "cancelled" }),
        Point::Unreadable { why } => json!({ "kind": "unreadable", "why": why }),
        Point::Paused => json!({ "kind": "paused" }),
        Point::NoWorker => json!({ "kind": "no_worker" }),
        Point::Unread { workers, queues } => {
            json!({ "kind": "unread", "workers": workers, "queues": queues })
        }
        Point::Quiet { workers } => json!({ "kind": "quiet", "workers": workers }),
        Point::Unregistered { workers, elsewhere, near } => {
            json!({ "kind": "unregistered", "workers": workers, "elsewhere": elsewhere, "near": near })
        }
        Point::Ahead(ahead) => json!({ "kind": "ahead", "tasks": ahead.tasks, "rate": ahead.rate }),
        Point::Next { running, slots } => json!({ "kind": "next", "running": running, "slots": slots }),
        Point::Moving => json!({ "kind": "moving" }),
        Point::Due { at } => json!({ "kind": "due", "at": instant(at) }),
        Point::Retry { at, retry, of, error } => {
            json!({ "kind": "retry", "at": instant(at), "retry": retry, "of": of, "error": error })
        }
        Point::GivenBack { times, at, registered } => {
            json!({ "kind": "given_back", "times": times, "at": instant(at), "registered": registered })
        }
        Point::Running(run) => json!({
            "kind": "running", "worker": run.worker, "since": instant(&run.since), "attempt": run.attempt,
            "delivery": run.delivery, "seen_at": instant(&run.seen_at), "lease_ends": maybe(&run.lease_ends),
        }),
        Point::Stopping => json!({ "kind": "stopping" }),
        Point::Reserved { workers } => json!({ "kind": "reserved", "workers": workers }),
        Point::Abandoned { lease_ends, certain } => {
            json!({ "kind": "abandoned", "lease_ends": maybe(lease_ends), "certain": certain })
        }
        Point::Suspect { losses } => json!({ "kind": "suspect", "losses": losses }),
        Point::Failed { attempts, error } => {
            json!({ "kind": "failed", "attempts": attempts, "error": error })
        }
        Point::HoldsKey { key } => json!({ "kind": "holds_key", "key": key }),
        Point::Dead(letter) => json!({
            "kind": "dead", "reason": letter.reason.map(|reason| reason.as_str()), "since": maybe(&letter.since),
            "attempts": letter.attempts, "error": letter.error,
        }),
        Point::Ended(end) => json!({
            "kind": "ended", "state": end.state.as_str(), "worker": end.worker, "at": instant(&end.at),
            "run_time": end.run_time.map(|time| time.as_secs_f64()), "attempts": end.attempts, "error": end.error,
        }),
        Point::Unsettled => json!({ "kind": "unsettled" }),
        Point::Lost { at } => json!({ "kind": "lost", "at": instant(at) }),
    }
}
