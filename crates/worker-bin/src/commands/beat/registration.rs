//! A beat in the broker's registry: others see that it is there, and where it keeps its schedule.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::schedule::Identity;
use lovage_core::url::{Url, mask};
use lovage_core::{Broker, Clock as _, Hint, ScheduleHome, WorkerCommand, WorkerId, WorkerInfo, WorkerMode};
use lovage_system::{SystemClock, SystemEntropy, host_name};

use crate::config::Setting;
use crate::error::CliError;
use crate::session::{Session, now, sqlite_file};

/// One that was killed is forgotten after this time, and half a minute after its end everybody can know.
const TTL: Duration = Duration::from_secs(20);
const LEAVING: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(5);
/// How a store in a local file begins.
const FILE: &str = "file ";

/// A beat that is registered.
#[derive(Debug)]
pub(super) struct Registration {
    broker: Arc<dyn Broker>,
    info: WorkerInfo,
}

impl Registration {
    /// Registers this beat, unless another one has a store that this one's is a copy of, or unless another one of the same broker has its schedule in another place and one of the two is a
    /// local file: neither would see what is changed in the other's.
    ///
    /// # Errors
    /// Names both places, and the setting.
    pub(super) async fn enter(
        session: &Session,
        broker: Arc<dyn Broker>,
        identity: &Identity,
    ) -> Result<Self, CliError> {
        let registration = Self { broker, info: info(session, identity) };
        // Whoever registers first and then looks sees the other one, whoever was first.
        registration.beat().await?;
        let others = registration.broker.workers(None).await?;
        let older = || others.iter().filter(|other| registration.is_younger_than(other));
        let refusal = if let Some(original) = older().find(|other| registration.has_copy_of(other)) {
            registration.copy_refusal(session, original)
        } else if let Some(other) = older().find(|other| registration.is_elsewhere(other)) {
            registration.refusal(session, other)
        } else {
            return Ok(registration);
        };
        registration.leave().await;
        Err(refusal)
    }

    /// Stays registered until somebody tells it to stop.
    pub(super) async fn keep(&self) {
        let clock = SystemClock::new();
        loop {
            tokio::select! {
                () = clock.sleep(AGAIN) => {}
                () = self.told() => {}
            }
            match self.beat().await {
                Ok(true) => return,
                Ok(false) => {}
                // The scheduler says so, too.
                Err(error) => tracing::debug!("the beat is not registered now: {error}"),
            }
        }
    }

    pub(super) async fn leave(self) {
        // Nobody waits for a broker that is away.
        tokio::select! {
            left = self.broker.sign_off(self.info.id) => {
                if let Err(error) = left {
                    tracing::debug!("the beat is forgotten only after a while: {error}");
                }
            }
            () = SystemClock::new().sleep(LEAVING) => {}
        }
    }

    /// Answers whether it was told to stop.
    async fn beat(&self) -> Result<bool, lovage_core::BackendError> {
        let info = WorkerInfo { memory: SystemClock::new().usage().memory, ..self.info.clone() };
        let answer = self.broker.heartbeat(&info, TTL, None).await?;
        Ok(answer.commands.iter().any(|command| matches!(command, WorkerCommand::Shutdown { .. })))
    }

    async fn told(&self) {
        while self.broker.hint().await != Hint::Command {}
    }

    fn is_younger_than(&self, other: &WorkerInfo) -> bool {
        (other.started_at, other.id) < (self.info.started_at, self.info.id)
    }

    /// Whether the other beat has its schedule elsewhere and one of the two is a local file.
    fn is_elsewhere(&self, other: &WorkerInfo) -> bool {
        let (Some(mine), Some(theirs)) = (&self.info.schedule, &other.schedule) else { return false };
        mine != theirs && (mine.starts_with(FILE) || theirs.starts_with(FILE))
    }

