//! What tasks hide, also of messages that do not say so themselves.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{Broker, Clock, Hidden};

/// Pages wait this long for the broker. Most of them, such as finished tasks, do not need it for anything else.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Time after a timeout in which the broker is not asked again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The redacted arguments of all tasks, as the broker last answered.
#[derive(Debug, Default)]
pub(crate) struct LastKnown(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    hidden: Option<Hidden>,
    /// The monotonic time until which the broker is not asked.
    paused_until: Duration,
}

impl LastKnown {
    /// The redacted arguments. While the broker does not answer they are those of its last answer; before its first answer all
    /// arguments are redacted.
    pub(crate) async fn ask(&self, broker: &dyn Broker, clock: &dyn Clock) -> Hidden {
        let paused_until = self.0.lock().unwrap_or_else(PoisonError::into_inner).paused_until;
        if clock.monotonic() < paused_until {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            return state.hidden.clone().unwrap_or_else(Hidden::unknown);
        }
        let (asked, is_timeout) = match select(pin!(broker.hidden()), clock.sleep(TIMEOUT)).await {
            Either::Left((answer, _)) => (answer.map_err(|error| error.to_string()), false),
            Either::Right(_) => (Err(format!("no answer within {} s", TIMEOUT.as_secs())), true),
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(hidden) => state.hidden.insert(hidden).clone(),
            Err(error) => {
                if is_timeout {
                    state.paused_until = clock.monotonic() + RETRY_AFTER;
                }
                if state.hidden.is_none() {
                    tracing::warn!(
                        "the broker does not say which arguments are redacted, so pages redact all of them: {error}"
                    );
                }
                state.hidden.clone().unwrap_or_else(Hidden::unknown)
            }
        }
    }
}
