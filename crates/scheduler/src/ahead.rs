//! What a beat knows of the next second: which entries are due, and what the time is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use lovage_core::schedule::{Advance, Due, StoredEntry};
use lovage_core::{EntryName, QueueName, StoreId, Timestamp};

use crate::plan::ON_TIME;
use crate::{Moment, Planned, plan};

/// Most entries of one queue that are published at once.
const LANE_BATCH: usize = 1_000;

/// A look that takes longer is slow.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// Entries that will be due soon.
///
/// An entry is *armed*, or *busy* from being taken to when what became of it has been written, so that one beat has one
/// plan for it at a time.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    armed: BTreeMap<QueueName, BTreeMap<(Timestamp, EntryName), StoredEntry>>,
    busy: HashSet<EntryName>,
    /// Of these the newest slot that was published, while it is not known which others were. They are busy until a look that
    /// begins after that.
    doubts: HashMap<EntryName, Timestamp>,
    /// When the first of all other entries is due.
    others_at: Option<Timestamp>,
    store: Option<StoreId>,
    /// The store's clock at the last look.
    looked_at: Option<Timestamp>,
    /// Up to when everything that was due has been sent; see [`Moment::kept_up_at`]. `None` after an outage.
    kept_up_at: Option<Timestamp>,
}

impl Ahead {
    /// A look begins. What it says of doubts comes after them.
    pub(crate) fn look(&mut self) {
        self.busy.retain(|name| !self.doubts.contains_key(name));
    }

    /// Forgets what was armed, and arms what the store says. It may say of a busy entry what was so before.
    pub(crate) fn looked(&mut self, due: Due) {
        self.armed.clear();
        self.others_at = due.next_at;
        self.store = Some(due.store);
        self.keep_up(&due);
        for stored in due.entries {
            if !self.busy.contains(&stored.entry.name) {
                self.arm(stored);
            }
        }
    }

    /// What was due before the oldest entry that is still due has been sent. A beat that was stopped for long, or that just
    /// started, has no backlog of its own.
    fn keep_up(&mut self, due: &Due) {
        let is_first = self.looked_at.is_none_or(|at| due.now.since(at) > ON_TIME);
        let oldest = due.entries.first().and_then(|stored| stored.next_run_at);
        let sent_until = oldest.map_or(due.now, |at| at.min(due.now));
        // Entries that are moved back may be due since then.
        let sent_until = if due.ahead_of_clock.is_empty() { sent_until } else { Timestamp::default() };
        let kept_up_at = self.kept_up_at.filter(|_| !is_first).map_or(due.now, |at| at.max(sent_until));
        self.kept_up_at = Some(kept_up_at.min(due.now));
        self.looked_at = Some(due.now);
    }

    /// Store or broker were away: what is late now is not late because of a backlog.
    pub(crate) fn was_away(&mut self) {
        self.kept_up_at = None;
    }

    /// The store's clock was set back, at `at` by the clock since then.
    pub(crate) fn clock_set_back(&mut self, at: Timestamp) {
        self.kept_up_at = self.kept_up_at.map(|kept_up_at| kept_up_at.min(at));
    }

    /// It is left alone until what becomes of it has been written.
    pub(crate) fn set_busy(&mut self, name: &EntryName) -> bool {
        self.busy.insert(name.clone())
    }

