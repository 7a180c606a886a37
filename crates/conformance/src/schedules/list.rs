//! Promise 9: reading entries.

use lovage_core::Page;
use lovage_core::schedule::{Entry, EntryFilter};

use super::ScheduleBed;
use super::support::{Desk, every};

async fn listed(desk: &Desk, filter: &EntryFilter, limit: usize) -> Vec<String> {
    let (mut found, mut page) = (Vec::new(), Page::first(limit));
    loop {
        let part = desk.store.list(filter, page.clone()).await.expect("the store lists");
        assert!(part.items.len() <= limit);
        found.extend(part.items.into_iter().map(|item| item.expect("a good row").entry.name.to_string()));
        let Some(next) = part.next else { return found };
        page.after = Some(next);
    }
}

/// As they were asked for.
pub async fn names_are_answered_in_order_with_gaps(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let a = desk.add(&every("a", 10), 0).await;
    let b = desk.add(&every("b", 20), 0).await;
    let found = desk.store.get(&["b", "x", "a", "b"]).await.expect("the store reads");
    assert_eq!(found, [Some(Ok(b.clone())), None, Some(Ok(a)), Some(Ok(b))]);
}

/// In the order of their bytes, with no gaps and no doubles.
pub async fn lists_are_by_name_in_pages(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let sorted = ["A", "Z", "a b", "a-b", "a'b", "b", "\u{e9}", "\u{1F33F}"];
    let mut sorted: Vec<String> = sorted.iter().map(|entry| (*entry).to_owned()).collect();
    for entry in sorted.iter().rev() {
        desk.add(&every(entry, 10), 0).await;
    }
    sorted.sort_unstable();
    for limit in [1, 3, 8, 100] {
        assert_eq!(listed(&desk, &EntryFilter::default(), limit).await, sorted, "{limit}");
    }
}

/// By task, state and name.
pub async fn lists_are_filtered(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for n in 0..12 {
        let name = format!("{}{n:02}", if n < 6 { "x" } else { "y" });
        let mut entry = Entry { enabled: n % 2 == 0, ..every(&name, 10) };
        if n % 3 == 0 {
            entry.task = lovage_core::TaskName::new("mul").expect("a name");
        }
        desk.add(&entry, 0).await;
    }
    let task = || Some("mul".to_owned());
    let prefix = || Some("x".to_owned());
    for (filter, expected) in [
        (EntryFilter { task: task(), ..EntryFilter::default() }, vec!["x00", "x03", "y06", "y09"]),
        (EntryFilter { prefix: prefix(), enabled: Some(true), task: None }, vec!["x00", "x02", "x04"]),
        (EntryFilter { enabled: Some(false), task: task(), prefix: None }, vec!["x03", "y09"]),
        (EntryFilter { enabled: Some(true), task: task(), prefix: prefix() }, vec!["x00"]),
        (EntryFilter { task: Some("none".into()), ..EntryFilter::default() }, vec![]),
        (
            EntryFilter { enabled: Some(false), ..EntryFilter::default() },
            vec!["x01", "x03", "x05", "y07", "y09", "y11"],
        ),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(listed(&desk, &filter, limit).await, expected, "{filter:?}");
        }
    }
}

/// Whatever it means to a database.
pub async fn a_prefix_is_only_text(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for entry in ["a%b", "a_b", "axb", "a\\b", "a\u{10ffff}b", "A%b", "b"] {
        desk.add(&every(entry, 10), 0).await;
    }
    for (prefix, expected) in [
        ("a%", vec!["a%b"]),
        ("a_", vec!["a_b"]),
        ("a\\", vec!["a\\b"]),
        ("a\u{10ffff}", vec!["a\u{10ffff}b"]),
        ("A", vec!["A%b"]),
        ("", vec!["A%b", "a%b", "a\\b", "a_b", "axb", "a\u{10ffff}b", "b"]),
        ("'", vec![]),
    ] {
        let filter = EntryFilter { prefix: Some(prefix.into()), ..EntryFilter::default() };
        assert_eq!(listed(&desk, &filter, 100).await, expected, "{prefix}");
    }
}
