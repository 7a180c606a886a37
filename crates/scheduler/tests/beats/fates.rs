//! What becomes of slots: misfire, overlap, jitter, once only, start and end, and what the history tells.

use std::time::Duration;

use lovage_core::schedule::{DisabledBy, Entry, Fate, Misfire, Overlap};
use lovage_core::{BackendErrorKind, Clock as _, QueueName};
use lovage_scheduler::task_id;
use lovage_testkit::{Fault, Operation};

use crate::bed::{Bed, each};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_slot_fires_at_its_instant_and_is_told() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    bed.pass(s(9), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [0; 0]);
    bed.pass(s(1), &mut [&mut beat]);
    let task = task_id(bed.store_id(), &each("e", 10).name, bed.at(10));
    assert_eq!((bed.ran("e"), bed.told("e")), (vec![10], vec!["10 fired".to_owned()]));
    let stored = bed.read("e");
    assert_eq!(bed.history("e")[0].fate, Fate::Fired(task));
    assert_eq!((stored.done_until, stored.next_run_at), (bed.at(10), Some(bed.at(20))));
    assert_eq!((stored.last_run_at, stored.last_task_id), (Some(bed.at(10)), Some(task)));
}

/// No beat from 0 to 47; every 10 seconds: missed 10 to 40.
#[test]
fn what_was_missed_fires_by_the_policy() {
    let table = [
        (Misfire::Skip, vec![50], vec!["10-40 misfire", "50 fired"]),
        (Misfire::Once, vec![40, 50], vec!["10-30 misfire", "40 fired", "50 fired"]),
        (Misfire::All(2), vec![30, 40, 50], vec!["10-20 misfire", "30 fired", "40 fired", "50 fired"]),
        (
            Misfire::All(9),
            vec![10, 20, 30, 40, 50],
            vec!["10 fired", "20 fired", "30 fired", "40 fired", "50 fired"],
        ),
    ];
    for (misfire, ran, told) in table {
        let mut bed = Bed::new(1);
        bed.add(&Entry { misfire, ..each("e", 10) });
        bed.clock.advance(s(47));
        let mut beat = bed.beat();
        bed.pass(s(5), &mut [&mut beat]);
        assert_eq!(
            (bed.ran("e"), bed.told("e")),
            (ran, told.into_iter().map(str::to_owned).collect()),
            "{misfire}"
        );
    }
}

/// No beat from 0 to 47. A second beat must not run it again, whatever the first did not write.
#[test]
fn what_is_to_run_once_runs_once() {
    let table = [
        (Misfire::Skip, vec![50], vec!["10-40 misfire", "50 fired"]),
        (Misfire::Once, vec![40], vec!["10-30 misfire", "40 fired"]),
        (Misfire::All(2), vec![30], vec!["10-20 misfire", "30 fired"]),
    ];
    for (misfire, ran, told) in table {
        let mut bed = Bed::new(1);
        bed.add(&Entry { misfire, one_off: true, ..each("e", 10) });
        bed.clock.advance(s(47));
        let mut beat = bed.beat();
        bed.pass(s(60), &mut [&mut beat]);
        assert_eq!(
            (bed.ran("e"), bed.told("e")),
            (ran, told.into_iter().map(str::to_owned).collect()),
            "{misfire}"
        );
        let stored = bed.read("e");
        assert_eq!((stored.entry.enabled, stored.disabled_by), (false, Some(DisabledBy::Done)), "{misfire}");
        // Again, when somebody says so.
        bed.enable("e", true);
        bed.pass(s(12), &mut [&mut beat]);
        assert_eq!(bed.ran("e").len(), 2, "{misfire}");
    }
}

/// Published at 10, and the beat dies before it writes so. The next one comes after slots were missed.
#[test]
fn what_is_to_run_once_does_not_run_again_after_a_crash() {
    for misfire in [Misfire::Skip, Misfire::Once, Misfire::All(3)] {
        for back_at in [11, 33, 37, 48, 50] {
            let mut bed = Bed::new(1);
            bed.add(&Entry { misfire, one_off: true, ..each("e", 10) });
            let mut beat = bed.beat();
            bed.pass(Duration::from_millis(9_800), &mut [&mut beat]);
            beat.store.set_down(true);
            bed.pass(Duration::from_millis(200), &mut [&mut beat]);
            drop(beat);
            assert_eq!(bed.ran("e"), [10]);
            bed.clock.advance(s(back_at - 10));
            let mut beat = bed.beat();
            bed.pass(s(40), &mut [&mut beat]);
            assert_eq!(bed.ran("e"), [10], "{misfire} {back_at}");
            assert!(!bed.read("e").entry.enabled, "{misfire} {back_at}");
        }
    }
}

