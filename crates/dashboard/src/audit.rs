//! Who did what, and when.

use std::fmt;

use async_trait::async_trait;
use lovage_core::Timestamp;

/// One action of somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// When, by the dashboard's clock.
    pub at: Timestamp,
    /// The name of the person or the program.
    pub who: String,
    /// What, such as `queues/pause`.
    pub what: String,
    /// To what: a queue, a task, an entry of the schedule.
    pub to: String,
    /// What became of it, in a sentence.
    pub outcome: String,
}

/// Keeps what people and programs did.
#[async_trait]
pub trait Audit: Send + Sync + fmt::Debug {
    /// Keeps one action, after it was done or refused. It must not fail: what cannot be kept belongs into the log.
    async fn record(&self, action: Action);
}

/// Writes actions to the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogAudit;

#[async_trait]
impl Audit for LogAudit {
    async fn record(&self, action: Action) {
        let Action { at, who, what, to, outcome } = action;
        tracing::info!(target: "lovage::audit", %at, who, what, to, "{outcome}");
    }
}
