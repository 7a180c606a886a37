//! The loop: how often it asks, what it does in trouble, and how it ends.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lovage_core::schedule::{Entry, Misfire};
use lovage_core::{BackendErrorKind, Clock as _, Timestamp};
use lovage_scheduler::Watch;
use lovage_testkit::{FakeClock, Fault, Operation};

use crate::bed::{Beat, Bed, each};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is logged while `act` runs.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(log, act);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_thousand_firings_go_out_in_one_publish_and_one_write() {
    let mut bed = Bed::new(1);
    for number in 0..1_000 {
        bed.add(&each(&format!("e{number}"), 10));
    }
    let mut beat = bed.beat();
    bed.pass(s(10), &mut [&mut beat]);
    bed.consume();
    assert_eq!((bed.ran.len(), beat.broker.calls(Operation::Publish)), (1_000, 1));
    assert_eq!(beat.store.calls("advance"), 1);
}

/// Hears when the next slot is due.
#[derive(Debug, Default)]
struct Heard(Mutex<Option<Timestamp>>);

impl Watch for Heard {
    fn next_slot(&self, due: Option<Timestamp>) {
        *self.0.lock().unwrap() = due;
    }
}

#[test]
fn a_slot_that_cannot_be_sent_is_told_as_the_next_one_until_it_is() {
    let bed = Bed::new(1);
    bed.add(&each("e", 10));
    let heard = Arc::new(Heard::default());
    let watch = Arc::clone(&heard);
    let mut beat = bed.beat_with(|scheduler| scheduler.watch(watch));
    let next = || *heard.0.lock().unwrap();
    let first = bed.start.plus(s(10));
    bed.pass(s(1), &mut [&mut beat]);
    assert_eq!(next(), Some(first));
    beat.broker.go_down();
    bed.pass(s(40), &mut [&mut beat]);
    assert_eq!(next(), Some(first));
    beat.broker.come_back();
    bed.pass(s(7), &mut [&mut beat]);
    assert!(next().is_none_or(|at| at > bed.clock.now()), "{:?}", next());
}

#[test]
fn more_than_one_look_can_tell_fires_at_once_all_the_same() {
    let mut bed = Bed::new(1);
    for number in 0..5_000 {
        bed.add(&Entry { misfire: Misfire::All(2), ..each(&format!("e{number}"), 10) });
    }
    bed.clock.advance(s(21));
    let mut beat = bed.beat();
    bed.pass(Duration::from_millis(500), &mut [&mut beat]);
    bed.consume();
    assert_eq!(bed.ran.len(), 10_000);
}

#[test]
fn a_long_catch_up_takes_no_time() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 1));
    bed.clock.advance(s(950));
    let mut beat = bed.beat();
    bed.pass(Duration::from_millis(200), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), (1..=950).collect::<Vec<_>>());
}

#[test]
fn an_idle_beat_looks_once_in_the_longest_interval() {
    let bed = Bed::new(1);
    bed.add(&each("e", 86_400 * 365));
    for (set, looks) in [(s(10), 10), (s(5), 20)] {
        let mut beat = bed.beat_with(|scheduler| scheduler.max_interval(set));
        beat.settle();
        let before = beat.store.calls("due");
        bed.pass(s(100), &mut [&mut beat]);
        assert_eq!(beat.store.calls("due") - before, looks);
        assert_eq!(beat.store.calls("advance"), 0);
    }
}

#[test]
fn a_change_is_seen_at_once() {
    let mut bed = Bed::new(1);
    let mut beat = bed.beat();
    bed.pass(s(3), &mut [&mut beat]);
    bed.add(&each("e", 1));
    bed.pass(s(1), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [4]);
    bed.pass(Duration::from_millis(900), &mut [&mut beat]);
    bed.enable("e", false);
    bed.pass(s(3), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [4]);
    bed.enable("e", true);
    bed.pass(s(1), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [4, 5, 6, 7, 8]);
}

