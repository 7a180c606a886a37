//! Waiting for events without sleeping.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use lovage_core::Clock;

/// How often the other tasks of a single-threaded runtime get a turn before they count as being at rest. A hop between
/// tasks costs one turn, and no chain of ours is nearly as long.
const TURNS: usize = 64;

/// What `future` gives, if it does within `limit` of `clock`'s time.
///
/// # Panics
/// When it takes longer; the message says `what` was waited for.
pub async fn within<F: Future>(clock: &dyn Clock, limit: Duration, what: &str, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut deadline = clock.sleep(limit);
    let output = poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        deadline.as_mut().poll(cx).map(|()| None)
    })
    .await;
    #[expect(clippy::panic, reason = "it fails the test that waits")]
    output.unwrap_or_else(|| panic!("waited {limit:?} for {what}, which did not happen"))
}

/// Whether `future` is still waiting after every other task of this single-threaded runtime has come to rest. Across
/// threads or a network it proves nothing: cause a later event there and see that it comes first.
///
/// # Panics
/// When `future` is polled again after it ended: do not use it when the answer was `false`.
pub async fn still_pending<F: Future + Unpin>(future: &mut F) -> bool {
    for _ in 0..2 {
        let polled = poll_fn(|cx| Poll::Ready(pin!(&mut *future).poll(cx))).await;
        if polled.is_ready() {
            return false;
        }
        settled_down().await;
    }
    true
}

/// Ends when every other task of this single-threaded runtime has had many turns: whatever could go on without time
/// passing has done so.
pub async fn settled_down() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FakeClock;

    #[tokio::test(flavor = "current_thread")]
    async fn what_happens_in_time_is_answered() {
        let clock = FakeClock::new();
        assert_eq!(within(&clock, Duration::from_secs(1), "a number", async { 7 }).await, 7);
    }

    #[tokio::test(flavor = "current_thread")]
    #[should_panic(expected = "waited 1s for a miracle")]
    async fn what_does_not_happen_says_what_was_waited_for() {
        let clock = FakeClock::new();
        let wait = within(&clock, Duration::from_secs(1), "a miracle", std::future::pending::<()>());
        clock.drive(wait).await;
    }
}
