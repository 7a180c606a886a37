//! The form that sends a task once more.

use axum::response::{Html, IntoResponse as _, Response};
use lovage_core::QueueName;
use maud::{Markup, html};

use super::kit::{hidden, prose, trouble};
use super::{Nav, Page, Url, arguments};
use crate::act::tasks::{Part, Wrong};
use crate::call::{Call, Input};
use crate::look::again::Again;
use crate::problem::Problem;
use crate::typed::{Arguments, Shape};

/// Where it says what is wrong with the queue.
const QUEUE_ERROR: &str = "again-queue-error";

/// Below the page of the task.
pub(super) fn folded(call: &Call, again: &Again) -> Markup {
    html! {
        details #again {
            summary { "Run it again, with these arguments or others" }
            (form(call, again, None, None))
        }
    }
}

/// The form as it came, with the fields of its task or with JSON, as was chosen: for browsers without scripts.
pub(crate) async fn with_its_fields(call: Call) -> Result<Page, Problem> {
    Ok(page(&call, &Again::find(&call).await?, None))
}

/// The form as it came, with what is wrong.
pub(crate) fn page(call: &Call, again: &Again, wrong: Option<&Wrong>) -> Page {
    let nav = if again.draft.unseen().is_kept { Nav::Tasks } else { Nav::Finished };
    let id = again.id.to_string();
    Page::new(nav, format!("Run {} again", again.draft.task())).head(html! {
        p { "The task " a href=(Url::new(&call.app.base, "/task").with("id", &id)) { code { (id) } } " is sent once more. A dead letter whose arguments and queue you leave as they are is retried as itself; otherwise the task gets a new id." }
        (form(call, again, Some(&call.input), wrong))
    })
}

/// The fields of the form, and what is wrong in them: each for the place in the form that it names.
pub(crate) async fn preview(call: Call) -> Result<Response, Problem> {
    let again = Again::find(&call).await?;
    let queue = match call.input.parsed::<QueueName>("queue") {
        Ok(Some(queue)) => again.is_read(&call.app, &queue).await.map(drop),
        Ok(None) => Ok(()),
        Err(problem) => Err(problem),
    };
    let fragment = html! {
        @if let Some(arguments) = arguments(&again, Some(&call.input)) {
            div data-into=(arguments::PLACE) data-look=(arguments::look(&arguments)) { (arguments::fields(&arguments, false, None)) }
            @for (place, error) in arguments::errors(&arguments) { div data-into=(place) { (prose(&error)) } }
        }
        div data-into=(QUEUE_ERROR) { @if let Err(problem) = queue { (prose(&problem.sentence)) } }
    };
    Ok(Html(fragment.into_string()).into_response())
}

fn form(call: &Call, again: &Again, sent: Option<&Input>, wrong: Option<&Wrong>) -> Markup {
    let base = &call.app.base;
    let arguments = arguments(again, sent);
    let at = |part: Part| wrong.filter(|wrong| wrong.at == part).map(|wrong| wrong.problem.sentence.as_str());
    let queue = sent.map_or(again.draft.queue.as_str(), |input| input.raw("queue").unwrap_or_default());
    html! {
        @if let Some(wrong) = wrong { p.flash.bad role="alert" { (prose(in_short(wrong, arguments.as_ref()))) } }
        form.card.edit method="post" action=(Url::new(base, "/tasks/again")) data-preview=(Url::new(base, "/tasks/again/preview")) {
            (hidden(call))
            input type="hidden" name="id" value=(again.id);
            @if let Some(arguments) = &arguments {
                div.wide.edit #(arguments::PLACE) data-look=(arguments::look(arguments)) {
                    (arguments::fields(arguments, sent.is_some(), at(Part::Arguments)))
                }
                // Scripts do it when something else is chosen.
                noscript {
                    button type="submit" formaction=(Url::new(base, "/tasks/again/form")) formnovalidate { "Show the arguments as chosen" }
                }
            } @else {
                p.soft.wide { "Its arguments are not JSON: it is sent with those that it had." }
            }
            div.field {
                label for="again-queue" { "Queue" }
                input #again-queue name="queue" value=(queue) autocomplete="off" spellcheck="false"
                    aria-invalid=[at(Part::Queue).map(|_| "true")] aria-describedby=(QUEUE_ERROR);
                small.wrong #(QUEUE_ERROR) { (prose(at(Part::Queue).unwrap_or_default())) }
            }
            div.wide { (trouble()) button.main type="submit" { "Run it again" } }
        }
    }
}

/// Before the form. What is said beside a field is not said twice.
fn in_short<'a>(wrong: &'a Wrong, arguments: Option<&Arguments>) -> &'a str {
    let is_json = matches!(arguments, Some(Arguments { shape: Shape::Json { .. }, .. }));
    match wrong.at {
        Part::Queue => "not valid is the queue",
        Part::Arguments if is_json => "not valid are the arguments",
        Part::Arguments | Part::Whole => &wrong.problem.sentence,
    }
}

/// As the form has them, else as the task has them; `None` where they are not JSON.
fn arguments(again: &Again, sent: Option<&Input>) -> Option<Arguments> {
    let before = again.draft.arguments()?;
    let input = again.input(&sent.cloned().unwrap_or_default());
    Some(Arguments::for_page(&input, &again.tasks, again.draft.unseen(), &before))
}