    /// Whether the two stores have one identity and are not the same: then each slot would go to one of the two at random.
    fn has_copy_of(&self, other: &WorkerInfo) -> bool {
        let (Some(mine), Some(theirs)) = (&self.info.schedule_store, &other.schedule_store) else {
            return false;
        };
        mine.store == theirs.store && mine.place != theirs.place
    }

    fn copy_refusal(&self, session: &Session, other: &WorkerInfo) -> CliError {
        let place = |info: &WorkerInfo| info.schedule.clone().unwrap_or_default();
        let id = self.info.schedule_store.as_ref().map_or("", |home| &home.store);
        CliError::failed(format!(
            "the schedule store {} is a copy of {}, which another beat, {} (process {}), uses on this broker: both have the identity {id}, so that each slot would fire from one of them only",
            place(&self.info),
            place(other),
            other.name,
            other.pid,
        ))
        .hint(format!(
            "use one store for all beats of this schedule; a copy that is to be a schedule of its own gets another identity by `DELETE FROM lovage_schedule_store; INSERT INTO lovage_schedule_store (id) VALUES (gen_random_uuid())` (SQLite: randomblob(16)); {}; a beat that was killed is forgotten after 20 s",
            session.place(Setting::Schedules)
        ))
    }

    fn refusal(&self, session: &Session, other: &WorkerInfo) -> CliError {
        let place = |info: &WorkerInfo| info.schedule.clone().unwrap_or_default();
        CliError::failed(format!(
            "another beat, {} (process {}), keeps the schedule of this broker in {}, and this one would in {}: neither would see what is changed in the other's",
            other.name,
            other.pid,
            place(other),
            place(&self.info)
        ))
        .hint(format!(
            "name one PostgreSQL for all beats by LOVAGE_SCHEDULES_URL, --schedules or `schedules_url` in lovage.toml; {}; a beat that was killed is forgotten after 20 s",
            session.place(Setting::Schedules)
        ))
    }
}

fn info(session: &Session, identity: &Identity) -> WorkerInfo {
    let host = host_name();
    let schedule = place(session.config.schedules_url(), &host);
    // A file is known by its path, a database by what it says of itself.
    let home = if identity.place.is_empty() { schedule.clone() } else { identity.place.clone() };
    WorkerInfo {
        id: WorkerId::new(&SystemEntropy),
        name: format!("beat@{host}"),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: now(),
        seen_at: now(),
        mode: WorkerMode::Running,
        queues: Vec::new(),
        concurrency: 0,
        blocking: 0,
        tasks: Vec::new(),
        active: Vec::new(),
        reserved: 0,
        succeeded: 0,
        failed: 0,
        schedule: Some(schedule),
        schedule_store: Some(ScheduleHome { store: identity.id.to_string(), place: home }),
        memory: None,
        cpu: None,
        refused: None,
        stuck_since: None,
        unrunnable: Vec::new(),
        abandoned: Vec::new(),
        host,
    }
}

/// The same text for the same place. A file is one of a host; two containers may have one name and one path.
pub(crate) fn place(url: &str, host: &str) -> String {
    let Some(path) = sqlite_file(url) else {
        if url.starts_with("sqlite:") {
            return format!("{FILE}{url} on {host}");
        }
        let schema = Url::split(url).ok().and_then(|url| {
            url.options().find(|(name, _)| *name == "schema").map(|(_, schema)| format!(" (schema {schema})"))
        });
        return format!("{}{}", mask(url), schema.unwrap_or_default());
    };
    let path = path.canonicalize().unwrap_or(path);
    format!("{FILE}{} on {host}{}", path.display(), number(&path))
}

/// The number of a file, which tells those of two containers apart.
#[cfg(unix)]
fn number(path: &std::path::Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().map_or_else(|_| String::new(), |file| format!(" (number {})", file.ino()))
}

#[cfg(not(unix))]
fn number(_path: &std::path::Path) -> String {
    String::new()
}
