//! Migrations: append-only steps that bring the tables of one component to the version that the program knows.

use std::collections::BTreeMap;

use lovage_core::{BackendError, BackendErrorKind};

use crate::database::Database;

/// The steps of one component (`broker`, `results`). Components of one database know nothing of each other.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Names the component in the table of what was applied. Never changes.
    pub component: &'static str,
    /// On SQLite: in the order of their versions; only ever appended to.
    pub sqlite: &'static [Migration],
    /// The same on PostgreSQL.
    pub postgres: &'static [Migration],
}

/// One step. Once released it never changes: its checksum is kept in every database that it was applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// From 1, growing by one.
    pub version: u32,
    /// For people, as in `create_task`.
    pub name: &'static str,
    /// One or more statements. They run inside a transaction, so no `PRAGMA`, `VACUUM` or `BEGIN`.
    pub sql: &'static str,
}

impl Migration {
    /// FNV-1a of the text, so that an edited step is noticed; it guards against mistakes, not attacks.
    /// Carriage returns do not count: a checkout on Windows adds them.
    pub(crate) fn checksum(&self) -> String {
        let hash =
            self.sql.bytes().filter(|byte| *byte != b'\r').fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

/// Applies the steps that the database does not have yet: all or, where one fails, none. Safe to call at
/// every start and from several processes at once; where nothing is to be done nothing is written. Answers what it applied.
///
/// # Errors
/// `Config` where the database is newer than this program or an applied step was edited since; otherwise
/// what the database says.
pub async fn migrate(
    db: &Database,
    migrations: &Migrations,
) -> Result<Vec<&'static Migration>, BackendError> {
    let component = migrations.component;
    let applied = match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => crate::sqlite::migrate(db, component, migrations.sqlite).await?,
        #[cfg(feature = "postgres")]
        Database::Postgres(db) => crate::postgres::migrate(db, component, migrations.postgres).await?,
    };
    for step in &applied {
        tracing::info!(component, version = step.version, name = step.name, "migration applied");
    }
    Ok(applied)
}

/// The steps that [`migrate`] would apply, in order; empty where the database is up to date. Writes nothing.
///
/// # Errors
/// Those of [`migrate`].
pub async fn pending(
    db: &Database,
    migrations: &Migrations,
) -> Result<Vec<&'static Migration>, BackendError> {
    let component = migrations.component;
    match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => crate::sqlite::pending(db, component, migrations.sqlite).await,
        #[cfg(feature = "postgres")]
        Database::Postgres(db) => crate::postgres::pending(db, component, migrations.postgres).await,
    }
}

/// Decides what is to be applied, or why nothing may be.
pub(crate) fn plan(
    component: &str,
    steps: &'static [Migration],
    applied: &BTreeMap<u32, String>,
) -> Result<Vec<&'static Migration>, BackendError> {
    let known = steps.last().map_or(0, |step| step.version);
    if let Some((&found, _)) = applied.last_key_value().filter(|(version, _)| **version > known) {
        return Err(config(format!(
            "the {component} tables are at version {found} and this program knows versions up to {known}: \
             a newer Lovage has migrated this database; upgrade this program, or name another database"
        )));
    }
    let mut missing = Vec::new();
    for step in steps {
        match applied.get(&step.version) {
            None => missing.push(step),
            Some(found) if *found == step.checksum() => {}
            Some(found) => return Err(edited(component, step, found)),
        }
    }
    Ok(missing)
}

fn edited(component: &str, step: &Migration, found: &str) -> BackendError {
    let Migration { version, name, .. } = step;
    let expected = step.checksum();
    config(format!(
        "the {component} migration {version} ({name}) was applied with checksum {found} and this program has \
         {expected}: run the Lovage build that created the database, or name another database"
    ))
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}