    /// Plans what is due in the queue whose first entry has waited longest, of those that are not `publishing`: it is busy
    /// from now on.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        publishing: &BTreeSet<QueueName>,
    ) -> Option<(QueueName, Vec<Planned>)> {
        let moment = Moment { store: self.store?, now, kept_up_at: self.kept_up_at.unwrap_or(now) };
        let (_, queue) = self.first(publishing).filter(|(at, _)| *at <= now)?;
        let queue = queue.clone();
        let lane = self.armed.get_mut(&queue)?;
        let mut due = Vec::new();
        while due.len() < LANE_BATCH
            && let Some(first) = lane.first_entry().filter(|first| first.key().0 <= now)
        {
            let stored = first.remove();
            let name = stored.entry.name.clone();
            let doubt = self.doubts.remove(&name);
            self.busy.insert(name);
            due.push(Planned { doubt, ..plan(stored, &moment) });
        }
        if lane.is_empty() {
            self.armed.remove(&queue);
        }
        Some((queue, due))
    }

    /// This slot of it was published, and it has to be read again to know of the others.
    pub(crate) fn doubt(&mut self, name: EntryName, newest: Timestamp) {
        self.doubts.insert(name, newest);
    }

    /// It is not busy any more, and nothing is known of it.
    pub(crate) fn forget(&mut self, name: &EntryName) {
        self.busy.remove(name);
    }

    /// It stands in the store as this beat wrote it.
    pub(crate) fn wrote(&mut self, mut stored: StoredEntry, advance: Advance) {
        self.busy.remove(&stored.entry.name);
        if advance.ends {
            return;
        }
        stored.done_until = advance.done_until;
        stored.next_run_at = advance.next_run_at;
        stored.last_error = advance.error;
        self.arm(stored);
    }

    /// When the first armed entry is due.
    pub(crate) fn first_at(&self) -> Option<Timestamp> {
        self.first_free_at(&BTreeSet::new())
    }

    /// When the first armed entry is due whose queue is not `publishing`.
    pub(crate) fn first_free_at(&self, publishing: &BTreeSet<QueueName>) -> Option<Timestamp> {
        self.first(publishing).map(|(at, _)| at)
    }

    fn first(&self, publishing: &BTreeSet<QueueName>) -> Option<(Timestamp, &QueueName)> {
        let free = self.armed.iter().filter(|(queue, _)| !publishing.contains(*queue));
        let firsts = free.filter_map(|(queue, lane)| Some((lane.first_key_value()?.0.0, queue)));
        firsts.min_by_key(|(at, _)| *at)
    }

    /// When the first entry that is neither armed nor busy is due.
    pub(crate) fn others_at(&self) -> Option<Timestamp> {
        self.others_at
    }

    /// Whether nothing is to be done before the first of all other entries is due.
    pub(crate) fn is_through(&self) -> bool {
        self.busy.is_empty() && self.first_at().is_none_or(|first| Some(first) >= self.others_at)
    }

    fn arm(&mut self, stored: StoredEntry) {
        if let Some(at) = stored.next_run_at {
            let lane = self.armed.entry(stored.entry.queue.clone()).or_default();
            lane.insert((at, stored.entry.name.clone()), stored);
        }
    }
}

/// The store's clock, as this process knows it.
///
/// The store tells its time with each look. It did so after the look was asked for and before it was answered, which
/// bounds how far its clock is from ours, the closer the quicker the look was. Of a slow one only what it said is believed.
#[derive(Debug, Default)]
pub(crate) struct StoreTime {
    /// In microseconds, the store's clock less our monotonic one.
    ahead: Option<i64>,
}

impl StoreTime {
    /// The store's clock was `now` between two instants of ours.
    pub(crate) fn seen(&mut self, asked: Duration, now: Timestamp, answered: Duration) {
        let ahead_at = |ours| now.as_micros().saturating_sub(micros(ours));
        let (least, most) = (ahead_at(answered), ahead_at(asked));
        let known = self.ahead.filter(|_| answered.saturating_sub(asked) <= SLOW);
        self.ahead = Some(known.map_or(least, |ahead| ahead.clamp(least, most.max(least))));
    }

    /// The store's clock at an instant of ours; not later than it really is.
    pub(crate) fn at(&self, ours: Duration) -> Option<Timestamp> {
        self.ahead.map(|ahead| Timestamp::from_micros(micros(ours).saturating_add(ahead)))
    }

    /// The instant of ours at which the store's clock shows `at`; zero when that was before we began.
    pub(crate) fn ours(&self, at: Timestamp) -> Duration {
        let ours = at.as_micros().saturating_sub(self.ahead.unwrap_or(0));
        Duration::from_micros(u64::try_from(ours).unwrap_or(0))
    }
}

