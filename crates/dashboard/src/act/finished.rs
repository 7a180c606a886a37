//! What can be done to tasks that ended: to those that are named, or by a job to all that match.

use async_trait::async_trait;
use lovage_core::{BackendError, Hidden, Page, ResultFilter, TaskId, TaskRecord, Timestamp};

use super::again::{Batch, Known, with_messages};
use super::listed;
use super::sure::{AS_A_JOB, Confirm, Sure, Tally, capital};
use crate::app::App;
use crate::call::Call;
use crate::jobs::{Jobs, Plan, Step, Work};
use crate::look;
use crate::problem::Problem;
use crate::routes::Done;

/// Tasks that are named in one request.
const MOST: usize = 1_000;
/// Tasks of one step of a job.
const STEP: usize = 200;
/// Tasks that are looked at for a question, by steps.
const ASKED_OF: usize = 1_000;
/// What a request says that means to delete all that match.
const CONFIRMATION: &str = "delete";

/// Sends tasks once more, dead letters as themselves and the others under new ids. It goes on after one that cannot be sent, and says why.
pub(crate) async fn again(call: Call) -> Result<Done, Problem> {
    if call.input.flag("all")? {
        let rows = Rows::matching(&call).await?;
        let plan = plan(&call, "finished/again", "Run finished tasks again", "sent again")?;
        return Jobs::start(&call, plan, Again { rows, batch: None });
    }
    let ids = chosen(&call)?;
    let known = known(&call.app, &ids).await?;
    let sent = Batch::new(&call.app, &known, &call.app.hidden().await).send(&call.app).await?;
    let why = sent
        .failed
        .first()
        .map_or_else(String::new, |(id, why)| format!(" {} cannot: {id}: {why}.", sent.failed.len()));
    if sent.count == 0 {
        return Err(Problem::conflict(format!("nothing runs again.{why}")));
    }
    let sentence = format!("{} of {} tasks run again.{why}", sent.count, ids.len());
    Ok(Done::new(listed(&ids), sentence).count(sent.count))
}

/// Those that are named run again without a question.
pub(crate) async fn ask_again(call: Call) -> Result<Option<Sure>, Problem> {
    if !call.input.flag("all")? {
        return Ok(None);
    }
    let tally = Rows::matching(&call).await?.tally(&call.app).await?;
    let (to, number) = (look::finished::words(&look::finished::filter(&call)?), tally.words("task"));
    Ok(Some(Sure {
        title: "Run all that match again?",
        words: format!(
            "{}: {number} will be sent again. Dead letters are retried as themselves, the others get new ids.{AS_A_JOB}",
            capital(&to)
        ),
        lines: tally.lines("Task", "State"),
        button: "Run all of them again",
        is_danger: false,
        confirm: Confirm::Pressed,
    }))
}

pub(crate) async fn ask_delete(call: Call) -> Result<Option<Sure>, Problem> {
    let is_all = call.input.flag("all")?;
    let (title, tally, to, how) = if is_all {
        let to = capital(&look::finished::words(&look::finished::filter(&call)?));
        let tally = Rows::matching(&call).await?.tally(&call.app).await?;
        ("Delete the results of all that match?", tally, to, AS_A_JOB)
    } else {
        let rows = call.app.parts.results.get(&chosen(&call)?, None).await?;
        let mut tally = Tally::default();
        rows.iter().flatten().for_each(|row| tally.add(&row.task, row.state.to_string()));
        if tally.is_empty() {
            return Err(Problem::conflict("nothing was deleted: none of these is in the results any more"));
        }
        ("Delete the selected results?", tally, "What was selected".to_owned(), "")
    };
    let number = tally.words("result");
    Ok(Some(Sure {
        title,
        words: format!(
            "{to}: {number} will be deleted, and nobody gets them back. Tasks that wait or run are not touched.{how}"
        ),
        lines: tally.lines("Task", "State"),
        button: "Delete these results",
        is_danger: true,
        confirm: if is_all { Confirm::Typed(CONFIRMATION.to_owned()) } else { Confirm::Pressed },
    }))
}

/// Removes the rows of tasks; what runs or waits is not touched.
pub(crate) async fn delete(call: Call) -> Result<Done, Problem> {
    if call.input.flag("all")? {
        if call.input.get("confirm") != Some(CONFIRMATION) {
            let sentence = format!(
                "nothing was deleted: to confirm, type the word {CONFIRMATION} (the field `confirm`)"
            );
            return Err(Problem::wrong(sentence));
        }
        let rows = Rows::matching(&call).await?;
        let plan = plan(&call, "finished/delete", "Delete finished tasks", "deleted from the results")?;
        return Jobs::start(&call, plan, Delete { rows, part: None });
    }
    let ids = chosen(&call)?;
    let count = call.app.parts.results.delete(&ids).await?;
    let sentence = format!("The results of {count} of {} tasks were deleted.", ids.len());
    Ok(Done::new(listed(&ids), sentence).count(count))
}

fn plan(call: &Call, action: &'static str, title: &'static str, done: &'static str) -> Result<Plan, Problem> {
    let to = look::finished::words(&look::finished::filter(call)?);
    Ok(Plan { action, title, to, one: "task", done, total: None })
}

