//! The schedule: all entries, and one with its next runs.

use maud::{Markup, html};

use super::kit::{
    Table, button, count, counted, empty, field, hidden, next_page, pretty, prose, rough,
    state as task_state, when,
};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::look::overview::Level;
use crate::look::schedules::{EntryRow, EntryTrouble, EntryView, FiringRow, Run};
use crate::look::slots::AuditView;
use crate::look::tasks::Part;
use crate::problem::Problem;

pub(crate) async fn list(call: Call) -> Result<Page, Problem> {
    let page = Page::new(Nav::Schedules, "Schedules");
    if call.app.parts.schedules.is_none() {
        return Ok(page.head(empty("This dashboard has no schedule: start it with LOVAGE_SCHEDULES_URL.")));
    }
    let part = look::schedules::list(call.clone()).await?;
    Ok(page.head(filter(&call)).live(entries(&call, &part)))
}

pub(crate) async fn one(call: Call) -> Result<Page, Problem> {
    let view = look::schedules::one(call.clone()).await?;
    let history = look::schedules::history(call.clone()).await?;
    let audit = match look::schedules::find(&call).await? {
        Ok(stored) => Some(look::slots::lately(&call, &stored).await?),
        Err(_) => None,
    };
    let title = format!("Schedule {}", view.row.name);
    Ok(Page::new(Nav::Schedules, title).live(now(&call, &view, audit.as_ref(), &history)))
}

fn filter(call: &Call) -> Markup {
    let enabled = call.input.get("enabled");
    html! {
        @if call.is_operator() { p { a.button href=(Url::new(&call.app.base, "/schedule/new")) { "New schedule" } } }
        form.filter method="get" action=(Url::new(&call.app.base, "/schedules")) role="search" aria-label="Schedules" {
            (field(call, "prefix", "Name begins with", "nightly"))
            (field(call, "task", "Task", "movies.tasks.add"))
            div.field {
                label for="enabled" { "Enabled" }
                select #enabled name="enabled" {
                    option value="" { "any" }
                    option value="true" selected[enabled == Some("true")] { "enabled" }
                    option value="false" selected[enabled == Some("false")] { "disabled" }
                }
            }
            button type="submit" { "Search" }
        }
    }
}

fn entries(call: &Call, part: &Part<EntryRow>) -> Markup {
    let mut table = Table::new("Schedules")
        .text("Name")
        .text("When")
        .text("Task")
        .text("State")
        .text("Next run")
        .text("Last run")
        .number("Runs")
        .text("Last outcomes");
    if call.is_operator() {
        table = table.picks("Select all of this page");
    }
    for row in &part.items {
        let pick = call.is_operator().then(|| {
            html! { input type="checkbox" name="name" value=(row.name) aria-label={ "Select " (row.name) }; }
        });
        let cells = [
            html! { a href=(Url::new(&call.app.base, "/schedule").with("name", &row.name)) { (row.name) } },
            html! { (row.words) },
            html! { (row.task) },
            state(row),
            when(call, row.next_run_at),
            when(call, row.last_run_at),
            html! { (row.total_run_count) },
            outcomes(call, row),
        ];
        table.key(&row.name).row(pick.into_iter().chain(cells));
    }
    let is_filtered = ["prefix", "task", "enabled"].iter().any(|name| call.input.get(name).is_some());
    if table.is_empty() {
        return empty(if is_filtered {
            "No schedule matches: the task must be written whole, the name as it begins."
        } else {
            "There is no schedule yet: make one here, in code, or with `lovage schedule add`."
        });
    }
    if !call.is_operator() {
        return html! { (table.show()) (next_page(call, part.next.as_deref())) };
    }
    html! {
        form method="post" action=(Url::new(&call.app.base, "/schedules/enable")) {
            (hidden(call))
            (table.show())
            div.acts.below.picked {
                button type="submit" data-key="enable-selected" { "Enable selected" }
                button type="submit" data-key="run-selected" formaction=(Url::new(&call.app.base, "/schedules/run")) { "Run selected now" }
                button type="submit" data-key="disable-selected" formaction=(Url::new(&call.app.base, "/schedules/disable")) { "Disable selected" }
                button.danger type="submit" data-key="delete-selected" formaction=(Url::new(&call.app.base, "/schedules/delete")) { "Delete selected" }
            }
        }
        (next_page(call, part.next.as_deref()))
    }
}

/// How its newest tasks ended, the newest first.
fn outcomes(call: &Call, row: &EntryRow) -> Markup {
    html! {
        @for outcome in &row.last_outcomes {
            a href=(Url::new(&call.app.base, "/task").with("id", &outcome.task_id)) { (task_state(outcome.state)) } " "
        }
    }
}

fn state(row: &EntryRow) -> Markup {
    html! {
        @match (row.enabled, row.disabled_by) {
            (true, _) => span.badge.good { "enabled" },
            (false, Some("bad" | "gone")) => {},
            (false, Some("done")) => span.badge.plain { "has run" },
            (false, _) => span.badge.plain { "disabled" },
        }
        @if row.edited { " " span.badge.info { "edited" } }
        @if let Some(EntryTrouble { level, badge, .. }) = &row.trouble {
            " " span.badge.bad[*level == Level::Bad].warn[*level == Level::Warn] { (badge) }
        }
    }
}

