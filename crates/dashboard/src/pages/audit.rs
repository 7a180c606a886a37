//! Who did what, and when.

use lovage_core::QueueName;
use maud::{Markup, html};

use super::kit::{Table, ago, empty, field, next_page, prose};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::audit::ActionRow;
use crate::look::tasks::Part;
use crate::problem::Problem;

/// What to search by.
const FIELDS: [&str; 4] = ["who", "what", "since", "until"];

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let page = Page::new(Nav::Audit, "Audit");
    if call.app.parts.results.audit().is_none() {
        let why = look::audit::data(call).await.err().map(|problem| problem.sentence);
        return Ok(page.head(empty(&why.unwrap_or_default())));
    }
    let page = page.head(filter(&call));
    match look::audit::data(call.clone()).await {
        Ok(part) => Ok(page.live(list(&call, &part))),
        // The form stays, so that what is wrong can be mended.
        Err(problem) if problem.status.is_client_error() => {
            let why = html! { p.flash.warn role="alert" { (prose(&problem.sentence)) } };
            Ok(page.live(html! { (why) (next_page(&call, None)) }))
        }
        Err(problem) => Err(problem),
    }
}

fn filter(call: &Call) -> Markup {
    let chosen = call.input.get("what");
    html! {
        form.filter method="get" action=(Url::new(&call.app.base, "/audit")) role="search" aria-label="Audit" {
            (field(call, "who", "Who", "ann"))
            div.field {
                label for="what" { "What" }
                select #what name="what" {
                    option value="" { "anything" }
                    @for kind in look::audit::kinds() { option value=(kind) selected[chosen == Some(kind)] { (kind) } }
                    @if let Some(other) = chosen.filter(|chosen| !look::audit::kinds().contains(chosen)) {
                        option value=(other) selected { (other) }
                    }
                }
            }
            (field(call, "since", "Since", "2h"))
            (field(call, "until", "Until", "10m"))
            button type="submit" { "Search" }
        }
    }
}

fn list(call: &Call, part: &Part<ActionRow>) -> Markup {
    let mut table =
        Table::new("Audit").text("When").text("Who").text("What").text("To").text("Outcome").text("From");
    for row in &part.items {
        table.key(format_args!("{} {} {}", row.at.0, row.who, row.what)).row([
            ago(call, row.at),
            html! { (row.who) },
            html! { (row.what) },
            target(call, row),
            html! { (prose(&row.outcome)) @if let Some(job) = &row.job { " " a href=(Url::new(&call.app.base, "/job").with("id", job)) { "Its job" } } },
            html! { (row.address) },
        ]);
    }
    let is_filtered = FIELDS.iter().any(|field| call.input.get(field).is_some());
    html! {
        @if !table.is_empty() {
            (table.show())
        } @else if is_filtered {
            (empty("No action matches. Names must be written whole; actions are kept for 400 days."))
        } @else {
            (empty("Nobody has done anything yet: each action and each login appears here."))
        }
        (next_page(call, part.next.as_deref()))
    }
}

/// A link, where it is one queue, task or entry.
fn target(call: &Call, row: &ActionRow) -> Markup {
    let (path, field) = match row.what.split('/').next() {
        // What a job empties is said in words.
        Some("queues") if row.to.parse::<QueueName>().is_ok() => ("/queue", "name"),
        Some("tasks") => ("/task", "id"),
        _ => return html! { (prose(&row.to)) },
    };
    let place = row.to.split('/').next().unwrap_or_default();
    html! { @if !row.to.is_empty() { a href=(Url::new(&call.app.base, path).with(field, place)) { (row.to) } } }
}
