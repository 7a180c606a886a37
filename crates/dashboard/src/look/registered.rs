//! The tasks that the live workers can run.

use std::collections::BTreeMap;

use lovage_core::{TaskInfo, WorkerInfo};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::problem::Problem;

/// A task that some live worker can run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Registered {
    pub(crate) name: String,
    /// Such as `(x: i64, y: i64) -> i64`. Several while a new version is rolled out: what was sent for one may not run on the
    /// other.
    pub(crate) signatures: Vec<String>,
    /// The queue that it is sent to where none is named; nothing where it has none of its own.
    pub(crate) queue: Option<String>,
    /// The names of the workers.
    pub(crate) workers: Vec<String>,
    /// Runs of it at this moment, of which each worker tells at most 1,000.
    pub(crate) running: usize,
}

pub(crate) async fn data(app: &App) -> Result<Vec<Registered>, Problem> {
    Ok(collect(&app.parts.broker.workers(None).await?))
}

/// The same for whoever can do without: nothing where the broker does not answer.
pub(crate) async fn if_known(app: &App) -> Vec<Registered> {
    collect(&workers_if_known(app).await)
}

/// The live workers; none where the broker does not answer.
pub(crate) async fn workers_if_known(app: &App) -> Vec<WorkerInfo> {
    known_workers(app).await.unwrap_or_default()
}

/// The live workers; nothing where the broker does not answer.
pub(crate) async fn known_workers(app: &App) -> Option<Vec<WorkerInfo>> {
    let workers = app.parts.broker.workers(None).await.inspect_err(|error| {
        tracing::debug!("which tasks there are is not known: {error}");
    });
    workers.ok()
}

/// Why no live worker of a task can run it with these arguments; nothing where one can, or where none knows it. No value is
/// repeated in it.
pub(crate) fn misfit(tasks: &[Registered], task: &str, arguments: &str) -> Option<String> {
    let mut why = None;
    for info in infos(tasks, task) {
        let error = info.takes(arguments).err()?;
        why = Some(format!("`{task}` does not take these arguments, but `{}`: {error}", info.signature));
    }
    why
}

/// What live workers say of a task, each release of it.
pub(crate) fn infos<'a>(tasks: &'a [Registered], task: &'a str) -> impl Iterator<Item = TaskInfo> + 'a {
    let meant = tasks.iter().filter(move |known| known.name == task);
    meant.flat_map(|known| {
        known.signatures.iter().map(|signature| TaskInfo {
            name: known.name.clone(),
            signature: signature.clone(),
            redacted: None,
            queue: None,
        })
    })
}

impl Registered {
    /// A task that no live worker can run.
    pub(crate) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), signatures: Vec::new(), queue: None, workers: Vec::new(), running: 0 }
    }
}

/// By name.
pub(crate) fn collect(workers: &[WorkerInfo]) -> Vec<Registered> {
    let mut tasks: BTreeMap<&str, Registered> = BTreeMap::new();
    for worker in workers {
        for task in &worker.tasks {
            let entry = tasks.entry(&task.name).or_insert_with(|| Registered::unknown(&task.name));
            if !entry.signatures.contains(&task.signature) {
                entry.signatures.push(task.signature.clone());
            }
            entry.workers.push(worker.name.clone());
            entry.running += worker.active.iter().filter(|active| active.task == task.name).count();
        }
    }
    for task in tasks.values_mut() {
        task.queue = WorkerInfo::queue_of_task(workers, &task.name).map(ToString::to_string);
    }
    tasks.into_values().collect()
}
