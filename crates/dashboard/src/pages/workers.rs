//! Workers: what each runs, and what it can run.

use lovage_core::WorkerInfo;
use maud::{Markup, html};

use super::kit::{Table, ago, button, count, empty, hidden, mebibytes, progress, prose, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::workers::WorkerRow;
use crate::problem::Problem;

/// Running tasks that are shown of one worker.
const SHOWN: usize = 25;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let workers = look::workers::data(call.clone()).await?;
    let page = Page::new(Nav::Workers, "Workers").live(html! {
        @if workers.iter().all(|worker| worker.schedule.is_some()) {
            (empty("No worker is alive: start one with `lovage worker`. Until then tasks wait in their queues."))
        }
        @for worker in workers.iter().filter(|worker| worker.schedule.is_none()) { (one(&call, worker)) }
        @let beats: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.schedule.is_some()).collect();
        h2 { "Beats" }
        (self::beats(&call, &beats))
    });
    let told: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.schedule.is_none()).collect();
    Ok(if call.is_operator() && !told.is_empty() { page.foot(change(&call, &told)) } else { page })
}

/// Not in the part that is kept up to date: nobody's typing is lost.
fn change(call: &Call, workers: &[&WorkerRow]) -> Markup {
    html! {
        details #change {
            summary { "Change what a worker takes" }
            div.card {
                p { "What runs goes on. A worker that is started again has what its configuration says." }
                (form(call, workers, "concurrency", "Set it", html! { (number("slots", "Async tasks at once", WorkerInfo::MOST_SLOTS)) }))
                (form(call, workers, "add-queue", "Add the queue", html! { (queue("add-queue")) (number("weight", "Turns, 1 unless said", 100)) }))
                (form(call, workers, "drop-queue", "Drop the queue", html! { (queue("drop-queue")) }))
            }
        }
    }
}

fn form(call: &Call, workers: &[&WorkerRow], name: &str, label: &str, fields: Markup) -> Markup {
    html! {
        form.filter method="post" action=(Url::new(&call.app.base, &format!("/workers/{name}"))) {
            (hidden(call))
            div.field {
                label for={ (name) "-worker" } { "Worker" }
                select id={ (name) "-worker" } name="worker" required {
                    @for worker in workers { option value=(worker.id) { (worker.name) " (process " (worker.pid) " on " (worker.host) ")" } }
                }
            }
            (fields)
            button type="submit" { (label) }
        }
    }
}

fn number(name: &str, label: &str, most: usize) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="number" min="1" max=(most) required[name == "slots"] autocomplete="off";
        }
    }
}

fn queue(form: &str) -> Markup {
    html! {
        div.field {
            label for={ (form) "-name" } { "Queue" }
            input id={ (form) "-name" } name="queue" required autocomplete="off" spellcheck="false";
        }
    }
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
        table.key(&beat.id).row([
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
        section.card.worker data-key=(worker.id) aria-label=(worker.name) {
            h2 { (worker.name) " " span class=(badge) { (worker.mode) } }
            dl.facts {
                dt { "Machine" } dd { (worker.host) ", process " (worker.pid) ", Lovage " (worker.version) }
                dt { "Started" } dd { (ago(call, worker.started_at)) }
                dt { "Heard from" } dd { (ago(call, worker.seen_at)) }
                dt { "Queues" } dd { (worker.queues.join(", ")) }
                dt { "Slots" } dd { (worker.concurrency) " async, " (worker.blocking) " blocking" }
                dt { "Since its start" } dd { (count(worker.succeeded)) " succeeded, " (count(worker.failed)) " failed" }
                @if let Some(memory) = worker.memory { dt { "Memory" } dd { (mebibytes(memory)) } }
                @if let Some(cpu) = worker.cpu { dt { "Processor" } dd { (format!("{:.1}%", cpu * 100.0)) " of a core" } }
            }
            @if let Some(refused) = &worker.refused { p { span.badge.warn { "refused" } " " (prose(refused)) } }
            @if let Some(since) = worker.stuck_since { p { span.badge.bad { "stuck" } " Tasks block all its threads since " (ago(call, since)) "." } }
            h3 { "Runs now: " (worker.active.len()) @if worker.reserved > 0 { ", and has " (worker.reserved) " more" } }
            (active(call, worker))
            (abandoned(call, worker))
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

fn abandoned(call: &Call, worker: &WorkerRow) -> Markup {
    if worker.abandoned.is_empty() {
        return html! {};
    }
    let mut table = Table::new("Abandoned threads")
        .text("Task")
        .text("Queue")
        .text("Started")
        .text("Task ended")
        .text("Id");
    for thread in worker.abandoned.iter().take(SHOWN) {
        table.key(&thread.id).row([
            html! { (thread.task) },
            html! { (thread.queue) },
            when(call, Some(thread.started_at)),
            html! { (ago(call, thread.abandoned_at)) },
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &thread.id)) { code { (thread.id) } } },
        ]);
    }
    html! {
        h3 { "Abandoned threads: " (worker.abandoned.len()) }
        p { span.badge.warn { "still running" } " These tasks have ended, but a thread cannot be killed. Each thread ends when its function returns." }
        (table.show())
        @if worker.abandoned.len() > SHOWN { p.soft { "The oldest are shown." } }
    }
}

fn active(call: &Call, worker: &WorkerRow) -> Markup {
    let mut table =
        Table::new("Running tasks").text("Task").text("Queue").text("Started").text("Progress").text("Id");
    for active in worker.active.iter().take(SHOWN) {
        table.key(&active.id).row([
            html! { (active.task) },
            html! { (active.queue) },
            when(call, Some(active.started_at)),
            html! {
                @if let Some(since) = active.blocks_since { span.badge.bad { "blocks its thread" } " since " (ago(call, since)) " " }
                @if let Some(told) = &active.progress { (progress(told)) }
            },
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
