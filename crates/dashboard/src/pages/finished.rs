//! Tasks that ended, and ways to find one.

use std::time::Duration;

use lovage_core::TaskState;
use maud::{Markup, html};

use super::kit::{
    Table, ago, code, empty, field, hidden, id_search, next_page, next_part, precise, prose, state, when,
};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::finished::Found;
use crate::params::{Param, SEARCH};
use crate::problem::Problem;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let page = Page::new(Nav::Finished, "Finished tasks").head(html! { (id_search(&call)) (filter(&call)) });
    let found = match look::finished::data(call.clone()).await {
        Ok(found) => found,
        // The form stays, so that what is wrong can be mended.
        Err(problem) if problem.status.is_client_error() || problem.status.as_u16() == 501 => {
            let why = html! { p.flash.warn role="alert" { (prose(&problem.sentence)) } };
            return Ok(page.live(html! { (why) (next_page(&call, None)) }));
        }
        Err(problem) => return Err(problem),
    };
    let is_none = found.part.items.is_empty() && found.part.next.is_none();
    let all = if call.is_operator() && !is_none {
        all(&call)?
    } else {
        html! {}
    };
    let head = html! { (page.head) (all) };
    Ok(page.head(head).live(list(&call, &found)))
}

/// Above the list, however long that is, and not in the part that is kept up to date.
fn all(call: &Call) -> Result<Markup, Problem> {
    let meant = look::finished::words(&look::finished::filter(call)?);
    let form = |path: &str, button: Markup| {
        html! {
            form.inline method="post" action=(Url::new(&call.app.base, path)) {
                (hidden(call))
                input type="hidden" name="all" value="yes";
                @for Param { name, .. } in SEARCH {
                    @for text in call.input.all(name) { input type="hidden" name=(name) value=(text); }
                }
                (button)
            }
        }
    };
    Ok(html! {
        details.careful #all {
            summary { "Do something to all that match" }
            div.card {
                p { "This means " (prose(&meant)) ", not only those of this page. A job does it, which can be watched and stopped. What ends after it began is not meant, nor what has not ended yet." }
                div.acts {
                    (form("/finished/again", html! { button.main type="submit" { "Run all that match again" } }))
                    (form("/finished/delete", html! { button.danger type="submit" { "Delete all that match" } }))
                }
                p.soft { "You are asked once more before anything is done. Only results are deleted; tasks that wait or run are not touched." }
            }
        }
    })
}

fn filter(call: &Call) -> Markup {
    // As it is read: `FAILURE` is `failure`.
    let chosen = call.input.parsed::<TaskState>("state").ok().flatten();
    html! {
        form.filter method="get" action=(Url::new(&call.app.base, "/finished")) role="search" aria-label="Finished tasks" {
            (field(call, "task", "Task", "movies.tasks.add"))
            div.field {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "any" }
                    @for state in TaskState::ALL.into_iter().filter(|state| state.is_terminal() || matches!(state, TaskState::Started | TaskState::Retry)) {
                        option value=(state.as_str()) selected[chosen == Some(state)] { (state.as_str()) }
                    }
                }
            }
            (field(call, "queue", "Queue", "default"))
            (field(call, "worker", "Worker", ""))
            (field(call, "error", "Error has", "timed out"))
            (field(call, "arguments", "Arguments are", "[1, 3]"))
            (field(call, "since", "Since", "2h"))
            (field(call, "until", "Until", "10m"))
            button type="submit" { "Search" }
        }
    }
}

fn list(call: &Call, found: &Found) -> Markup {
    let mut table = Table::new("Finished tasks")
        .text("Task")
        .text("State")
        .text("Arguments")
        .text("Result or error")
        .text("Ended")
        .number("Ran for")
        .text("Queue")
        .text("Worker");
    if call.is_operator() {
        table = table.picks("Select all of this page");
    }
    for row in &found.part.items {
        let pick = call.is_operator().then(|| {
            html! { input type="checkbox" name="ids" value=(row.id) aria-label={ "Select " (row.task) " " (row.id) }; }
        });
        let cells = [
            html! { a href=(Url::new(&call.app.base, "/task").with("id", &row.id)) { (row.task) } },
            state(row.state),
            code(&row.arguments),
            html! {
                @if let Some(error) = &row.error { span.cut { (error) } }
                @else if let Some(result) = &row.result { (code(result)) }
            },
            when(call, Some(row.finished_at)),
            html! { @if let Some(time) = row.run_time { (precise(Duration::try_from_secs_f64(time).unwrap_or_default())) } },
            html! { (row.queue) },
            html! { (row.worker) },
        ];
        table.key(&row.id).row(pick.into_iter().chain(cells));
    }
    let is_filtered = SEARCH.iter().any(|field| call.input.get(field.name).is_some());
    html! {
        @if !table.is_empty() {
            (with_acts(call, &table.show()))
        } @else if found.searched_back_to.is_some() {
            (empty("No task that ended since then matches."))
        } @else if is_filtered {
            (empty("No task that ended matches. Names and queues must be written whole; results are kept for a time only."))
        } @else {
            (empty("No task has ended yet, or results are not stored: each one appears here as soon as it ends."))
        }
        @if let Some(back_to) = found.searched_back_to {
            p.soft role="status" { "Searched back to " (back_to.0) ", " (ago(call, back_to)) "; what ended earlier was not looked at yet." }
            (next_part(call, found.part.next.as_deref(), "Go on searching"))
        } @else {
            (next_page(call, found.part.next.as_deref()))
        }
    }
}

/// The table in the form that does something to what is selected in it.
fn with_acts(call: &Call, table: &Markup) -> Markup {
    if !call.is_operator() {
        return html! { (table) };
    }
    html! {
        form method="post" action=(Url::new(&call.app.base, "/finished/again")) {
            (hidden(call))
            (table)
            div.acts.below.picked {
                button.main type="submit" data-key="again-selected" { "Run selected again" }
                button.danger type="submit" data-key="delete-selected" formaction=(Url::new(&call.app.base, "/finished/delete")) { "Delete selected results" }
            }
        }
    }
}
