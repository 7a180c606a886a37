//! Promises 2 and 3: beats write by compare-and-set.

use lovage_core::schedule::{Advance, Advanced, DisabledBy, Entry, Fate, Firing, Rewound, Saved, Skip};

use super::ScheduleBed;
use super::support::{Desk, at, every, fired, name, t, task};

/// What beats write.
pub async fn an_advance_moves_on_and_counts(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Done);
    let stored = desk.read("a").await;
    assert_eq!((stored.revision, stored.done_until, stored.next_run_at), (1, t(10), at(20)));
    assert_eq!((stored.last_run_at, stored.last_task_id, stored.total_run_count), (at(10), Some(task(1)), 1));
    let late = Firing::fired(name("a"), t(40), t(41), task(4));
    let passed = Firing::skipped(name("a"), (t(20), t(30)), t(41), Skip::Misfire);
    assert_eq!(desk.advance(Advance::new(&stored, t(40), vec![passed, late])).await, Advanced::Done);
    let stored = desk.read("a").await;
    assert_eq!((stored.next_run_at, stored.last_run_at, stored.total_run_count), (at(50), at(41), 2));
    let fates =
        [(t(40), Fate::Fired(task(4))), (t(20), Fate::Skipped(Skip::Misfire)), (t(10), Fate::Fired(task(1)))];
    assert_eq!(desk.fates("a").await, fates);
    assert_eq!(desk.due_names(49).await, [""; 0]);
}

/// The other one reads again.
pub async fn of_two_beats_one_wins(bed: &dyn ScheduleBed) {
    let (one, two) = (Desk::at(bed).await, Desk::at(bed).await);
    let stored = one.add(&every("a", 10), 0).await;
    assert_eq!(one.fire(&stored, 10, 1).await, Advanced::Done);
    assert_eq!(two.fire(&stored, 10, 1).await, Advanced::Lost);
    let stored = two.read("a").await;
    assert_eq!((stored.done_until, stored.total_run_count), (t(10), 1));
    assert_eq!(two.fire(&stored, 20, 2).await, Advanced::Done);
}

/// At the same moment, over many entries.
pub async fn concurrent_advances_win_once(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let mut batch = Vec::new();
    for n in 0..30 {
        batch.push(fired(&desk.add(&every(&format!("e{n}"), 10), 0).await, 10, n));
    }
    let mut beats = Vec::new();
    for turn in 0..6 {
        let (store, mut batch) = (bed.store().await, batch.clone());
        // Not all in the same order.
        batch.rotate_left(turn * 5);
        beats.push(tokio::spawn(async move { store.advance(&batch).await }));
    }
    let mut won = 0;
    for beat in beats {
        let answers = beat.await.expect("no panic").expect("the store writes");
        won += answers.iter().filter(|answer| **answer == Advanced::Done).count();
    }
    assert_eq!(won, 30);
    for n in 0..30 {
        let entry = format!("e{n}");
        assert_eq!(desk.read(&entry).await.total_run_count, 1);
        assert_eq!(desk.fates(&entry).await, [(t(10), Fate::Fired(task(n)))]);
    }
}

/// Nor is a slot fired that only the old form had.
pub async fn an_edit_is_not_overwritten(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    let Saved::Saved(edited) = desk.edit(&every("a", 7), 1, 1).await else { panic!("nobody was first") };
    let skip = Firing::skipped(name("a"), (t(10), t(10)), t(10), Skip::Misfire);
    assert_eq!(desk.advance(Advance::new(&stored, t(10), vec![skip])).await, Advanced::Lost);
    assert_eq!(desk.read("a").await, *edited);
    assert_eq!(desk.told("a").await, []);
}

/// It did happen: the count and the history say so.
pub async fn what_was_published_is_told_by_the_loser_too(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.edit(&every("a", 7), 1, 9).await;
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Lost);
    let stored = desk.read("a").await;
    assert_eq!((stored.done_until, stored.next_run_at, stored.total_run_count), (t(9), at(14), 1));
    assert_eq!((stored.last_run_at, stored.last_task_id), (at(10), Some(task(1))));
    assert_eq!(desk.fates("a").await, [(t(10), Fate::Fired(task(1)))]);
}

