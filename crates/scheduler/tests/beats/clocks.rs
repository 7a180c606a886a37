//! Clocks that were wrong: the schedule goes on when they are right again.

use std::time::Duration;

use lovage_core::schedule::{
    AuditRange, Entry, Expected, Misfire, Outcome, Rewound, ScheduleStore as _, audit,
};

use crate::bed::{Bed, each, now};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn every_5(misfire: Misfire) -> Entry {
    Entry { misfire, ..each("e", 5) }
}

/// One clock for store and broker, as on one server: it is ahead from 20 to 32.
fn one_clock_ahead(bed: &mut Bed, ahead: i64, then: u64) {
    let mut beats = [bed.beat(), bed.beat()];
    let [one, two] = &mut beats;
    bed.pass(s(20), &mut [one, two]);
    bed.clock.jump(bed.at(20 + ahead));
    bed.pass(s(12), &mut [one, two]);
    bed.clock.jump(bed.at(32));
    bed.pass(s(then), &mut [one, two]);
}

/// The slots until then that did not fire. Those of 25 and 30, while the clock was wrong, go by the misfire policy.
fn missing(ran: &[i64], until: i64) -> Vec<i64> {
    (5..=until).step_by(5).filter(|slot| !ran.contains(slot) && ![25, 30].contains(slot)).collect()
}

#[test]
fn clock_that_was_ahead_does_not_silence_an_entry() {
    for ahead in [HOUR, 400 * DAY] {
        let mut bed = Bed::new(1);
        bed.add(&every_5(Misfire::Once));
        one_clock_ahead(&mut bed, ahead, 60);
        let ran = bed.ran("e");
        let at_their_time: Vec<i64> = ran.iter().copied().filter(|slot| *slot < 200).collect();
        assert_eq!(missing(&at_their_time, 90), [0; 0]);
        let ahead_of_time: Vec<i64> = ran.into_iter().filter(|slot| *slot >= 200).collect();
        assert_eq!(ahead_of_time, [15 + ahead, 20 + ahead, 25 + ahead, 30 + ahead]);
        let stored = bed.read("e");
        let rewound = stored.rewound.unwrap();
        assert_eq!(
            (bed.seconds(rewound.from), (23..=33).contains(&bed.seconds(rewound.at))),
            (30 + ahead, true)
        );
        assert!(
            rewound.notice(bed.at(90)).unwrap().contains("slots that fired ahead of time do not fire again")
        );
        assert_eq!(rewound.notice(bed.at(2 * DAY)), None);
    }
}

#[test]
fn slots_that_fired_ahead_of_time_are_not_repeated() {
    for misfire in [Misfire::Skip, Misfire::Once, Misfire::All(10_000)] {
        let mut bed = Bed::new(1);
        bed.add(&every_5(misfire));
        one_clock_ahead(&mut bed, 100, 200);
        // `ran` asserts that each ran once.
        let ran = bed.ran("e");
        assert_eq!(missing(&ran, 230), [0; 0], "{misfire}");
        if let Misfire::All(_) = misfire {
            assert!(ran.contains(&25) && ran.contains(&30));
        }
    }
}

/// The broker's clock is right: nothing fires ahead of time, and the entry says why it waits.
#[test]
fn store_ahead_of_the_broker_fires_nothing_early() {
    let mut bed = Bed::new(1);
    bed.add(&every_5(Misfire::Once));
    let mut beat = bed.beat();
    bed.pass(s(20), &mut [&mut beat]);
    bed.store_clock.set_ahead(HOUR);
    bed.pass(s(12), &mut [&mut beat]);
    let error = bed.read("e").last_error.unwrap();
    assert!(error.contains("1h ahead of the broker's clock"), "{error}");
    bed.store_clock.set_ahead(0);
    bed.pass(s(60), &mut [&mut beat]);
    assert_eq!(missing(&bed.ran("e"), 90), [0; 0]);
    assert!(bed.ran("e").iter().all(|slot| *slot <= 90));
    assert_eq!(bed.read("e").last_error, None);
}

