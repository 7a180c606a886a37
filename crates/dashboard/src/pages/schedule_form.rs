//! The form of an entry of the schedule, and what it would do.

use axum::response::{Html, IntoResponse as _, Response};
use lovage_core::Hidden;
use lovage_core::schedule::{EntryText, Listed};
use maud::{Markup, html};
use serde_json::Value;

use super::kit::{hidden, prose, trouble};
use super::schedules::runs;
use super::{Nav, Page, Url, arguments};
use crate::act::schedules::{entry, marks, unseen};
use crate::call::{Call, Input};
use crate::look;
use crate::look::registered::Registered;
use crate::look::schedules::find;
use crate::problem::Problem;
use crate::typed::Arguments;

/// What the form needs to know of the live workers.
struct Tasks {
    known: Vec<Registered>,
    hidden: Hidden,
}

/// An empty form.
pub(crate) async fn new(call: Call) -> Result<Page, Problem> {
    call.app.schedules()?;
    let mut input = call.input.clone();
    input.join(Input::new(vec![("enabled".to_owned(), "on".to_owned())]));
    Ok(Page::new(Nav::Schedules, "New schedule").head(form(&call, &input, &tasks(&call).await, None)))
}

/// A form with an entry in it; for one that cannot be read only its name.
pub(crate) async fn edit(call: Call) -> Result<Page, Problem> {
    let listed = find(&call).await?;
    let title = format!("Edit {}", call.input.raw("name").unwrap_or_default());
    let tasks = tasks(&call).await;
    Ok(Page::new(Nav::Schedules, title).head(form(&call, &fields(&listed, &tasks.hidden), &tasks, None)))
}

/// The form as it came, with the fields of the task that stands in it: for browsers without scripts.
pub(crate) async fn with_its_fields(call: Call) -> Result<Page, Problem> {
    call.app.schedules()?;
    Ok(Page::new(Nav::Schedules, title(&call.input)).head(form(
        &call,
        &call.input,
        &tasks(&call).await,
        None,
    )))
}

/// The form as it came, with what is wrong.
pub(crate) async fn again(call: &Call, why: &str) -> Page {
    Page::new(Nav::Schedules, title(&call.input)).head(form(call, &call.input, &tasks(call).await, Some(why)))
}

async fn tasks(call: &Call) -> Tasks {
    Tasks { known: look::registered::if_known(&call.app).await, hidden: call.app.hidden().await }
}

fn title(input: &Input) -> &'static str {
    if input.get("revision").is_some() { "Edit schedule" } else { "New schedule" }
}

/// What the entry in a form would do, and the fields of its task: each for the place in the form that it names.
pub(crate) async fn preview(call: Call) -> Result<Response, Problem> {
    let arguments = arguments_of(&call.input, &tasks(&call).await);
    let fragment = html! {
        div data-into="preview" { (will_run(&call)) }
        div data-into=(arguments::PLACE) data-look=(arguments::look(&arguments)) { (arguments::fields(&arguments, false, None)) }
        @for (place, error) in arguments::errors(&arguments) { div data-into=(place) { (prose(&error)) } }
    };
    Ok(Html(fragment.into_string()).into_response())
}

fn will_run(call: &Call) -> Markup {
    let is_written = ["schedule", "expression", "every", "latitude", "at"]
        .iter()
        .any(|name| call.input.get(name).is_some());
    if !is_written {
        return html! { p.soft { "Write when it runs, and its next runs appear here." } };
    }
    match entry(&only_times(&call.input)) {
        Err(problem) => html! { p.flash.warn { (prose(&problem.sentence)) } },
        Ok(entry) => {
            let next = look::schedules::runs(&entry, call.now);
            html! {
                p { strong { (entry.schedule) } }
                @if next.is_empty() { p.flash.warn { "It never fires: there is no slot from now on." } } @else { (runs(&next)) }
            }
        }
    }
}

