//! Three beats that are killed, frozen and cut off between any two steps, while clocks step and people edit.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_core::Timestamp;
use lovage_core::schedule::{AuditRange, Entry, Fate, Misfire, Outcome, Overlap, audit};
use lovage_scheduler::task_id;
use lovage_testkit::{Fault, Operation};
use proptest::prelude::*;

use crate::bed::{Beat, Bed, each};

const BEATS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A beat goes on until its next await point.
    Turn(usize),
    /// It goes on until it rests.
    Settle(usize),
    /// It is killed, and another takes its place.
    Kill(usize),
    /// Its publishes wait on the wire, or do not any more.
    Hold(usize),
    Release(usize),
    Broker(usize, bool),
    Store(usize, bool),
    LosePublishAnswer(usize),
    LoseAdvanceAnswer(usize),
    Pass(u64),
    /// Somebody sets the clock.
    Jump(i64),
    Consume,
    Describe,
    Enable(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..BEATS).prop_map(Step::Turn),
        8 => (0..BEATS).prop_map(Step::Settle),
        3 => (0..BEATS).prop_map(Step::Kill),
        3 => (0..BEATS).prop_map(Step::Hold),
        3 => (0..BEATS).prop_map(Step::Release),
        2 => (0..BEATS, any::<bool>()).prop_map(|(beat, down)| Step::Broker(beat, down)),
        2 => (0..BEATS, any::<bool>()).prop_map(|(beat, down)| Step::Store(beat, down)),
        2 => (0..BEATS).prop_map(Step::LosePublishAnswer),
        2 => (0..BEATS).prop_map(Step::LoseAdvanceAnswer),
        15 => (1_u64..1_500).prop_map(Step::Pass),
        1 => (8_000_u64..40_000).prop_map(Step::Pass),
        1 => (-100_i64..300).prop_map(Step::Jump),
        4 => Just(Step::Consume),
        1 => Just(Step::Describe),
        1 => any::<bool>().prop_map(Step::Enable),
    ]
}

struct Chaos {
    bed: Bed,
    beats: Vec<Beat>,
    latest: Timestamp,
}

impl Chaos {
    fn new(entries: &[Entry]) -> Self {
        let bed = Bed::new(1);
        entries.iter().for_each(|entry| drop(bed.add(entry)));
        Self { beats: (0..BEATS).map(|_| bed.beat()).collect(), latest: bed.start, bed }
    }

    fn step(&mut self, step: Step) {
        let bed = &self.bed;
        match step {
            Step::Turn(beat) => {
                self.beats[beat].poll();
            }
            Step::Settle(beat) => self.beats[beat].settle(),
            Step::Kill(beat) => self.beats[beat] = bed.beat(),
            Step::Hold(beat) => self.beats[beat].broker.hold(Operation::Publish),
            Step::Release(beat) => self.beats[beat].broker.release(Operation::Publish),
            Step::Broker(beat, true) => self.beats[beat].broker.go_down(),
            Step::Broker(beat, false) => self.beats[beat].broker.come_back(),
            Step::Store(beat, down) => self.beats[beat].store.set_down(down),
            Step::LosePublishAnswer(beat) => {
                self.beats[beat].broker.fail_next(Operation::Publish, Fault::LostAnswer);
            }
            Step::LoseAdvanceAnswer(beat) => self.beats[beat].store.lose_answer(),
            Step::Pass(millis) => bed.clock.advance(Duration::from_millis(millis)),
            Step::Jump(seconds) => {
                let now = bed.clock.now().as_micros() + seconds * 1_000_000;
                bed.clock.jump(Timestamp::from_micros(now));
                self.bed.was_set_back |= seconds < 0;
            }
            Step::Consume => self.bed.consume(),
            Step::Describe => ["all", "once", "skip", "overlap", "jitter", "one off"]
                .iter()
                .for_each(|name| bed.edit(name, |entry| entry.description.push('.'))),
            Step::Enable(enabled) => bed.enable("all", enabled),
        }
        self.latest = self.latest.max(self.bed.clock.now());
    }

