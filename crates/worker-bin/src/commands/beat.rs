//! `beat`, and the beat of `worker --beat` and `dev`: sends what the schedule says.

mod registration;

pub(crate) use registration::place as schedule_place;

use std::sync::Arc;

use lovage_core::Broker;
use lovage_core::schedule::ScheduleStore;
use lovage_scheduler::Scheduler;
use lovage_system::{SystemClock, host_name};
use lovage_telemetry::Telemetry;
use lovage_worker::connect::open_broker;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::BeatArgs;
use crate::config::Setting;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;
use crate::signals::Signals;

use registration::Registration;

use super::migrate::migrate_first;
use super::supervised::{Part, Supervised, Watched};
use super::worker::{NO_BROKER, patiently, stopped};

/// `lovage beat`.
pub(crate) async fn beat(session: &Session, args: &BeatArgs) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    let mut supervised = Supervised::prepare(session).await?;
    let connecting = async || {
        if args.migrate {
            migrate_first(session, &[Setting::Broker, Setting::Schedules]).await?;
        }
        Beat::open(session, false).await
    };
    let Some(beat) = patiently(&mut signals, "broker and schedule", None, connecting).await? else {
        tracing::info!("{NO_BROKER}");
        return Ok(());
    };
    Out.announce(banner(session));
    beat.tell_where(session);
    let telemetry = supervised.watch(session, &beat.broker, Part::Other, true).cloned();
    tracing::info!("beat ready");
    supervised.ready("sends what the schedule says");
    let stop = async {
        stopped(&mut signals).await;
        supervised.stopping();
    };
    beat.run_until(session, telemetry, stop).await;
    supervised.end().await;
    tracing::info!("stopped");
    Ok(())
}

/// What a beat works on, with handles of its own.
pub(crate) struct Beat {
    store: Arc<dyn ScheduleStore>,
    broker: Arc<dyn Broker>,
    registration: Registration,
}

impl Beat {
    /// Connects, and brings what this program declares into the store.
    ///
    /// # Errors
    /// When store or broker cannot be used, when an entry is not valid, or when another beat has another store.
    pub(crate) async fn open(session: &Session, for_dev: bool) -> Result<Self, CliError> {
        let declared = session.declared(for_dev)?;
        let broker = open_broker(&session.config.broker).await;
        let broker = broker.map_err(|error| CliError::from(error).hint(session.place(Setting::Broker)))?;
        let store = session.open_schedules().await?;
        let registration =
            Registration::enter(session, Arc::clone(&broker), &store.identity().await?).await?;
        if let Err(error) = session.merge(&*store, &*broker, &declared).await {
            registration.leave().await;
            return Err(CliError::from(error).hint(session.place(Setting::Schedules)));
        }
        Ok(Self { store, broker, registration })
    }

    /// Goes on beside a worker.
    pub(crate) fn beside(self, session: &Session, telemetry: Option<Arc<Telemetry>>) -> Beside {
        self.tell_where(session);
        let (stop, stopped) = oneshot::channel();
        let scheduler = self.scheduler(session, telemetry);
        let registration = self.registration;
        tracing::info!("beat ready");
        let beat = async move {
            run(scheduler, registration, async { drop(stopped.await) }).await;
        };
        Beside(stop, tokio::spawn(beat))
    }

    async fn run_until(
        self,
        session: &Session,
        telemetry: Option<Arc<Telemetry>>,
        stop: impl Future<Output = ()>,
    ) {
        run(self.scheduler(session, telemetry), self.registration, stop).await;
    }

    fn tell_where(&self, session: &Session) {
        if session.config.schedules_by_default_beside_the_beat() {
            tracing::warn!(
                "the schedule is in a file of this beat, {}: name a PostgreSQL by LOVAGE_SCHEDULES_URL where several beats are to run",
                session.config.schedules_url()
            );
        }
    }

    fn scheduler(&self, session: &Session, telemetry: Option<Arc<Telemetry>>) -> Scheduler {
        let clock = Arc::new(SystemClock::new());
        let scheduler = Scheduler::new(Arc::clone(&self.store), Arc::clone(&self.broker), clock);
        let scheduler = match telemetry {
            Some(telemetry) => scheduler.watch(Arc::new(Watched(telemetry))),
            None => scheduler,
        };
        match session.config.max_interval {
            Some(time) => scheduler.max_interval(time),
            None => scheduler,
        }
    }
}

async fn run(scheduler: Scheduler, registration: Registration, stop: impl Future<Output = ()>) {
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = registration.keep() => tracing::info!("the beat is told to stop"),
        }
    };
    scheduler.run_until(stop).await;
    registration.leave().await;
}

/// The beat of a process that does something else, too.
#[derive(Debug)]
pub(crate) struct Beside(oneshot::Sender<()>, JoinHandle<()>);

impl Beside {
    /// Stops it after the round in hand.
    pub(crate) async fn end(self) {
        drop(self.0);
        // What it left fires with the next beat.
        drop(self.1.await);
    }
}

/// Name, version, broker and schedule (no secrets).
fn banner(session: &Session) -> String {
    let config = &session.config;
    format!(
        "beat@{} ({} {})\n\n  {:<12} {}\n  {:<12} {}\n",
        host_name(),
        session.program,
        env!("CARGO_PKG_VERSION"),
        "broker",
        config.shown(Setting::Broker),
        "schedule",
        config.shown(Setting::Schedules),
    )
}
