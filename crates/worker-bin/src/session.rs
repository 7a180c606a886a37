//! What every command has: the configuration, the tasks of this program, and the way to the backends.

use std::path::PathBuf;
use std::sync::Arc;

use lovage_broker_memory::{MemoryResults, MemorySchedules, MemoryStore};
use lovage_core::schedule::ScheduleStore;
use lovage_core::url::mask;
use lovage_core::{
    BackendError, Broker, Clock, Hidden, QueueName, RedactedArg, ResultStore, TaskDef, Timestamp, WorkerInfo,
};
use lovage_sql::Database;
use lovage_system::{SystemClock, host_name};
use lovage_worker::connect::open_results;
use lovage_worker::{Client, ClientBuilder, ClientErrorKind};

use crate::commands::schedule_place;
use crate::config::{Config, Setting};
use crate::error::CliError;
use crate::output::Out;
use crate::schedules::InCode;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Session {
    /// What the program is called.
    pub(crate) program: String,
    pub(crate) config: Config,
    pub(crate) tasks: Vec<TaskDef>,
    /// Entries of the schedule that this program declares.
    pub(crate) schedules: Vec<InCode>,
}

impl Session {
    /// Connects to broker and results.
    ///
    /// # Errors
    /// Names the settings that led there.
    pub(crate) async fn connect(&self) -> Result<Client, CliError> {
        self.connect_by(self.builder(), self.places()).await
    }

    /// The same, and to the outbox where there is one.
    pub(crate) async fn connect_with_outbox(&self) -> Result<Client, CliError> {
        match &self.config.outbox {
            Some(outbox) => {
                let places = format!("{}, {}", self.places(), self.outbox_place(outbox));
                self.connect_by(self.builder().outbox(outbox), places).await
            }
            None => self.connect_or_create().await,
        }
    }

    fn builder(&self) -> ClientBuilder {
        let config = &self.config;
        let mut builder = Client::builder(config.broker.clone()).routes(config.routes.clone());
        if let Some(results) = &config.results {
            builder = builder.results(results.clone());
        }
        builder
    }

    async fn connect_by(&self, builder: ClientBuilder, places: String) -> Result<Client, CliError> {
        builder.connect().await.map_err(|error| {
            let unreachable = matches!(error.kind(), ClientErrorKind::Unavailable { .. });
            let asks = error.to_string().contains("is it running");
            let todo = if unreachable && !asks { "is it running? " } else { "" };
            CliError::from(error).hint(format!("{todo}{places}"))
        })
    }

    /// The same for commands that change something: a note says so when a new, empty file is made for them.
    pub(crate) async fn connect_or_create(&self) -> Result<Client, CliError> {
        let missing = self.missing_file();
        let client = self.connect().await?;
        if let Some(path) = missing {
            let source = self.config.source(Setting::Broker);
            Out.note(format!(
                "note: {} did not exist, a new one is made (broker from {source})",
                path.display()
            ));
        }
        Ok(client)
    }

    /// The same for commands that only look: where the file of the broker does not exist they see an empty broker, and no
    /// file is made.
    pub(crate) async fn connect_to_look(&self) -> Result<Client, CliError> {
        match self.missing_file() {
            None => self.connect().await,
            Some(path) => {
                Out.note(format!("note: {} does not exist: {}", path.display(), self.places()));
                self.without_broker().await
            }
        }
    }

    /// The same, and to the outbox where there is one.
    pub(crate) async fn connect_to_look_with_outbox(&self) -> Result<Client, CliError> {
        match (&self.config.outbox, self.missing_file()) {
            (Some(_), None) => self.connect_with_outbox().await,
            (None, _) | (_, Some(_)) => self.connect_to_look().await,
        }
    }

    /// An empty broker in memory, with the results that there are.
    async fn without_broker(&self) -> Result<Client, CliError> {
        let clock = Arc::new(SystemClock::new());
        let there = |url: &&String| sqlite_file(url).is_none_or(|path| path.exists());
        let results: Arc<dyn ResultStore> = match self.config.results.as_ref().filter(there) {
            Some(url) => open_results(url)
                .await
                .map_err(|error| CliError::from(error).hint(self.place(Setting::Results)))?,
            None => Arc::new(MemoryResults::new(Arc::clone(&clock) as Arc<dyn Clock>)),
        };
        Ok(Client::new(MemoryStore::new(clock).handle(), Some(results)))
    }

    /// The file of the broker, where that is one and is not there yet: connecting makes it.
    pub(crate) fn missing_file(&self) -> Option<PathBuf> {
        sqlite_file(&self.config.broker).filter(|path| !path.exists())
    }

    /// Whether a schedule is named, or there already: a file beside a beat is made by the beat.
    pub(crate) fn has_schedules(&self) -> bool {
        let config = &self.config;
        let is_there = || sqlite_file(config.schedules_url()).is_some_and(|path| path.exists());
        !config.schedules_by_default_beside_the_beat() || is_there()
    }

    /// What tasks hide, as workers registered it and as this program declares it. Where the broker does not say, all is
    /// hidden.
    pub(crate) async fn hidden(&self, broker: &dyn Broker) -> Hidden {
        match broker.hidden().await {
            Ok(mut hidden) => {
                self.tasks.iter().for_each(|def| hidden.add(def.name, RedactedArg::of(def.params)));
                hidden
            }
            Err(error) => all_hidden(&error.into()),
        }
    }

