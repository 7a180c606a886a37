//! Promises 4 and 5: people edit by compare-and-set, and make nothing overdue.

use std::time::Duration;

use lovage_core::schedule::{Entry, Expected, Fate, Misfire, Saved, Skip};

use super::ScheduleBed;
use super::support::{Desk, at, every, t, task};

/// Whoever is second is told.
pub async fn a_name_is_taken_once(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    let again = desk.store.put(&every("a", 20), Expected::New, at(1)).await.expect("the store answers");
    assert_eq!(again, Saved::Conflict(Some(1)));
    assert_eq!(desk.read("a").await, stored);
}

/// The one that was seen.
pub async fn an_edit_expects_a_revision(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    assert_eq!(desk.edit(&every("a", 10), 1, 0).await, Saved::Conflict(None));
    desk.add(&every("a", 10), 0).await;
    let Saved::Saved(edited) = desk.edit(&every("a", 20), 1, 1).await else { panic!("nobody was first") };
    assert_eq!((edited.revision, edited.next_run_at), (2, at(20)));
    assert_eq!(desk.edit(&every("a", 30), 1, 2).await, Saved::Conflict(Some(2)));
    assert_eq!(desk.read("a").await, *edited);
}

/// The others read again.
pub async fn of_concurrent_edits_one_wins(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    let mut edits = Vec::new();
    for n in 0..6 {
        let store = bed.store().await;
        let edit = async move { store.put(&every("a", 20 + n), Expected::Revision(1), at(1)).await };
        edits.push(tokio::spawn(edit));
    }
    let mut won = Vec::new();
    for edit in edits {
        match edit.await.expect("no panic").expect("the store answers") {
            Saved::Saved(stored) => won.push(*stored),
            Saved::Conflict(found) => assert_eq!(found, Some(2)),
        }
    }
    assert_eq!(won, [desk.read("a").await]);
}

/// An entry that fires each second could never be edited otherwise.
pub async fn what_beats_write_is_no_edit(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.fire(&stored, 10, 1).await;
    let edited = desk.edit(&every("a", 7), stored.revision, 11).await;
    assert!(matches!(edited, Saved::Saved(edited) if edited.next_run_at == at(14)));
}

/// The history tells what became of the slots in between.
pub async fn an_edit_of_the_times_makes_nothing_overdue(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    desk.edit(&every("a", 7), 1, 36).await;
    assert_eq!(desk.due(36).await.next_at, at(42));
    let told = desk.told("a").await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].slot, told[0].last_slot, told[0].at), (t(10), t(30), t(36)));
    assert_eq!(told[0].fate, Fate::Skipped(Skip::Edited));
}

/// Such as the description.
pub async fn an_edit_of_anything_else_keeps_what_is_overdue(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    desk.edit(&Entry { args: "[2]".into(), ..every("a", 10) }, 1, 36).await;
    let due = desk.due(36).await.entries;
    assert_eq!((due.len(), due[0].done_until, due[0].entry.args.as_str()), (1, t(0), "[2]"));
    assert_eq!(desk.told("a").await, []);
}

/// Counts go on.
pub async fn an_edit_keeps_what_beats_wrote(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.fire(&stored, 10, 1).await;
    desk.edit(&every("a", 7), 1, 11).await;
    let stored = desk.read("a").await;
    assert_eq!((stored.total_run_count, stored.last_run_at, stored.last_task_id), (1, at(10), Some(task(1))));
}

/// By default.
pub async fn enabling_passes_over_what_was_missed(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&Entry { jitter: Duration::ZERO, ..every("a", 10) }, 0).await;
    desk.store.set_enabled("a", false, at(15)).await.expect("the store writes");
    let enabled = desk.store.set_enabled("a", true, at(35)).await.expect("the store writes");
    let enabled = enabled.expect("the entry is there");
    assert_eq!((enabled.done_until, enabled.next_run_at), (t(35), at(40)));
    let told = desk.told("a").await;
    assert_eq!((told[0].slot, told[0].last_slot), (t(10), t(30)));
    assert_eq!(told[0].fate, Fate::Skipped(Skip::Disabled));
    let again = desk.store.set_enabled("a", true, at(100)).await.expect("the store writes");
    assert_eq!(again, Some(enabled));
}

/// All of them.
pub async fn enabling_keeps_what_the_policy_wants(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&Entry { misfire: Misfire::All(9), ..every("a", 10) }, 0).await;
    desk.store.set_enabled("a", false, at(5)).await.expect("the store writes");
    desk.store.set_enabled("a", true, at(35)).await.expect("the store writes");
    assert_eq!(desk.due_names(35).await, ["a"]);
    assert_eq!(desk.read("a").await.done_until, t(0));
    assert_eq!(desk.told("a").await, []);
}

/// It is answered, and is no error.
pub async fn what_is_not_there_is_not_enabled(bed: &dyn ScheduleBed) {
    let store = bed.store().await;
    assert_eq!(store.set_enabled("a", true, at(0)).await.expect("the store answers"), None);
    assert_eq!(store.reset("a", at(0)).await.expect("the store answers"), None);
    assert_eq!(store.delete(&["a"]).await.expect("the store answers"), 0);
}

/// With the field and what is allowed.
pub async fn a_bad_entry_is_refused(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let bad = Entry { args: "{}".into(), ..every("a", 10) };
    let why = desk.refusal(desk.store.put(&bad, Expected::New, at(0))).await;
    assert!(why.contains("args `{}`") && why.contains("a JSON list"), "{why}");
    assert_eq!(desk.look("a").await, None);
}

/// And their names are free.
pub async fn deleted_entries_are_gone(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for entry in ["a", "b", "c"] {
        desk.add(&every(entry, 10), 0).await;
    }
    assert_eq!(desk.store.delete(&["a", "c", "x"]).await.expect("the store writes"), 2);
    assert_eq!(desk.due_names(100).await, ["b"]);
    desk.add(&every("a", 20), 100).await;
}

/// An entry that would never send anything. What is over may still be edited otherwise.
pub async fn an_entry_that_can_never_run_is_refused(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let over = Entry { end_time: at(95), ..every("a", 10) };
    let refusal = desk.refusal(desk.store.put(&over, Expected::New, at(100))).await;
    assert!(refusal.contains("the schedule `a`: end_time"), "{refusal}");
    assert_eq!(desk.look("a").await, None);
    desk.add(&over, 0).await;
    let described = Entry { description: "over".into(), ..over.clone() };
    assert!(matches!(desk.edit(&described, 1, 100).await, Saved::Saved(_)));
    let earlier = Entry { end_time: at(85), ..described };
    let refusal = desk.refusal(desk.store.put(&earlier, Expected::Revision(2), at(100))).await;
    assert!(refusal.contains("end_time"), "{refusal}");
}