/// Clocks that differ for good by less than the tolerance.
#[test]
fn store_a_little_ahead_of_the_broker_fires_every_slot() {
    let mut bed = Bed::new(1);
    bed.store_clock.set_ahead(9);
    bed.add(&every_5(Misfire::Skip));
    let mut beat = bed.beat();
    bed.pass(s(60), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), (10..=65).step_by(5).collect::<Vec<_>>());
}

/// The fence of the name is an hour ahead; the new entry of that name fires, and its audit is true.
#[test]
fn entry_added_again_after_a_wrong_clock_fires() {
    let mut bed = Bed::new(1);
    bed.add(&every_5(Misfire::Once));
    one_clock_ahead(&mut bed, HOUR, 1);
    now(bed.schedules.delete(&["e"])).unwrap();
    bed.consume();
    bed.ran.clear();
    now(bed.schedules.put(&every_5(Misfire::Once), Expected::New, None)).unwrap();
    let mut beat = bed.beat();
    bed.pass(s(20), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [35, 40, 45, 50]);
    let range = AuditRange { from: bed.at(34), until: bed.at(61), now: bed.at(53) };
    let lines = audit(&bed.read("e"), &bed.history("e"), range).lines;
    let told: Vec<(i64, bool)> = lines
        .iter()
        .map(|line| (bed.seconds(line.slot), matches!(line.outcome, Outcome::Fired(_))))
        .collect();
    assert_eq!(told, [(35, true), (40, true), (45, true), (50, true), (55, false)]);
}

/// The clock of the store is an hour behind that of the broker, which has taken slots of this name. Stale is not fired.
#[test]
fn stale_slot_of_a_store_that_is_behind_has_not_fired() {
    let mut bed = Bed::new(1);
    let mut beat = bed.beat();
    bed.add(&every_5(Misfire::Once));
    bed.pass(s(20), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [5, 10, 15, 20]);
    now(bed.schedules.delete(&["e"])).unwrap();
    bed.store_clock.set_ahead(-HOUR);
    now(bed.schedules.put(&every_5(Misfire::Once), Expected::New, None)).unwrap();
    bed.pass(s(20), &mut [&mut beat]);
    let fired = bed
        .history("e")
        .iter()
        .filter(|firing| bed.seconds(firing.slot) < 0 && firing.fate.task().is_some())
        .count();
    assert_eq!((fired, bed.ran("e").len()), (0, 4));
    let error = bed.read("e").last_error.unwrap();
    assert!(error.contains("the broker has taken the slot"), "{error}");
}

/// Two stores on one broker, with an entry of the same name and queue each.
#[test]
fn schedules_of_two_stores_do_not_share_slots() {
    let mut bed = Bed::new(1);
    let other = Bed::new(2);
    bed.add(&each("e", 10));
    let other_beat = other.beat_on(&bed);
    other.add(&Entry { overlap: lovage_core::schedule::Overlap::Skip, ..each("e", 10) });
    let (mut one, mut two) = (bed.beat(), other_beat);
    for _ in 0..2 {
        bed.clock.advance(s(10));
        other.clock.advance(s(10));
        one.settle();
        two.settle();
        bed.consume();
    }
    let tasks: Vec<usize> = bed.ran.values().map(Vec::len).collect();
    assert_eq!(tasks, [2, 2]);
    let fired =
        |bed: &Bed| bed.history("e").iter().filter_map(|firing| firing.fate.task()).collect::<Vec<_>>();
    assert_eq!((fired(&bed).len(), fired(&other).len()), (2, 2));
    assert!(fired(&bed).iter().all(|task| !fired(&other).contains(task)));
}

#[test]
fn rewound_says_from_where() {
    let bed = Bed::new(1);
    let rewound = Rewound { from: bed.at(HOUR + 30), at: bed.at(30) };
    assert!(
        rewound
            .notice(bed.at(31))
            .unwrap()
            .starts_with("the clock of the schedule store was about 1h ahead until")
    );
}
