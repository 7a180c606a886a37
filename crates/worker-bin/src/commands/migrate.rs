//! `migrate`: the tables of SQL databases.

use std::process::ExitCode;

use lovage_sql::{Database, Migrations};

use crate::cli::Migrate;
use crate::config::mask_url;
use crate::error::CliError;
use crate::output::Out;
use crate::session::{Session, sqlite_file};

/// `lovage migrate`.
pub(crate) async fn migrate(session: &Session, args: &Migrate) -> Result<ExitCode, CliError> {
    let config = &session.config;
    let mut to_do = false;
    for (what, url, migrations) in [
        ("broker", config.broker.as_str(), &lovage_broker_sql::MIGRATIONS),
        ("results", config.results_url(), &lovage_results_sql::MIGRATIONS),
    ] {
        let place = format!("{what} {}", mask_url(url));
        if !url.starts_with("sqlite://") {
            Out.line(format!("{place}: has no tables"))?;
        } else if args.check {
            to_do |= check(&place, url, migrations).await?;
        } else {
            let db = Database::connect(url).await?;
            let pending = lovage_sql::pending(&db, migrations).await?.len();
            lovage_sql::migrate(&db, migrations).await?;
            Out.line(format!(
                "{place}: {}",
                if pending == 0 { "is up to date" } else { "was brought up to date" }
            ))?;
        }
    }
    Ok(if to_do { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether something is to be done. Makes no file.
async fn check(place: &str, url: &str, migrations: &'static Migrations) -> Result<bool, CliError> {
    if sqlite_file(url).is_some_and(|path| !path.exists()) {
        Out.line(format!("{place}: does not exist yet"))?;
        return Ok(true);
    }
    let db = Database::connect(url).await?;
    let pending = lovage_sql::pending(&db, migrations).await?;
    if pending.is_empty() {
        Out.line(format!("{place}: is up to date"))?;
        return Ok(false);
    }
    for step in &pending {
        Out.line(format!("{place}: step {} ({}) is to be done", step.version, step.name))?;
    }
    Ok(true)
}
