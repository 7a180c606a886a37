//! Promise 1: what is due is found, with the instant at which the next entry is.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::schedule::{Entry, Misfire, Overlap, Schedule, SolarEvent};
use lovage_core::{Clock as _, Expires, Priority, QueueName};
use lovage_system::SystemClock;

use super::ScheduleBed;
use super::support::{Desk, NOW, at, every, name, names, t};

/// Not before.
pub async fn an_entry_is_due_at_its_first_slot(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let stored = desk.add(&every("a", 10), 0).await;
    assert_eq!((stored.revision, stored.done_until, stored.next_run_at), (1, t(0), at(10)));
    assert_eq!(desk.due_names(9).await, [""; 0]);
    let due = desk.due(10).await;
    assert_eq!((due.now, due.entries, due.next_at), (t(10), vec![stored], None));
}

/// A beat reads what will be due, so that it can fire in time.
pub async fn due_looks_ahead(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("a", 10), 0).await;
    desk.add(&every("b", 60), 0).await;
    let due = desk.store.due(Duration::from_secs(2), 100, at(8)).await.expect("the store answers");
    assert_eq!((due.now, names(&due.entries), due.next_at), (t(8), vec!["a".to_owned()], at(60)));
    let due = desk.store.due(Duration::from_millis(1_999), 100, at(8)).await.expect("the store answers");
    assert_eq!((names(&due.entries), due.next_at), (Vec::<String>::new(), at(10)));
}

/// A beat sleeps until then.
pub async fn the_next_instant_is_told(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    assert_eq!(desk.due(0).await.next_at, None);
    desk.add(&every("a", 60), 0).await;
    desk.add(&every("b", 30), 0).await;
    desk.add(&Entry { enabled: false, ..every("c", 10) }, 0).await;
    assert_eq!(desk.due(0).await.next_at, at(30));
    assert_eq!(desk.due(30).await.next_at, at(60));
    assert_eq!(desk.due(60).await.next_at, None);
}

/// And the instant of the next one is that of the first that was left out.
pub async fn the_most_overdue_come_first_up_to_the_limit(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    for (entry, seconds) in [("c", 30), ("a", 20), ("b", 10), ("d", 40)] {
        desk.add(&every(entry, seconds), 0).await;
    }
    let due = desk.store.due(NOW, 2, at(50)).await.expect("the store answers");
    assert_eq!(names(&due.entries), ["b", "a"]);
    assert_eq!(due.next_at, at(30));
    assert_eq!(desk.due_names(50).await, ["b", "a", "c", "d"]);
}

/// Whether it is made so or becomes so.
pub async fn what_is_disabled_is_not_due(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&Entry { enabled: false, ..every("a", 10) }, 0).await;
    desk.add(&every("b", 10), 0).await;
    let stored = desk.store.set_enabled("b", false, at(1)).await.expect("the store writes");
    let stored = stored.expect("the entry is there");
    assert_eq!((stored.next_run_at, stored.disabled_by), (None, None));
    let due = desk.due(100).await;
    assert_eq!((names(&due.entries), due.next_at), (Vec::<String>::new(), None));
}

/// Every field survives.
pub async fn an_entry_comes_back_as_it_was(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let schedules = [
        Schedule::every(Duration::from_millis(1_500)),
        Schedule::crontab("*/5 22-4 * * fri-mon", "Europe/Berlin"),
        Schedule::solar(SolarEvent::Sunset, -37.817_53, 144.967_15),
        Ok(Schedule::at(t(86_400))),
    ];
    for (n, schedule) in schedules.into_iter().enumerate() {
        let entry = Entry {
            args: if n % 2 == 0 { r#"[ 1, "\u0000", 12345678901234567890123 ]"#.into() } else { "[]".into() },
            kwargs: if n % 2 == 0 { "{}".into() } else { r#"{"x": [1.50, null]}"#.into() },
            queue: QueueName::new("math:1").expect("a name"),
            priority: Priority::HIGHEST,
            headers: BTreeMap::from([("a".into(), "b'\"\u{1F33F}\0".into())]),
            expires: Some(if n % 2 == 0 {
                Expires::After(Duration::from_millis(90_001))
            } else {
                Expires::At(t(900_000))
            }),
            start_time: at(-100),
            end_time: Some(t(1_000_000).plus(Duration::from_micros(1))),
            one_off: true,
            description: "two\nlines, ünd 'more'".into(),
            misfire: [Misfire::All(600), Misfire::Skip][n % 2],
            overlap: Overlap::Skip,
            jitter: Duration::from_millis(1),
            ..Entry::new(name(&format!("{n} 'é%")), every("x", 1).task, schedule.expect("a schedule"))
        };
        let stored = desk.add(&entry, 0).await;
        assert_eq!(stored.entry, entry);
        assert_eq!(Desk::at(bed).await.read(entry.name.as_str()).await, stored);
        assert!(desk.due(1_000_000).await.entries.contains(&stored));
    }
}

/// Without an instant.
pub async fn the_stores_own_clock_is_used(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let before = SystemClock::new().now();
    desk.store.put(&every("a", 3_600), lovage_core::schedule::Expected::New, None).await.expect("taken");
    let stored = desk.read("a").await;
    let due = desk.store.due(NOW, 100, None).await.expect("the store answers");
    // The clocks of two hosts differ a little.
    for instant in [stored.done_until, due.now] {
        assert!(
            instant.since(before).max(before.since(instant)) < Duration::from_secs(60),
            "{instant} {before}"
        );
    }
}

/// The clock was an hour ahead while it fired. Clocks that differ a little are no reason.
pub async fn entries_done_ahead_of_the_clock_are_named(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    desk.add(&every("other", 10), 0).await;
    let stored = desk.add(&every("ahead", 10), 0).await;
    desk.fire(&stored, 3_600, 1).await;
    let stored = desk.read("ahead").await;
    for (seconds, expected) in [(20, vec!["ahead"]), (3_589, vec!["ahead"]), (3_590, vec![]), (3_600, vec![])]
    {
        assert_eq!(names(&desk.due(seconds).await.ahead_of_clock), expected, "{seconds}");
    }
    assert_eq!(desk.due(20).await.ahead_of_clock, [stored]);
    desk.store.set_enabled("ahead", false, at(20)).await.expect("the store writes");
    assert_eq!(desk.due(20).await.ahead_of_clock, []);
}

/// All handles have the same one, and it is the one that `due` answers.
pub async fn identity_is_that_of_the_store(bed: &dyn ScheduleBed) {
    let (one, two) = (bed.store().await, bed.store().await);
    let identity = one.identity().await.expect("the store answers");
    assert_eq!(two.identity().await.expect("the store answers"), identity);
    assert_eq!(Desk::at(bed).await.due(0).await.store, identity.id);
}
