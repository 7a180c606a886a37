//! Migrations: append-only steps that bring the tables of one component to the version that the program knows.

use std::collections::BTreeMap;
use std::fmt;

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
    /// The functions of the component in PostgreSQL, in the order of their creation. All of them are applied again when one
    /// has changed, so they are edited in place.
    pub functions: &'static [Function],
}

/// A function in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name. The component has one function of this name: overloads that an older program made are dropped.
    pub name: &'static str,
    /// `CREATE OR REPLACE FUNCTION`, and the triggers that call it.
    pub sql: &'static str,
}

/// One change that brings a database up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A migration.
    Migration(&'static Migration),
    /// All functions of the component.
    Functions(&'static [Function]),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration(migration) => write!(f, "migration {} ({})", migration.version, migration.name),
            Self::Functions(functions) => write!(f, "{} functions", functions.len()),
        }
    }
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
        checksum([self.sql])
    }
}

/// The checksum of the text of all functions.
#[cfg(feature = "postgres")]
pub(crate) fn functions_checksum(functions: &[Function]) -> String {
    checksum(functions.iter().map(|function| function.sql))
}

fn checksum<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let bytes = texts.into_iter().flat_map(str::bytes).filter(|byte| *byte != b'\r');
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Applies the steps that the database does not have yet: all or, where one fails, none. Safe to call at
/// every start and from several processes at once; where nothing is to be done nothing is written. Answers what it applied.
///
/// # Errors
/// `Config` where the database is newer than this program or an applied step was edited since; otherwise
/// what the database says.
pub async fn migrate(db: &Database, migrations: &Migrations) -> Result<Vec<Step>, BackendError> {
    let component = migrations.component;
    let applied = match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => steps(crate::sqlite::migrate(db, component, migrations.sqlite).await?),
        #[cfg(feature = "postgres")]
        Database::Postgres(db) => crate::postgres::migrate(db, migrations).await?,
    };
    for step in &applied {
        tracing::info!(component, "applied: {step}");
    }
    Ok(applied)
}

/// The steps that [`migrate`] would apply, in order; empty where the database is up to date. Writes nothing.
///
/// # Errors
/// Those of [`migrate`].
pub async fn pending(db: &Database, migrations: &Migrations) -> Result<Vec<Step>, BackendError> {
    match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => {
            Ok(steps(crate::sqlite::pending(db, migrations.component, migrations.sqlite).await?))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(db) => crate::postgres::pending(db, migrations).await,
    }
}

#[cfg(feature = "sqlite")]
fn steps(migrations: Vec<&'static Migration>) -> Vec<Step> {
    migrations.into_iter().map(Step::Migration).collect()
}

/// Decides what is to be applied, or why nothing may be.
pub(crate) fn plan(
    component: &str,
    steps: &'static [Migration],
    applied: &BTreeMap<u32, String>,
) -> Result<Vec<&'static Migration>, BackendError> {
    for step in steps {
        if let Some(found) = applied.get(&step.version).filter(|found| **found != step.checksum()) {
            return Err(edited(component, step, found));
        }
    }
    let known = steps.last().map_or(0, |step| step.version);
    if let Some((&found, _)) = applied.last_key_value().filter(|(version, _)| **version > known) {
        return Err(config(format!(
            "the {component} tables are at version {found} and this program knows versions up to {known}: \
             a newer Lovage has migrated this database; upgrade this program, or name another database"
        )));
    }
    Ok(steps.iter().filter(|step| !applied.contains_key(&step.version)).collect())
}

fn edited(component: &str, step: &Migration, found: &str) -> BackendError {
    let Migration { version, name, .. } = step;
    let expected = step.checksum();
    config(format!(
        "the {component} migration {version} ({name}) was applied with checksum {found} and this program has \
         {expected}: the database was created by another development build of Lovage; run that build, or name a new \
         database"
    ))
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}
