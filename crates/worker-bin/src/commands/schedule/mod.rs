//! `schedule`: entries, read and changed.

mod edit;
mod look;
mod ran;
mod slots;

use lovage_core::schedule::{Entry, EntryFilter, Listed, ScheduleStore};
use lovage_core::{Page, nearest};
use lovage_scheduler::{ByHand, run_by_hand};
use lovage_system::SystemEntropy;
use serde_json::json;

use crate::cli::{Names, Schedule};
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// Entries in one step.
const STEP: usize = 1_000;

/// `lovage schedule …`.
pub(crate) async fn schedule(session: &Session, what: Schedule) -> Result<(), CliError> {
    let open = session.open_schedules_to_look();
    match what {
        Schedule::List { prefix, task, enabled, disabled, limit, format } => {
            let enabled = (enabled || disabled).then_some(enabled);
            look::list(session, &*open.await?, &EntryFilter { prefix, task, enabled }, limit, format).await
        }
        Schedule::Show { name, format } => look::show(session, &*open.await?, &name, format).await,
        Schedule::Add { name, entry, disabled, format } => {
            // What is wrong is told before a file is made.
            let added = Entry { enabled: !disabled, ..edit::new_entry(session, &name, &entry)? };
            let store = session.open_schedules_to_add().await?;
            edit::add(session, &*store, added, entry.flags.queue.as_deref(), format).await
        }
        Schedule::Edit { name, entry, revision, format } => {
            edit::edit(session, &*open.await?, &name, &entry, revision, format).await
        }
        Schedule::Enable(names) => set_enabled(&*open.await?, &names, true).await,
        Schedule::Disable(names) => set_enabled(&*open.await?, &names, false).await,
        Schedule::Run { name, format } => run(session, &*open.await?, &name, format.json).await,
        Schedule::Reset(names) => reset(&*open.await?, &names).await,
        Schedule::Delete(names) => delete(&*open.await?, &names).await,
        Schedule::Preview { name, count, from, format } => {
            slots::preview(&*open.await?, &name, count, from.as_deref(), format).await
        }
        Schedule::Audit { name, from, to, format } => {
            slots::audit(session, &*open.await?, &name, (&from, &to), format).await
        }
    }
}

/// What stands under a name.
///
/// # Errors
/// When there is nothing; names what is like it.
async fn found(store: &dyn ScheduleStore, name: &str) -> Result<Listed, CliError> {
    match store.get(&[name]).await?.into_iter().flatten().next() {
        Some(listed) => Ok(listed),
        None => Err(unknown(store, name).await),
    }
}

async fn unknown(store: &dyn ScheduleStore, name: &str) -> CliError {
    let error = CliError::failed(format!("there is no schedule `{}`", name.escape_debug()));
    // Only a help: without it the error stands as well.
    let Ok(page) = store.list(&EntryFilter::default(), Page::first(STEP)).await else { return error };
    let names: Vec<&str> = page.items.iter().map(look::name).collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => error
            .hint("there is none at all: a beat writes those of your program, `schedule add` makes others"),
        None => error.hint("`schedule list` shows what there is"),
    }
}

async fn set_enabled(store: &dyn ScheduleStore, names: &Names, enabled: bool) -> Result<(), CliError> {
    for name in &names.names {
        let Some(stored) = store.set_enabled(name, enabled, None).await? else {
            return Err(unknown(store, name).await);
        };
        Out.line(if enabled {
            format!("{name} is enabled; {}", look::next_in_words(&stored))
        } else {
            format!("{name} is disabled")
        })?;
    }
    Ok(())
}

async fn reset(store: &dyn ScheduleStore, names: &Names) -> Result<(), CliError> {
    for name in &names.names {
        let Some(stored) = store.reset(name, None).await? else { return Err(unknown(store, name).await) };
        let source = stored.ownership.source.as_ref().map_or("its source", |source| source.as_str());
        Out.line(format!(
            "{name} is again as {source} declares it: {}; {}",
            stored.entry.schedule,
            look::next_in_words(&stored)
        ))?;
    }
    Ok(())
}

async fn delete(store: &dyn ScheduleStore, names: &Names) -> Result<(), CliError> {
    // All or none.
    let mut listed = Vec::new();
    for name in &names.names {
        listed.push(found(store, name).await?);
    }
    let all: Vec<&str> = names.names.iter().map(String::as_str).collect();
    store.delete(&all).await?;
    for listed in &listed {
        let (name, ownership) = (look::name(listed), look::ownership(listed));
        Out.line(format!("{name} is deleted"))?;
        if let Some(source) = ownership.source.as_ref().filter(|_| !ownership.gone) {
            Out.note(format!(
                "note: {source} declares `{name}`, so it comes back with the next beat that starts; to stop it, let it come back and disable it"
            ));
        }
    }
    Ok(())
}

async fn run(
    session: &Session,
    store: &dyn ScheduleStore,
    name: &str,
    as_json: bool,
) -> Result<(), CliError> {
    // No broker is made for what does not exist.
    drop(found(store, name).await?);
    let client = session.connect().await?;
    match run_by_hand(store, &**client.broker(), &SystemEntropy, name).await? {
        ByHand::Published(id) if as_json => Out.json(&json!({ "id": id.to_string() })),
        ByHand::Published(id) => Out.line(id.to_string()),
        ByHand::Overlap(holder) => Err(CliError::failed(format!(
            "the runs of `{name}` are not to overlap, and task {holder} of it still waits or runs"
        ))
        .hint(format!("`{} explain {holder}` says more", session.program))),
        ByHand::Unknown => Err(unknown(store, name).await),
    }
}
