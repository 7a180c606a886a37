//! What was applied to a SQLite database, and applying the rest.

use std::collections::BTreeMap;

use lovage_core::BackendError;
use sqlx::{Row, Sqlite, SqliteExecutor};

use crate::error::sql_error;
use crate::migrate::{Migration, plan};
use crate::sqlite::{SqliteDatabase, WriteTransaction};

/// Answers the steps that it applied.
pub(crate) async fn migrate(
    db: &SqliteDatabase,
    component: &str,
    steps: &'static [Migration],
) -> Result<Vec<&'static Migration>, BackendError> {
    if pending(db, component, steps).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = db.write_tx().await?;
    create_table(&mut tx).await?;
    // Read again under the write lock: another process may just have done it.
    let steps = plan(component, steps, &applied(&mut *tx, component).await?)?;
    for step in &steps {
        apply(&mut tx, component, step).await?;
    }
    tx.commit().await.map_err(|err| sql_error("commit the migration", err))?;
    Ok(steps)
}

pub(crate) async fn pending(
    db: &SqliteDatabase,
    component: &str,
    steps: &'static [Migration],
) -> Result<Vec<&'static Migration>, BackendError> {
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lovage_migration')",
    )
    .fetch_one(db.reader())
    .await
    .map_err(|err| sql_error("look for the table of migrations", err))?;
    let applied = match exists {
        true => applied(db.reader(), component).await?,
        false => BTreeMap::new(),
    };
    plan(component, steps, &applied)
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
