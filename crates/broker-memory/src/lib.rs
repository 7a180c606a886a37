//! The in-process reference broker of Lovage, and the oracle that other brokers are compared with.
//!
//! [`MemoryStore`] keeps the whole contract of [`Broker`](lovage_core::Broker) and nothing else: no partitions, no
//! speed tricks. What it does for a given sequence of calls is always the same, because time comes from the injected
//! clock and nothing iterates in a random order.
//!
//! `queue` decides (a pure state machine of one queue), `state` joins queues, handles and workers, `handle` is the
//! traits over it behind one lock.

mod audit;
mod handle;
mod page;
mod queue;
mod results;
#[cfg(feature = "schedule")]
mod schedules;
mod state;
mod stats;

pub use handle::MemoryStore;
pub use results::MemoryResults;
#[cfg(feature = "schedule")]
pub use schedules::MemorySchedules;
