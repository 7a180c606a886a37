//! One task: why it does not run or what became of it, and what can be done.

use std::time::Duration;

use lovage_core::TaskState;
use maud::{Markup, html};

use super::kit::{ago, button, precise, pretty, progress, prose, state, when};
use super::{Nav, Page, Url, again};
use crate::call::{Call, Input};
use crate::look;
use crate::look::again::Again;
use crate::look::task::{Attempt, Failure, TaskView};
use crate::problem::Problem;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let (facts, hidden, task) = look::task::whole(&call).await?;
    let nav = if task.live.is_some() { Nav::Tasks } else { Nav::Finished };
    let page = Page::new(nav, task.task.clone().unwrap_or_else(|| "Task".to_owned())).live(now(&call, &task));
    if !call.is_operator() {
        return Ok(page);
    }
    let (message, record) = (facts.message.as_ref(), facts.record.as_ref());
    let foot = match Again::of(&call.app, facts.id, message, record, &hidden, &Input::default()).await {
        Ok(found) => again::folded(&call, &found),
        Err(problem) => html! { p.soft { "It cannot be sent again: " (prose(&problem.sentence)) } },
    };
    Ok(page.foot(foot))
}

fn now(call: &Call, task: &TaskView) -> Markup {
    html! {
        p.explanation { (prose(&task.explanation)) }
        @if let Some(told) = &task.progress { (progress(told)) }
        (acts(call, task))
        div.two {
            div {
                h2 { "Arguments" }
                pre tabindex="0" { (task.arguments.as_deref().map_or_else(String::new, pretty)) }
                (outcome(task))
            }
            div {
                h2 { "About it" }
                (facts(call, task))
                h2 { "What happened" }
                (timeline(call, task))
            }
        }
    }
}

fn acts(call: &Call, task: &TaskView) -> Markup {
    let Some(live) = &task.live else { return html! {} };
    let id = [("id", task.id.as_str())];
    let dead = [("ids", task.id.as_str()), ("queue", live.queue.as_str())];
    html! {
        div.acts {
            @if live.place == "dead" {
                (button(call, "/dead/retry", "Retry", &dead))
                (button(call, "/dead/delete", "Delete", &dead))
            } @else if !live.revoked {
                @if live.place == "delayed" { (button(call, "/tasks/promote", "Run now", &id)) }
                (button(call, "/tasks/cancel", "Cancel", &id))
            }
        }
    }
}

fn outcome(task: &TaskView) -> Markup {
    let finished = task.finished.as_ref();
    html! {
        @if let Some(failure) = &task.failure {
            (error(failure))
        } @else if let Some(result) = finished.and_then(|finished| finished.result.as_deref()) {
            h2 { "Result" }
            pre tabindex="0" { (pretty(result)) }
        } @else if let Some(marker) = finished.and_then(|finished| finished.error.as_deref()) {
            h2 { "Result" }
            p.soft { (marker) }
        } @else {
            h2 { "Result" }
            p.soft { (without_result(task)) }
        }
    }
}

fn without_result(task: &TaskView) -> &'static str {
    match task.state {
        Some(TaskState::Success) => "It succeeded; its result is not stored.",
        Some(TaskState::Failure) => "It failed; the results know no more of it.",
        Some(TaskState::Revoked | TaskState::Expired | TaskState::Discarded) => "It ended without a result.",
        Some(TaskState::Pending | TaskState::Scheduled | TaskState::Started | TaskState::Retry) | None => {
            "There is none yet."
        }
    }
}

fn error(failure: &Failure) -> Markup {
    html! {
        h2 { "Error" }
        div.card {
            p { span.badge.bad { (failure.kind) } }
            pre tabindex="0" { (failure.message) }
            @if !failure.chain.is_empty() {
                h3 { "Caused by" }
                ol.chain { @for cause in &failure.chain { li { (cause) } } }
            }
            @if let Some(backtrace) = &failure.backtrace {
                details #backtrace { summary { "Backtrace" } pre tabindex="0" { (backtrace) } }
            }
        }
    }
}

fn facts(call: &Call, task: &TaskView) -> Markup {
    let (live, finished) = (task.live.as_ref(), task.finished.as_ref());
    let sent = live.map(|live| live.published_at).or(finished.map(|finished| finished.enqueued_at));
    let priority = live.map(|live| live.priority).or(finished.map(|finished| finished.priority));
    let link =
        |id: &str| html! { a href=(Url::new(&call.app.base, "/task").with("id", id)) { code { (id) } } };
    html! {
        dl.facts {
            dt { "Id" } dd { code { (task.id) } }
            dt { "State" } dd { @if let Some(found) = task.state { (state(found)) } }
            @if let Some(queue) = &task.queue {
                dt { "Queue" } dd { a href=(Url::new(&call.app.base, "/queue").with("name", queue)) { (queue) } }
            }
            @if let Some(priority) = priority { dt { "Priority" } dd { (priority) } }
            dt { "Sent" } dd { (when(call, sent)) }
            @if let Some(finished) = finished {
                dt { "Worker" } dd { (finished.worker) }
                @if let Some(warning) = &finished.warning { dt { "Warning" } dd { (warning) } }
                @if let Some(time) = finished.run_time {
                    dt { "Ran for" } dd { (precise(Duration::try_from_secs_f64(time).unwrap_or_default())) }
                }
            }
            @if let Some(schedule) = &task.schedule {
                dt { "Schedule" } dd { a href=(Url::new(&call.app.base, "/schedule").with("name", schedule)) { (schedule) } }
            }
            @if let Some(parent) = &task.parent { dt { "Sent by" } dd { (link(parent)) } }
            @if let Some(root) = &task.root { dt { "Began with" } dd { (link(root)) } }
            @for (name, value) in &task.headers { dt { (name) } dd { (value) } }
        }
    }
}

fn timeline(call: &Call, task: &TaskView) -> Markup {
    let (live, finished) = (task.live.as_ref(), task.finished.as_ref());
    let sent = live.map(|live| live.published_at).or(finished.map(|finished| finished.enqueued_at));
    html! {
        ol.timeline {
            @if let Some(sent) = sent { li { p { strong { "Sent" } " " (ago(call, sent)) } } }
            @for one in &task.attempts { (attempt(call, one)) }
            @if let Some(live) = live {
                li {
                    p {
                        strong { (match live.place { "ready" => "Waits for a worker", "delayed" if live.given_back => "Given back, as no worker could run it", "delayed" => "Waits for its time", "leased" => "At a worker", _ => "Given up" }) }
                        @if let Some(at) = live.at {
                            @if live.place == "leased" { ", its lease ends " } @else if live.place == "delayed" { ", due " } @else { " " }
                            (ago(call, at))
                        }
                    }
                }
            }
        }
    }
}

fn attempt(call: &Call, attempt: &Attempt) -> Markup {
    let ran = attempt.started_at.map(|start| attempt.finished_at.0.since(start.0));
    html! {
        li {
            p {
                strong {
                    @match attempt.number { Some(number) => { "Attempt " (number) }, None => "Ended without a run" }
                    @if attempt.run > 1 { " of run " (attempt.run) }
                }
                " " (state(attempt.state)) " " (ago(call, attempt.finished_at))
            }
            p.soft { "on " (attempt.worker) @if let Some(ran) = ran { ", ran for " (precise(ran)) } }
            @if let Some(error) = &attempt.error { p { (error) } }
        }
    }
}
