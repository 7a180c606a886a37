//! The cases of the broker contract, one file for each promise of [`Broker`].
//!
//! Time is an argument everywhere: the cases travel, they do not sleep. What has to arrive (hints, waiters) is awaited
//! with a deadline of real time.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_core::Broker;

pub mod absence;
pub mod ahead;
pub mod counters;
pub mod dead;
pub mod delay;
pub mod delivery;
pub mod duplicate;
pub mod extend;
pub mod fence;
pub mod find;
pub mod hints;
pub mod isolation;
pub mod kinds;
pub mod lease;
pub mod many;
pub mod order;
pub mod poison;
pub mod rate;
mod support;
pub mod unique;
pub mod verdict;
pub mod watch;
pub mod workers;

/// A fresh store for one case, shared with no other case.
#[async_trait]
pub trait BrokerBed: Send + Sync {
    /// A new participant. All handles of a bed work on the same store.
    async fn handle(&self) -> Arc<dyn Broker>;
}