/// Nor does it take what it was told before it was stopped.
#[test]
fn a_beat_that_was_frozen_does_not_fire_what_was_disabled_meanwhile() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    bed.add(&each("other", 1));
    let mut beat = bed.beat();
    beat.store.lose_hints();
    bed.pass(Duration::from_millis(9_900), &mut [&mut beat]);
    bed.enable("e", false);
    bed.clock.advance(s(2));
    beat.settle();
    bed.pass(s(2), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [0; 0]);
    assert_eq!(bed.ran("other").last(), Some(&13));
}

#[test]
fn a_look_that_was_frozen_on_the_wire_is_not_believed() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    beat.store.lose_hints();
    bed.pass(Duration::from_millis(9_600), &mut [&mut beat]);
    beat.store.hold_answers(true);
    bed.pass(Duration::from_millis(200), &mut [&mut beat]);
    bed.enable("e", false);
    bed.clock.advance(s(2));
    beat.store.hold_answers(false);
    bed.pass(s(3), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [0; 0]);
}

#[test]
fn a_publish_that_was_frozen_on_the_wire_fires_nothing_twice() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let (mut frozen, mut other) = (bed.beat(), bed.beat());
    bed.pass(s(9), &mut [&mut frozen, &mut other]);
    frozen.broker.hold(Operation::Publish);
    bed.pass(s(30), &mut [&mut frozen]);
    bed.pass(s(2), &mut [&mut other]);
    bed.consume();
    frozen.broker.release(Operation::Publish);
    bed.pass(s(10), &mut [&mut frozen, &mut other]);
    assert_eq!(bed.ran("e"), [10, 20, 30, 40, 50]);
    assert_eq!(bed.told("e"), ["10 fired", "20 fired", "30 fired", "40 fired", "50 fired"]);
}

#[test]
fn two_beats_fire_once_and_both_go_on() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 1));
    let (mut one, mut two) = (bed.beat(), bed.beat());
    bed.pass(s(20), &mut [&mut one, &mut two]);
    assert_eq!(bed.ran("e"), (1..=20).collect::<Vec<_>>());
    drop(one);
    bed.pass(s(20), &mut [&mut two]);
    assert_eq!(bed.ran("e"), (1..=40).collect::<Vec<_>>());
}

#[test]
fn while_the_broker_is_away_nothing_is_lost_and_the_log_says_it_once() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 1));
    bed.add(&Entry { misfire: Misfire::Skip, ..each("skip", 1) });
    let mut beat = bed.beat();
    let log = logged(|| {
        bed.pass(s(3), &mut [&mut beat]);
        beat.broker.go_down();
        bed.pass(s(60), &mut [&mut beat]);
        beat.broker.come_back();
        bed.pass(s(10), &mut [&mut beat]);
    });
    assert_eq!(bed.ran("e"), (1..=73).collect::<Vec<_>>());
    let calls = beat.broker.calls(Operation::Publish);
    assert!(calls < 60, "{calls}");
    assert_eq!((log.matches("WARN").count(), log.matches("INFO").count()), (1, 1), "{log}");
    assert!(log.contains("the broker is tried again: ") && log.contains("recovered after 1m1s: "), "{log}");
}

#[test]
fn while_the_store_is_away_nothing_is_lost_and_the_log_says_it_once() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 1));
    let mut beat = bed.beat();
    let log = logged(|| {
        bed.pass(s(3), &mut [&mut beat]);
        beat.store.set_down(true);
        bed.pass(s(60), &mut [&mut beat]);
        beat.store.set_down(false);
        bed.pass(s(10), &mut [&mut beat]);
    });
    assert_eq!(bed.ran("e"), (1..=73).collect::<Vec<_>>());
    assert!(beat.store.calls("due") + beat.store.calls("advance") < 130);
    assert_eq!((log.matches("WARN").count(), log.matches("INFO").count()), (1, 1), "{log}");
}

#[test]
fn what_an_entry_is_refused_for_is_said_once() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    let log = logged(|| {
        for _ in 0..4 {
            let refused = Fault::Error(BackendErrorKind::Refused);
            beat.broker.fail_next(Operation::Publish, refused);
        }
        bed.pass(s(27), &mut [&mut beat]);
        assert_eq!(bed.told("e"), [""; 0]);
        bed.pass(s(10), &mut [&mut beat]);
    });
    assert_eq!((log.matches("ERROR").count(), log.matches("WARN").count()), (1, 0), "{log}");
    assert!(log.contains("schedule=\"e\"") && log.contains("the test asked for"), "{log}");
    assert_eq!(bed.ran("e"), [10, 20, 30]);
}