fn chosen(call: &Call) -> Result<Vec<TaskId>, Problem> {
    let ids = super::chosen(call)?;
    if ids.len() > MOST {
        let sentence = format!("{} tasks were selected: expected at most {MOST} at a time", ids.len());
        return Err(Problem::wrong(sentence));
    }
    Ok(ids)
}

/// What broker and results know of tasks that are named, in their order.
async fn known(app: &App, ids: &[TaskId]) -> Result<Vec<Known>, BackendError> {
    let rows = app.parts.results.get(ids, None).await?;
    let mut with_rows = with_messages(app, rows.iter().flatten().cloned().collect()).await?.into_iter();
    let mut known = Vec::new();
    for (id, row) in ids.iter().zip(rows) {
        let found = if row.is_some() { with_rows.next() } else { None };
        known.push(match found {
            Some(found) => found,
            // Nobody knows its queue.
            None => Known { id: *id, message: app.parts.broker.find(*id, None).await?, record: None },
        });
    }
    Ok(known)
}

/// The rows that match, part by part, the newest first.
struct Rows {
    filter: ResultFilter,
    /// What tasks hide, as it was known at first.
    hidden: Hidden,
    after: Option<String>,
}

/// A part of them.
struct Part {
    rows: Vec<TaskRecord>,
    next: Option<String>,
    reached: Option<Timestamp>,
}

impl Rows {
    /// What a request means by all: what has ended by now, so that the job never meets what it began itself.
    async fn matching(call: &Call) -> Result<Self, Problem> {
        let mut filter = look::finished::filter(call)?;
        filter.until = Some(filter.until.map_or(call.now, |until| until.min(call.now)));
        // A store that cannot list says so now.
        let rows = Self { filter, hidden: call.app.hidden().await, after: None };
        let first = rows.read(&call.app).await?;
        if first.rows.is_empty() && first.next.is_none() {
            return Err(Problem::conflict("nothing was begun: no task that ended matches"));
        }
        Ok(rows)
    }

    /// The next part, which stays the next one until [`went_on`](Self::went_on).
    async fn read(&self, app: &App) -> Result<Part, BackendError> {
        let page = Page { after: self.after.clone(), limit: STEP };
        let found = app.parts.results.list(&self.filter, page).await?;
        let last = found.items.last().map(|row| row.finished_at);
        // Without a state those that run, or wait for a retry, are listed too.
        let is_meant = |row: &TaskRecord| {
            (row.state.is_terminal() || self.filter.states.contains(&row.state))
                && look::finished::is_told(&self.filter, row, &self.hidden)
        };
        let rows = found.items.into_iter().filter(is_meant).collect();
        Ok(Part { rows, next: found.next, reached: found.searched_back_to.or(last) })
    }

    /// What kinds of tasks there are among the newest of them.
    async fn tally(mut self, app: &App) -> Result<Tally, BackendError> {
        let mut tally = Tally::default();
        // A part may have none of them.
        for _ in 0..ASKED_OF / STEP {
            let part = self.read(app).await?;
            part.rows.iter().for_each(|row| tally.add(&row.task, row.state.to_string()));
            tally.has_more = !self.went_on(part.next);
            if !tally.has_more {
                break;
            }
        }
        Ok(tally)
    }

    fn went_on(&mut self, next: Option<String>) -> bool {
        self.after = next;
        self.after.is_none()
    }
}

/// Sends all that match once more.
struct Again {
    rows: Rows,
    /// What was read and is not known to be sent.
    batch: Option<(Batch, Option<String>, Option<Timestamp>)>,
}

#[async_trait]
impl Work for Again {
    async fn step(&mut self, app: &App) -> Result<Step, BackendError> {
        let (batch, next, reached) = match self.batch.take() {
            Some(unsent) => unsent,
            None => {
                let part = self.rows.read(app).await?;
                let known = with_messages(app, part.rows).await?;
                (Batch::new(app, &known, &self.rows.hidden), part.next, part.reached)
            }
        };
        match batch.send(app).await {
            Ok(sent) => {
                let failed = sent.failed.into_iter().map(|(id, why)| (Some(id), why)).collect();
                let is_last = self.rows.went_on(next);
                Ok(Step { done: sent.count, failed, reached, is_last, ..Step::default() })
            }
            Err(error) => {
                self.batch = Some((batch, next, reached));
                Err(error)
            }
        }
    }
}

/// Deletes all that match.
struct Delete {
    rows: Rows,
    /// What was read and is not known to be deleted.
    part: Option<Part>,
}

#[async_trait]
impl Work for Delete {
    async fn step(&mut self, app: &App) -> Result<Step, BackendError> {
        let part = match self.part.take() {
            Some(part) => part,
            None => self.rows.read(app).await?,
        };
        let ids: Vec<TaskId> = part.rows.iter().map(|row| row.id).collect();
        if !ids.is_empty()
            && let Err(error) = app.parts.results.delete(&ids).await
        {
            self.part = Some(part);
            return Err(error);
        }
        // Whoever deleted them: after a lost answer nobody knows.
        let is_last = self.rows.went_on(part.next);
        Ok(Step { done: ids.len(), reached: part.reached, is_last, ..Step::default() })
    }
}