/// Without what says nothing of times: it may not have been written yet, or be wrong while somebody writes it. The name
/// stays, as the jitter follows from it.
fn only_times(input: &Input) -> Input {
    let names = ["name", "schedule", "start_time", "end_time", "one_off", "jitter"];
    let is_of_times = |name: &str| names.contains(&name) || SCHEDULE.contains(&name);
    let kept = input.fields().filter(|(name, text)| is_of_times(name) && !text.trim().is_empty());
    // Of a field that is there twice the first counts.
    let unsaid = [("name", "preview"), ("task", "preview")];
    Input::new(kept.chain(unsaid).map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
}

/// The fields of an entry as the form has them. What its task hides is kept where the form sends back what stands for it.
fn fields(listed: &Listed, hidden: &Hidden) -> Input {
    let mut fields: Vec<(&str, String)> = Vec::new();
    match listed {
        Err(bad) => {
            fields.push(("name", bad.name.clone()));
            fields.push(("revision", bad.revision.to_string()));
        }
        Ok(stored) => {
            let text = EntryText::shown(&stored.entry, hidden);
            fields.extend([
                ("name", text.name),
                ("revision", stored.revision.to_string()),
                ("task", text.task),
                ("args", text.args),
                ("kwargs", text.kwargs),
                ("queue", text.queue),
                ("priority", text.priority.to_string()),
                ("headers", text.headers),
                ("expires", text.expires.unwrap_or_default()),
                ("start_time", text.start_time.unwrap_or_default()),
                ("end_time", text.end_time.unwrap_or_default()),
                ("description", text.description),
                ("misfire", text.misfire),
                ("overlap", text.overlap),
                ("jitter", text.jitter.unwrap_or_default()),
            ]);
            fields.extend(text.enabled.then(|| ("enabled", "on".to_owned())));
            fields.extend(text.one_off.then(|| ("one_off", "on".to_owned())));
            if let Ok(Value::Object(schedule)) = serde_json::from_str(&text.schedule) {
                for name in SCHEDULE {
                    fields.extend(schedule.get(name).map(|value| (name, plain(value))));
                }
            }
        }
    }
    Input::new(fields.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
}

const SCHEDULE: [&str; 9] =
    ["kind", "every", "start", "expression", "zone", "event", "latitude", "longitude", "at"];

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const EVENTS: [&str; 9] = [
    "sunrise",
    "sunset",
    "solar_noon",
    "dawn_civil",
    "dusk_civil",
    "dawn_nautical",
    "dusk_nautical",
    "dawn_astronomical",
    "dusk_astronomical",
];

fn form(call: &Call, input: &Input, tasks: &Tasks, why: Option<&str>) -> Markup {
    let base = &call.app.base;
    let revision = input.get("revision");
    html! {
        @if let Some(why) = why { p.flash.bad role="alert" { (prose(why)) } }
        form method="post" action=(Url::new(base, "/schedules/save")) data-preview=(Url::new(base, "/schedule/preview")) data-preview-first {
            (hidden(call))
            input type="hidden" name="form" value="yes";
            @if let Some(revision) = revision { input type="hidden" name="revision" value=(revision); }
            div.two {
                div {
                    section.card.edit aria-label="What" { (what(call, input, tasks, why.is_some())) }
                    h2 { "When" }
                    section.card.edit aria-label="When" { (times(input)) }
                    details #more open[has_more(input)] {
                        summary { "More: expiry, jitter, missed slots, headers" }
                        section.card.edit aria-label="More" { (more(input)) }
                    }
                    p { button.main type="submit" { "Save" } " " a.button href=(Url::new(base, "/schedules")) { "Cancel" } }
                }
                aside.card aria-label="Next runs" {
                    h2 { "It will run" }
                    (trouble())
                    div #preview aria-live="polite" { p.soft { "Save it to see its next runs, or switch on scripts to see them while typing." } }
                }
            }
        }
    }
}

fn arguments_of(input: &Input, tasks: &Tasks) -> Arguments {
    let marks = marks(input, &tasks.hidden);
    Arguments::for_page(input, &tasks.known, unseen(input, &marks), "[]")
}

fn what(call: &Call, input: &Input, tasks: &Tasks, is_sent: bool) -> Markup {
    let exists = input.get("revision").is_some();
    let arguments = arguments_of(input, tasks);
    html! {
        div.field {
            label for="name" { "Name" }
            input #name name="name" required maxlength="200" readonly[exists] value=(input.raw("name").unwrap_or_default());
        }
        div.field {
            label for="task" { "Task" }
            input #task name="task" list="tasks" value=(input.get("task").unwrap_or_default()) placeholder="movies.tasks.add" autocomplete="off" spellcheck="false";
            datalist #tasks { @for task in &tasks.known { option value=(task.name) {} } }
            // Scripts bring its fields while it is written.
            noscript {
                button type="submit" formaction=(Url::new(&call.app.base, "/schedule/form")) formnovalidate { "Show the fields of this task" }
            }
        }
        div.wide.edit #(arguments::PLACE) data-look=(arguments::look(&arguments)) { (arguments::fields(&arguments, is_sent, None)) }
        (text(input, "queue", "Queue", "the queue of the task", ""))
        (text(input, "priority", "Priority", "0", "0 to 9, 9 first"))
        div.field.wide {
            label for="description" { "Description" }
            textarea #description name="description" rows="2" { (input.get("description").unwrap_or_default()) }
        }
        (checkbox(input, "enabled", "It is enabled"))
        (checkbox(input, "one_off", "It runs once and is then disabled"))
    }
}

fn times(input: &Input) -> Markup {
    let kind = input.get("kind").unwrap_or("crontab");
    let event = input.get("event");
    html! {
        div.field.wide {
            label for="kind" { "Kind" }
            select #kind name="kind" data-kind {
                @for (value, words) in [("crontab", "by the clock and the calendar (crontab)"), ("interval", "again and again after the same time"), ("solar", "by the sun"), ("clocked", "once, at an instant")] {
                    option value=(value) selected[value == kind] { (words) }
                }
            }
        }
        (of_kind("crontab", &html! {
            (text(input, "expression", "Crontab", "30 7 * * mon", "minute hour day month weekday; a sixth in front is seconds"))
            (text(input, "zone", "Time zone", "Europe/Berlin", "UTC where nothing is said"))
        }))
        (of_kind("interval", &html! {
            (text(input, "every", "Every", "10s", "250ms, 10s, 5m, 1h30m, 7d"))
            (text(input, "start", "Counted from", "2026-11-23T13:00:00Z", "1970 where nothing is said"))
        }))
        (of_kind("solar", &html! {
            div.field {
                label for="event" { "Event" }
                select #event name="event" { @for name in EVENTS { option value=(name) selected[event == Some(name)] { (name) } } }
            }
            (text(input, "latitude", "Latitude", "52.52", "Degrees, north is positive"))
            (text(input, "longitude", "Longitude", "13.40", "Degrees, east is positive"))
        }))
        (of_kind("clocked", &text(input, "at", "At", "2026-11-23T13:00:00Z", "")))
    }
}

