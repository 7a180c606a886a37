//! Tasks that wait or run.

use std::collections::HashMap;

use lovage_core::Place;
use maud::{Markup, html};

use super::kit::{Table, code, count, empty, id_search, next_page, when};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look::tasks::{Choice, LiveRow, Part, choice, held, peek};
use crate::look::workers::{self, ProgressRow};
use crate::problem::Problem;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let choice = choice(&call, None).await?;
    let page =
        Page::new(Nav::Tasks, "Live tasks").head(html! { (id_search(&call)) (places(&call, &choice)) });
    let Some(queue) = &choice.queue else {
        return Ok(page.live(empty("There is no queue yet: the first task that is sent makes one.")));
    };
    let part = peek(&call, queue, choice.place).await?;
    let progress = match choice.place {
        Place::Leased => workers::progress(&call.app.parts.broker.workers(None).await?),
        Place::Ready | Place::Delayed | Place::Dead => HashMap::new(),
    };
    Ok(page.live(list(&call, &choice, &part, &progress)))
}

fn places(call: &Call, choice: &Choice) -> Markup {
    html! {
        form.filter method="get" action=(Url::new(&call.app.base, "/tasks")) {
            div.field {
                label for="queue" { "Queue" }
                select #queue name="queue" {
                    @for row in &choice.queues {
                        option value=(row.name) selected[choice.queue.as_ref().is_some_and(|name| name.as_str() == row.name)] { (row.name) }
                    }
                }
            }
            div.field {
                label for="place" { "Which" }
                select #place name="place" {
                    @for (place, words) in [(Place::Leased, "at workers"), (Place::Ready, "waiting"), (Place::Delayed, "due later or to be retried")] {
                        option value=(place.as_str()) selected[place == choice.place] { (words) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn list(
    call: &Call,
    choice: &Choice,
    part: &Part<LiveRow>,
    progress: &HashMap<String, ProgressRow>,
) -> Markup {
    let due = match choice.place {
        Place::Leased => "Lease ends",
        Place::Ready | Place::Delayed | Place::Dead => "Due",
    };
    let mut table = Table::new("Live tasks")
        .text("Task")
        .text("Arguments")
        .text("State")
        .number("Priority")
        .text("Sent")
        .text(due)
        .text("Last error");
    for row in &part.items {
        table.key(&row.id).row([
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &row.id)) { (row.task) } },
            code(&row.arguments),
            html! { (super::kit::state(row.state)) @if row.given_back { " " span.badge.bad { "no worker could run it" } } @if row.revoked { " " span.badge.warn { "cancelled" } } @if let Some(told) = progress.get(&row.id) { (super::kit::progress(told)) } },
            html! { (row.priority) },
            when(call, Some(row.published_at)),
            when(call, row.at),
            html! { @if let Some(error) = &row.error { span.cut { (error) } } },
        ]);
    }
    let queue = choice.queue.as_ref().map_or("", |queue| queue.as_str());
    if table.is_empty() {
        return empty(&match choice.place {
            Place::Ready => format!("Nothing waits in `{queue}`: workers have taken everything."),
            Place::Delayed => {
                format!("Nothing in `{queue}` is due later, and nothing waits for another attempt.")
            }
            Place::Leased => format!("No worker has a task of `{queue}` at the moment."),
            Place::Dead => format!("`{queue}` has no dead letters."),
        });
    }
    let all = choice.queues.iter().find(|row| row.name == queue).map_or(0, |row| held(row, choice.place));
    html! {
        p.soft { (count(all)) " in " (queue) }
        (table.show())
        (next_page(call, part.next.as_deref()))
    }
}
