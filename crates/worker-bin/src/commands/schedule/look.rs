//! `schedule list` and `schedule show`.

use lovage_core::schedule::{
    BadEntry, DisabledBy, EntryFilter, EntryText, Firing, HistoryQuery, Listed, Ownership, ScheduleStore,
    StoredEntry,
};
use lovage_core::{Hidden, Page, Timestamp};
use lovage_scheduler::{LastOutcome, last_outcomes};
use serde_json::{Value, json};

use super::{STEP, found};
use crate::cli::Format;
use crate::error::CliError;
use crate::output::{Out, Rows, Table};
use crate::session::{Session, now};
use crate::show::{ago, ahead};

/// How many of the newest firings `show` tells.
const NEWEST: usize = 10;

pub(super) async fn list(
    session: &Session,
    store: &dyn ScheduleStore,
    filter: &EntryFilter,
    limit: usize,
    format: Format,
) -> Result<(), CliError> {
    let mut listed = Vec::new();
    let mut page = Page::first(STEP);
    while listed.len() < limit {
        page.limit = STEP.min(limit - listed.len());
        let part = store.list(filter, page.clone()).await?;
        listed.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    if listed.len() == limit {
        Out.note(format!("note: at most {limit} are shown; --limit and a prefix of the name choose others"));
    }
    let now = now();
    let outcomes = outcomes(session, store, &listed).await;
    let mut table =
        Table::new(["NAME", "WHEN", "TASK", "NEXT RUN", "LAST RUN", "RUNS", "LAST OUTCOMES", "NOTE"]);
    for (listed, outcomes) in listed.iter().zip(&outcomes) {
        match listed {
            Ok(stored) => table.row([
                stored.entry.name.to_string(),
                stored.entry.schedule.to_string(),
                stored.entry.task.to_string(),
                next_run(stored, now),
                last_run(stored, now),
                stored.total_run_count.to_string(),
                in_words(outcomes),
                note(stored),
            ]),
            Err(bad) => {
                let none = String::new;
                let why = format!("cannot be read: {}", bad.reason);
                table.row([bad.name.clone(), none(), none(), none(), none(), none(), none(), why]);
            }
        }
    }
    let hidden = if format.json { session.hidden_if_known().await } else { Hidden::unknown() };
    let json = listed.iter().zip(&outcomes).map(|(listed, outcomes)| {
        let mut json = as_json(listed, &hidden);
        json["last_outcomes"] = outcomes_json(outcomes);
        json
    });
    let json = json.collect();
    Out.rows(format.json, Rows { json, table, none: "there are no schedules" })
}

pub(super) async fn show(
    session: &Session,
    store: &dyn ScheduleStore,
    name: &str,
    format: Format,
) -> Result<(), CliError> {
    let listed = found(store, name).await?;
    let history = store.history(&HistoryQuery::of(name), Page::first(NEWEST)).await?.items;
    let outcomes = outcomes(session, store, std::slice::from_ref(&listed)).await.remove(0);
    let hidden = session.hidden_if_known().await;
    if format.json {
        let mut json = as_json(&listed, &hidden);
        json["last_outcomes"] = outcomes_json(&outcomes);
        json["history"] = history.iter().map(firing).collect();
        return Out.json(&json);
    }
    match &listed {
        Ok(stored) => show_entry(stored, &outcomes, &hidden)?,
        Err(bad) => show_bad(bad)?,
    }
    if history.is_empty() {
        return Ok(());
    }
    Out.line("")?;
    let zone = listed.as_ref().ok().map(|stored| stored.entry.schedule.zone());
    let shown = |at: Timestamp| zone.as_ref().map_or_else(|| at.to_string(), |zone| zone.show(at));
    let mut table = Table::new(["SLOT", "UNTIL", "OUTCOME", "TASK", "NOTE"]);
    for firing in &history {
        let until = if firing.last_slot == firing.slot { String::new() } else { shown(firing.last_slot) };
        table.row([
            shown(firing.slot),
            until,
            firing.fate.as_str().to_owned(),
            firing.fate.stored_task().map_or_else(String::new, |id| id.to_string()),
            firing.fate.stored_note().unwrap_or_default().to_owned(),
        ]);
    }
    Out.line(table.to_string())
}

/// How the newest tasks of each entry ended; nothing, and a note, where the results cannot be asked.
async fn outcomes(session: &Session, store: &dyn ScheduleStore, listed: &[Listed]) -> Vec<Vec<LastOutcome>> {
    let entries: Vec<&StoredEntry> = listed.iter().filter_map(|listed| listed.as_ref().ok()).collect();
    let found = async {
        let client = session.connect_to_look().await?;
        let Some(results) = client.results() else { return Ok(Vec::new()) };
        Ok::<_, CliError>(last_outcomes(&**results, store.identity().await?.id, &entries).await?)
    };
    // What never ran sent nothing.
    let found = if entries.iter().all(|stored| stored.total_run_count == 0) {
        Vec::new()
    } else {
        found.await.unwrap_or_else(|error| {
            Out.note(format!("note: it is not known how the tasks ended: {}", error.in_one_line()));
            Vec::new()
        })
    };
    let mut found = found.into_iter();
    listed.iter().map(|listed| listed.as_ref().ok().and_then(|_| found.next()).unwrap_or_default()).collect()
}

/// The newest first.
fn in_words(outcomes: &[LastOutcome]) -> String {
    outcomes.iter().map(|outcome| outcome.state.to_string()).collect::<Vec<_>>().join(" ")
}

fn outcomes_json(outcomes: &[LastOutcome]) -> Value {
    let one = |outcome: &LastOutcome| json!({ "task_id": outcome.task.to_string(), "state": outcome.state.to_string() });
    outcomes.iter().map(one).collect()
}

/// What stands under a name, for programs.
pub(super) fn as_json(listed: &Listed, hidden: &Hidden) -> Value {
    match listed {
        Ok(stored) => entry_json(stored, hidden),
        Err(bad) => json!({
            "name": bad.name,
            "error": bad.reason,
            "enabled": bad.enabled,
            "revision": bad.revision,
            "source": bad.ownership.source.as_ref().map(|source| source.as_str()),
            "edited": bad.ownership.edited,
            "gone": bad.ownership.gone,
        }),
    }
}

pub(super) fn name(listed: &Listed) -> &str {
    match listed {
        Ok(stored) => stored.entry.name.as_str(),
        Err(bad) => &bad.name,
    }
}

pub(super) fn ownership(listed: &Listed) -> &Ownership {
    match listed {
        Ok(stored) => &stored.ownership,
        Err(bad) => &bad.ownership,
    }
}

/// `next run 2026-03-29 03:00:00 +02:00 (in 3h)`, or why there is none.
pub(super) fn next_in_words(stored: &StoredEntry) -> String {
    let now = now();
    match stored.next_run_at {
        Some(_) => format!("next run {}", next_run(stored, now)),
        None if stored.entry.enabled => "there is no next run: its slots are over".to_owned(),
        None => "it is disabled".to_owned(),
    }
}

fn next_run(stored: &StoredEntry, now: Timestamp) -> String {
    let at = stored.next_run_at;
    at.map_or_else(String::new, |at| {
        format!("{} ({})", stored.entry.schedule.zone().show(at), ahead(Some(at), now))
    })
}

fn last_run(stored: &StoredEntry, now: Timestamp) -> String {
    let at = stored.last_run_at;
    at.map_or_else(String::new, |at| format!("{} ({})", stored.entry.schedule.zone().show(at), ago(at, now)))
}

/// What is special about an entry.
fn note(stored: &StoredEntry) -> String {
    let mut notes = Vec::new();
    if !stored.entry.enabled {
        notes.push(match stored.disabled_by {
            Some(DisabledBy::Done) => "disabled: it has run once".to_owned(),
            Some(DisabledBy::Gone) => format!("disabled: {} no longer declares it", source(stored)),
            Some(DisabledBy::Bad) => "disabled: it could not be read".to_owned(),
            None => "disabled".to_owned(),
        });
    } else if stored.ownership.gone {
        notes.push(format!("{} no longer declares it", source(stored)));
    } else if stored.next_run_at.is_none() {
        notes.push("its slots are over".to_owned());
    }
    if stored.ownership.edited {
        notes.push(format!("edited, {} leaves it alone", source(stored)));
    }
    notes.extend(stored.last_error.clone());
    notes.extend(stored.rewound.and_then(|rewound| rewound.notice(now())));
    notes.join("; ")
}

fn source(stored: &StoredEntry) -> &str {
    stored.ownership.source.as_ref().map_or("somebody", |source| source.as_str())
}

fn show_entry(stored: &StoredEntry, outcomes: &[LastOutcome], hidden: &Hidden) -> Result<(), CliError> {
    let text = EntryText::shown(&stored.entry, hidden);
    let now = now();
    let has_kwargs = stored.entry.kwargs.trim() != "{}";
    for (title, value) in [
        ("name", text.name),
        ("when", stored.entry.schedule.to_string()),
        ("task", text.task),
        ("arguments", if has_kwargs { text.kwargs } else { text.args }),
        ("queue", text.queue),
        ("priority", text.priority.to_string()),
        ("headers", if text.headers == "{}" { String::new() } else { text.headers }),
        ("expires", text.expires.unwrap_or_default()),
        ("start", text.start_time.unwrap_or_default()),
        ("end", text.end_time.unwrap_or_default()),
        ("one-off", if text.one_off { "yes".to_owned() } else { String::new() }),
        ("misfire", text.misfire),
        ("overlap", text.overlap),
        ("jitter", text.jitter.unwrap_or_default()),
        ("description", text.description),
        ("next run", or_none(next_run(stored, now))),
        ("last run", or_none(last_run(stored, now))),
        ("last task", stored.last_task_id.map_or_else(String::new, |id| id.to_string())),
        ("runs", stored.total_run_count.to_string()),
        ("outcomes", in_words(outcomes)),
        ("note", note(stored)),
        ("source", stored.ownership.source.as_ref().map_or_else(String::new, ToString::to_string)),
        ("revision", stored.revision.to_string()),
    ] {
        if !value.is_empty() {
            Out.line(format!("{title:<12} {}", tame(&value)))?;
        }
    }
    Ok(())
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn show_bad(bad: &BadEntry) -> Result<(), CliError> {
    for (title, value) in [
        ("name", bad.name.clone()),
        ("error", bad.reason.clone()),
        ("enabled", if bad.enabled { "until it is due" } else { "no" }.to_owned()),
        ("revision", bad.revision.to_string()),
    ] {
        Out.line(format!("{title:<12} {}", tame(&value)))?;
    }
    Out.note("hint: its row was written by hand; `schedule edit` with --task and a kind repairs it");
    Ok(())
}

/// On one line, without what drives terminals.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}

fn entry_json(stored: &StoredEntry, hidden: &Hidden) -> Value {
    let mut json = json!(EntryText::shown(&stored.entry, hidden));
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let zone = stored.entry.schedule.zone();
    let local = |at: Option<Timestamp>| at.map(|at| zone.show(at));
    let state = json!({
        "when": stored.entry.schedule.to_string(),
        "zone": zone.name(),
        "next_run_at": at(stored.next_run_at),
        "next_run_local": local(stored.next_run_at),
        "last_run_at": at(stored.last_run_at),
        "last_run_local": local(stored.last_run_at),
        "last_task_id": stored.last_task_id.map(|id| id.to_string()),
        "total_run_count": stored.total_run_count,
        "last_error": stored.last_error,
        "disabled_by": stored.disabled_by.map(DisabledBy::as_str),
        "source": stored.ownership.source.as_ref().map(|source| source.as_str()),
        "edited": stored.ownership.edited,
        "gone": stored.ownership.gone,
        "revision": stored.revision,
    });
    if let (Value::Object(entry), Value::Object(state)) = (&mut json, state) {
        entry.extend(state);
    }
    json
}

fn firing(firing: &Firing) -> Value {
    json!({
        "slot": firing.slot.to_string(),
        "last_slot": firing.last_slot.to_string(),
        "at": firing.at.to_string(),
        "outcome": firing.fate.as_str(),
        "task_id": firing.fate.stored_task().map(|id| id.to_string()),
        "note": firing.fate.stored_note(),
    })
}
