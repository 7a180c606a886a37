//! Promise 8: changes are told.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_core::schedule::ScheduleStore;
use lovage_system::SystemClock;

use super::ScheduleBed;
use super::support::{Desk, at, every, soon, source};

/// A handle that listens.
async fn listener(bed: &dyn ScheduleBed) -> Arc<dyn ScheduleStore> {
    let store = bed.store().await;
    soon("the first call", store.changed()).await;
    store
}

/// Whoever made it, within a second.
pub async fn every_change_is_told_to_another_handle(bed: &dyn ScheduleBed) {
    let (desk, clock) = (Desk::at(bed).await, SystemClock::new());
    let listener = listener(bed).await;
    for step in 0..6 {
        match step {
            0 => drop(desk.add(&every("a", 10), 0).await),
            1 => drop(desk.edit(&every("a", 20), 1, 1).await),
            2 => drop(desk.store.set_enabled("a", false, at(2)).await.expect("the store writes")),
            3 => drop(
                desk.store.merge(&source("code"), &[every("b", 10)], at(3)).await.expect("the store writes"),
            ),
            4 => drop(desk.store.merge(&source("code"), &[], at(4)).await.expect("the store writes")),
            _ => drop(desk.store.delete(&["a"]).await.expect("the store writes")),
        }
        let begun = clock.monotonic();
        soon("a change", listener.changed()).await;
        let took = clock.monotonic() - begun;
        assert!(took < Duration::from_secs(1), "step {step} was told after {took:?}");
    }
}

/// As of any other.
pub async fn a_handle_hears_of_its_own_change(bed: &dyn ScheduleBed) {
    let desk = Desk { store: listener(bed).await };
    desk.add(&every("a", 10), 0).await;
    soon("its own change", desk.store.changed()).await;
}

/// Also when the one who waited gave up in between.
pub async fn a_change_before_the_call_is_told(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let listener = listener(bed).await;
    {
        let mut given_up = pin!(listener.changed());
        let early = poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx).is_ready())).await;
        assert!(!early, "nothing has changed");
    }
    desk.add(&every("a", 10), 0).await;
    desk.read("a").await;
    soon("the change", listener.changed()).await;
}

/// Beats would wake each other with each slot.
pub async fn what_beats_write_is_not_told(bed: &dyn ScheduleBed) {
    let desk = Desk::at(bed).await;
    let listener = listener(bed).await;
    let mut stored = desk.add(&every("a", 10), 0).await;
    soon("the new entry", listener.changed()).await;
    // Slots, one after another, until it would have been told of one of them.
    let mut changed = pin!(listener.changed());
    let mut told = false;
    let mut slots = pin!(async {
        let (clock, begun) = (SystemClock::new(), SystemClock::new().monotonic());
        let mut n = 0;
        while clock.monotonic() - begun < Duration::from_secs(1) {
            n += 1;
            desk.fire(&stored, n * 10, 1).await;
            stored = desk.read("a").await;
        }
    });
    poll_fn(|cx| {
        told = told || changed.as_mut().poll(cx).is_ready();
        if told { Poll::Ready(()) } else { slots.as_mut().poll(cx) }
    })
    .await;
    assert!(!told, "a beat's own writing was told as a change");
}
