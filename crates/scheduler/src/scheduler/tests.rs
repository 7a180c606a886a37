//! Beats that die anywhere, on the memory broker and store, with a clock that stands still until it is moved.

use std::collections::BTreeMap;

use lovage_broker_memory::{MemorySchedules, MemoryStore};
use lovage_core::schedule::{Entry, Expected, Misfire, Overlap, Schedule};
use lovage_core::{Entropy, EntryName, Envelope, Page, Place, TaskName};
use lovage_testkit::{FakeClock, FaultyBroker, Operation, SeededEntropy};

use super::*;

struct Bed {
    clock: FakeClock,
    schedules: MemorySchedules,
    queues: MemoryStore,
}

impl Bed {
    fn new() -> Self {
        let clock = FakeClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        Self { schedules: MemorySchedules::new(shared.clone()), queues: MemoryStore::new(shared), clock }
    }

    fn beat(&self, broker: Arc<dyn Broker>) -> Scheduler {
        Scheduler::new(Arc::new(self.schedules.handle()), broker, Arc::new(self.clock.clone()))
    }

    async fn add(&self, entry: &Entry) {
        self.schedules.put(entry, Expected::New, None).await.unwrap();
    }

    /// How often each slot of each entry was published.
    async fn published(&self) -> BTreeMap<(String, Timestamp), usize> {
        let page = Page { after: None, limit: 1_000 };
        let queue = QueueName::default();
        let found = self.queues.handle().peek(&queue, Place::Ready, page).await.unwrap();
        let mut slots = BTreeMap::new();
        for message in found.items {
            let slot = Envelope::decode(&message.body).unwrap().schedule.unwrap();
            *slots.entry((slot.name, slot.slot)).or_default() += 1;
        }
        slots
    }
}

fn every(name: &str, seconds: u64) -> Entry {
    let schedule = Schedule::every(Duration::from_secs(seconds)).unwrap();
    let entry = Entry::new(EntryName::new(name).unwrap(), TaskName::new("t").unwrap(), schedule);
    Entry { misfire: Misfire::All(600), ..entry }
}

#[tokio::test(flavor = "current_thread")]
async fn beats_that_die_between_any_two_steps_fire_each_slot_once() {
    for seed in 0..50 {
        let (bed, random) = (Bed::new(), SeededEntropy::new(seed));
        let start = bed.clock.now();
        for (name, seconds) in [("a", 1), ("b", 2), ("c", 7)] {
            bed.add(&every(name, seconds)).await;
        }
        let beats: Vec<_> = (0..3).map(|_| bed.beat(bed.queues.handle())).collect();
        // What each beat has looked up and not yet published: it may sleep on it for long.
        let mut looked: Vec<Option<Due>> = vec![None; beats.len()];
        for _ in 0..200 {
            bed.clock.advance(Duration::from_millis(random.next_u64() % 900));
            let which = (random.next_u64() % 3) as usize;
            let beat = &beats[which];
            match looked[which].take() {
                None => looked[which] = Some(beat.store.due(Duration::ZERO, ENTRIES, None).await.unwrap()),
                // Killed before the publish.
                Some(_) if random.next_u64() % 4 == 0 => {}
                Some(due) => {
                    let now = due.now;
                    let (advances, failed) = beat.publish(plans(due), now).await;
                    assert!(failed.is_none());
                    // Or killed before the advance.
                    if random.next_u64() % 4 != 0 && !advances.is_empty() {
                        beat.store.advance(&advances).await.unwrap();
                    }
                }
            }
        }
        beats[0].round().await.unwrap();
        let until = bed.clock.now();
        let wanted: BTreeMap<_, _> = [("a", 1), ("b", 2), ("c", 7)]
            .into_iter()
            .flat_map(|(name, seconds)| {
                let slots: Vec<_> = every(name, seconds).slots_between(start, until).collect();
                slots.into_iter().map(move |slot| ((name.to_owned(), slot), 1))
            })
            .collect();
        assert_eq!(bed.published().await, wanted, "seed {seed}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_thousand_firings_go_out_in_one_publish() {
    let bed = Bed::new();
    for number in 0..1_000 {
        bed.add(&every(&format!("e{number}"), 1)).await;
    }
    let broker = FaultyBroker::new(bed.queues.handle());
    bed.clock.advance(Duration::from_secs(1));
    bed.beat(broker.clone()).round().await.unwrap();
    assert_eq!((bed.published().await.len(), broker.calls(Operation::Publish)), (1_000, 1));
}

#[tokio::test(flavor = "current_thread")]
async fn a_slot_is_passed_over_while_the_one_before_still_waits() {
    let bed = Bed::new();
    bed.add(&Entry { overlap: Overlap::Skip, ..every("e", 10) }).await;
    let beat = bed.beat(bed.queues.handle());
    for _ in 0..3 {
        bed.clock.advance(Duration::from_secs(10));
        beat.round().await.unwrap();
    }
    assert_eq!(bed.published().await.len(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn while_the_broker_is_away_nothing_is_lost_and_the_beat_stops_when_told() {
    let bed = Bed::new();
    bed.add(&every("e", 10)).await;
    let broker = FaultyBroker::new(bed.queues.handle());
    broker.go_down();
    let (clock, switch) = (bed.clock.clone(), Arc::clone(&broker));
    let stop = async move {
        clock.sleep(Duration::from_secs(35)).await;
        switch.come_back();
        clock.sleep(Duration::from_secs(10)).await;
    };
    bed.clock.drive(bed.beat(broker).run_until(stop)).await;
    assert_eq!(bed.published().await.len(), 4);
}