    /// What is left is done by one beat to which nothing happens. Answers the time until which all was to be done.
    fn end(&mut self) -> Timestamp {
        self.beats.clear();
        self.bed.enable("all", true);
        let mut beat = self.bed.beat();
        // Until no clock has been later, and what has a jitter has fired.
        while self.bed.clock.now() < self.latest.plus(Duration::from_secs(30)) {
            self.bed.clock.advance(Duration::from_millis(500));
            beat.settle();
            self.bed.consume();
        }
        for _ in 0..400 {
            self.bed.clock.advance(Duration::from_millis(25));
            beat.settle();
            self.bed.consume();
        }
        self.bed.clock.now()
    }
}

fn entries() -> Vec<Entry> {
    let once = Entry { misfire: Misfire::Once, ..each("once", 3) };
    vec![
        each("all", 2),
        once.clone(),
        Entry { misfire: Misfire::Skip, ..each("skip", 3) },
        Entry { misfire: Misfire::All(5), overlap: Overlap::Skip, ..each("overlap", 2) },
        Entry { jitter: Duration::from_secs(4), ..each("jitter", 3) },
        Entry { misfire: Misfire::Skip, one_off: true, ..each("one off", 7) },
    ]
}

/// Every slot up to `until` ran once, and the history tells of each.
fn all_ran(chaos: &mut Chaos, name: &str, until: Timestamp) {
    let bed = &mut chaos.bed;
    let entry = bed.read(name).entry;
    let wanted: Vec<i64> = entry
        .slots_between(bed.start, until)
        .take_while(|slot| entry.fires_at(*slot) <= until)
        .map(|slot| bed.seconds(slot))
        .collect();
    // A clock that is set back before the start makes earlier slots due.
    let ran: Vec<i64> = bed.ran(name).into_iter().filter(|slot| *slot > 0).collect();
    assert_eq!(ran, wanted, "{name}");
    assert!(bed.history(name).iter().all(|firing| matches!(firing.fate, Fate::Fired(_))));
    assert_eq!(bed.read(name).total_run_count, i64::try_from(bed.history(name).len()).unwrap());
}

/// No slot ran twice, and of each the history tells what became of it, which is true.
fn all_told(chaos: &mut Chaos, name: &str, until: Timestamp) {
    let bed = &mut chaos.bed;
    let ran = bed.ran(name);
    let stored = bed.read(name);
    let history = bed.history(name);
    let mut fired = BTreeMap::new();
    for firing in &history {
        if let Fate::Fired(task) = firing.fate {
            assert_eq!(task, task_id(bed.store_id(), &firing.name, firing.slot));
            fired.insert(bed.seconds(firing.slot), task);
        }
    }
    for slot in fired.keys() {
        assert!(ran.contains(slot), "{name}: {slot} is told to have fired and did not");
    }
    let range = AuditRange { from: bed.start, until: until.minus(Duration::from_secs(1)), now: until };
    let lines = audit(&stored, &history, range).lines;
    let untold = |line: &&lovage_core::schedule::Audited| {
        matches!(line.outcome, Outcome::Untold | Outcome::Due | Outcome::Disabled) && line.slot > bed.start
    };
    assert_eq!(
        lines.iter().filter(untold).collect::<Vec<_>>(),
        Vec::<&lovage_core::schedule::Audited>::new()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_slot_fires_once_whatever_happens_to_beats(steps in prop::collection::vec(step(), 1..300)) {
        let mut chaos = Chaos::new(&entries());
        for step in steps {
            chaos.step(step);
        }
        let until = chaos.end();
        for name in ["all", "jitter"] {
            all_ran(&mut chaos, name, until);
        }
        for name in ["once", "skip", "overlap"] {
            all_told(&mut chaos, name, until);
        }
        let ran = chaos.bed.ran("one off").len();
        // Between its publish and its write another beat may have moved the entry back.
        prop_assert!(ran == 1 || ran > 1 && chaos.bed.was_set_back);
        let once = chaos.bed.read("one off");
        prop_assert!(!once.entry.enabled);
        // Two beats may tell of it for two slots, but of one task.
        let history = chaos.bed.history("one off");
        let mut tasks: Vec<_> = history.iter().filter_map(|firing| firing.fate.task()).collect();
        tasks.dedup();
        prop_assert!(tasks.len() == 1 || chaos.bed.was_set_back);
    }
}
