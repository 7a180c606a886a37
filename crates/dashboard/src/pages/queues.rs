//! Queues: all of them, and one with what can be done to it.

use lovage_core::Place;
use maud::{Markup, html};

use super::kit::{Table, button, count, empty, hidden, per_minute, prose, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::charts::NOT_COUNTED;
use crate::look::flow::{Flow, Flowing};
use crate::look::queues::{QueueRow, QueueState};
use crate::problem::Problem;

pub(crate) async fn list(call: Call) -> Result<Page, Problem> {
    let Flowing { queues, trouble } = look::flow::all(&call).await?;
    let rows = queues.iter().map(|queue| (&queue.row, Some(&queue.flow)));
    Ok(Page::new(Nav::Queues, "Queues").live(html! {
        (table(&call, rows))
        @if let Some(why) = trouble.filter(|_| !queues.is_empty()) { p.soft data-outage[why != NOT_COUNTED] { "Rates are not known. " (prose(&why)) } }
    }))
}

pub(crate) async fn one(call: Call) -> Result<Page, Problem> {
    let row = look::queues::one(&call).await?;
    let flowing = look::flow::of(&call, vec![row.clone()]).await;
    let page = Page::new(Nav::Queues, format!("Queue {}", row.name)).live(now(&call, &row, &flowing));
    let foot = html! { @if call.is_operator() { (limit(&call, &row)) (purge(&call, &row)) } };
    Ok(page.foot(foot))
}

/// Queues with their depths, and with what goes through them where that was asked.
pub(super) fn table<'a>(
    call: &Call,
    rows: impl Iterator<Item = (&'a QueueRow, Option<&'a Flow>)> + Clone,
) -> Markup {
    let has_flow = rows.clone().any(|(_, flow)| flow.is_some());
    let mut table = Table::new("Queues")
        .text("Queue")
        .text("State")
        .number("Waiting")
        .number("Running")
        .number("Due later")
        .number("Dead")
        .text("Oldest sent")
        .text("Workers");
    if has_flow {
        table = table.number("In per minute").number("Out per minute").text("Time to drain");
    }
    if call.is_operator() {
        table = table.text("Do");
    }
    for (row, flow) in rows {
        let cells = [
            html! { a href=(Url::new(&call.app.base, "/queue").with("name", &row.name)) { (row.name) } },
            state(row),
            html! { (count(row.ready)) },
            html! { (count(row.leased)) },
            html! { (count(row.delayed)) },
            html! { (count(row.dead)) },
            when(call, row.oldest_ready),
            html! { (row.workers.len()) },
        ];
        let flow = flow.into_iter().flat_map(through);
        table
            .key(&row.name)
            .row(cells.into_iter().chain(flow).chain(call.is_operator().then(|| switch(call, row))));
    }
    if table.is_empty() {
        return empty("There is no queue yet: the first task that is sent makes one.");
    }
    table.show()
}

fn through(flow: &Flow) -> [Markup; 3] {
    let rate = |rate: Option<f64>| html! { (rate.map_or_else(|| "not known".to_owned(), per_minute)) };
    [rate(flow.in_per_minute), rate(flow.out_per_minute), html! { (flow.words) }]
}

fn now(call: &Call, row: &QueueRow, flowing: &Flowing) -> Markup {
    let places = [
        ("Waiting", row.ready),
        ("Running", row.leased),
        ("Due later", row.delayed),
        ("Dead letters", row.dead),
    ];
    html! {
        p { (state(row)) " " (prose(&row.words)) }
        dl.tiles {
            @for (title, number) in places { div.tile { dt { (title) } dd { (count(number)) } } }
        }
        dl.facts.spaced {
            dt { "Oldest waits since" } dd { @if row.oldest_ready.is_some() { (when(call, row.oldest_ready)) } @else { "nothing waits" } }
            @if let Some(why) = &flowing.trouble { dt { "Rates" } dd data-outage[why != NOT_COUNTED] { "not known. " (prose(why)) } }
            @else {
                @for queue in &flowing.queues { (rates(&queue.flow)) }
            }
            dt { "Rate limit" } dd { (row.limit.as_deref().unwrap_or("none")) }
            dt { "Read by" } dd { @if row.workers.is_empty() { "no live worker" } @else { (row.workers.join(", ")) } }
        }
        div.acts { (switch(call, row)) }
    }
}

fn rates(flow: &Flow) -> Markup {
    let unseen = "not known yet: nobody looked at it a minute ago or earlier".to_owned();
    html! {
        dt { "In per minute" } dd { (flow.in_per_minute.map_or(unseen, per_minute)) }
        dt { "Out per minute" } dd { (flow.out_per_minute.map(per_minute).unwrap_or_default()) }
        dt { "Time to drain" } dd { (flow.words) }
    }
}

fn state(row: &QueueRow) -> Markup {
    html! {
        @match row.state {
            QueueState::Open => span.badge.good { "open" },
            QueueState::Paused => span.badge.warn { "paused" },
            QueueState::Unread => span.badge.bad { "nobody reads it" },
            QueueState::Untaken => span.badge.bad { "nobody takes more" },
            QueueState::Limited => span.badge.warn { "held back" },
            QueueState::Late => span.badge.bad { "does not keep up" },
            QueueState::Growing => span.badge.warn { "grows" },
            QueueState::Stranded => span.badge.bad { "tasks it cannot run" },
        }
        @if let Some(limit) = &row.limit { " " span.badge.info { (limit) } }
    }
}

fn switch(call: &Call, row: &QueueRow) -> Markup {
    let (path, label) = if row.paused { ("/queues/resume", "Resume") } else { ("/queues/pause", "Pause") };
    button(call, path, label, &[("queue", &row.name)])
}

fn limit(call: &Call, row: &QueueRow) -> Markup {
    html! {
        details #limit {
            summary { "Limit its rate" }
            form.card method="post" action=(Url::new(&call.app.base, "/queues/limit")) {
                (hidden(call))
                input type="hidden" name="queue" value=(row.name);
                p { "How many tasks are handed out in a time, over all workers together. What workers have already taken is not held back." }
                div.filter {
                    div.field {
                        label for="rate" { "Rate" }
                        input #rate name="rate" placeholder="10/s" value=(row.limit.as_deref().unwrap_or_default()) autocomplete="off" spellcheck="false" aria-describedby="rate-hint";
                        small #rate-hint { "10/s, 100/m or 5000/h; 10/s burst 20 lets 20 come at once; nothing lifts it" }
                    }
                    button type="submit" { "Set it" }
                }
            }
        }
    }
}

fn purge(call: &Call, row: &QueueRow) -> Markup {
    html! {
        details.careful #purge {
            summary { "Remove all tasks of one place" }
            form.card method="post" action=(Url::new(&call.app.base, "/queues/purge")) {
                (hidden(call))
                input type="hidden" name="queue" value=(row.name);
                p { "Nobody gets them back. What a worker runs now is not touched, nor what is sent after it began. You are asked once more before anything is done." }
                div.filter {
                    div.field {
                        label for="place" { "Which" }
                        select #place name="place" required {
                            option value=(Place::Ready.as_str()) { "waiting" }
                            option value=(Place::Delayed.as_str()) { "due later" }
                            option value=(Place::Dead.as_str()) { "dead letters" }
                        }
                    }
                    button.danger type="submit" { "Remove them" }
                }
            }
        }
    }
}