#[test]
fn a_store_that_is_away_at_the_start_is_waited_for() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    beat.store.set_down(true);
    bed.pass(s(15), &mut [&mut beat]);
    beat.store.set_down(false);
    bed.pass(s(6), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [10, 20]);
}

#[test]
fn a_clock_that_is_set_loses_no_slot_and_fires_none_twice() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    bed.pass(s(15), &mut [&mut beat]);
    bed.clock.jump(bed.at(115));
    bed.pass(s(20), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), (10..=130).step_by(10).collect::<Vec<_>>());
    bed.clock.jump(bed.at(50));
    bed.pass(s(100), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), (10..=150).step_by(10).collect::<Vec<_>>());
}

/// Somebody disables the entry while its slot is on the wire. So the write loses, and what this beat knew is worth nothing.
#[test]
fn what_lost_its_write_is_not_fired_again_from_memory() {
    let mut bed = Bed::new(1);
    let often = lovage_core::schedule::every(Duration::from_millis(100));
    bed.add(&often.misfire(Misfire::All(10_000)).entry("e", "t").unwrap());
    let mut beat = bed.beat();
    beat.store.lose_hints();
    bed.pass(Duration::from_millis(1_975), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(25), &mut [&mut beat]);
    bed.enable("e", false);
    beat.broker.release(Operation::Publish);
    bed.pass(s(2), &mut [&mut beat]);
    bed.consume();
    assert_eq!(bed.ran.len(), 20);
}

/// Nobody tells of the edit, and the longest time between two looks is far away.
#[test]
fn what_lost_its_write_is_looked_up_at_once() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 2));
    let mut beat = bed.beat();
    beat.store.lose_hints();
    bed.pass(Duration::from_millis(1_975), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(25), &mut [&mut beat]);
    bed.edit("e", |entry| entry.description.push('.'));
    beat.broker.release(Operation::Publish);
    bed.pass(s(3), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [2, 4]);
}

#[test]
fn a_write_that_failed_is_tried_again() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat();
    bed.pass(Duration::from_millis(9_975), &mut [&mut beat]);
    beat.store.set_down(true);
    bed.pass(Duration::from_millis(25), &mut [&mut beat]);
    assert_eq!((bed.ran("e"), bed.told("e")), (vec![10], vec![]));
    beat.store.set_down(false);
    bed.pass(s(1), &mut [&mut beat]);
    assert_eq!((bed.told("e"), bed.read("e").done_until), (vec!["10 fired".to_owned()], bed.at(10)));
    // Written as it was, so the broker is not asked a second time.
    assert_eq!(beat.broker.calls(Operation::Publish), 1);
    bed.pass(s(20), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [10, 20, 30]);
}

#[test]
fn a_write_that_failed_is_tried_again_at_the_end() {
    let bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat_until(|scheduler| scheduler, stop_at(&bed.clock, s(11)));
    bed.pass(Duration::from_millis(9_975), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    beat.store.set_down(true);
    bed.pass(Duration::from_millis(25), &mut [&mut beat]);
    bed.clock.advance(s(1));
    assert!(!ends(&mut beat));
    beat.broker.release(Operation::Publish);
    assert!(!ends(&mut beat));
    beat.store.set_down(false);
    bed.clock.advance(s(1));
    assert!(ends(&mut beat));
    assert_eq!(bed.told("e"), ["10 fired"]);
}

/// A beat learns that a later slot than its own was published, while a look is on its way that knows less. Believing that
/// look, it would tell of a slot as fired that was passed over.
#[test]
fn a_look_that_began_before_a_doubt_does_not_end_it() {
    let mut bed = Bed::new(1);
    bed.add(&Entry { misfire: Misfire::Skip, ..each("e", 1) });
    let mut late = bed.beat();
    bed.pass(Duration::from_millis(5_975), &mut [&mut late]);
    late.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(150), &mut [&mut late]);
    late.store.hold_answers(true);
    bed.add(&each("other", 86_400 * 365));
    let looks = late.store.calls("due");
    bed.pass(Duration::from_millis(275), &mut [&mut late]);
    assert_eq!(late.store.calls("due"), looks + 1);
    bed.enable("e", false);
    bed.enable("e", true);
    let mut other = bed.beat();
    bed.pass(Duration::from_millis(650), &mut [&mut other]);
    late.broker.release(Operation::Publish);
    late.settle();
    late.store.hold_answers(false);
    bed.pass(s(1), &mut [&mut other, &mut late]);
    assert_eq!(bed.ran("e"), [1, 2, 3, 4, 5, 7, 8]);
    assert_eq!(bed.told("e")[5..], ["6 disabled", "7 fired", "8 fired"]);
}