/// Also by a beat that went away after its publish, and comes back.
pub async fn what_was_published_is_told_once(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.fire(&stored, 10, 1).await;
    let next = desk.read("a").await;
    desk.fire(&next, 20, 2).await;
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Lost);
    let stored = desk.read("a").await;
    assert_eq!((stored.total_run_count, stored.last_run_at, stored.last_task_id), (2, at(20), Some(task(2))));
    assert_eq!(desk.told("a").await.len(), 2);
}

/// Answers are in the order of the batch.
pub async fn a_lost_advance_leaves_the_rest_of_its_batch(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let mut batch = Vec::new();
    for entry in ["c", "a", "b"] {
        batch.push(fired(&desk.add(&every(entry, 10), 0).await, 10, 1));
    }
    desk.edit(&every("a", 20), 1, 1).await;
    let answers = desk.store.advance(&batch).await.expect("the store writes");
    assert_eq!(answers, [Advanced::Done, Advanced::Lost, Advanced::Done]);
    assert_eq!(desk.read("b").await.next_run_at, at(20));
}

/// What was published stays told.
pub async fn a_deleted_entry_is_lost(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    assert_eq!(desk.store.delete(&["a"]).await.expect("the store writes"), 1);
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Lost);
    assert_eq!(desk.look("a").await, None);
    assert_eq!(desk.fates("a").await, [(t(10), Fate::Fired(task(1)))]);
}

/// It is disabled, says why, and an edit that knew nothing of it is refused.
pub async fn an_entry_that_runs_once_ends(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&Entry { one_off: true, ..every("a", 10) }, 0).await;
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Done);
    let ended = desk.read("a").await;
    assert_eq!(
        (ended.entry.enabled, ended.next_run_at, ended.disabled_by),
        (false, None, Some(DisabledBy::Done))
    );
    assert_eq!(desk.due_names(1_000).await, [""; 0]);
    assert_eq!(desk.edit(&stored.entry, stored.revision, 11).await, Saved::Conflict(Some(ended.revision)));
}

/// Such as one at a single instant.
pub async fn an_entry_without_another_slot_is_not_due(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&Entry { end_time: at(15), ..every("a", 10) }, 0).await;
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Done);
    let stored = desk.read("a").await;
    assert_eq!((stored.entry.enabled, stored.next_run_at), (true, None));
    assert_eq!(desk.due(1_000).await.entries, []);
}

/// Without moving on.
pub async fn an_error_is_noted_and_cleared(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    let advance =
        Advance::new(&stored, t(0), Vec::new()).with_error("the broker\0 ".to_owned() + &"x".repeat(2_000));
    assert_eq!(desk.advance(advance).await, Advanced::Done);
    let failed = desk.read("a").await;
    assert_eq!((failed.done_until, failed.next_run_at), (stored.done_until, stored.next_run_at));
    let error = failed.last_error.clone().expect("an error");
    assert!(error.starts_with("the broker\u{fffd} xxx") && error.len() <= 1_026, "{error}");
    desk.fire(&failed, 10, 1).await;
    assert_eq!(desk.read("a").await.last_error, None);
}

/// It counts like any other.
pub async fn a_run_by_hand_is_told_and_moves_nothing(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&Entry { one_off: true, ..every("a", 10) }, 0).await;
    let by_hand = Firing::manual(name("a"), t(3), task(9));
    desk.advance(Advance::new(&stored, stored.done_until, vec![by_hand])).await;
    let after = desk.read("a").await;
    assert_eq!((after.done_until, after.next_run_at, after.entry.enabled), (t(0), at(10), true));
    assert_eq!((after.total_run_count, after.last_task_id), (1, Some(task(9))));
    assert_eq!(desk.fates("a").await, [(t(3), Fate::Manual(task(9)))]);
    assert_eq!(desk.fire(&stored, 10, 1).await, Advanced::Done);
}

