//! A clock that moves only when it is told to.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lovage_core::{BoxFuture, Clock, Timestamp};

use crate::settled_down;

/// 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A clock that stands still until it is moved. Clones share their time.
///
/// ```
/// use std::time::Duration;
/// use lovage_core::Clock;
/// use lovage_testkit::FakeClock;
///
/// let clock = FakeClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now().since(before), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    monotonic: Duration,
    /// By deadline and then by the order of going to sleep.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next_sleeper: u64,
}

impl FakeClock {
    /// A clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(START)
    }

    /// A clock at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let state = State { now, monotonic: Duration::ZERO, sleepers: BTreeMap::new(), next_sleeper: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Moves both the time of day and the monotonic time, and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.now = state.now.plus(by);
        let monotonic = state.monotonic.saturating_add(by);
        wake(state, monotonic);
    }

    /// Sets the time of day. Forward it moves the monotonic time along; backward that one stands still.
    pub fn set(&self, now: Timestamp) {
        let mut state = self.lock();
        let monotonic = state.monotonic.saturating_add(now.since(state.now));
        state.now = now;
        wake(state, monotonic);
    }

    /// Lets the time of day jump, as when somebody sets a machine's clock; the monotonic time stays.
    pub fn jump(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// How many are asleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// How long until the first sleeper wakes; `None` when nobody sleeps.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let state = self.lock();
        let (&(deadline, _), _) = state.sleepers.first_key_value()?;
        Some(deadline.saturating_sub(state.monotonic))
    }

    /// Moves to the deadline of the first sleeper. Answers whether there was one.
    pub fn advance_to_next(&self) -> bool {
        let Some(by) = self.next_wake() else { return false };
        self.advance(by);
        true
    }

    /// Runs a simulation: polls `future`, and whenever every task of this single-threaded runtime has come to rest,
    /// moves the clock to the next deadline. Never blocks, so that a day passes in milliseconds.
    ///
    /// Needs a current-thread tokio runtime; on another one time may move while a task still runs.
    pub async fn drive<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = polled {
                return output;
            }
            settled_down().await;
            let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = polled {
                return output;
            }
            self.advance_to_next();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { clock: self.clone(), deadline, key: None })
    }
}

/// Wakers run outside the lock: they may poll, and a poll takes it.
fn wake(mut state: MutexGuard<'_, State>, monotonic: Duration) {
    state.monotonic = monotonic;
    let later = monotonic
        .checked_add(Duration::from_nanos(1))
        .map_or_else(BTreeMap::new, |after| state.sleepers.split_off(&(after, 0)));
    let due = std::mem::replace(&mut state.sleepers, later);
    drop(state);
    due.into_values().for_each(Waker::wake);
}

struct Sleep {
    clock: FakeClock,
    deadline: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.lock();
        if state.monotonic >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let key = *self.key.get_or_insert_with(|| {
            state.next_sleeper += 1;
            (deadline, state.next_sleeper)
        });
        state.sleepers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.lock().sleepers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still_pending;

    #[tokio::test(flavor = "current_thread")]
    async fn a_sleeper_wakes_at_its_deadline_and_not_before() {
        let clock = FakeClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(10));
        assert!(still_pending(&mut sleep).await);
        clock.advance(Duration::from_micros(9_999_999));
        assert!(still_pending(&mut sleep).await);
        assert_eq!(clock.next_wake(), Some(Duration::from_micros(1)));
        clock.advance(Duration::from_micros(1));
        sleep.await;
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_dropped_sleeper_is_forgotten() {
        let clock = FakeClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(10));
        assert!(still_pending(&mut sleep).await);
        drop(sleep);
        assert_eq!(clock.next_wake(), None);
    }

    #[test]
    fn the_monotonic_time_never_goes_back() {
        let clock = FakeClock::new();
        let start = clock.now();
        clock.set(start.plus(Duration::from_secs(5)));
        clock.set(start);
        clock.jump(start.minus(Duration::from_secs(5)));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_simulated_day_passes_at_once() {
        let clock = FakeClock::new();
        let start = clock.now();
        let ticks = clock
            .drive(async {
                let mut tasks = Vec::new();
                for task in 1..=3_u32 {
                    let clock = clock.clone();
                    tasks.push(tokio::spawn(async move {
                        for _ in 0..8 {
                            clock.sleep(Duration::from_secs(3600) * task).await;
                        }
                        clock.now()
                    }));
                }
                let mut ends = Vec::new();
                for task in tasks {
                    ends.push(task.await.unwrap().since(start).as_secs() / 3600);
                }
                ends
            })
            .await;
        assert_eq!(ticks, [8, 16, 24]);
    }
}
