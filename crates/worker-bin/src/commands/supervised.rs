//! What supervisors see of a process that goes on: metrics and health by HTTP, and what systemd is told.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{Broker, Clock as _, ErrorReport, QueueName, RunInfo, TaskState, Timestamp};
use lovage_system::SystemClock;
use lovage_telemetry::{End, Health, Telemetry};
use lovage_worker::{Hooks, WorkerEvent};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::CliError;
use crate::logging;
use crate::session::Session;

/// A process under supervision. Where nobody asks for metrics and nobody watches, it costs nothing.
pub(crate) struct Supervised {
    listener: Option<TcpListener>,
    /// How often systemd must hear that it is well.
    watchdog: Option<Duration>,
    telemetry: Option<Arc<Telemetry>>,
    serving: Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
    watching: Option<JoinHandle<()>>,
}

/// What a process does, for its metrics.
pub(crate) enum Part<'a> {
    Worker(&'a [(QueueName, u32)]),
    Other,
}

impl Supervised {
    /// Takes the address of the metrics, where one is set.
    ///
    /// # Errors
    /// When it is taken.
    pub(crate) async fn prepare(session: &Session) -> Result<Self, CliError> {
        let listener = match session.config.metrics {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
                CliError::failed(format!("metrics cannot be served on {address}: {error}"))
                    .hint("the address is `metrics` in lovage.toml, LOVAGE_METRICS or --metrics; each process needs its own")
            })?),
            None => None,
        };
        let watchdog = sd_notify::watchdog_enabled();
        Ok(Self { listener, watchdog, telemetry: None, serving: None, watching: None })
    }

    /// Begins to count, where somebody wants to know; before the work begins.
    pub(crate) fn watch(
        &mut self,
        session: &Session,
        broker: &Arc<dyn Broker>,
        part: Part<'_>,
        beats: bool,
    ) -> Option<&Arc<Telemetry>> {
        if self.listener.is_none() && self.watchdog.is_none() {
            return None;
        }
        let clock = Arc::new(SystemClock::new());
        let telemetry =
            Telemetry::new(&session.program, env!("CARGO_PKG_VERSION"), Arc::clone(broker), clock);
        let telemetry = match part {
            Part::Worker(queues) => telemetry.of_worker(queues.iter().map(|(queue, _)| queue.clone())),
            Part::Other => telemetry,
        };
        let interval = session.config.max_interval.unwrap_or(Duration::from_secs(10));
        let telemetry = if beats { telemetry.of_beat(interval) } else { telemetry };
        let telemetry = telemetry.with_log(logging::dropped_lines);
        Some(self.telemetry.insert(Arc::new(telemetry)))
    }

    /// The work has begun: serves what is to be served, and tells systemd.
    pub(crate) fn ready(&mut self, what: &str) {
        if let (Some(listener), Some(telemetry)) = (self.listener.take(), &self.telemetry) {
            let (stop, stopped) = oneshot::channel();
            if let Ok(address) = listener.local_addr() {
                tracing::info!("metrics at http://{address}/metrics");
            }
            let serving = Arc::clone(telemetry).serve(listener, async { drop(stopped.await) });
            self.serving = Some((stop, tokio::spawn(serving)));
        }
        tell(&[NotifyState::Ready, NotifyState::Status(what)]);
        if let (Some(interval), Some(telemetry)) = (self.watchdog, &self.telemetry) {
            self.watching = Some(tokio::spawn(watch(Arc::clone(telemetry), interval / 2)));
        }
    }

    /// The work is about to end: that may take as long as tasks are given.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        if let Some(watching) = self.watching {
            watching.abort();
        }
        if let Some((stop, serving)) = self.serving {
            drop(stop);
            if let Ok(Err(error)) = serving.await {
                tracing::error!("metrics: {error}");
            }
        }
    }
}

/// Only who moves is alive: systemd starts the others anew. A broker that is away is no reason for it: what runs goes on.
async fn watch(telemetry: Arc<Telemetry>, interval: Duration) {
    let clock = SystemClock::new();
    loop {
        let health = telemetry.progress().await;
        if let Health::Stuck(why) = &health {
            tracing::error!("systemd is not told that all is well: {why}");
            tell(&[NotifyState::Status(why)]);
        } else {
            tell(&[NotifyState::Watchdog, NotifyState::Status(health.words())]);
        }
        clock.sleep(interval).await;
    }
}

/// Without systemd nobody listens.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd cannot be told: {error}");
    }
}

/// Counts what a worker tells, and passes it on.
pub(crate) struct Counted {
    inner: Option<Arc<dyn Hooks>>,
    telemetry: Arc<Telemetry>,
}

impl Counted {
    /// The hooks of a worker that is watched; those of a program as they are where nobody does.
    pub(crate) fn around(
        inner: Option<Arc<dyn Hooks>>,
        telemetry: Option<&Arc<Telemetry>>,
    ) -> Option<Arc<dyn Hooks>> {
        match telemetry {
            Some(telemetry) => Some(Arc::new(Self { inner, telemetry: Arc::clone(telemetry) })),
            None => inner,
        }
    }
}

impl Hooks for Counted {
    fn before(&self, run: &RunInfo) {
        if let Some(inner) = &self.inner {
            inner.before(run);
        }
    }

    fn after(&self, run: &RunInfo, state: TaskState) {
        if let Some(inner) = &self.inner {
            inner.after(run, state);
        }
    }

    fn failed(&self, run: &RunInfo, error: &ErrorReport) {
        if let Some(inner) = &self.inner {
            inner.failed(run, error);
        }
    }

    fn event(&self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Received { .. } => self.telemetry.received(),
            WorkerEvent::Ended { task, queue, state, run_time, waited, .. } => {
                self.telemetry.ended(End { task, queue, state: *state, ran: *run_time, waited: *waited });
            }
            WorkerEvent::GivenBack { .. } | WorkerEvent::LeaseLost { .. } => self.telemetry.gone(),
            WorkerEvent::ThreadAbandoned { .. } => self.telemetry.thread_abandoned(),
            WorkerEvent::AbandonedThreadEnded { .. } => self.telemetry.abandoned_thread_ended(),
            WorkerEvent::HookPanicked { .. } => self.telemetry.hook_panicked(),
            WorkerEvent::Unavailable { .. } | WorkerEvent::Stopped => {}
        }
        if let Some(inner) = &self.inner {
            inner.event(event);
        }
    }
}

/// Tells what a beat does.
#[derive(Debug)]
pub(crate) struct Watched(pub(crate) Arc<Telemetry>);

impl lovage_scheduler::Watch for Watched {
    fn looked(&self) {
        self.0.looked();
    }

    fn next_slot(&self, due: Option<Timestamp>) {
        self.0.next_slot(due);
    }

    fn fired(&self, late: Duration) {
        self.0.fired(late);
    }
}
