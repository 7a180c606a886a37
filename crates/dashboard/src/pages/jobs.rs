//! Jobs: those that this dashboard remembers, and one with its progress.

use maud::{Markup, html};

use super::kit::{Table, ago, button, count, empty, progress, prose, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::jobs::Jobs;
use crate::look::jobs::{JobRow, rows};
use crate::look::workers::ProgressRow;
use crate::problem::Problem;

/// What becomes of jobs.
const LIFE: &str = "Jobs run in this dashboard and end with it: what was done by then stays done.";

pub(crate) async fn list(call: Call) -> Result<Page, Problem> {
    let head = html! { p.soft { "What somebody does to all that match. " (LIFE) " The last hundred are remembered." } };
    Ok(Page::new(Nav::Jobs, "Jobs").head(head).live(table(&call, &rows(&call))))
}

pub(crate) async fn one(call: Call) -> Result<Page, Problem> {
    let job = JobRow::from(&*Jobs::named(&call)?);
    let foot = html! { p.soft.below { (LIFE) } p.soft { a href=(Url::new(&call.app.base, "/jobs")) { "Recent jobs" } } };
    Ok(Page::new(Nav::Jobs, job.title.clone()).live(shown(&call, &job)).foot(foot))
}

fn table(call: &Call, rows: &[JobRow]) -> Markup {
    let mut table = Table::new("Jobs")
        .text("Job")
        .text("State")
        .text("To what")
        .text("By")
        .text("Began")
        .number("Done")
        .number("Failed");
    for row in rows {
        table.key(&row.id).row([
            html! { a href=(Url::new(&call.app.base, "/job").with("id", &row.id)) { (row.title) } },
            state(row),
            html! { (prose(&row.to)) },
            html! { (row.who) },
            ago(call, row.began_at),
            html! { (count(row.done)) },
            html! { (count(row.failed)) },
        ]);
    }
    if table.is_empty() {
        return empty("Nobody has begun a job since this dashboard was started.");
    }
    table.show()
}

fn shown(call: &Call, job: &JobRow) -> Markup {
    html! {
        p { (state(job)) " " (prose(&job.to)) }
        p.flash.(tone(job)) role="status" { (prose(&job.sentence)) }
        @if let Some(trouble) = &job.trouble {
            p.flash.warn role="alert" { "It waits and tries again: " (prose(trouble)) }
        }
        @if job.runs() {
            (progress(&ProgressRow { done: job.done + job.failed, total: job.total.unwrap_or(0), message: String::new() }))
        }
        dl.tiles.below {
            div.tile { dt { "Done" } dd { (count(job.done)) } }
            div.tile { dt { "Failed" } dd { (count(job.failed)) } }
            @if let Some(left) = job.left { div.tile { dt { "Left" } dd { (count(left)) } } }
        }
        dl.facts.spaced {
            dt { "Begun by" } dd { (job.who) ", " (ago(call, job.began_at)) }
            @if job.ended_at.is_some() { dt { "Ended" } dd { (when(call, job.ended_at)) } }
            @if let Some(reached) = job.reached.filter(|_| job.runs()) {
                dt { "Has come to" } dd { "what ended " (ago(call, reached)) ", from the newest backwards" }
            }
        }
        @if !job.reasons.is_empty() { (reasons(call, job)) }
        @if job.runs() {
            div.acts.below { (button(call, "/job/stop", "Stop", &[("id", &job.id)])) }
        }
    }
}

fn reasons(call: &Call, job: &JobRow) -> Markup {
    let mut table = Table::new("Why some failed").text("Why").number("Number").text("The first");
    for reason in &job.reasons {
        table.row([
            html! { (prose(&reason.why)) },
            html! { (count(reason.count)) },
            html! { @if let Some(id) = &reason.first { a href=(Url::new(&call.app.base, "/task").with("id", id)) { code { (id) } } } },
        ]);
    }
    let told: u64 = job.reasons.iter().map(|reason| reason.count).sum();
    html! {
        h2 { "Why some failed" }
        (table.show())
        @if told < job.failed { p.soft { (count(job.failed - told)) " more, for other reasons." } }
    }
}

fn state(job: &JobRow) -> Markup {
    html! { span.badge.(tone(job)) { (job.state) } }
}

fn tone(job: &JobRow) -> &'static str {
    match job.state {
        "running" => "info",
        "finished" if job.failed == 0 => "good",
        "failed" => "bad",
        _ => "warn",
    }
}