#[test]
fn slots_overlap_unless_they_may_not() {
    for (overlap, told) in [
        (Overlap::Allow, ["10 fired", "20 fired", "30 fired", "40 fired"]),
        (Overlap::Skip, ["10 fired", "20 overlap", "30 overlap", "40 fired"]),
    ] {
        let mut bed = Bed::new(1);
        bed.add(&Entry { overlap, ..each("e", 10) });
        let mut beat = bed.beat();
        bed.pass(s(32), &mut [&mut beat]);
        bed.consume();
        bed.pass(s(10), &mut [&mut beat]);
        assert_eq!(bed.told("e"), told, "{overlap}");
    }
}

#[test]
fn of_what_was_missed_only_one_runs_where_nothing_may_overlap() {
    let mut bed = Bed::new(1);
    bed.add(&Entry { overlap: Overlap::Skip, ..each("e", 10) });
    bed.clock.advance(s(37));
    let mut beat = bed.beat();
    bed.pass(s(1), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [10]);
    assert_eq!(bed.told("e"), ["10 fired", "20 overlap", "30 overlap"]);
}

#[test]
fn jitter_delays_each_slot_by_its_own_time_and_keeps_the_order() {
    let bed = Bed::new(1);
    let entry = Entry { jitter: s(15), ..each("e", 10) };
    bed.add(&entry);
    let mut beat = bed.beat();
    bed.pass(s(300), &mut [&mut beat]);
    let history = bed.history("e");
    assert!(history.len() > 25 && history.iter().any(|firing| firing.at.since(firing.slot) > s(5)));
    let mut expected = bed.start;
    for firing in &history {
        expected = expected.max(entry.fires_at(firing.slot));
        let late = firing.at.since(expected);
        assert!(firing.at >= expected && late <= Duration::from_millis(25), "{firing:?}");
    }
}

#[test]
fn nothing_fires_before_the_start_or_after_the_end() {
    let mut bed = Bed::new(1);
    bed.add(&Entry { start_time: Some(bed.at(15)), end_time: Some(bed.at(40)), ..each("e", 10) });
    let mut beat = bed.beat();
    bed.pass(s(60), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [15, 25, 35]);
    assert_eq!(bed.read("e").next_run_at, None);
}

#[test]
fn a_slot_a_little_late_is_not_missed() {
    for (late, ran) in [(15, vec![10]), (16, vec![])] {
        let mut bed = Bed::new(1);
        bed.add(&Entry { misfire: Misfire::Skip, ..each("e", 10) });
        bed.clock.advance(s(late));
        bed.beat().settle();
        assert_eq!(bed.ran("e"), ran, "{late}");
    }
}

#[test]
fn an_edit_counts_from_the_next_slot_on() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    bed.pass(s(19), &mut [&mut beat]);
    bed.edit("e", |entry| entry.schedule = each("e", 7).schedule);
    bed.pass(s(11), &mut [&mut beat]);
    let first = (bed.at(20).as_micros()..).find(|at| at % 7_000_000 == 0).unwrap();
    let first = bed.seconds(lovage_core::Timestamp::from_micros(first));
    let wanted: Vec<i64> = [10].into_iter().chain((first..=30).step_by(7)).collect();
    assert_eq!(bed.ran("e"), wanted);
}

#[test]
fn an_entry_that_the_broker_refuses_is_tried_again_and_stops_no_other() {
    let mut bed = Bed::new(1);
    bed.add(&each("bad", 10));
    bed.add(&each("good", 10));
    let mut beat = bed.beat();
    bed.pass(s(9), &mut [&mut beat]);
    // The batch, and the first of its two.
    for _ in 0..2 {
        beat.broker.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    }
    bed.pass(s(2), &mut [&mut beat]);
    assert_eq!((bed.ran("bad"), bed.ran("good")), (vec![], vec![10]));
    let error = bed.read("bad").last_error;
    assert!(error.as_deref().is_some_and(|error| error.contains("the test asked for")), "{error:?}");
    bed.pass(s(5), &mut [&mut beat]);
    assert_eq!((bed.ran("bad"), bed.read("bad").last_error), (vec![10], None));
}

#[test]
fn entries_are_not_to_blame_when_the_broker_refuses_all() {
    let mut bed = Bed::new(1);
    bed.add(&each("a", 10));
    bed.add(&each("b", 10));
    let mut beat = bed.beat();
    bed.pass(s(9), &mut [&mut beat]);
    for _ in 0..3 {
        beat.broker.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    }
    bed.pass(s(2), &mut [&mut beat]);
    assert_eq!((bed.ran("a"), bed.ran("b")), (vec![10], vec![10]));
    assert_eq!((bed.read("a").last_error, bed.told("a")), (None, vec!["10 fired".to_owned()]));
}

#[test]
fn each_queue_gets_its_own() {
    let bed = Bed::new(1);
    for (name, queue) in [("a", "one"), ("b", "two"), ("c", "two")] {
        bed.add(&Entry { queue: QueueName::new(queue).unwrap(), ..each(name, 10) });
    }
    let mut beat = bed.beat();
    bed.pass(s(10), &mut [&mut beat]);
    assert_eq!(beat.broker.calls(Operation::Publish), 2);
    assert_eq!(bed.told("c"), ["10 fired"]);
    assert_eq!(bed.clock.now(), bed.at(10));
}
