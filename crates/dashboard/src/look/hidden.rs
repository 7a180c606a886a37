//! What tasks hide, also of messages that do not say so themselves.

use std::sync::{Mutex, PoisonError};

use lovage_core::{Broker, Hidden};

/// What the broker answered last.
#[derive(Debug, Default)]
pub(crate) struct LastKnown(Mutex<Option<Hidden>>);

impl LastKnown {
    /// What tasks hide. Where the broker does not answer it is as it was; where it never answered all is hidden.
    pub(crate) async fn ask(&self, broker: &dyn Broker) -> Hidden {
        let asked = broker.hidden().await;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(hidden) => last.insert(hidden).clone(),
            Err(error) => {
                if last.is_none() {
                    tracing::warn!("what tasks hide is not known, so all arguments are hidden: {error}");
                }
                last.clone().unwrap_or_else(Hidden::unknown)
            }
        }
    }
}
