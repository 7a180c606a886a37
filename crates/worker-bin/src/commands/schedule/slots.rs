//! `schedule preview` and `schedule audit`: the slots to come, and what became of those that passed.

use lovage_core::schedule::{
    AuditRange, Audited, ScheduleStore, StoredEntry, Upcoming, audit as audited, preview as upcoming,
};
use lovage_core::{Timestamp, format_duration, parse_duration};
use lovage_scheduler::history;
use serde_json::{Value, json};

use super::ran::Ended;
use super::{found, ran};
use crate::cli::Format;
use crate::error::CliError;
use crate::output::{Out, Rows, Table};
use crate::session::{Session, now};
use crate::show::ahead;

/// Most slots of one preview.
const MOST: usize = 10_000;

pub(super) async fn preview(
    store: &dyn ScheduleStore,
    name: &str,
    count: usize,
    from: Option<&str>,
    format: Format,
) -> Result<(), CliError> {
    let now = now();
    let after = from.map_or(Ok(now), |text| instant("--from", text, now))?;
    let stored = readable(store, name).await?;
    let slots = upcoming(&stored.entry, after, count.min(MOST));
    if format.json {
        return Out.json(&json!({
            "name": name,
            "when": stored.entry.schedule.to_string(),
            "enabled": stored.entry.enabled,
            "slots": slots.iter().map(upcoming_json).collect::<Vec<_>>(),
        }));
    }
    Out.line(format!("{}\n", stored.entry.schedule))?;
    if !stored.entry.enabled {
        Out.note("note: it is disabled, these slots would fire if it were enabled");
    }
    let mut table = Table::new(["SLOT", "UTC", "IN", "SUMMER TIME"]);
    for next in &slots {
        table.row([
            next.local.clone(),
            next.slot.to_string(),
            ahead(Some(next.slot), now),
            next.summer_time().unwrap_or_default(),
        ]);
    }
    Out.rows(false, Rows { json: Value::Null, table, none: "there is no slot to come" })
}

pub(super) async fn audit(
    session: &Session,
    store: &dyn ScheduleStore,
    name: &str,
    (from, to): (&str, &str),
    format: Format,
) -> Result<(), CliError> {
    let now = now();
    let (from, until) = (instant("--from", from, now)?, instant("--to", to, now)?);
    if until < from {
        return Err(CliError::usage(format!("--to is {until}: expected no earlier than --from, {from}")));
    }
    let stored = readable(store, name).await?;
    let mut history = history(store, name, from, until).await?;
    let range = AuditRange { from, until, now };
    let mut audit = audited(&stored, &history, range);
    let ran = ran::from_results(session, store.identity().await?.id, &stored, &audit).await;
    if !ran.is_empty() {
        history.extend(ran);
        audit = audited(&stored, &history, range);
    }
    let ended = ran::ended(session, &audit).await;
    if format.json {
        Out.json(&json!({
            "name": name, "from": from.to_string(), "to": until.to_string(),
            "slots": audit.lines.iter().map(|line| audited_json(line, &ended)).collect::<Vec<_>>(),
            "next": audit.next.map(|at| at.to_string()),
        }))?;
    } else {
        print(&stored, &audit.lines, &ended)?;
    }
    if let Some(next) = audit.next {
        Out.note(format!("note: there is more; go on with --from {next}"));
    }
    Ok(())
}

fn print(stored: &StoredEntry, lines: &[Audited], ended: &Ended) -> Result<(), CliError> {
    let zone = stored.entry.schedule.zone();
    let mut table = Table::new(["SLOT", "UNTIL", "SLOTS", "OUTCOME", "LATE", "TASK ENDED", "WHY"]);
    let (mut slots, mut fired) = (0, 0);
    for line in lines {
        slots += line.slots;
        let has_fired = line.outcome.has_fired();
        fired += u64::from(has_fired);
        let until = if line.last_slot == line.slot { String::new() } else { zone.show(line.last_slot) };
        let late =
            line.at.filter(|_| has_fired).map_or_else(String::new, |at| format_duration(at.since(line.slot)));
        let outcome = line.outcome.as_str().to_owned();
        let state = state_of(line, ended).unwrap_or_default();
        table.row([
            zone.show(line.slot),
            until,
            line.slots.to_string(),
            outcome,
            late,
            state,
            line.outcome.why(),
        ]);
    }
    Out.rows(false, Rows { json: Value::Null, table, none: "there is no slot in that time" })?;
    Out.line(format!("\n{slots} slots, {fired} fired"))
}

async fn readable(store: &dyn ScheduleStore, name: &str) -> Result<StoredEntry, CliError> {
    found(store, name).await?.map_err(|bad| CliError::from(bad.refusal()))
}

/// RFC 3339, or a duration before now.
fn instant(flag: &str, text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let at = Timestamp::parse(text).ok().or_else(|| parse_duration(text).ok().map(|ago| now.minus(ago)));
    at.ok_or_else(|| {
        CliError::usage(format!(
            "{flag} is `{text}`: expected a point in time such as 2026-11-23T13:00:00Z, or a duration such as 2h, which is that long ago"
        ))
    })
}

fn upcoming_json(next: &Upcoming) -> Value {
    json!({
        "slot": next.slot.to_string(),
        "local": next.local,
        "fires_at": next.fires_at.to_string(),
        "summer_time": next.remark,
        "clock_turned_seconds": next.turned,
    })
}

fn state_of(line: &Audited, ended: &Ended) -> Option<String> {
    ended.get(&line.outcome.published()?).map(ToString::to_string)
}

fn audited_json(line: &Audited, ended: &Ended) -> Value {
    json!({
        "slot": line.slot.to_string(),
        "last_slot": line.last_slot.to_string(),
        "slots": line.slots,
        "at": line.at.map(|at| at.to_string()),
        "outcome": line.outcome.as_str(),
        "why": line.outcome.why(),
        "task_state": state_of(line, ended),
    })
}
