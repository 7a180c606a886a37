//! The tasks that the live workers can run: all of them, and one with how it did.

use std::time::Duration;

use maud::{Markup, html};

use super::charts::{histogram, ranges, seconds, task_charts};
use super::kit::{Table, count, empty, per_minute, prose, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::charts::Quantiles;
use crate::look::registered::Registered;
use crate::look::task_counts::{TaskCounts, TaskDetail, TaskView, Tasks};
use crate::problem::Problem;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let found = look::task_counts::all(&call).await?;
    let shown = if found.tasks.is_empty() {
        empty("No worker is alive that could run a task: start one with `lovage worker`.")
    } else {
        html! {
            (ranges(&Url::new(&call.app.base, "/registered"), found.range))
            (table(&call, &found))
            @if let Some(why) = &found.trouble { p.soft { "How they did is not known. " (prose(why)) } }
        }
    };
    Ok(Page::new(Nav::Registered, "Registered tasks").live(shown))
}

pub(crate) async fn one(call: Call) -> Result<Page, Problem> {
    let detail = look::task_counts::one(call.clone()).await?;
    let title = format!("Task {}", detail.view.task.name);
    Ok(Page::new(Nav::Registered, title).live(now(&call, &detail)))
}

fn table(call: &Call, found: &Tasks) -> Markup {
    let mut table = Table::new("Registered tasks")
        .text("Task")
        .text("Arguments and result")
        .number("Running")
        .number("Ended per minute")
        .number("Failed")
        .text("Run time p50, p95, p99")
        .text("Workers");
    for TaskView { task, counts } in &found.tasks {
        let url =
            Url::new(&call.app.base, "/registered/task").with("name", &task.name).with("range", found.range);
        let told =
            |show: fn(&TaskCounts) -> Markup| counts.as_ref().map_or_else(|| html! { "not known" }, show);
        table.key(&task.name).row([
            html! { a href=(url) { (task.name) } },
            signatures(task),
            html! { (task.running) },
            told(|counts| html! { (per_minute(counts.per_minute)) }),
            told(failed),
            told(|counts| times(counts.run)),
            html! { (task.workers.join(", ")) },
        ]);
    }
    table.show()
}

fn now(call: &Call, detail: &TaskDetail) -> Markup {
    let TaskView { task, counts } = &detail.view;
    let base = &call.app.base;
    let here = Url::new(base, "/registered/task").with("name", &task.name);
    let finished = Url::new(base, "/finished").with("task", &task.name);
    html! {
        @if task.workers.is_empty() {
            p.flash.warn { "No live worker can run it: what is sent waits until one comes that can." }
        } @else {
            (signatures(task))
        }
        section.charts aria-label="How it did" {
            h2 { "How it did" }
            (ranges(&here, detail.charts.range))
            @if let Some(why) = &detail.charts.trouble { (empty(why)) }
            @if let Some(counts) = counts {
                (tiles(counts, task.running))
                div.plots { (task_charts(&detail.charts)) (histogram(&detail.run_times, detail.charts.range)) }
            }
        }
        h2 { "Latest failures" }
        (failures(call, detail))
        div.acts.below {
            a.button href=(finished) { "All that ended" }
            a.button href=(finished.clone().with("state", "failure")) { "All that failed" }
            @if call.is_operator() {
                a.button href=(Url::new(base, "/schedule/new").with("task", &task.name)) { "Schedule it" }
            }
        }
        h2 { "Workers that can run it" }
        p { @if task.workers.is_empty() { "None." } @else { (task.workers.join(", ")) } }
    }
}

fn tiles(counts: &TaskCounts, running: usize) -> Markup {
    let tiles = [
        ("Running now", html! { (running) }),
        ("Ended", html! { (count(counts.ended)) }),
        ("Ended per minute", html! { (per_minute(counts.per_minute)) }),
        ("Failed", failed(counts)),
        ("Tried again", html! { (count(counts.retried)) }),
        ("Run time p50, p95, p99", times(counts.run)),
        ("Waited p50, p95, p99", times(counts.wait)),
    ];
    html! {
        dl.tiles.spaced {
            @for (title, value) in tiles { div.tile { dt { (title) } dd { (value) } } }
        }
    }
}

fn signatures(task: &Registered) -> Markup {
    html! {
        @for signature in &task.signatures { div { code { (signature) } } }
        @if task.signatures.len() > 1 {
            span.badge.warn.wrap { "the workers disagree: what was sent for one may not run on another" }
        }
    }
}

/// `3 (12.5 %)`.
fn failed(counts: &TaskCounts) -> Markup {
    html! {
        (count(counts.failed))
        @if let Some(share) = counts.failed_share.filter(|_| counts.failed > 0) { " (" (percent(share)) ")" }
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.1 => "under 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

fn times(times: Option<Quantiles>) -> Markup {
    let Some(Quantiles { p50, p95, p99 }) = times else { return html! { "none ran" } };
    html! { span.times { (seconds(p50)) ", " (seconds(p95)) ", " (seconds(p99)) } }
}

fn failures(call: &Call, detail: &TaskDetail) -> Markup {
    if let Some(why) = &detail.failures_trouble {
        return empty(&format!("They cannot be listed: {why}."));
    }
    let mut table = Table::new("Latest failures")
        .text("Task")
        .text("Error")
        .text("Ended")
        .number("Ran for")
        .text("Worker");
    for row in &detail.failures {
        let ran = row.run_time.and_then(|time| Duration::try_from_secs_f64(time).ok());
        table.row([
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &row.id)) { code { (row.id) } } },
            html! { span.cut { (row.error.as_deref().unwrap_or("its error is not stored")) } },
            when(call, Some(row.finished_at)),
            html! { @if let Some(ran) = ran { (seconds(ran.as_secs_f64())) } },
            html! { (row.worker) },
        ]);
    }
    if table.is_empty() { empty("None is stored.") } else { table.show() }
}
