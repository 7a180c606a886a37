//! `migrate`: the tables of SQL databases.

use std::process::ExitCode;

use lovage_core::BackendError;
use lovage_core::url::mask;
use lovage_sql::{Database, Migrations};
use lovage_worker::connect::sends_directly;

use crate::cli::Migrate;
use crate::config::{Setting, is_sql};
use crate::error::CliError;
use crate::output::Out;
use crate::session::{Session, sqlite_file};

/// `lovage migrate`.
pub(crate) async fn migrate(session: &Session, args: &Migrate) -> Result<ExitCode, CliError> {
    let mut to_do = false;
    for part in parts(session) {
        if !is_sql(part.url) {
            Out.line(format!("{part}: has no tables"))?;
        } else if args.check {
            to_do |= part.check(session).await?;
        } else {
            part.apply(session).await?;
        }
    }
    Ok(if to_do { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `--migrate` of a worker or a beat: the same for these before it starts, which logs what it did.
pub(crate) async fn migrate_first(session: &Session, which: &[Setting]) -> Result<(), CliError> {
    for part in parts(session) {
        if which.contains(&part.setting) && is_sql(part.url) {
            let db = part.open(session).await?;
            let applied = lovage_sql::migrate(&db, part.migrations).await;
            applied.map_err(|error| part.failed(session, error))?;
        }
    }
    Ok(())
}

/// What keeps tables of its own.
struct Part<'a> {
    setting: Setting,
    url: &'a str,
    migrations: &'static Migrations,
}

fn parts(session: &Session) -> Vec<Part<'_>> {
    let config = &session.config;
    let broker = Part {
        setting: Setting::Broker,
        url: config.broker.as_str(),
        migrations: &lovage_broker_sql::MIGRATIONS,
    };
    let results = Part {
        setting: Setting::Results,
        url: config.results_url(),
        migrations: &lovage_results_sql::MIGRATIONS,
    };
    let outbox = config
        .outbox
        .as_deref()
        .filter(|url| !sends_directly(&config.broker, url))
        .map(|url| Part { setting: Setting::Outbox, url, migrations: &lovage_outbox_sql::MIGRATIONS });
    let schedules = session.has_schedules().then(|| Part {
        setting: Setting::Schedules,
        url: config.schedules_url(),
        migrations: &lovage_schedules_sql::MIGRATIONS,
    });
    [broker, results].into_iter().chain(schedules).chain(outbox).collect()
}

impl Part<'_> {
    async fn apply(&self, session: &Session) -> Result<(), CliError> {
        let db = self.open(session).await?;
        let applied = lovage_sql::migrate(&db, self.migrations).await;
        let applied = applied.map_err(|error| self.failed(session, error))?;
        if applied.is_empty() {
            return Out.line(format!("{self}: is up to date"));
        }
        applied.iter().try_for_each(|step| Out.line(format!("{self}: applied {step}")))
    }

    /// Whether something is to be done. Makes no file.
    async fn check(&self, session: &Session) -> Result<bool, CliError> {
        if sqlite_file(self.url).is_some_and(|path| !path.exists()) {
            Out.line(format!("{self}: does not exist yet"))?;
            return Ok(true);
        }
        let db = self.open(session).await?;
        let pending = lovage_sql::pending(&db, self.migrations).await;
        let pending = pending.map_err(|error| self.failed(session, error))?;
        if pending.is_empty() {
            Out.line(format!("{self}: is up to date"))?;
            return Ok(false);
        }
        for step in &pending {
            Out.line(format!("{self}: {step} to apply"))?;
        }
        Ok(true)
    }

    async fn open(&self, session: &Session) -> Result<Database, CliError> {
        Database::connect(self.url).await.map_err(|error| self.failed(session, error))
    }

    fn failed(&self, session: &Session, error: BackendError) -> CliError {
        CliError::from(error).hint(session.place(self.setting))
    }
}

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.migrations.component, mask(self.url))
    }
}
