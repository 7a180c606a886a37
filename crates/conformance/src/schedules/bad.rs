//! Promise 7: a bad row disables itself.

use lovage_core::Page;
use lovage_core::schedule::{BadEntry, EntryFilter, Saved};

use super::ScheduleBed;
use super::support::{Desk, at, every, names, source};

async fn bad(desk: &Desk, entry: &str) -> BadEntry {
    let found = desk.store.get(&[entry]).await.expect("the store reads").remove(0);
    found.expect("the row is there").expect_err("a bad row")
}

/// The others fire.
pub async fn a_bad_row_disables_itself_and_stops_no_other(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for entry in ["a", "b", "c"] {
        desk.add(&every(entry, 10), 0).await;
    }
    bed.spoil("b").await;
    assert!(bad(&desk, "b").await.enabled);
    let due = desk.due(10).await;
    assert_eq!(names(&due.entries), ["a", "c"]);
    let found = bad(&desk, "b").await;
    assert!(!found.enabled && !found.reason.is_empty());
    let due = desk.due(10).await;
    assert_eq!((names(&due.entries), due.next_at), (vec!["a".to_owned(), "c".to_owned()], None));
}

/// So that somebody can see it.
pub async fn a_bad_row_is_listed_with_its_reason(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    desk.add(&every("b", 10), 0).await;
    bed.spoil("a").await;
    desk.due(10).await;
    let listed =
        desk.store.list(&EntryFilter::default(), Page::first(10)).await.expect("the store lists").items;
    let found = listed[0].as_ref().expect_err("a bad row");
    assert_eq!(found.name, "a");
    assert!(found.reason.contains("expected"), "{}", found.reason);
    assert!(listed[1].is_ok());
    assert_eq!(desk.store.delete(&["a"]).await.expect("the store writes"), 1);
}

/// Without making it overdue.
pub async fn a_bad_row_is_repaired_by_an_edit(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    bed.spoil("a").await;
    desk.due(10).await;
    let revision = bad(&desk, "a").await.revision;
    assert!(matches!(desk.edit(&every("a", 10), revision + 1, 25).await, Saved::Conflict(Some(_))));
    assert!(matches!(desk.edit(&every("a", 10), revision, 25).await, Saved::Saved(_)));
    assert_eq!(desk.due(25).await.next_at, at(30));
    assert_eq!(desk.read("a").await.disabled_by, None);
}

/// Where a source declares it.
pub async fn a_bad_row_is_repaired_by_a_reset(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.store.merge(&source("code"), &[every("a", 10)], at(0)).await.expect("the store writes");
    bed.spoil("a").await;
    desk.due(10).await;
    let reset = desk.store.reset("a", at(25)).await.expect("the store writes").expect("the entry is there");
    assert_eq!((reset.entry, reset.next_run_at), (every("a", 10), at(30)));
}

/// It would only disable itself again.
pub async fn a_bad_row_is_not_enabled(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    bed.spoil("a").await;
    desk.due(10).await;
    let why = desk.refusal(desk.store.set_enabled("a", true, at(11))).await;
    assert!(why.contains("`a`") && why.contains("expected"), "{why}");
    assert_eq!(desk.due(20).await.entries, []);
}