fn micros(ours: Duration) -> i64 {
    i64::try_from(ours.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use lovage_core::schedule::{Units as _, every};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn stored(name: &str, seconds: u64) -> StoredEntry {
        StoredEntry::new(every(seconds.secs()).entry(name, "t").unwrap(), at(0))
    }

    fn due(entries: Vec<StoredEntry>, next_at: Option<Timestamp>) -> Due {
        Due { store: StoreId::from_bytes([7; 16]), now: at(0), ahead_of_clock: Vec::new(), entries, next_at }
    }

    fn take(ahead: &mut Ahead, now: Timestamp) -> Vec<Planned> {
        ahead.take(now, &BTreeSet::new()).map_or_else(Vec::new, |(_, due)| due)
    }

    fn names(plans: &[Planned]) -> Vec<&str> {
        plans.iter().map(|planned| planned.stored.entry.name.as_str()).collect()
    }

    #[test]
    fn what_is_due_is_taken_in_order_and_once() {
        let mut ahead = Ahead::default();
        ahead.looked(due(vec![stored("b", 20), stored("c", 30), stored("a", 10)], Some(at(40))));
        assert_eq!((ahead.first_at(), ahead.others_at()), (Some(at(10)), Some(at(40))));
        assert_eq!(names(&take(&mut ahead, at(9))), [""; 0]);
        assert_eq!(names(&take(&mut ahead, at(20))), ["a", "b"]);
        assert_eq!(names(&take(&mut ahead, at(20))), [""; 0]);
    }

    #[test]
    fn a_look_says_nothing_new_of_what_is_busy_and_forgets_what_is_gone() {
        let mut ahead = Ahead::default();
        ahead.looked(due(vec![stored("a", 10), stored("b", 10)], None));
        let a = take(&mut ahead, at(10)).remove(0).stored;
        ahead.looked(due(vec![stored("a", 10), stored("c", 10)], None));
        ahead.forget(&EntryName::new("b").unwrap());
        assert_eq!(names(&take(&mut ahead, at(10))), ["c"]);
        let advance = Advance::new(&a, at(10), Vec::new());
        ahead.wrote(a, advance);
        let again = take(&mut ahead, at(20));
        assert_eq!((names(&again), again[0].stored.done_until), (vec!["a"], at(10)));
    }

    #[test]
    fn each_queue_has_a_lane_of_its_own() {
        let in_queue = |name: &str, queue: &str, seconds| {
            let mut stored = stored(name, seconds);
            stored.entry.queue = QueueName::new(queue).unwrap();
            stored
        };
        let mut ahead = Ahead::default();
        ahead.looked(due(
            vec![in_queue("a", "bulk", 10), in_queue("b", "bulk", 10), in_queue("c", "mail", 20)],
            None,
        ));
        let (bulk, plans) = ahead.take(at(10), &BTreeSet::new()).unwrap();
        assert_eq!((bulk.as_str(), names(&plans)), ("bulk", vec!["a", "b"]));
        let publishing = BTreeSet::from([bulk]);
        assert_eq!((ahead.first_free_at(&publishing), ahead.take(at(19), &publishing)), (Some(at(20)), None));
        let (mail, plans) = ahead.take(at(20), &publishing).unwrap();
        assert_eq!((mail.as_str(), names(&plans)), ("mail", vec!["c"]));
    }

    /// Entry `a` waits for the beat from 10 on; the beat looks each second.
    #[test]
    fn backlog_is_remembered_until_it_is_sent_or_the_beat_was_away() {
        let look = |ahead: &mut Ahead, now: i64, entries: Vec<StoredEntry>| {
            ahead.looked(Due { now: at(now), ..due(entries, None) });
            ahead.kept_up_at
        };
        let mut ahead = Ahead::default();
        // What was due before its start was missed.
        assert_eq!(look(&mut ahead, 8, vec![stored("old", 3)]), Some(at(8)));
        for now in 9..30 {
            assert_eq!(look(&mut ahead, now, vec![stored("a", 10)]), Some(at(now.min(10))));
        }
        assert_eq!(look(&mut ahead, 30, Vec::new()), Some(at(30)));
        assert_eq!(look(&mut ahead, 31, vec![stored("a", 10)]), Some(at(30)));
        // Stopped for 9 seconds.
        assert_eq!(look(&mut ahead, 40, vec![stored("a", 10)]), Some(at(40)));
        ahead.was_away();
        assert_eq!(look(&mut ahead, 41, vec![stored("a", 10)]), Some(at(41)));
    }

    #[test]
    fn a_doubt_ends_with_a_look_that_begins_after_it() {
        let mut ahead = Ahead::default();
        ahead.looked(due(vec![stored("a", 10)], None));
        take(&mut ahead, at(10));
        ahead.look();
        ahead.doubt(EntryName::new("a").unwrap(), at(20));
        ahead.looked(due(vec![stored("a", 10)], None));
        assert_eq!(names(&take(&mut ahead, at(10))), [""; 0]);
        ahead.look();
        ahead.looked(due(vec![stored("a", 10)], None));
        let again = take(&mut ahead, at(10));
        assert_eq!((names(&again), again[0].doubt), (vec!["a"], Some(at(20))));
    }

    #[test]
    fn the_stores_clock_is_known_within_the_time_of_the_quickest_look() {
        let ms = Duration::from_millis;
        let mut time = StoreTime::default();
        assert_eq!(time.at(ms(0)), None);
        time.seen(ms(100), at(50), ms(300));
        assert_eq!(time.at(ms(300)), Some(at(50)));
        // Quicker: nearer to the truth.
        time.seen(ms(1_000), at(51), ms(1_010));
        assert_eq!(time.at(ms(1_010)), Some(at(51)));
        // Slower: nothing new.
        time.seen(ms(2_000), at(52), ms(2_900));
        assert_eq!(time.at(ms(2_010)), Some(at(52)));
        assert_eq!(time.ours(at(52)), ms(2_010));
        // Somebody set it.
        time.seen(ms(3_000), at(20), ms(3_900));
        assert_eq!(time.at(ms(3_000)), Some(at(20)));
        time.seen(ms(4_000), at(90), ms(4_900));
        assert_eq!(time.at(ms(4_900)), Some(at(90)));
        // Too slow: the clock may have been set since.
        time.seen(ms(5_000), at(90), ms(9_000));
        assert_eq!(time.at(ms(9_000)), Some(at(90)));
    }
}