fn now(call: &Call, view: &EntryView, audit: Option<&AuditView>, history: &Part<FiringRow>) -> Markup {
    let row = &view.row;
    html! {
        p.explanation { (state(row)) " " (row.words) }
        @if let Some(trouble) = &row.trouble {
            p.flash.bad[trouble.level == Level::Bad].warn[trouble.level == Level::Warn] { (prose(&trouble.sentence)) }
        } @else if let Some(error) = &row.last_error {
            p.flash.warn { "Its last slot did not fire: " (error) }
        }
        (acts(call, row))
        div.two {
            div {
                @if let Some(audit) = audit {
                    h2 { "Did its slots fire?" }
                    (audited(call, audit))
                }
                h2 { "History" }
                (firings(call, history))
            }
            div {
                h2 { "About it" }
                (facts(call, row))
                h2 { "Next runs" }
                @if view.runs.is_empty() { p.soft { (why_none(row)) } } @else { (runs(&view.runs)) }
            }
        }
        @if let Some(entry) = &view.entry {
            details #json { summary { "All its fields, as JSON" } pre tabindex="0" { (pretty(&entry.to_string())) } }
        }
    }
}

fn acts(call: &Call, row: &EntryRow) -> Markup {
    if !call.is_operator() {
        return html! {};
    }
    let name = [("name", row.name.as_str())];
    html! {
        div.acts {
            a.button href=(Url::new(&call.app.base, "/schedule/edit").with("name", &row.name)) { "Edit" }
            @if row.disabled_by != Some("bad") {
                (button(call, "/schedules/run", "Run now", &name))
                @if row.enabled { (button(call, "/schedules/disable", "Disable", &name)) }
                @else { (button(call, "/schedules/enable", "Enable", &name)) }
            }
            @if row.edited && row.source.is_some() { (button(call, "/schedules/reset", "Give back to the code", &name)) }
            (button(call, "/schedules/delete", "Delete", &name))
        }
    }
}

fn facts(call: &Call, row: &EntryRow) -> Markup {
    html! {
        dl.facts {
            dt { "Task" } dd { (row.task) }
            dt { "Queue" } dd { (row.queue) }
            dt { "Next run" } dd { @if row.next_run_at.is_some() { (when(call, row.next_run_at)) } @else { "none" } }
            dt { "Last run" } dd {
                @if row.last_run_at.is_some() { (when(call, row.last_run_at)) } @else { "never" }
                @if let Some(id) = &row.last_task_id { ": " a href=(Url::new(&call.app.base, "/task").with("id", id)) { "its task" } }
            }
            dt { "Runs" } dd { (row.total_run_count) }
            dt { "Last outcomes" } dd { @if row.last_outcomes.is_empty() { "none known" } @else { (outcomes(call, row)) } }
            dt { "Declared by" } dd { (row.source.as_deref().unwrap_or("a person")) @if row.edited { ", edited since" } }
        }
    }
}

fn why_none(row: &EntryRow) -> &'static str {
    if row.enabled { "There is no slot any more." } else { "It is disabled, so it does not run." }
}

/// Runs in advance, with what summer time does to them.
pub(super) fn runs(runs: &[Run]) -> Markup {
    html! {
        ol.slots {
            @for run in runs {
                li { time datetime=(run.at.0) { (run.local) } @if let Some(remark) = &run.remark { " " span.badge.warn.wrap { (remark) } } }
            }
        }
    }
}

/// How many of its slots fired lately, and why the others did not.
fn audited(call: &Call, audit: &AuditView) -> Markup {
    let range = rough(audit.to.0.since(audit.from.0));
    let mut table =
        Table::new("Slots that did not fire").text("Slot").number("Slots").text("Outcome").text("Why");
    for line in
        audit.lines.iter().filter(|line| line.slots > 0 && !line.has_fired && line.outcome != "untold")
    {
        let task = line.task_id.as_ref().map(|id| Url::new(&call.app.base, "/task").with("id", id));
        table.row([
            html! { time datetime=(line.slot.0) { (line.local) } @if line.last_slot != line.slot { " to " time datetime=(line.last_slot.0) { (line.last_local) } } },
            html! { (count(line.slots)) },
            html! { span.badge.warn { (line.outcome) } },
            html! { @if let Some(task) = task { a href=(task) { (line.why) } } @else { (line.why) } },
        ]);
    }
    html! {
        p {
            @match (audit.slots - audit.untold, audit.fired) {
                (0, _) => { "There is nothing to tell of the last " (range) "." }
                (slots, fired) if slots == fired => { "All of them did: " (counted(slots, "slot")) " in the last " (range) "." }
                (slots, fired) => { (count(fired)) " of " (counted(slots, "slot")) " in the last " (range) " fired." }
            }
            @if audit.untold > 0 { " Of " (count(audit.untold)) " others nothing is known: they came before it was made or edited, or the history of then is forgotten." }
        }
        @if let Some(trouble) = &audit.trouble { p.flash.warn { "Note: " (trouble) "." } }
        @if !table.is_empty() { (table.show()) }
    }
}

fn firings(call: &Call, history: &Part<FiringRow>) -> Markup {
    let mut table = Table::new("History").text("Slot").text("What became of it").text("Task").text("Decided");
    for firing in &history.items {
        let words = match firing.fate {
            "fired" => "fired",
            "manual" => "run by hand",
            "misfire" => "missed, passed over",
            "overlap" => "passed over: the last one still ran",
            "disabled" => "passed over: it was disabled",
            "edited" => "passed over: it was edited",
            _ => "refused",
        };
        table.key(format_args!("{} {}", firing.slot.0, firing.at.0)).row([
            html! { (firing.slot.0) @if firing.last_slot != firing.slot { " to " (firing.last_slot.0) } },
            html! { (words) @if let Some(note) = &firing.note { ": " (note) } },
            html! { @if let Some(id) = &firing.task_id { a href=(Url::new(&call.app.base, "/task").with("id", id)) { "task" } } },
            when(call, Some(firing.at)),
        ]);
    }
    if table.is_empty() {
        return empty("No slot has come since it was made, or its history has been forgotten by age.");
    }
    html! { (table.show()) (next_page(call, history.next.as_deref())) }
}
