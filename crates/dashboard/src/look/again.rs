//! A task that is to be sent once more, and who could run it.

use lovage_core::{Hidden, Place, QueueName, StoredMessage, TaskId, TaskRecord, WorkerInfo, nearest};

use super::registered::{Registered, collect, workers_if_known};
use crate::act::draft::Draft;
use crate::app::App;
use crate::call::{Call, Input};
use crate::look;
use crate::problem::Problem;
use crate::typed::Arguments;

/// A task that is to be sent once more.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) id: TaskId,
    /// As it was sent.
    pub(crate) draft: Draft,
    /// Whether the broker has it as a dead letter.
    pub(crate) is_dead: bool,
    /// What live workers can run.
    pub(crate) tasks: Vec<Registered>,
    workers: Vec<WorkerInfo>,
}

impl Again {
    /// The task that a request names.
    pub(crate) async fn find(call: &Call) -> Result<Self, Problem> {
        let id: TaskId = call.input.needed("id")?;
        let (message, record) = look::task::find(&call.app, id).await?;
        let hidden = call.app.hidden().await;
        Self::of(&call.app, id, message.as_ref(), record.as_ref(), &hidden, &call.input).await
    }

    /// Of what broker and results know of it. `input`: of its form, where that was sent.
    pub(crate) async fn of(
        app: &App,
        id: TaskId,
        message: Option<&StoredMessage>,
        record: Option<&TaskRecord>,
        hidden: &Hidden,
        input: &Input,
    ) -> Result<Self, Problem> {
        let mut draft = Draft::of(id, message, record, hidden)?;
        let workers = workers_if_known(app).await;
        let tasks = collect(&workers);
        if let Some(params) = Arguments::parameters(input, draft.task(), &tasks) {
            draft.mark(&params);
        }
        let is_dead = message.is_some_and(|message| message.place == Place::Dead);
        Ok(Self { id, draft, is_dead, tasks, workers })
    }

    /// A form with its task, which nobody can change.
    pub(crate) fn input(&self, input: &Input) -> Input {
        let mut with_task = Input::new(vec![("task".to_owned(), self.draft.task().to_owned())]);
        with_task.join(input.clone());
        with_task
    }

    /// Whether a live worker reads a queue.
    ///
    /// # Errors
    /// While workers live, one that none of them reads and nobody ever used: it is misspelt.
    pub(crate) async fn is_read(&self, app: &App, queue: &QueueName) -> Result<bool, Problem> {
        let readers = || self.workers.iter().filter(|worker| !worker.is_beat());
        if readers().any(|worker| worker.queues.contains(queue)) {
            return Ok(true);
        }
        if *queue == self.draft.queue || readers().next().is_none() {
            return Ok(false);
        }
        let used = app.parts.broker.queues().await?;
        if used.contains(queue) {
            return Ok(false);
        }
        let known = used.iter().chain(readers().flat_map(|worker| &worker.queues)).map(QueueName::as_str);
        let meant = nearest(queue.as_str(), known).map(|near| format!(" Did you mean `{near}`?"));
        Err(Problem::wrong(format!(
            "no live worker reads the queue `{queue}`, and nobody ever used it: start a worker of it first.{}",
            meant.unwrap_or_default()
        )))
    }
}
