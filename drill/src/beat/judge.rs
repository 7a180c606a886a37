//! The judge of beats: from the slots that there were by arithmetic, the messages that came out of the queue and what the
//! store wrote down, to what became of each slot. Pure, so that it can be tried on invented stories.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use lovage_core::schedule::{Fate, Firing};
use lovage_core::{TaskId, Timestamp};

use crate::beat::consumer::Seen;
use crate::beat::rounds::Rounds;
use crate::judge::{Line, seconds};

#[cfg(test)]
mod tests;

/// While one beat is frozen the others fire each slot within this time: a slot that is later counts as missed.
pub const ON_TIME: Duration = Duration::from_secs(5);
/// What was due while a server was away is caught up with this long after it answers.
pub const CAUGHT_UP: Duration = Duration::from_secs(15);

/// Everything that is known when all is over.
#[derive(Clone, Debug)]
pub struct Story {
    /// The names of the entries.
    pub entries: Vec<String>,
    /// The first slot of each.
    pub first: Timestamp,
    /// From one slot to the next.
    pub every: Duration,
    /// How many slots each has.
    pub slots: u32,
    /// What came out of the queue.
    pub seen: Vec<Seen>,
    /// What the store says became of slots.
    pub history: Vec<Firing>,
    /// How often each entry ran, by the store.
    pub counts: Vec<(String, i64)>,
    /// Messages that the queue still has, dead letters included.
    pub left: u64,
    /// What each beat did.
    pub rounds: Vec<(String, Rounds)>,
    /// What was done to whom.
    pub faults: Vec<Fault>,
    /// What should have been done.
    pub plan: Planned,
}

/// The faults without which the story proves nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Beats killed.
    pub kills: usize,
    /// Of these and of the frozen ones, so many in the middle of a round.
    pub under_way: usize,
    /// Beats frozen, each for this long.
    pub freezes: (usize, Duration),
    /// How long each server is away.
    pub away: Duration,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL to a beat, which was started again at once.
    Killed {
        /// Whether it was in the middle of a round.
        under_way: bool,
    },
    /// SIGSTOP to a beat, later SIGCONT.
    Frozen {
        /// When.
        at: Timestamp,
        /// When it went on.
        until: Timestamp,
        /// Whether it was in the middle of a round.
        under_way: bool,
    },
    /// A server was killed, later started again.
    Away {
        /// Which.
        server: Server,
        /// When.
        at: Timestamp,
        /// When it answered again.
        back: Timestamp,
    },
}

/// A server of beats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// Where the schedule is kept.
    Store,
    /// Where the messages go.
    Broker,
}

type Slot = (String, Timestamp);

/// Judges everything.
#[must_use]
pub fn judge(story: &Story) -> Vec<Line> {
    let expected = expected(story);
    let published = published(story);
    let mut lines = Vec::new();
    queue(story, &expected, &published, &mut lines);
    store(story, &expected, &published, &mut lines);
    beats(story, &mut lines);
    times(story, &published, &mut lines);
    lines
}

/// The slots that there are, by arithmetic alone.
fn expected(story: &Story) -> HashSet<Slot> {
    let slots = (0..story.slots).map(|k| story.first.plus(story.every * k));
    slots.flat_map(|slot| story.entries.iter().map(move |entry| (entry.clone(), slot))).collect()
}

/// Each slot with its publishes. One publish is one id at one time of the broker, however often it was handed out.
fn published(story: &Story) -> BTreeMap<Slot, HashSet<(TaskId, Timestamp)>> {
    let mut published: BTreeMap<Slot, HashSet<_>> = BTreeMap::new();
    for seen in &story.seen {
        if let Some(slot) = &seen.slot {
            published.entry(slot.clone()).or_default().insert((seen.id, seen.published_at));
        }
    }
    published
}

