//! Two senders, three workers, a broker and a result store, each broken in turn while tasks flow; then a judge that knows
//! what was accepted, what every run said of itself and what the results hold, and that explains every second run.
//!
//! And three beats on one schedule, broken likewise ([`beat`]).

pub mod beat;
pub mod journal;
pub mod judge;
pub mod sender;
pub mod tasks;
