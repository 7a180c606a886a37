//! Signs of life, shared by the loop and the lease keeper: what runs now, whether the loop goes on, and what it said last. So
//! the keeper can speak for a loop that cannot.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{ActiveTask, Clock, RunInfo, SlotKind, TaskId, Timestamp, Token, WorkerInfo};

use crate::control::{Control, Stop};
use crate::polls::Look;

/// Running tasks that are told of.
const TOLD: usize = 1_000;

type Runs = HashMap<(Token, TaskId), Running>;

/// The signs of life of one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vitals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    runs: Mutex<Runs>,
    turns: AtomicU32,
    /// Since when the loop is stuck, in microseconds; zero while it goes on.
    stuck_since: AtomicI64,
    said: Mutex<Option<Said>>,
    meter: Mutex<Meter>,
}

/// What a worker said of itself, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) info: Arc<WorkerInfo>,
    pub(crate) ttl: Duration,
}

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) control: Arc<Control>,
    pub(crate) info: Arc<RunInfo>,
    pub(crate) started_at: Timestamp,
    pub(crate) kind: SlotKind,
    /// Not one that is settled before its run: nobody else gets it, whatever becomes of its reservation.
    pub(crate) holds_lease: bool,
    look: Look,
}

impl Running {
    pub(crate) fn new(
        control: Arc<Control>,
        info: Arc<RunInfo>,
        started_at: Timestamp,
        kind: SlotKind,
    ) -> Self {
        Self { control, info, started_at, kind, holds_lease: true, look: Look::default() }
    }
}

/// The answer to whether the loop of a worker goes on. Cheap to clone; works in any thread.
#[derive(Clone, Debug)]
pub struct Liveness(Vitals);

impl Liveness {
    /// Since when the loop does not answer; `None` while it does. It is noticed about 3 s after the loop was last seen.
    #[must_use]
    pub fn stuck_since(&self) -> Option<Timestamp> {
        let since = self.0.0.stuck_since.load(Ordering::Relaxed);
        (since != 0).then_some(Timestamp::from_micros(since))
    }
}

impl Vitals {
    pub(crate) fn liveness(&self) -> Liveness {
        Liveness(self.clone())
    }

    pub(crate) fn set_stuck(&self, since: Option<Timestamp>) {
        self.0.stuck_since.store(since.map_or(0, Timestamp::as_micros), Ordering::Relaxed);
    }

    /// The reservations with a task that runs and needs their lease.
    pub(crate) fn running_tokens(&self) -> HashSet<Token> {
        let runs = self.runs();
        let needed = runs.iter().filter(|(_, run)| run.holds_lease && !run.control.is_finished());
        needed.map(|((token, _), _)| *token).collect()
    }

    pub(crate) fn started(&self, token: Token, id: TaskId, running: Running) {
        self.runs().insert((token, id), running);
    }

    pub(crate) fn ended(&self, token: Token, id: TaskId) -> Option<Running> {
        self.runs().remove(&(token, id))
    }

    /// Nobody waits for what runs any longer.
    pub(crate) fn give_up(&self) {
        self.runs().clear();
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.runs().len()
    }

    /// Asks those to stop that `are` meant.
    pub(crate) fn stop(&self, why: Stop, are: impl Fn(Token, TaskId, &Running) -> bool) {
        let runs = self.runs();
        let meant = runs.iter().filter(|((token, id), running)| are(*token, *id, running));
        meant.for_each(|(_, running)| running.control.stop(why));
    }

    /// Tells all that run that the worker has begun to stop.
    pub(crate) fn shut_down(&self) {
        self.runs().values().for_each(|running| running.control.shut_down());
    }

    /// The longest running first, at most 1,000.
    pub(crate) fn active(&self) -> Vec<ActiveTask> {
        let runs = self.runs();
        let active = runs.iter().map(|((_, id), running)| ActiveTask {
            id: *id,
            task: running.info.task.clone(),
            queue: running.info.queue.clone(),
            started_at: running.started_at,
            progress: running.control.progress(),
            blocks_since: running.look.blocks_since(),
        });
        let mut active: Vec<ActiveTask> = active.collect();
        active.sort_unstable_by_key(|task| (task.started_at, task.id));
        active.truncate(TOLD);
        active
    }

    /// Looks at what runs; answers the runs of which it shows now that they block their threads.
    pub(crate) fn look(&self, now: Timestamp) -> Vec<(TaskId, Arc<RunInfo>)> {
        let mut runs = self.runs();
        let blocks = |((_, id), running): (&(Token, TaskId), &mut Running)| {
            let is_news = running.look.again(running.control.polls.under_way(), now);
            is_news.then(|| (*id, Arc::clone(&running.info)))
        };
        runs.iter_mut().filter_map(blocks).collect()
    }

    /// The loop makes a turn. Nobody else does, so that nothing is lost between the load and the store.
    pub(crate) fn turn(&self) {
        let turns = self.0.turns.load(Ordering::Relaxed);
        self.0.turns.store(turns.wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn turns(&self) -> u32 {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// What the loop says to the broker now.
    pub(crate) fn say(&self, info: WorkerInfo, ttl: Duration) -> Arc<WorkerInfo> {
        let info = Arc::new(info);
        *lock(&self.0.said) = Some(Said { info: Arc::clone(&info), ttl });
        info
    }

    /// What the loop said last.
    pub(crate) fn said(&self) -> Option<Said> {
        lock(&self.0.said).clone()
    }

    /// Memory and processor of this process, as a heartbeat tells them.
    pub(crate) fn measure(&self, clock: &dyn Clock) -> (Option<u64>, Option<u32>) {
        let usage = clock.usage();
        (usage.memory, lock(&self.0.meter).cpu(usage.processor, clock.monotonic()))
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        lock(&self.0.runs)
    }
}

/// A panic elsewhere leaves what it guards as it was between two operations: going on is safe.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes of what was used so far what is used now.
#[derive(Debug, Default)]
struct Meter {
    /// When it was read last, and what was used until then.
    last: Option<(Duration, Duration)>,
}

impl Meter {
    /// In thousandths of one core, since it was asked last.
    fn cpu(&mut self, used: Option<Duration>, now: Duration) -> Option<u32> {
        let last = std::mem::replace(&mut self.last, used.map(|used| (now, used)));
        let (then, before) = last?;
        let thousandths = used?.saturating_sub(before).as_micros() * 1_000;
        let thousandths = thousandths.checked_div(now.saturating_sub(then).as_micros())?;
        Some(u32::try_from(thousandths).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_told_from_one_reading_to_the_next() {
        let (ms, mut meter) = (Duration::from_millis, Meter::default());
        assert_eq!(meter.cpu(Some(ms(700)), ms(1_000)), None, "nobody knows since when");
        assert_eq!(meter.cpu(Some(ms(8_200)), ms(6_000)), Some(1_500));
        assert_eq!(meter.cpu(Some(ms(8_200)), ms(6_000)), None, "no time passed");
        assert_eq!(meter.cpu(Some(ms(8_200)), ms(7_000)), Some(0));
        assert_eq!(meter.cpu(None, ms(8_000)), None);
        assert_eq!(meter.cpu(Some(ms(8_200)), ms(9_000)), None);
    }
}
