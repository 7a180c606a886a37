//! Workers: what each runs, and what it can run.

use maud::{Markup, html};

use super::kit::{Table, ago, button, count, empty, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::workers::WorkerRow;
use crate::problem::Problem;

/// Running tasks that are shown of one worker.
const SHOWN: usize = 25;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let workers = look::workers::data(call.clone()).await?;
    Ok(Page::new(Nav::Workers, "Workers").live(html! {
        @if workers.iter().all(|worker| worker.schedule.is_some()) {
            (empty("No worker is alive: start one with `lovage worker`. Until then tasks wait in their queues."))
        }
        @for worker in workers.iter().filter(|worker| worker.schedule.is_none()) { (one(&call, worker)) }
        @let beats: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.schedule.is_some()).collect();
        h2 { "Beats" }
        (self::beats(&call, &beats))
    }))
}

/// What registers beside workers and only sends what the schedule says.
fn beats(call: &Call, beats: &[&WorkerRow]) -> Markup {
    let mut table = Table::new("Live beats")
        .text("Beat")
        .text("Machine")
        .text("Schedule")
        .text("Started")
        .text("Heard from");
    for beat in beats {
        table.row([
            html! { (beat.name) },
            html! { (beat.host) ", process " (beat.pid) },
            html! { (beat.schedule.as_deref().unwrap_or_default()) },
            when(call, Some(beat.started_at)),
            when(call, Some(beat.seen_at)),
        ]);
    }
    if table.is_empty() {
        return empty(
            "No beat is alive: start one with `lovage beat`, or a worker with `--beat`. Until then no schedule fires.",
        );
    }
    table.show()
}

fn one(call: &Call, worker: &WorkerRow) -> Markup {
    let badge = if worker.mode == "running" { "badge good" } else { "badge warn" };
    html! {
        section.card.worker aria-label=(worker.name) {
            h2 { (worker.name) " " span class=(badge) { (worker.mode) } }
            dl.facts {
                dt { "Machine" } dd { (worker.host) ", process " (worker.pid) ", Lovage " (worker.version) }
                dt { "Started" } dd { (ago(call, worker.started_at)) }
                dt { "Heard from" } dd { (ago(call, worker.seen_at)) }
                dt { "Queues" } dd { (worker.queues.join(", ")) }
                dt { "Slots" } dd { (worker.concurrency) " async, " (worker.blocking) " blocking" }
                dt { "Since its start" } dd { (count(worker.succeeded)) " succeeded, " (count(worker.failed)) " failed" }
            }
            h3 { "Runs now: " (worker.active.len()) @if worker.reserved > 0 { ", and has " (worker.reserved) " more" } }
            (active(call, worker))
            details id={ "tasks-" (worker.id) } {
                summary { "Can run " (worker.tasks.len()) " tasks" }
                ul.known { @for task in &worker.tasks { li { code { (task.name) (task.signature) } } } }
            }
            div.acts.below {
                @if worker.mode == "running" { (button(call, "/workers/quiet", "Take nothing more", &[("worker", &worker.id)])) }
                @if worker.mode != "stopping" { (button(call, "/workers/shutdown", "Stop gracefully", &[("worker", &worker.id)])) }
            }
        }
    }
}

fn active(call: &Call, worker: &WorkerRow) -> Markup {
    let mut table = Table::new("Running tasks").text("Task").text("Queue").text("Started").text("Id");
    for active in worker.active.iter().take(SHOWN) {
        table.row([
            html! { (active.task) },
            html! { (active.queue) },
            when(call, Some(active.started_at)),
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &active.id)) { code { (active.id) } } },
        ]);
    }
    if table.is_empty() {
        return html! { p.soft { "It waits for work." } };
    }
    html! {
        (table.show())
        @if worker.active.len() > SHOWN { p.soft { "The longest running are shown." } }
    }
}
