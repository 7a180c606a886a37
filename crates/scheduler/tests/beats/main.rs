//! Beats on the memory broker and store, with a clock that stands still until it is moved.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod by_hand;
mod chaos;
mod clocks;
mod fates;
mod gate;
mod rounds;
