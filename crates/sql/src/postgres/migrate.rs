//! What was applied to a PostgreSQL database, and applying the rest.

use std::collections::BTreeMap;

use lovage_core::BackendError;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::PgDatabase;
use crate::error::sql_error;
use crate::migrate::{Migration, plan};

/// Taken while migrating, so that processes do it one after another: "lovage" in ASCII.
const LOCK: i64 = 0x6c6f_7661_6765;

/// Answers the steps that it applied.
pub(crate) async fn migrate(
    db: &PgDatabase,
    component: &str,
    steps: &'static [Migration],
) -> Result<Vec<&'static Migration>, BackendError> {
    if pending(db, component, steps).await?.is_empty() {
        return Ok(Vec::new());
    }
    const CONTEXT: &str = "migrate";
    let fail = |error| sql_error(CONTEXT, error);
    let mut connection = db.dedicated(CONTEXT).await?;
    let mut tx = connection.begin().await.map_err(fail)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await.map_err(fail)?;
    if let Some(schema) = db.schema() {
        // The name was checked when the URL was read.
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        sqlx::raw_sql(create).execute(&mut *tx).await.map_err(fail)?;
    }
    create_table(&mut tx).await?;
    // Read again under the lock: another process may just have done it.
    let steps = plan(component, steps, &applied(&mut tx, component).await?)?;
    for step in &steps {
        apply(&mut tx, component, step).await?;
    }
    tx.commit().await.map_err(|error| sql_error("commit the migration", error))?;
    Ok(steps)
}

pub(crate) async fn pending(
    db: &PgDatabase,
    component: &str,
    steps: &'static [Migration],
) -> Result<Vec<&'static Migration>, BackendError> {
    const CONTEXT: &str = "look for the table of migrations";
    let mut connection = db.dedicated(CONTEXT).await?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('lovage_migration') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    let applied = if exists { applied(&mut connection, component).await? } else { BTreeMap::new() };
    plan(component, steps, &applied)
}

async fn create_table(connection: &mut PgConnection) -> Result<(), BackendError> {
    let create = "CREATE TABLE IF NOT EXISTS lovage_migration (
        component text NOT NULL,
        version integer NOT NULL,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (component, version)
    )";
    let created = sqlx::query(create).execute(connection).await;
    created.map(drop).map_err(|error| sql_error("create the table of migrations", error))
}

/// Version -> checksum of what the database has.
async fn applied(
    connection: &mut PgConnection,
    component: &str,
) -> Result<BTreeMap<u32, String>, BackendError> {
    let select = "SELECT version, checksum FROM lovage_migration WHERE component = $1";
    let read: Result<_, sqlx::Error> = async {
        let rows = sqlx::query(select).bind(component).fetch_all(connection).await?;
        rows.iter()
            .map(|row| Ok((u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u32::MAX), row.try_get(1)?)))
            .collect()
    }
    .await;
    read.map_err(|error| sql_error("read the applied migrations", error))
}

async fn apply(connection: &mut PgConnection, component: &str, step: &Migration) -> Result<(), BackendError> {
    let Migration { version, name, sql } = step;
    let failed = |error| sql_error(&format!("apply the {component} migration {version} ({name})"), error);
    sqlx::raw_sql(*sql).execute(&mut *connection).await.map_err(failed)?;
    sqlx::query("INSERT INTO lovage_migration (component, version, name, checksum) VALUES ($1, $2, $3, $4)")
        .bind(component)
        .bind(i32::try_from(*version).unwrap_or(i32::MAX))
        .bind(name)
        .bind(step.checksum())
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}