/// A thousand at once.
pub async fn full_batches_are_taken(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let declared: Vec<Entry> = (0..1_000).map(|n| every(&format!("e{n:04}"), 10)).collect();
    let merged = desk.store.merge(&super::support::source("code"), &declared, at(0)).await;
    assert_eq!(merged.expect("the store writes").added.len(), 1_000);
    let due = desk.store.due(super::support::NOW, 1_000, at(10)).await.expect("the store answers").entries;
    let batch: Vec<Advance> = due.iter().map(|stored| fired(stored, 10, 1)).collect();
    let answers = desk.store.advance(&batch).await.expect("the store writes");
    assert_eq!(answers, vec![Advanced::Done; 1_000]);
    assert_eq!(desk.due(19).await.next_at, at(20));
    assert_eq!(desk.fates("e0999").await, [(t(10), Fate::Fired(task(1)))]);
}

/// Everywhere.
pub async fn empty_batches_do_nothing(bed: &dyn ScheduleBed) {
    let store = bed.store().await;
    assert_eq!(store.advance(&[]).await.expect("the store answers"), []);
    assert_eq!(store.get(&[]).await.expect("the store answers"), []);
    assert_eq!(store.delete(&[]).await.expect("the store answers"), 0);
}

/// The clock was an hour ahead. The entry fires again from then on; what fired ahead of time is known until it is done with.
pub async fn rewound_entry_is_due_again_and_knows_what_fired(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.fire(&stored, 3_600, 1).await;
    let ahead = desk.read("a").await;
    assert_eq!((ahead.rewound, desk.due_names(30).await), (None, vec![]));
    assert_eq!(desk.advance(Advance::rewind(&ahead, t(20))).await, Advanced::Done);
    let stored = desk.read("a").await;
    assert_eq!((stored.revision, stored.done_until, stored.next_run_at), (1, t(20), at(30)));
    assert_eq!(stored.rewound, Some(Rewound { from: t(3_600), at: t(20) }));
    assert_eq!((stored.total_run_count, stored.last_task_id), (1, Some(task(1))));
    let due = desk.due(30).await.entries.remove(0);
    assert_eq!(due.fired_ahead, [t(3_600)]);
    desk.fire(&due, 30, 2).await;
    let Saved::Saved(edited) = desk.edit(&every("a", 20), 1, 31).await else { panic!("the revision is 1") };
    assert_eq!(edited.rewound, stored.rewound);
    let next = desk.due(3_580).await.entries.remove(0);
    assert_eq!(next.fired_ahead, [t(3_600)]);
    desk.advance(Advance::new(&next, t(3_600), vec![])).await;
    assert_eq!(desk.due(3_620).await.entries[0].fired_ahead, []);
}

/// Two beats notice the clock, and one of them was about to write what fired.
pub async fn rewind_of_another_beat_wins_once(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    desk.fire(&stored, 3_600, 1).await;
    let ahead = desk.read("a").await;
    assert_eq!(desk.advance(Advance::rewind(&ahead, t(20))).await, Advanced::Done);
    assert_eq!(desk.advance(Advance::rewind(&ahead, t(25))).await, Advanced::Lost);
    assert_eq!(desk.fire(&ahead, 3_610, 2).await, Advanced::Lost);
    assert_eq!(desk.read("a").await.done_until, t(20));
    assert_eq!(desk.due(30).await.entries[0].fired_ahead, [t(3_600), t(3_610)]);
}

/// After a clock was set back. What fired is told once all the same.
pub async fn slots_passed_over_again_are_told_with_the_later_end(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let passed = |last| Firing::skipped(name("a"), (t(10), t(last)), t(last), Skip::Misfire);
    let stored = desk.add(&every("a", 10), 0).await;
    desk.advance(Advance::new(&stored, t(40), vec![passed(40)])).await;
    for last in [60, 50] {
        let ahead = desk.read("a").await;
        desk.advance(Advance::rewind(&ahead, t(5))).await;
        let stored = desk.read("a").await;
        desk.advance(Advance::new(&stored, t(last), vec![passed(last)])).await;
        assert_eq!(desk.told("a").await, [passed(60)]);
    }
}
