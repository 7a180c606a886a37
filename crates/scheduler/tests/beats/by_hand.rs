//! Running an entry by hand.

use std::time::Duration;

use lovage_core::BackendErrorKind;
use lovage_core::schedule::{Entry, Overlap};
use lovage_scheduler::{ByHand, run_by_hand};
use lovage_testkit::{FaultyBroker, SeededEntropy};

use crate::bed::{Bed, each, now};
use crate::gate::Gate;

fn run(bed: &Bed, name: &str, seed: u64) -> Result<ByHand, lovage_core::BackendError> {
    now(run_by_hand(&bed.schedules, &*bed.queues.handle(), &SeededEntropy::new(seed), name))
}

#[test]
fn it_runs_at_once_and_moves_nothing() {
    let mut bed = Bed::new(1);
    let before = bed.add(&Entry { one_off: true, ..each("e", 10) });
    bed.clock.advance(Duration::from_secs(3));
    let Ok(ByHand::Published(task)) = run(&bed, "e", 1) else { panic!("it was published") };
    let after = bed.read("e");
    assert_eq!((after.done_until, after.next_run_at), (before.done_until, before.next_run_at));
    assert_eq!((after.entry.enabled, after.total_run_count, after.last_task_id), (true, 1, Some(task)));
    assert_eq!((bed.told("e"), bed.ran("e")), (vec!["3 manual".to_owned()], vec![3]));
    let mut beat = bed.beat();
    bed.pass(Duration::from_secs(8), &mut [&mut beat]);
    assert_eq!(bed.ran("e"), [3, 10]);
}

#[test]
fn it_runs_what_is_disabled_and_twice_when_asked_twice() {
    let mut bed = Bed::new(1);
    bed.add(&Entry { enabled: false, ..each("e", 10) });
    run(&bed, "e", 1).unwrap();
    bed.clock.advance(Duration::from_secs(1));
    run(&bed, "e", 2).unwrap();
    assert_eq!(bed.ran("e"), [0, 1]);
    assert!(!bed.read("e").entry.enabled);
}

#[test]
fn it_does_not_overlap_where_nothing_may() {
    let bed = Bed::new(1);
    bed.add(&Entry { overlap: Overlap::Skip, ..each("e", 10) });
    let Ok(ByHand::Published(first)) = run(&bed, "e", 1) else { panic!("it was published") };
    assert_eq!(run(&bed, "e", 2).unwrap(), ByHand::Overlap(first));
    assert_eq!(bed.told("e"), ["0 manual"]);
}

#[test]
fn what_is_not_there_or_cannot_be_read_is_said() {
    let bed = Bed::new(1);
    assert_eq!(run(&bed, "e", 1).unwrap(), ByHand::Unknown);
    bed.add(&each("bad", 10));
    bed.schedules.spoil("bad", "zone `Mars` is not valid");
    let error = run(&bed, "bad", 1).unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Refused);
    assert!(error.to_string().contains("zone `Mars`"), "{error}");
}

#[test]
fn it_says_when_the_broker_is_away_and_writes_nothing() {
    let bed = Bed::new(1);
    bed.add(&each("e", 10));
    let broker = FaultyBroker::new(bed.queues.handle());
    broker.go_down();
    let ran = now(run_by_hand(&bed.schedules, &*broker, &SeededEntropy::new(1), "e"));
    assert_eq!(ran.unwrap_err().kind(), BackendErrorKind::Unavailable);
    assert_eq!(bed.told("e"), [""; 0]);
}

#[test]
fn what_was_published_is_answered_though_it_could_not_be_written() {
    let mut bed = Bed::new(1);
    bed.add(&each("e", 10));
    let store = Gate::new(bed.schedules.handle());
    store.lose_answer();
    let broker = bed.queues.handle();
    let entropy = SeededEntropy::new(1);
    let mut run = Box::pin(run_by_hand(&*store, &*broker, &entropy, "e"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let ran = (0..20).find_map(|_| match run.as_mut().poll(&mut context) {
        std::task::Poll::Ready(ran) => Some(ran),
        std::task::Poll::Pending => None,
    });
    assert!(matches!(ran, Some(Ok(ByHand::Published(_)))), "{ran:?}");
    drop(run);
    assert_eq!(bed.ran("e"), [0]);
}
