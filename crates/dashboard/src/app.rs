//! What all requests share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::audit::Audit;
use crate::auth::Guard;
use crate::jobs::Jobs;
use crate::live::Streams;
use crate::look::growth::Seen;
use crate::look::hidden::LastKnown;
use crate::look::scheduled::Scan;
use crate::problem::Problem;
use futures_util::future::{BoxFuture, Shared};
use lovage_core::schedule::ScheduleStore;
use lovage_core::{Broker, Clock, Entropy, Hidden, ResultStore};

/// What the dashboard shows and changes.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The queues. It wants a handle of its own, which serves no worker.
    pub broker: Arc<dyn Broker>,
    /// Where tasks end.
    pub results: Arc<dyn ResultStore>,
    /// The schedule, where there is one.
    pub schedules: Option<Arc<dyn ScheduleStore>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from: it must be unpredictable.
    pub entropy: Arc<dyn Entropy>,
}

/// What all requests share.
pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) guard: Guard,
    pub(crate) audit: Audit,
    /// Before every path: empty, or `/lovage`.
    pub(crate) base: String,
    /// Whether browsers reach it by TLS.
    pub(crate) secure: bool,
    /// Pages that are kept up to date at the same time.
    pub(crate) streams: Arc<Streams>,
    /// The minute in which this dashboard looked at the queues for the charts, in microseconds.
    pub(crate) sampled: AtomicI64,
    pub(crate) jobs: Jobs,
    /// What this dashboard saw of the queues lately.
    pub(crate) seen: Seen,
    /// What tasks hide, as it was known last.
    pub(crate) hidden: LastKnown,
    /// How far it looked through the schedule.
    pub(crate) scan: Scan,
    /// Ends when pages should no longer be kept up to date, and jobs should end.
    pub(crate) stop: Shared<BoxFuture<'static, ()>>,
}

impl App {
    /// What tasks hide.
    pub(crate) async fn hidden(&self) -> Hidden {
        self.hidden.ask(&*self.parts.broker, &*self.parts.clock).await
    }

    /// The schedule.
    pub(crate) fn schedules(&self) -> Result<&dyn ScheduleStore, Problem> {
        let found = self.parts.schedules.as_deref();
        found.ok_or_else(|| {
            Problem::missing("this dashboard has no schedule: start it with LOVAGE_SCHEDULES_URL")
        })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("parts", &self.parts).field("base", &self.base).finish_non_exhaustive()
    }
}
