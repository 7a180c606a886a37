//! Promise 10: what became of slots, until it is forgotten.

use std::time::Duration;

use lovage_core::schedule::{Advance, Fate, Firing, HistoryQuery, Skip};
use lovage_core::{BackendErrorKind, Page, Timestamp};

use super::ScheduleBed;
use super::support::{Desk, at, every, name, t, task};

/// Writes firings as a beat does.
async fn tell(desk: &Desk, entry: &str, firings: Vec<Firing>) {
    let stored = desk.read(entry).await;
    let until = firings.iter().map(|firing| firing.last_slot).max().expect("firings");
    desk.advance(Advance::new(&stored, until, firings)).await;
}

async fn slots(desk: &Desk, query: &HistoryQuery, limit: usize) -> Vec<Timestamp> {
    let (mut found, mut page) = (Vec::new(), Page::first(limit));
    loop {
        let part = desk.store.history(query, page.clone()).await.expect("the store reads");
        assert!(part.items.len() <= limit);
        found.extend(part.items.into_iter().map(|firing| firing.slot));
        let Some(next) = part.next else { return found };
        page.after = Some(next);
    }
}

/// With no gaps and no doubles.
pub async fn history_is_paged_the_newest_first(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    // Out of order, and two that share a slot.
    for seconds in [10, 20, 40, 30, 50] {
        tell(&desk, "a", vec![Firing::fired(name("a"), t(seconds), t(seconds), task(1))]).await;
    }
    tell(&desk, "a", vec![Firing::manual(name("a"), t(50), task(2))]).await;
    for limit in [1, 2, 100] {
        let found = slots(&desk, &HistoryQuery::of("a"), limit).await;
        assert_eq!(found, [t(50), t(50), t(40), t(30), t(20), t(10)], "{limit}");
    }
}

/// What was passed over together belongs to every range that it reaches into.
pub async fn history_has_a_range(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    let fired = |seconds| Firing::fired(name("a"), t(seconds), t(seconds), task(1));
    tell(&desk, "a", vec![fired(10), fired(20)]).await;
    tell(&desk, "a", vec![Firing::skipped(name("a"), (t(30), t(90)), t(91), Skip::Misfire), fired(100)])
        .await;
    for (since, until, expected) in [
        (Some(20), Some(30), vec![20]),
        (Some(50), Some(60), vec![30]),
        (Some(90), Some(100), vec![30]),
        (Some(91), Some(100), vec![]),
        (Some(91), None, vec![100]),
        (None, Some(31), vec![30, 20, 10]),
        (None, Some(30), vec![20, 10]),
        (Some(5), Some(101), vec![100, 30, 20, 10]),
    ] {
        let query = HistoryQuery { name: "a".into(), since: since.map(t), until: until.map(t) };
        let expected: Vec<Timestamp> = expected.into_iter().map(t).collect();
        for limit in [1, 100] {
            assert_eq!(slots(&desk, &query, limit).await, expected, "{since:?} {until:?}");
        }
    }
}

/// Of the one that was asked for.
pub async fn history_is_of_one_entry(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for entry in ["a", "ab"] {
        desk.add(&every(entry, 10), 0).await;
        tell(&desk, entry, vec![Firing::fired(name(entry), t(10), t(10), task(1))]).await;
    }
    assert_eq!(desk.told("a").await.len(), 1);
    assert_eq!(desk.told("b").await, []);
}

/// To the microsecond.
pub async fn every_fate_survives(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    let fates = [
        Fate::Fired(task(1)),
        Fate::Manual(task(2)),
        Fate::Skipped(Skip::Misfire),
        Fate::Skipped(Skip::Overlap(task(3))),
        Fate::Skipped(Skip::Disabled),
        Fate::Skipped(Skip::Edited),
        Fate::Skipped(Skip::Refused("it is\0 too large".into())),
    ];
    let mut firings: Vec<Firing> = Vec::new();
    for (fate, seconds) in fates.into_iter().zip(1..) {
        let micro = Duration::from_micros(1);
        let (slot, at) = (t(seconds), t(seconds).plus(micro));
        firings.push(Firing { name: name("a"), slot, last_slot: slot.plus(2 * micro), at, fate });
    }
    tell(&desk, "a", firings.clone()).await;
    let mut told = desk.told("a").await;
    told.reverse();
    for (told, firing) in told.iter().zip(&mut firings) {
        if let (Fate::Skipped(Skip::Refused(told)), Fate::Skipped(Skip::Refused(note))) =
            (&told.fate, &mut firing.fate)
            && *told == note.replace('\0', "\u{fffd}")
        {
            // Not every database can hold a NUL.
            note.clone_from(told);
        }
    }
    assert_eq!(told, firings);
}

/// The oldest first.
pub async fn old_firings_are_forgotten_in_chunks(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    for n in 1..=7 {
        tell(&desk, "a", vec![Firing::fired(name("a"), t(n * 10), t(n * 10 + 1), task(1))]).await;
    }
    let keep = Duration::from_secs(20);
    let forget = |limit, seconds| desk.store.forget(keep, limit, at(seconds));
    assert_eq!(forget(3, 31).await.expect("the store writes"), 0);
    assert_eq!(forget(3, 72).await.expect("the store writes"), 3);
    assert_eq!(desk.told("a").await.len(), 4);
    assert_eq!(forget(3, 72).await.expect("the store writes"), 2);
    assert_eq!(forget(3, 72).await.expect("the store writes"), 0);
    assert_eq!(slots(&desk, &HistoryQuery::of("a"), 10).await, [t(70), t(60)]);
    assert_eq!(desk.read("a").await.total_run_count, 7);
}

/// And not the first page.
pub async fn a_nonsense_page_is_an_error(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for nonsense in ["", "x", "12", "12_nothing"] {
        let page = Page { after: Some(nonsense.into()), limit: 10 };
        let error = desk.store.history(&HistoryQuery::of("a"), page).await.expect_err("nonsense");
        assert_eq!(error.kind(), BackendErrorKind::Config, "{nonsense}");
    }
}