/// Every slot is published exactly once, and nothing else is.
fn queue(
    story: &Story,
    expected: &HashSet<Slot>,
    published: &BTreeMap<Slot, HashSet<(TaskId, Timestamp)>>,
    lines: &mut Vec<Line>,
) {
    let sum = format!("{} entries × {} slots = {}", story.entries.len(), story.slots, expected.len());
    lines.push(Line::figure("slots by arithmetic", sum));
    let publishes: usize = published.values().map(HashSet::len).sum();
    let again = story.seen.len() - publishes.min(story.seen.len());
    let out = format!("{} ({again} of them again)", story.seen.len());
    lines.push(Line::figure("messages handed out to the consumer", out));
    let found = format!("{} for {} slots", publishes, published.len());
    let each = publishes == expected.len() && published.len() == expected.len();
    lines.push(Line::figure("publishes, by id and time", &found).promised(
        &format!("{}, one a slot", expected.len()),
        each,
        found,
    ));
    let twice = published.iter().filter(|(_, publishes)| publishes.len() > 1);
    lines.push(Line::none(
        "slots published more than once (duplicates)",
        twice.map(|(slot, publishes)| format!("{}: {publishes:?}", shown(slot))),
    ));
    let missed = expected.iter().filter(|slot| !published.contains_key(slot));
    lines.push(Line::none("slots never published (missed)", missed.map(shown)));
    let strangers = published.keys().filter(|slot| !expected.contains(*slot)).map(shown);
    let unnamed = story.seen.iter().filter(|seen| seen.slot.is_none()).map(|seen| seen.id.to_string());
    lines.push(Line::none("messages for what is no slot (invented)", strangers.chain(unnamed)));
    let early = published.iter().filter(|((_, slot), publishes)| publishes.iter().any(|(_, at)| at < slot));
    lines.push(Line::none("slots published before their time", early.map(|(slot, _)| shown(slot))));
    lines.push(Line::none("messages left in the queue", (0..story.left).map(|_| String::new())));
}

/// What the store wrote down is what came out of the queue.
fn store(
    story: &Story,
    expected: &HashSet<Slot>,
    published: &BTreeMap<Slot, HashSet<(TaskId, Timestamp)>>,
    lines: &mut Vec<Line>,
) {
    let mut fired: HashMap<Slot, Vec<TaskId>> = HashMap::new();
    let mut passed = Vec::new();
    for firing in &story.history {
        let slot = (firing.name.to_string(), firing.slot);
        match &firing.fate {
            Fate::Fired(task) => fired.entry(slot).or_default().push(*task),
            Fate::Manual(_) | Fate::Skipped(_) => {
                passed.push(format!("{} to {}: {}", shown(&slot), firing.last_slot, firing.fate.as_str()));
            }
        }
    }
    lines.push(Line::figure("rows of the history", story.history.len()));
    lines.push(Line::none("  … of slots that were passed over", passed.into_iter()));
    let without = expected.iter().filter(|slot| !fired.contains_key(slot));
    lines.push(Line::none("  … missing: slots of which it knows nothing", without.map(shown)));
    let more = fired.iter().filter(|(slot, tasks)| tasks.len() > 1 || !expected.contains(slot));
    lines.push(Line::none("  … too many: twice for a slot, or for none", more.map(|(slot, _)| shown(slot))));
    let other = fired.iter().filter(|(slot, tasks)| {
        let came = published.get(slot);
        came.is_none_or(|came| !tasks.iter().all(|task| came.iter().any(|(id, _)| id == task)))
    });
    lines.push(Line::none(
        "  … with a task that never came out of the queue",
        other.map(|(slot, tasks)| format!("{}: {tasks:?}", shown(slot))),
    ));
    let counted: HashMap<&str, i64> =
        story.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let wrong = story.entries.iter().filter_map(|entry| {
        let count = counted.get(entry.as_str()).copied();
        (count != Some(i64::from(story.slots))).then(|| format!("{entry}: {count:?}"))
    });
    lines.push(Line::none("entries whose count of runs is another than that of their slots", wrong));
}