/// What the end of a beat waits for.
fn stop_at(clock: &FakeClock, time: Duration) -> impl Future<Output = ()> + Send + 'static {
    clock.sleep(time)
}

fn ends(beat: &mut Beat) -> bool {
    (0..40).any(|_| beat.poll())
}

#[test]
fn what_was_published_is_written_before_the_end() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat_until(|scheduler| scheduler, stop_at(&bed.clock, s(11)));
    bed.pass(Duration::from_millis(9_975), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(25), &mut [&mut beat]);
    bed.clock.advance(s(1));
    assert!(!ends(&mut beat));
    beat.broker.release(Operation::Publish);
    assert!(ends(&mut beat));
    assert_eq!((bed.ran("e"), bed.told("e")), (vec![10], vec!["10 fired".to_owned()]));
}

#[test]
fn the_end_waits_five_seconds_for_what_does_not_end() {
    let bed = Bed::new(1);
    bed.add(&each("e", 10));
    let mut beat = bed.beat_until(|scheduler| scheduler, stop_at(&bed.clock, s(12)));
    bed.pass(s(9), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(7_975), &mut [&mut beat]);
    assert!(!ends(&mut beat));
    bed.clock.advance(Duration::from_millis(25));
    assert!(ends(&mut beat));
}

#[test]
fn old_history_is_forgotten_now_and_then() {
    let bed = Bed::new(1);
    bed.add(&each("e", 1));
    let mut beat = bed.beat_with(|scheduler| scheduler.keep_history(s(60)));
    bed.pass(s(185), &mut [&mut beat]);
    let oldest = bed.seconds(bed.history("e")[0].slot);
    assert!((60..=121).contains(&oldest), "{oldest}");
    assert!(beat.store.calls("forget") <= 5);
}

/// A publish to one queue takes eight seconds. Entries of another queue go out meanwhile, and those behind it in its own queue
/// were not missed.
#[test]
fn busy_queue_delays_no_other_and_loses_no_slot() {
    let mut bed = Bed::new(1);
    let start = bed.start;
    let in_queue = |name: &str, seconds, queue: &str| Entry {
        start_time: Some(start.plus(s(seconds))),
        queue: lovage_core::QueueName::new(queue).unwrap(),
        misfire: Misfire::Skip,
        ..each(name, 3_600)
    };
    bed.add(&in_queue("bulk", 10, "default"));
    bed.add(&in_queue("behind", 11, "default"));
    bed.add(&in_queue("other", 12, "mail"));
    let mut beat = bed.beat();
    bed.pass(Duration::from_millis(9_900), &mut [&mut beat]);
    beat.broker.hold(Operation::Publish);
    bed.pass(Duration::from_millis(2_200), &mut [&mut beat]);
    assert_eq!(beat.broker.calls(Operation::Publish), 2);
    bed.pass(s(6), &mut [&mut beat]);
    beat.broker.release(Operation::Publish);
    bed.pass(Duration::from_millis(1_000), &mut [&mut beat]);
    assert_eq!((bed.ran("bulk"), bed.ran("behind")), (vec![10], vec![11]));
    assert_eq!(bed.told("behind"), ["11 fired"]);
    assert_eq!(bed.told("other"), ["12 fired"]);
}