fn of_kind(kind: &str, fields: &Markup) -> Markup {
    html! { div.wide.edit data-for=(kind) { (fields) } }
}

fn more(input: &Input) -> Markup {
    html! {
        (text(input, "misfire", "Slots that were missed", "once", "skip, once or all(N)"))
        (text(input, "overlap", "While the last one still runs", "allow", "allow or skip"))
        (text(input, "jitter", "Fire up to this much later", "30s", ""))
        (text(input, "expires", "May start until", "10m", "After its slot, or an instant"))
        (text(input, "start_time", "No slot before", "2026-11-23T13:00:00Z", ""))
        (text(input, "end_time", "No slot after", "2026-12-23T13:00:00Z", ""))
        (text(input, "headers", "Headers", "{\"team\": \"shop\"}", "A JSON object of texts"))
    }
}

/// Whether something stands in a field that is out of sight.
fn has_more(input: &Input) -> bool {
    let usual = [("misfire", "once"), ("overlap", "allow"), ("headers", "{}")];
    ["misfire", "overlap", "jitter", "expires", "start_time", "end_time", "headers"]
        .into_iter()
        .any(|name| input.get(name).is_some_and(|text| !usual.contains(&(name, text))))
}

fn text(input: &Input, name: &str, label: &str, example: &str, hint: &str) -> Markup {
    let hint_id = format!("{name}-hint");
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(input.get(name).unwrap_or_default()) placeholder=(example) autocomplete="off" spellcheck="false"
                aria-describedby=[(!hint.is_empty()).then_some(&hint_id)];
            @if !hint.is_empty() { small id=(hint_id) { (hint) } }
        }
    }
}

fn checkbox(input: &Input, name: &str, label: &str) -> Markup {
    html! {
        div.field {
            label { input type="checkbox" name=(name) checked[input.get(name).is_some()]; (label) }
        }
    }
}
