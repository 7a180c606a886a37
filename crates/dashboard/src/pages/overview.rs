//! What is going on, and what is stuck.

use maud::{Markup, html};

use super::charts::charts;
use super::kit::{ago, count, empty, prose};
use super::queues::table;
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look::overview::{Finding, FindingGroup, FindingKind, Level, Overview};
use crate::problem::Problem;
use crate::{look, pages::kit::Table};

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let overview = look::overview::data(call.clone()).await?;
    Ok(Page::new(Nav::Overview, "Overview").live(html! {
        (attention(&call, &overview))
        (tiles(&overview))
        (charts(&call, &overview.charts))
        h2 { "Queues" }
        (table(&call, overview.queues.iter().map(|row| (row, None))))
        h2 { "Workers" }
        (workers(&call, &overview))
    }))
}

/// Findings of one kind that are shown without opening anything.
const SHOWN: usize = 3;

fn attention(call: &Call, overview: &Overview) -> Markup {
    html! {
        section aria-label="What needs attention" {
            @if overview.attention.is_empty() {
                p.finding.good { strong { "All is well." } " Nothing is stuck, as far as the queues, the workers and the schedule tell." }
            } @else {
                ul.findings {
                    @for group in &overview.attention {
                        @let findings = overview.findings.iter().filter(|finding| finding.kind == group.kind);
                        @if group.count <= SHOWN {
                            @for finding in findings { (single(call, finding)) }
                        } @else {
                            (several(call, group, findings))
                        }
                    }
                }
            }
        }
    }
}

fn single(call: &Call, finding: &Finding) -> Markup {
    html! {
        li.finding.bad[finding.level == Level::Bad].warn[finding.level == Level::Warn] data-key=(finding.page)
            data-outage[finding.kind == FindingKind::ScheduleStore] {
            (label(finding.level)) (prose(&finding.sentence)) " "
            a href={ (call.app.base) (finding.page) } { "Show" }
        }
    }
}

/// Many findings of one kind: a summary, and the first of them to open.
fn several<'a>(call: &Call, group: &FindingGroup, findings: impl Iterator<Item = &'a Finding>) -> Markup {
    let findings: Vec<&Finding> = findings.collect();
    let more = group.count.saturating_sub(findings.len());
    html! {
        li.finding.bad[group.level == Level::Bad].warn[group.level == Level::Warn] data-key=(format!("{:?}", group.kind)) {
            (label(group.level)) (prose(&group.sentence)) " "
            a href={ (call.app.base) (group.page) } { "Show" }
            details {
                summary { "The first " (findings.len()) }
                ul {
                    @for finding in &findings {
                        li { (prose(&finding.sentence)) " " a href={ (call.app.base) (finding.page) } { "Show" } }
                    }
                    @if more > 0 { li { "And " (more) " more." } }
                }
            }
        }
    }
}

fn label(level: Level) -> Markup {
    html! { strong { @match level { Level::Bad => "Stuck:", Level::Warn => "Look at this:" } } }
}

fn tiles(overview: &Overview) -> Markup {
    let totals = &overview.totals;
    let tiles = [
        ("Waiting", totals.ready),
        ("Running", totals.leased),
        ("Due later", totals.delayed),
        ("Dead letters", totals.dead),
        ("Workers", totals.workers),
    ];
    html! {
        h2 { "Now" }
        dl.tiles {
            @for (title, number) in tiles { div.tile { dt { (title) } dd { (count(number)) } } }
        }
    }
}

fn workers(call: &Call, overview: &Overview) -> Markup {
    let mut table = Table::new("Live workers")
        .text("Worker")
        .text("Queues")
        .number("Running")
        .number("Slots")
        .text("Heard from");
    for worker in &overview.workers {
        table.key(&worker.id).row([
            html! { (worker.name) },
            html! { (worker.queues.join(", ")) },
            html! { (worker.active.len()) },
            html! { (worker.concurrency + worker.blocking) },
            ago(call, worker.seen_at),
        ]);
    }
    if table.is_empty() {
        return empty(
            "No worker is alive: start one with `lovage worker`. Until then tasks wait in their queues.",
        );
    }
    html! {
        (table.show())
        @if overview.more_workers > 0 {
            p { "And " (overview.more_workers) " more: " a href=(Url::new(&call.app.base, "/workers")) { "all workers" } }
        }
    }
}
