//! Dead letters: grouped, and one by one.

use std::collections::{BTreeMap, BTreeSet};

use lovage_core::{Envelope, Page as Slice, Place, QueueName, StoredMessage};
use maud::{Markup, html};

use super::kit::{Table, button, code, count, counted, empty, hidden, next_page, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look::tasks::{Choice, LiveRow, Part, choice, peek};
use crate::problem::Problem;

/// Dead letters that are looked at for groups, the newest.
const GROUPED: usize = 1_000;

/// How many have one reason and one task.
type Groups = BTreeMap<(String, String), u64>;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let choice = choice(&call, Some(Place::Dead)).await?;
    let page = Page::new(Nav::Dead, "Dead letters").head(html! {
        p.soft { "Tasks that were given up: their retries ended, nobody could run them, or they ended their workers." }
        (queues(&call, &choice))
    });
    let Some(queue) = &choice.queue else {
        return Ok(page.live(empty("There is no queue yet, so nothing was given up.")));
    };
    let newest = call.app.parts.broker.peek(queue, Place::Dead, Slice::first(GROUPED)).await?;
    let groups = grouped(&newest.items);
    let part = peek(&call, queue, Place::Dead).await?;
    let is_all = newest.next.is_none();
    let all = if call.is_operator() && !groups.is_empty() {
        all(&call, queue, &groups)
    } else {
        html! {}
    };
    let head = html! { (page.head) (all) };
    Ok(page.head(head).live(html! {
        @if part.items.is_empty() {
            (empty(&format!("`{queue}` has no dead letters: nothing was given up.")))
        } @else {
            h2 { @if is_all { "By reason and task" } @else { "By reason and task, of the newest " (count(GROUPED as u64)) } }
            (by_group(&call, queue.as_str(), &groups))
            h2 { "One by one, the newest first" }
            (list(&call, queue.as_str(), &part))
        }
    }))
}

fn grouped(messages: &[StoredMessage]) -> Groups {
    let mut groups = Groups::new();
    for message in messages {
        let reason = message.reason.map_or("unknown", lovage_core::DeadReason::as_str);
        let task = Envelope::decode(&message.body).map_or(String::new(), |envelope| envelope.task);
        *groups.entry((reason.to_owned(), task)).or_default() += 1;
    }
    groups
}

fn queues(call: &Call, choice: &Choice) -> Markup {
    html! {
        form.filter method="get" action=(Url::new(&call.app.base, "/dead")) {
            div.field {
                label for="queue" { "Queue" }
                select #queue name="queue" {
                    @for row in &choice.queues {
                        option value=(row.name) selected[choice.queue.as_ref().is_some_and(|name| name.as_str() == row.name)] {
                            (row.name) ": " (counted(row.dead, "dead letter"))
                        }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn by_group(call: &Call, queue: &str, groups: &Groups) -> Markup {
    let mut table =
        Table::new("Dead letters by reason and task").text("Reason").text("Task").number("Number");
    if call.is_operator() {
        table = table.text("Do");
    }
    for ((reason, task), number) in groups {
        let shown = if task.is_empty() { "(not readable)" } else { task };
        let retry = call.is_operator().then(|| {
            // The first one names the button.
            let named = if task.is_empty() { None } else { Some(("task", task.as_str())) };
            let rest = [("reason", reason.as_str()), ("queue", queue), ("all", "yes")];
            let fields: Vec<(&str, &str)> = named.into_iter().chain(rest).collect();
            button(call, "/dead/retry", "Retry all of these", &fields)
        });
        let cells = [words(reason), html! { (shown) }, html! { (count(*number)) }];
        table.key(format_args!("{reason} {task}")).row(cells.into_iter().chain(retry));
    }
    table.show()
}

/// Above the list, however long that is, and not in the part that is kept up to date.
fn all(call: &Call, queue: &QueueName, groups: &Groups) -> Markup {
    let reasons: BTreeSet<&str> = groups.keys().map(|(reason, _)| reason.as_str()).collect();
    let tasks: BTreeSet<&str> =
        groups.keys().map(|(_, task)| task.as_str()).filter(|task| !task.is_empty()).collect();
    html! {
        details.careful #all {
            summary { "Do something to all that match" }
            form.card method="post" action=(Url::new(&call.app.base, "/dead/retry")) {
                p { "A job does it, which can be watched and stopped. What is given up after it began is not meant. You are asked once more before anything is done." }
                (hidden(call))
                input type="hidden" name="queue" value=(queue);
                input type="hidden" name="all" value="yes";
                div.filter {
                    (choose("reason", "Given up as", &reasons))
                    (choose("task", "Task", &tasks))
                    button.main type="submit" { "Retry them" }
                    button.danger type="submit" formaction=(Url::new(&call.app.base, "/dead/delete")) { "Delete them" }
                }
            }
        }
    }
}

fn choose(name: &str, label: &str, words: &BTreeSet<&str>) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for word in words { option value=(word) { (word) } }
            }
        }
    }
}

fn list(call: &Call, queue: &str, part: &Part<LiveRow>) -> Markup {
    let mut table = Table::new("Dead letters")
        .text("Task")
        .text("Reason")
        .text("Error")
        .text("Arguments")
        .text("Failed attempts")
        .text("Given up");
    if call.is_operator() {
        table = table.picks("Select all of this page");
    }
    for row in &part.items {
        let pick = call.is_operator().then(|| {
            html! { input type="checkbox" name="ids" value=(row.id) aria-label={ "Select " (row.task) " " (row.id) }; }
        });
        let cells = [
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &row.id)) { (row.task) } },
            words(row.reason.unwrap_or("unknown")),
            html! { @if let Some(error) = &row.error { span.cut { (error) } } },
            code(&row.arguments),
            attempts(row),
            when(call, row.at),
        ];
        table.key(&row.id).row(pick.into_iter().chain(cells));
    }
    if !call.is_operator() {
        return html! { (table.show()) (next_page(call, part.next.as_deref())) };
    }
    html! {
        form method="post" action=(Url::new(&call.app.base, "/dead/retry")) {
            (hidden(call))
            input type="hidden" name="queue" value=(queue);
            (table.show())
            div.acts.below.picked {
                button.main type="submit" data-key="retry-selected" { "Retry selected" }
                button.danger type="submit" data-key="delete-selected" formaction=(Url::new(&call.app.base, "/dead/delete")) { "Delete selected" }
            }
        }
        (next_page(call, part.next.as_deref()))
    }
}

/// How often it ran and failed; why not at all, where it was given up without a run that ended.
fn attempts(row: &LiveRow) -> Markup {
    html! {
        @match (row.attempt, row.reason) {
            (0, Some("poisoned")) => { "none of " (counted(row.delivery.into(), "hand-out")) " ended" }
            (0, Some("undeliverable" | "unreadable")) => "none: it never ran",
            (failed, _) => (failed),
        }
    }
}

fn words(reason: &str) -> Markup {
    let words = match reason {
        "exhausted" => "its last retry failed",
        "permanent" => "it failed in a way that is not retried",
        "poisoned" => "it ended its workers, or took their leases",
        "undeliverable" => "no worker could run it for an hour",
        "unreadable" => "nobody can read it",
        _ => "",
    };
    html! { span.badge.bad { (reason) } " " span.soft { (words) } }
}
