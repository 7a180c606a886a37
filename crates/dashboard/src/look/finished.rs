//! Tasks that ended: from the results.

use lovage_core::{Hidden, Outcome, ResultFilter, TaskRecord, TaskState};
use schemars::JsonSchema;
use serde::Serialize;

use super::tasks::Part;
use super::{At, instant, part};
use crate::call::Call;
use crate::problem::Problem;

/// A task as the results know it.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct FinishedRow {
    pub(crate) id: String,
    pub(crate) task: String,
    /// As JSON text, what must not be seen hidden.
    pub(crate) arguments: String,
    #[schemars(with = "String")]
    pub(crate) state: TaskState,
    /// As JSON text.
    pub(crate) result: Option<String>,
    /// The message of its failure, with its causes.
    pub(crate) error: Option<String>,
    pub(crate) queue: String,
    pub(crate) worker: String,
    pub(crate) priority: u8,
    pub(crate) run: u32,
    /// Failed attempts in this run.
    pub(crate) attempt: u32,
    pub(crate) enqueued_at: At,
    pub(crate) started_at: Option<At>,
    pub(crate) finished_at: At,
    /// Seconds.
    pub(crate) run_time: Option<f64>,
    /// Something to know of a task that succeeded, such as an exceeded time limit.
    pub(crate) warning: Option<String>,
}

/// What was found, and how far back.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Found {
    #[serde(flatten)]
    pub(crate) part: Part<FinishedRow>,
    /// Set where few match: nothing that ended before this instant was looked at yet, and `next` goes on there.
    pub(crate) searched_back_to: Option<At>,
}

pub(crate) async fn data(call: Call) -> Result<Found, Problem> {
    let filter = filter(&call)?;
    let found = part(&call, |page| call.app.parts.results.list(&filter, page)).await?;
    let hidden = call.app.hidden().await;
    let told = found.items.iter().filter(|record| is_told(&filter, record, &hidden));
    let items: Vec<FinishedRow> = told.map(|record| FinishedRow::of(record, &hidden)).collect();
    let is_guessed = items.is_empty() && !found.items.is_empty();
    let next = found.next.filter(|_| !is_guessed);
    Ok(Found { part: Part { items, next }, searched_back_to: found.searched_back_to.map(At) })
}

/// Whether a row may be told to who searches, by its arguments as they may be seen: who searches by arguments does not find out
/// what is hidden in them.
pub(crate) fn is_told(filter: &ResultFilter, record: &TaskRecord, hidden: &Hidden) -> bool {
    let shown = || hidden.shown_json(&record.task, &record.arguments);
    filter.arguments.as_ref().is_none_or(|searched| *searched == shown())
}

/// What a request searches by.
pub(crate) fn filter(call: &Call) -> Result<ResultFilter, Problem> {
    let input = &call.input;
    let states = input.all("state").map(str::parse).collect::<Result<Vec<TaskState>, _>>();
    Ok(ResultFilter {
        task: input.get("task").map(str::to_owned),
        states: states.map_err(Problem::wrong)?,
        worker: input.get("worker").map(str::to_owned),
        queue: input.parsed("queue")?,
        since: instant(call, "since")?,
        until: instant(call, "until")?,
        arguments: input.get("arguments").map(compact),
        error_contains: input.get("error").map(str::to_owned),
    })
}

/// What a filter finds, in words.
pub(crate) fn words(filter: &ResultFilter) -> String {
    let ResultFilter { task, states, worker, queue, since, until, arguments, error_contains } = filter;
    let states: Vec<String> = states.iter().map(ToString::to_string).collect();
    let parts = [
        task.as_ref().map(|task| format!(" of the task `{task}`")),
        (!states.is_empty()).then(|| format!(" in the state {}", states.join(" or "))),
        queue.as_ref().map(|queue| format!(" of the queue `{queue}`")),
        worker.as_ref().map(|worker| format!(" by the worker `{worker}`")),
        error_contains.as_ref().map(|text| format!(" whose error has `{text}`")),
        arguments.as_ref().map(|json| format!(" with the arguments `{json}`")),
        since.map(|since| format!(" since {since}")),
        until.map(|until| format!(" until {until}")),
    ];
    parts.into_iter().flatten().fold("all finished tasks".to_owned(), |words, part| words + &part)
}

/// JSON without white space between its parts, as messages have it; their order stays.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let is_part = |c: &char| {
        let ends = *c == '"' && !escaped;
        escaped = in_text && *c == '\\' && !escaped;
        in_text ^= ends;
        in_text || !c.is_ascii_whitespace()
    };
    json.chars().filter(is_part).collect()
}

impl FinishedRow {
    /// What its worker did not know to be hidden is hidden here.
    pub(super) fn of(record: &TaskRecord, hidden: &Hidden) -> Self {
        let (result, error) = match &record.outcome {
            Outcome::None => (None, None),
            Outcome::Result(json) => (Some(json.clone()), None),
            Outcome::Error(report) => (None, Some(report.to_string())),
            Outcome::Marker(why) => (None, Some(format!("not stored: {why}"))),
        };
        Self {
            id: record.id.to_string(),
            task: record.task.clone(),
            arguments: hidden.shown_json(&record.task, &record.arguments),
            state: record.state,
            result,
            error,
            queue: record.queue.to_string(),
            worker: record.worker.clone(),
            priority: record.priority.get(),
            run: record.run,
            attempt: record.attempt,
            enqueued_at: At(record.enqueued_at),
            started_at: record.started_at.map(At),
            finished_at: At(record.finished_at),
            run_time: record.run_time.map(|time| time.as_secs_f64()),
            warning: record.warning.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_compared_without_the_white_space_between_them() {
        for (typed, compared) in [
            ("[1, 3]", "[1,3]"),
            (" { \"b\" : \"a b\" ,\n \"a\": [ ] } ", r#"{"b":"a b","a":[]}"#),
            (r#"["a \" b", "\\", " c"]"#, r#"["a \" b","\\"," c"]"#),
        ] {
            assert_eq!(compact(typed), compared);
        }
    }
}
