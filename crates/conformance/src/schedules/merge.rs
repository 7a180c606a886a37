//! Promise 6: a source owns what it declares until somebody edits it.

use lovage_core::EntryName;
use lovage_core::schedule::{DisabledBy, Entry, Merged, Saved};

use super::ScheduleBed;
use super::support::{Desk, at, every, name, source, t};

async fn merge(desk: &Desk, owner: &str, declared: &[Entry], seconds: i64) -> Merged {
    desk.store.merge(&source(owner), declared, at(seconds)).await.expect("the store writes")
}

fn list(names: &[&str]) -> Vec<EntryName> {
    names.iter().map(|entry| name(entry)).collect()
}

/// At each start of the code.
pub async fn declared_entries_are_added_and_changed(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let merged = merge(&desk, "code", &[every("a", 10), every("b", 10)], 0).await;
    assert_eq!(merged, Merged { added: list(&["a", "b"]), ..Merged::default() });
    let stored = desk.read("a").await;
    assert_eq!((&stored.entry, stored.next_run_at), (&every("a", 10), at(10)));
    assert_eq!((stored.ownership.source, stored.ownership.edited), (Some(source("code")), false));
    let merged = merge(&desk, "code", &[every("a", 10), every("b", 7)], 36).await;
    assert_eq!(merged, Merged { changed: list(&["b"]), ..Merged::default() });
    assert_eq!(desk.read("b").await.next_run_at, at(42));
    assert_eq!(desk.read("a").await.next_run_at, at(10));
}

/// The usual start.
pub async fn a_second_merge_does_nothing(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    merge(&desk, "code", &[every("a", 10)], 0).await;
    let stored = desk.read("a").await;
    assert_eq!(merge(&desk, "code", &[every("a", 10)], 50).await, Merged::default());
    assert_eq!(desk.read("a").await, stored);
}

/// Then it is as it was declared last.
pub async fn an_edited_entry_is_left_alone_until_it_is_reset(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    merge(&desk, "code", &[every("a", 10)], 0).await;
    assert!(matches!(desk.edit(&every("a", 3), 1, 1).await, Saved::Saved(stored) if stored.ownership.edited));
    for declared in [every("a", 10), every("a", 7)] {
        let merged = merge(&desk, "code", &[declared], 2).await;
        assert_eq!(merged, Merged { edited: list(&["a"]), ..Merged::default() });
        assert_eq!(desk.read("a").await.entry, every("a", 3));
    }
    let reset = desk.store.reset("a", at(10)).await.expect("the store writes").expect("the entry is there");
    assert_eq!((&reset.entry, reset.ownership.edited, reset.next_run_at), (&every("a", 7), false, at(14)));
    assert_eq!(merge(&desk, "code", &[every("a", 7)], 11).await, Merged::default());
    assert_eq!(desk.read("a").await, reset);
}

/// Not deleted; and told once.
pub async fn what_is_gone_is_disabled_and_marked(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    merge(&desk, "code", &[every("a", 10), every("b", 10)], 0).await;
    let merged = merge(&desk, "code", &[every("b", 10)], 1).await;
    assert_eq!(merged, Merged { gone: list(&["a"]), ..Merged::default() });
    let gone = desk.read("a").await;
    assert!(!gone.entry.enabled && gone.ownership.gone && gone.next_run_at.is_none());
    assert_eq!(gone.disabled_by, Some(DisabledBy::Gone));
    assert_eq!(desk.due_names(10).await, ["b"]);
    desk.store.set_enabled("a", true, at(20)).await.expect("the store writes");
    assert_eq!(merge(&desk, "code", &[every("b", 10)], 21).await, Merged::default());
    assert!(desk.read("a").await.entry.enabled);
}

/// Also one that was edited: in its edited form.
pub async fn what_comes_back_is_enabled_again(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let declared = [every("a", 10), every("b", 10)];
    merge(&desk, "code", &declared, 0).await;
    desk.edit(&every("b", 3), 1, 1).await;
    merge(&desk, "code", &[], 2).await;
    let merged = merge(&desk, "code", &declared, 15).await;
    assert_eq!(merged, Merged { changed: list(&["a"]), edited: list(&["b"]), ..Merged::default() });
    let (a, b) = (desk.read("a").await, desk.read("b").await);
    assert_eq!(
        (a.entry, a.next_run_at, a.ownership.gone, a.disabled_by),
        (every("a", 10), at(20), false, None)
    );
    assert_eq!((b.entry, b.ownership.gone), (every("b", 3), false));
}

/// Two programs declare theirs in one store.
pub async fn another_sources_entries_are_left_alone(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    merge(&desk, "code:shop", &[every("a", 10)], 0).await;
    let merged = merge(&desk, "code:mail", &[every("a", 7), every("b", 10)], 1).await;
    assert_eq!(merged, Merged { added: list(&["b"]), taken: list(&["a"]), ..Merged::default() });
    assert_eq!(desk.read("a").await.entry, every("a", 10));
    merge(&desk, "code:shop", &[], 2).await;
    assert!(desk.read("b").await.entry.enabled);
    let merged = merge(&desk, "code:mail", &[every("a", 7), every("b", 10)], 3).await;
    assert_eq!(merged, Merged { changed: list(&["a"]), ..Merged::default() });
    assert_eq!(desk.read("a").await.ownership.source, Some(source("code:mail")));
}

/// But a reset gives it to the source.
pub async fn what_a_person_made_is_left_alone(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    let merged = merge(&desk, "code", &[every("a", 7)], 1).await;
    assert_eq!(merged, Merged { edited: list(&["a"]), ..Merged::default() });
    assert_eq!(desk.read("a").await.entry, every("a", 10));
    let reset = desk.store.reset("a", at(2)).await.expect("the store writes").expect("the entry is there");
    assert_eq!(reset.entry, every("a", 7));
}

/// Not even the good ones beside it.
pub async fn a_bad_declaration_changes_nothing(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    merge(&desk, "code", &[every("old", 10)], 0).await;
    let bad = Entry { kwargs: "7".into(), ..every("b", 10) };
    let owner = source("code");
    let declared = [every("a", 10), bad];
    let why = desk.refusal(desk.store.merge(&owner, &declared, at(1))).await;
    assert!(why.contains("`b`") && why.contains("kwargs `7`"), "{why}");
    let twice = [every("a", 10), every("a", 20)];
    let why = desk.refusal(desk.store.merge(&owner, &twice, at(1))).await;
    assert!(why.contains("`a`") && why.contains("twice"), "{why}");
    assert_eq!(desk.look("a").await, None);
    assert!(desk.read("old").await.entry.enabled);
}

/// There is nothing to give it back to.
pub async fn what_nobody_declares_is_not_reset(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    let why = desk.refusal(desk.store.reset("a", at(1))).await;
    assert!(why.contains("`a`") && why.contains("no source declares it"), "{why}");
}

/// Beats start at the same time.
pub async fn concurrent_merges_agree(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let declared: Vec<Entry> = (0..20).map(|n| every(&format!("e{n}"), 10)).collect();
    let mut beats = Vec::new();
    for _ in 0..5 {
        let (store, declared) = (bed.store().await, declared.clone());
        beats.push(tokio::spawn(async move { store.merge(&source("code"), &declared, at(0)).await }));
    }
    let mut added = 0;
    for beat in beats {
        added += beat.await.expect("no panic").expect("the store writes").added.len();
    }
    assert_eq!(added, 20);
    assert_eq!(desk.due(10).await.entries.len(), 20);
    assert_eq!((desk.read("e7").await.revision, desk.read("e7").await.done_until), (1, t(0)));
}
