//! How the tasks did that the live workers can run: from the counts per minute, not from results.

use std::collections::BTreeMap;

use lovage_core::stats::{Counts, Histogram, Tally, Window};
use schemars::JsonSchema;
use serde::Serialize;

use super::charts::{self, Charts, NOT_COUNTED, Quantiles};
use super::finished::{self, FinishedRow};
use super::registered::{self, Registered};
use crate::call::{Call, Input};
use crate::problem::Problem;

/// Failures that are shown.
const FAILURES: &str = "5";

/// A task and how it did.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskView {
    #[serde(flatten)]
    pub(crate) task: Registered,
    /// Nothing where nobody counts.
    pub(crate) counts: Option<TaskCounts>,
}

/// How a task did in a range of time.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskCounts {
    /// Tasks that ended; attempts that are tried again are none.
    pub(crate) ended: u64,
    /// The same per minute of the whole range.
    pub(crate) per_minute: f64,
    /// Tasks that failed for good.
    pub(crate) failed: u64,
    /// Their share of those that ended: 0 to 1. Nothing where none ended.
    pub(crate) failed_share: Option<f64>,
    /// Failed attempts that were to be tried again.
    pub(crate) retried: u64,
    /// Seconds from the publish of a task to its first start.
    pub(crate) wait: Option<Quantiles>,
    /// Seconds that attempts ran.
    pub(crate) run: Option<Quantiles>,
}

/// All tasks, and why nothing is known of how they did.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) range: &'static str,
    pub(crate) tasks: Vec<TaskView>,
    pub(crate) trouble: Option<String>,
}

/// One task in all detail.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskDetail {
    #[serde(flatten)]
    pub(crate) view: TaskView,
    /// What happened over time; its queues are not looked at.
    pub(crate) charts: Charts,
    /// How long attempts ran: those buckets in which there are any, the shortest first.
    pub(crate) run_times: Vec<Bucket>,
    /// The newest tasks of it that failed.
    pub(crate) failures: Vec<FinishedRow>,
    /// Why there are no failures, where they cannot be listed.
    pub(crate) failures_trouble: Option<String>,
}

/// Attempts that ran about equally long.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Bucket {
    /// Seconds: the longest that falls into it. The shortest is this divided by 1.26; for the first bucket (100 µs) 0. The last
    /// one (100,000 s) has everything that is longer, too.
    pub(crate) up_to: f64,
    pub(crate) count: u64,
}

pub(crate) async fn data(call: Call) -> Result<Vec<TaskView>, Problem> {
    Ok(all(&call).await?.tasks)
}

/// All tasks by name.
pub(crate) async fn all(call: &Call) -> Result<Tasks, Problem> {
    let (range, window) = charts::window(call)?;
    let registered = registered::data(&call.app).await?;
    let view = |task, counts| TaskView { task, counts };
    let unknown = |registered: Vec<Registered>, why| {
        let tasks = registered.into_iter().map(|task| view(task, None)).collect();
        Ok(Tasks { range, tasks, trouble: Some(why) })
    };
    let Some(stats) = call.app.parts.results.stats() else {
        return unknown(registered, NOT_COUNTED.to_owned());
    };
    let tallies = match stats.read(window).await {
        Ok(tallies) => tallies,
        Err(error) => return unknown(registered, format!("What was counted cannot be read: {error}.")),
    };
    let mut sums = sums(&tallies);
    let tasks = registered.into_iter().map(|task| {
        let counts = sums.remove(task.name.as_str()).unwrap_or_default();
        view(task, Some(TaskCounts::of(&counts, &window)))
    });
    Ok(Tasks { range, tasks: tasks.collect(), trouble: None })
}

pub(crate) async fn one(call: Call) -> Result<TaskDetail, Problem> {
    let name = call.input.required("name")?.to_owned();
    let (_, window) = charts::window(&call)?;
    let (charts, tallies) = charts::of_task(&call, &name).await?;
    let counts = sums(&tallies).remove(name.as_str()).unwrap_or_default();
    let found = registered::data(&call.app).await?.into_iter().find(|task| task.name == name);
    let task = found.unwrap_or_else(|| Registered::unknown(&name));
    let is_counted = charts.trouble.is_none();
    let (failures, failures_trouble) = match failures(&call, name).await {
        Ok(failures) => (failures, None),
        Err(problem) => (Vec::new(), Some(problem.sentence)),
    };
    Ok(TaskDetail {
        view: TaskView { task, counts: is_counted.then(|| TaskCounts::of(&counts, &window)) },
        charts,
        run_times: buckets(&counts.run),
        failures,
        failures_trouble,
    })
}

async fn failures(call: &Call, name: String) -> Result<Vec<FinishedRow>, Problem> {
    let fields = [("task", name.as_str()), ("state", "failure"), ("limit", FAILURES)];
    let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let found = finished::data(Call { input: Input::new(fields.to_vec()), ..call.clone() }).await?;
    Ok(found.part.items)
}

fn sums(tallies: &[Tally]) -> BTreeMap<&str, Counts> {
    let mut sums: BTreeMap<&str, Counts> = BTreeMap::new();
    for tally in tallies {
        sums.entry(&tally.task).or_default().add(&tally.counts);
    }
    sums
}

fn buckets(times: &Histogram) -> Vec<Bucket> {
    times.buckets().map(|(up_to, count)| Bucket { up_to: up_to.as_secs_f64(), count }).collect()
}

impl TaskCounts {
    #[expect(clippy::cast_precision_loss, reason = "rates and shares have far fewer digits")]
    fn of(counts: &Counts, window: &Window) -> Self {
        let ended = counts.ends() - counts.retried;
        let minutes = window.until().since(window.since()).as_secs_f64() / 60.0;
        Self {
            ended,
            per_minute: ended as f64 / minutes,
            failed: counts.failed,
            failed_share: (ended > 0).then(|| counts.failed as f64 / ended as f64),
            retried: counts.retried,
            wait: charts::quantiles(&counts.wait),
            run: charts::quantiles(&counts.run),
        }
    }
}