    /// The same for commands that need no broker else: no file is made for them.
    pub(crate) async fn hidden_if_known(&self) -> Hidden {
        if let Some(path) = self.missing_file() {
            let error = CliError::failed(format!("{} does not exist", path.display()));
            return all_hidden(&error.hint(self.place(Setting::Broker)));
        }
        match self.connect().await {
            Ok(client) => self.hidden(&**client.broker()).await,
            Err(error) => all_hidden(&error),
        }
    }

    /// Opens the schedule. On SQLite its tables are made where they are missing.
    ///
    /// # Errors
    /// Names the setting that led there.
    pub(crate) async fn open_schedules(&self) -> Result<Arc<dyn ScheduleStore>, CliError> {
        let failed = |error: BackendError| CliError::from(error).hint(self.place(Setting::Schedules));
        let db = Database::connect(self.config.schedules_url()).await.map_err(failed)?;
        lovage_schedules_sql::open(db).await.map_err(failed)
    }

    /// The same for commands that look at entries or change those that there are: where the file does not exist they see
    /// an empty schedule, and no file is made.
    ///
    /// # Errors
    /// When a live beat of the broker keeps the schedule elsewhere and no setting names this place.
    pub(crate) async fn open_schedules_to_look(&self) -> Result<Arc<dyn ScheduleStore>, CliError> {
        self.check_schedule_place().await?;
        let Some(path) = sqlite_file(self.config.schedules_url()).filter(|path| !path.exists()) else {
            return self.open_schedules().await;
        };
        Out.note(format!("note: {} does not exist: {}", path.display(), self.place(Setting::Schedules)));
        Ok(Arc::new(MemorySchedules::new(Arc::new(SystemClock::new()))))
    }

    /// The same for commands that add entries: a note says so when a new file is made for them.
    ///
    /// # Errors
    /// As [`open_schedules_to_look`](Self::open_schedules_to_look).
    pub(crate) async fn open_schedules_to_add(&self) -> Result<Arc<dyn ScheduleStore>, CliError> {
        self.check_schedule_place().await?;
        let missing = sqlite_file(self.config.schedules_url()).filter(|path| !path.exists());
        let store = self.open_schedules().await?;
        if let Some(path) = missing {
            let place = self.place(Setting::Schedules);
            Out.note(format!("note: {} did not exist, a new one is made: {place}", path.display()));
        }
        Ok(store)
    }

    /// Where no setting names the schedule it is a file in this directory, and a beat that runs elsewhere has another one.
    async fn check_schedule_place(&self) -> Result<(), CliError> {
        if !self.config.schedules_by_default_beside_the_beat() {
            return Ok(());
        }
        let beats = async {
            let mut workers = self.connect().await?.broker().workers(None).await?;
            workers.retain(WorkerInfo::is_beat);
            Ok::<_, CliError>(workers)
        };
        let beats = beats.await.unwrap_or_else(|error| {
            let why = error.in_one_line();
            Out.note(format!("note: it is not known where live beats keep the schedule: {why}"));
            Vec::new()
        });
        let mine = schedule_place(self.config.schedules_url(), &host_name());
        let is_here = |beat: &WorkerInfo| beat.schedule.as_ref() == Some(&mine);
        let Some(beat) = beats.first().filter(|_| !beats.iter().any(is_here)) else { return Ok(()) };
        Err(CliError::failed(format!(
            "the live beat {} (process {}) keeps the schedule in {}, and this command would use {mine}: nothing was read or changed",
            beat.name,
            beat.pid,
            beat.schedule.as_deref().unwrap_or_default(),
        ))
        .hint("run the command in the directory of the beat, or name the store by --schedules or LOVAGE_SCHEDULES_URL"))
    }

    /// Where broker and results are and which settings say so, without secrets.
    pub(crate) fn places(&self) -> String {
        let broker = self.place(Setting::Broker);
        match self.config.results {
            Some(_) => format!("{broker}, {}", self.place(Setting::Results)),
            None => broker,
        }
    }

    fn outbox_place(&self, url: &str) -> String {
        format!("the outbox is {} (from {})", mask(url), self.config.source(Setting::Outbox))
    }

    /// The same of one of them.
    pub(crate) fn place(&self, setting: Setting) -> String {
        let config = &self.config;
        if let (Setting::Outbox, Some(outbox)) = (setting, &config.outbox) {
            return self.outbox_place(outbox);
        }
        if setting == Setting::Schedules {
            // Where nobody said where it is, the broker's URL did.
            let from = match &config.schedules {
                None if !config.schedules_by_default_beside_the_beat() => Setting::Broker,
                Some(_) | None => setting,
            };
            return format!("the schedule is {} (from {})", config.shown(setting), config.source(from));
        }
        let (what, url, setting) = match &config.results {
            Some(results) if setting == Setting::Results => ("the results are", results, setting),
            _ => ("the broker is", &config.broker, Setting::Broker),
        };
        format!("{what} {} (from {})", mask(url), config.source(setting))
    }
}

/// What is shown where nobody says what tasks hide.
fn all_hidden(error: &CliError) -> Hidden {
    Out.note(format!(
        "note: no arguments are shown, as it is not known which ones tasks hide: {}",
        error.in_one_line()
    ));
    Hidden::unknown()
}

/// The file of a SQLite URL, where it is written plainly.
pub(crate) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.contains('%')).then(|| PathBuf::from(path))
}

/// The time of day, for ages.
pub(crate) fn now() -> Timestamp {
    lovage_core::Clock::now(&SystemClock::new())
}

/// One queue, or all that there are.
pub(crate) async fn queues_of(client: &Client, only: Option<&QueueName>) -> Result<Vec<QueueName>, CliError> {
    match only {
        Some(queue) => Ok(vec![queue.clone()]),
        None => Ok(client.broker().queues().await?),
    }
}
