//! Migrations: append-only steps that bring the tables of one component to the version that the program knows.

use std::collections::BTreeMap;

use lovage_core::{BackendError, BackendErrorKind};
use sqlx::{Row, Sqlite, SqliteExecutor};

use crate::database::{Database, WriteTransaction};
use crate::error::sql_error;

/// The steps of one component (`broker`, `results`). Components of one database know nothing of each other.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Names the component in the table of what was applied. Never changes.
    pub component: &'static str,
    /// In the order of their versions; only ever appended to.
    pub steps: &'static [Migration],
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
    fn checksum(&self) -> String {
        let hash =
            self.sql.bytes().filter(|byte| *byte != b'\r').fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

/// Applies the steps that the database does not have yet: all or, where one fails, none. Safe to call at
/// every start and from several processes at once; where nothing is to be done nothing is written.
///
/// # Errors
/// `Config` where the database is newer than this program or an applied step was edited since; otherwise
/// what the database says.
pub async fn migrate(db: &Database, migrations: &Migrations) -> Result<(), BackendError> {
    if pending(db, migrations).await?.is_empty() {
        return Ok(());
    }
    let mut tx = db.write_tx().await?;
    create_table(&mut tx).await?;
    // Read again under the write lock: another process may just have done it.
    let steps = plan(migrations, &applied(&mut *tx, migrations.component).await?)?;
    for step in &steps {
        apply(&mut tx, migrations.component, step).await?;
    }
    tx.commit().await.map_err(|err| sql_error("commit the migration", err))?;
    for step in steps {
        let component = migrations.component;
        tracing::info!(component, version = step.version, name = step.name, "migration applied");
    }
    Ok(())
}

/// The steps that [`migrate`] would apply, in order; empty where the database is up to date. Writes nothing.
///
/// # Errors
/// Those of [`migrate`].
pub async fn pending(
    db: &Database,
    migrations: &Migrations,
) -> Result<Vec<&'static Migration>, BackendError> {
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lovage_migration')",
    )
    .fetch_one(db.reader())
    .await
    .map_err(|err| sql_error("look for the table of migrations", err))?;
    let applied = match exists {
        true => applied(db.reader(), migrations.component).await?,
        false => BTreeMap::new(),
    };
    plan(migrations, &applied)
}

async fn create_table(tx: &mut WriteTransaction) -> Result<(), BackendError> {
    let create = "CREATE TABLE IF NOT EXISTS lovage_migration (
        component TEXT NOT NULL,
        version INTEGER NOT NULL,
        name TEXT NOT NULL,
        checksum TEXT NOT NULL,
        applied_at INTEGER NOT NULL, -- milliseconds since 1970
        PRIMARY KEY (component, version)
    ) STRICT, WITHOUT ROWID";
    let created = sqlx::query(create).execute(&mut **tx).await;
    created.map(drop).map_err(|err| sql_error("create the table of migrations", err))
}

/// Version -> checksum of what the database has.
async fn applied(
    executor: impl SqliteExecutor<'_>,
    component: &str,
) -> Result<BTreeMap<u32, String>, BackendError> {
    let select = "SELECT version, checksum FROM lovage_migration WHERE component = ?";
    let read: Result<_, sqlx::Error> = async {
        let rows = sqlx::query::<Sqlite>(select).bind(component).fetch_all(executor).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
    .await;
    read.map_err(|err| sql_error("read the applied migrations", err))
}

/// Decides what is to be applied, or why nothing may be.
fn plan(
    migrations: &Migrations,
    applied: &BTreeMap<u32, String>,
) -> Result<Vec<&'static Migration>, BackendError> {
    let Migrations { component, steps } = migrations;
    let known = steps.last().map_or(0, |step| step.version);
    if let Some((&found, _)) = applied.last_key_value().filter(|(version, _)| **version > known) {
        return Err(config(format!(
            "the {component} tables are at version {found} and this program knows versions up to {known}: \
             a newer Lovage has migrated this database; upgrade this program, or name another database"
        )));
    }
    let mut missing = Vec::new();
    for step in *steps {
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

async fn apply(tx: &mut WriteTransaction, component: &str, step: &Migration) -> Result<(), BackendError> {
    let Migration { version, name, sql } = step;
    let failed = |err| sql_error(&format!("apply the {component} migration {version} ({name})"), err);
    sqlx::raw_sql(*sql).execute(&mut **tx).await.map_err(failed)?;
    sqlx::query(
        "INSERT INTO lovage_migration (component, version, name, checksum, applied_at)
         VALUES (?, ?, ?, ?, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
    )
    .bind(component)
    .bind(version)
    .bind(name)
    .bind(step.checksum())
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(failed)
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}