/// Every fault did happen, and every beat had a part in the work.
fn beats(story: &Story, lines: &mut Vec<Line>) {
    for (name, rounds) in &story.rounds {
        let found = format!("{} (came second for {})", rounds.won, rounds.lost);
        let line = Line::figure(&format!("entries that {name} advanced"), &found);
        lines.push(line.promised("some", rounds.won > 0, found));
    }
    let (mut kills, mut freezes, mut under_way) = (0, Vec::new(), 0);
    for fault in &story.faults {
        match fault {
            Fault::Killed { under_way: amid } => {
                kills += 1;
                under_way += usize::from(*amid);
            }
            Fault::Frozen { at, until, under_way: amid } => {
                freezes.push(until.since(*at));
                under_way += usize::from(*amid);
            }
            Fault::Away { .. } => {}
        }
    }
    let Planned { kills: least, under_way: amid, freezes: (times, long), away } = &story.plan;
    let asked = |what: &str, found: String, promise: String, kept: bool| {
        Line::figure(what, &found).promised(&promise, kept, found)
    };
    lines.push(asked("SIGKILL to a beat", kills.to_string(), format!("at least {least}"), kills >= *least));
    let found = freezes.iter().map(|time| seconds(*time)).collect::<Vec<_>>().join(", ");
    let kept = freezes.len() == *times && freezes.iter().all(|time| time >= long);
    lines.push(asked("SIGSTOP to a beat, for", found, format!("{times} times {}", seconds(*long)), kept));
    let promise = format!("at least {amid}");
    lines.push(asked(
        "  … of both in the middle of a round",
        under_way.to_string(),
        promise,
        under_way >= *amid,
    ));
    for server in [Server::Store, Server::Broker] {
        let times: Vec<Duration> = outages(story, server).map(|(at, back)| back.since(at)).collect();
        let found = times.iter().map(|time| seconds(*time)).collect::<Vec<_>>().join(", ");
        let kept = times.len() == 1 && times.iter().all(|time| time >= away);
        lines.push(asked(
            &format!("the server of the {} was away for", server.in_words()),
            found,
            format!("once {}", seconds(*away)),
            kept,
        ));
    }
}

/// How late slots were.
fn times(story: &Story, published: &BTreeMap<Slot, HashSet<(TaskId, Timestamp)>>, lines: &mut Vec<Line>) {
    let late = |(slot, publishes): (&Slot, &HashSet<(TaskId, Timestamp)>)| {
        let at = publishes.iter().map(|(_, at)| *at).min()?;
        Some((slot.1, at.since(slot.1)))
    };
    let all: Vec<(Timestamp, Duration)> = published.iter().filter_map(late).collect();
    let away: Vec<(Timestamp, Timestamp)> =
        [Server::Store, Server::Broker].into_iter().flat_map(|server| outages(story, server)).collect();
    // A slot of just before an outage may be caught up with after it.
    let calm = |slot: Timestamp| {
        away.iter().all(|(at, back)| slot.plus(ON_TIME) < *at || slot > back.plus(CAUGHT_UP))
    };
    let mut calm_ones: Vec<Duration> =
        all.iter().filter(|(slot, _)| calm(*slot)).map(|(_, late)| *late).collect();
    lines.push(Line::figure("lateness of slots while both servers are there", spread(&mut calm_ones)));
    for fault in &story.faults {
        let Fault::Frozen { at, until, .. } = fault else { continue };
        // The slot before may be the one in whose round it was frozen.
        let meanwhile =
            all.iter().filter(|(slot, _)| slot.plus(story.every) >= *at && slot < until && calm(*slot));
        let most = meanwhile.map(|(_, late)| *late).max();
        let found = most.map_or_else(|| "no slot to tell by".to_owned(), seconds);
        let line = Line::figure("  … the latest while a beat was frozen", &found);
        lines.push(match most {
            Some(most) => line.promised(&format!("at most {}", seconds(ON_TIME)), most <= ON_TIME, found),
            None => line,
        });
    }
    for server in [Server::Store, Server::Broker] {
        for (at, back) in outages(story, server) {
            let meanwhile = all.iter().filter(|(slot, _)| *slot >= at && *slot <= back);
            let last = meanwhile.map(|(slot, late)| slot.plus(*late)).max();
            let after = last.map(|last| last.since(back)).unwrap_or_default();
            let line = Line::figure(
                &format!("slots of the {}'s outage were caught up with after", server.in_words()),
                seconds(after),
            );
            let kept = last.is_some() && after <= CAUGHT_UP;
            lines.push(line.promised(&format!("at most {}", seconds(CAUGHT_UP)), kept, seconds(after)));
        }
    }
}

fn outages(story: &Story, which: Server) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
    story.faults.iter().filter_map(move |fault| match fault {
        Fault::Away { server, at, back } if *server == which => Some((*at, *back)),
        Fault::Away { .. } | Fault::Killed { .. } | Fault::Frozen { .. } => None,
    })
}

fn shown((entry, slot): &Slot) -> String {
    format!("{entry} {slot}")
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let of = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    let shown =
        |time: Option<&Duration>| time.map_or_else(|| "none".to_owned(), |time| format!("{time:.1?}"));
    format!("p50 {}, p99 {}, max {}", shown(of(50)), shown(of(99)), shown(times.last()))
}

impl Server {
    /// For people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Store => "schedule",
            Self::Broker => "broker",
        }
    }
}
