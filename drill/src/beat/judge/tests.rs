//! Invented stories: the judge must find what is wrong with each.

use lovage_core::EntryName;
use lovage_core::schedule::Skip;

use super::*;

const FIRST: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SLOTS: u32 = 60;

fn at(seconds: f64) -> Timestamp {
    FIRST.plus(Duration::from_secs_f64(seconds))
}

fn name(entry: u8) -> String {
    format!("e{entry}")
}

fn id(entry: u8, slot: u32) -> TaskId {
    TaskId::from_bytes([entry, u8::try_from(slot).unwrap(), 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])
}

fn seen(entry: u8, slot: u32, late: f64) -> Seen {
    let due = f64::from(slot);
    Seen {
        slot: Some((name(entry), at(due))),
        id: id(entry, slot),
        delivery: 1,
        published_at: at(due + late),
    }
}

fn fired(entry: u8, slot: u32) -> Firing {
    let name = EntryName::new(name(entry)).unwrap();
    Firing::fired(name, at(f64::from(slot)), at(f64::from(slot)), id(entry, slot))
}

fn away(server: Server, from: f64) -> Fault {
    Fault::Away { server, at: at(from), back: at(from + 2.5) }
}

/// Two entries, sixty slots, each fault once.
fn good() -> Story {
    let slots = || (1..=2).flat_map(|entry| (0..SLOTS).map(move |slot| (entry, slot)));
    Story {
        entries: vec![name(1), name(2)],
        first: FIRST,
        every: Duration::from_secs(1),
        slots: SLOTS,
        seen: slots().map(|(entry, slot)| seen(entry, slot, 0.01)).collect(),
        history: slots().map(|(entry, slot)| fired(entry, slot)).collect(),
        counts: vec![(name(1), 60), (name(2), 60)],
        left: 0,
        rounds: vec![("b1".to_owned(), Rounds { won: 120, lost: 3, under_way: false })],
        faults: vec![
            Fault::Killed { under_way: true },
            Fault::Frozen { at: at(4.2), until: at(9.3), under_way: true },
            away(Server::Store, 20.2),
            away(Server::Broker, 40.2),
        ],
        plan: Planned {
            kills: 1,
            under_way: 2,
            freezes: (1, Duration::from_secs(5)),
            away: Duration::from_secs(2),
        },
    }
}

fn broken(story: &Story) -> Vec<String> {
    judge(story).into_iter().filter(|line| !line.kept).map(|line| line.what).collect()
}

fn finds(part: &str, spoil: impl FnOnce(&mut Story)) {
    let mut story = good();
    spoil(&mut story);
    let found = broken(&story);
    assert!(found.iter().any(|what| what.contains(part)), "{part}: {found:?}");
}

#[test]
fn a_good_story_is_good() {
    assert_eq!(broken(&good()), [""; 0]);
}

#[test]
fn a_second_delivery_is_no_second_publish() {
    let mut story = good();
    story.seen.push(Seen { delivery: 2, ..seen(1, 7, 0.01) });
    assert_eq!(broken(&story), [""; 0]);
    assert!(judge(&story).iter().any(|line| line.found == "121 (1 of them again)"));
}

#[test]
fn a_duplicate_is_found() {
    // The same id, published again when the first was settled.
    finds("(duplicates)", |story| story.seen.push(seen(1, 7, 0.3)));
    // Another id.
    finds("(duplicates)", |story| story.seen.push(Seen { id: id(1, 8), ..seen(1, 7, 0.01) }));
    // One too many and one too few are as many as there should be.
    finds("(duplicates)", |story| story.seen[0] = seen(2, 7, 0.3));
}

#[test]
fn a_missed_slot_is_found() {
    finds("(missed)", |story| drop(story.seen.pop()));
    finds("(missed)", |story| story.slots += 1);
    finds("publishes, by id", |story| drop(story.seen.pop()));
    finds("left in the queue", |story| story.left = 1);
}

#[test]
fn an_invented_slot_is_found() {
    finds("(invented)", |story| story.seen.push(seen(3, 7, 0.01)));
    finds("(invented)", |story| story.seen.push(seen(1, SLOTS, 0.01)));
    finds("(invented)", |story| story.seen.push(Seen { slot: None, ..seen(1, 7, 0.01) }));
    finds("(invented)", |story| {
        story.seen.push(Seen { slot: Some((name(1), at(7.5))), ..seen(1, 7, 0.9) });
    });
    finds("before their time", |story| story.seen[5].published_at = at(4.999));
}

#[test]
fn a_history_that_disagrees_is_found() {
    finds("knows nothing", |story| drop(story.history.pop()));
    finds("too many", |story| story.history.push(fired(1, 7)));
    finds("too many", |story| story.history.push(fired(3, 7)));
    finds("never came out", |story| story.history[7].fate = Fate::Fired(id(9, 9)));
    finds("passed over", |story| {
        let slots = (at(3.0), at(4.0));
        let name = EntryName::new("e1").unwrap();
        story.history.push(Firing::skipped(name, slots, at(9.0), Skip::Misfire));
    });
    finds("count of runs", |story| story.counts[0].1 = 61);
    finds("count of runs", |story| drop(story.counts.pop()));
}

#[test]
fn a_fault_that_did_not_happen_is_found() {
    for fault in 0..4 {
        let mut story = good();
        story.faults.remove(fault);
        assert_ne!(broken(&story), [""; 0], "{fault}");
    }
    finds("middle of a round", |story| story.faults[0] = Fault::Killed { under_way: false });
    finds("SIGSTOP", |story| {
        story.faults[1] = Fault::Frozen { at: at(4.2), until: at(9.1), under_way: true };
    });
    finds("broker was away", |story| story.faults[3] = away(Server::Store, 40.2));
    finds("b1 advanced", |story| story.rounds[0].1.won = 0);
}

#[test]
fn what_is_late_is_found() {
    // While another beat is frozen.
    finds("was frozen", |story| story.seen[6] = seen(1, 6, 5.1));
    // 15 s after the store was back.
    finds("schedule's outage", |story| story.seen[22] = seen(1, 22, 16.0));
    let mut story = good();
    story.seen[22] = seen(1, 22, 14.0);
    assert_eq!(broken(&story), [""; 0]);
}
