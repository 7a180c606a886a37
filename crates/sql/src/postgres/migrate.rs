//! What was applied to a PostgreSQL database, and applying the rest.

use std::collections::BTreeMap;

use lovage_core::{BackendError, BackendErrorKind};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::PgDatabase;
use crate::error::sql_error;
use crate::migrate::{Function, Migration, Migrations, Step, functions_checksum, plan};

/// Taken while migrating, so that processes do it one after another: "lovage" in ASCII.
const LOCK: i64 = 0x6c6f_7661_6765;

/// The row of `lovage_migration` with the checksum of all functions. Migrations begin at version 1.
const FUNCTIONS: u32 = 0;

/// Returns the steps that it applied.
pub(crate) async fn migrate(db: &PgDatabase, migrations: &Migrations) -> Result<Vec<Step>, BackendError> {
    if pending(db, migrations).await?.is_empty() {
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
        let current: Option<String> =
            sqlx::query_scalar("SELECT current_schema()").fetch_one(&mut *tx).await.map_err(fail)?;
        if current.as_deref() != Some(schema) {
            return Err(BackendError::new(
                BackendErrorKind::Config,
                format!(
                    "migrate: tables would be made in the schema {} instead of {schema}: give the user of the URL the right to \
                     use {schema}, and look for a pooler that does not pool by session",
                    current.as_deref().unwrap_or("(none)")
                ),
            ));
        }
    }
    create_table(&mut tx).await?;
    // Read again under the lock: another process may just have done it.
    let steps = missing(&mut tx, migrations).await?;
    for step in &steps {
        match step {
            Step::Migration(migration) => apply(&mut tx, migrations.component, migration).await?,
            Step::Functions(functions) => replace_functions(&mut tx, migrations.component, functions).await?,
        }
    }
    tx.commit().await.map_err(|error| sql_error("commit the migration", error))?;
    Ok(steps)
}

pub(crate) async fn pending(db: &PgDatabase, migrations: &Migrations) -> Result<Vec<Step>, BackendError> {
    const CONTEXT: &str = "look for the table of migrations";
    let mut connection = db.dedicated(CONTEXT).await?;
    let exists = sqlx::query_scalar("SELECT to_regclass('lovage_migration') IS NOT NULL");
    if db.in_time(CONTEXT, exists.fetch_one(&mut connection)).await? {
        let applied = applied(&mut connection, migrations.component);
        return steps(migrations, &db.in_time(CONTEXT, applied).await?);
    }
    steps(migrations, &BTreeMap::new())
}

async fn missing(connection: &mut PgConnection, migrations: &Migrations) -> Result<Vec<Step>, BackendError> {
    let applied = applied(connection, migrations.component).await;
    steps(migrations, &applied.map_err(|error| sql_error("read the applied migrations", error))?)
}

/// The steps that are missing where these versions are applied.
fn steps(migrations: &Migrations, applied: &BTreeMap<u32, String>) -> Result<Vec<Step>, BackendError> {
    let mut applied = applied.clone();
    let functions = applied.remove(&FUNCTIONS);
    let missing = plan(migrations.component, migrations.postgres, &applied)?;
    let mut steps: Vec<Step> = missing.into_iter().map(Step::Migration).collect();
    let current = functions_checksum(migrations.functions);
    if !migrations.functions.is_empty() && (!steps.is_empty() || functions != Some(current)) {
        steps.push(Step::Functions(migrations.functions));
    }
    Ok(steps)
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
) -> Result<BTreeMap<u32, String>, sqlx::Error> {
    let select = "SELECT version, checksum FROM lovage_migration WHERE component = $1";
    let rows = sqlx::query(select).bind(component).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u32::MAX), row.try_get(1)?)))
        .collect()
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

/// Creates or replaces all functions of a component.
async fn replace_functions(
    connection: &mut PgConnection,
    component: &str,
    functions: &[Function],
) -> Result<(), BackendError> {
    for function in functions {
        replace_function(connection, function)
            .await
            .map_err(|error| sql_error(&format!("create the function {}", function.name), error))?;
    }
    sqlx::query(
        "INSERT INTO lovage_migration (component, version, name, checksum) VALUES ($1, $2, 'functions', $3)
         ON CONFLICT (component, version) DO UPDATE SET checksum = excluded.checksum, applied_at = now()",
    )
    .bind(component)
    .bind(i32::try_from(FUNCTIONS).unwrap_or(0))
    .bind(functions_checksum(functions))
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| sql_error("record the functions", error))
}

/// Replaces one function. Grants survive unless its signature has changed.
async fn replace_function(connection: &mut PgConnection, function: &Function) -> Result<(), sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    match sqlx::raw_sql(function.sql).execute(&mut *savepoint).await {
        Ok(_) => savepoint.commit().await?,
        // PostgreSQL replaces no function whose result has other columns or whose parameters have other names.
        Err(error) if is_invalid_function(&error) => {
            savepoint.rollback().await?;
            drop_overloads(connection, function.name, None).await?;
            sqlx::raw_sql(function.sql).execute(&mut *connection).await?;
        }
        Err(error) => return Err(error),
    }
    // A changed list of parameters has made a second function beside the old one.
    let current = newest(connection, function.name).await?;
    drop_overloads(connection, function.name, Some(current)).await
}

fn is_invalid_function(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P13")
}

/// The function of this name that was written last: `xmin` of a replaced row is the transaction that replaced it.
async fn newest(connection: &mut PgConnection, name: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT oid::bigint FROM pg_proc WHERE proname = $1 AND pronamespace = current_schema()::regnamespace
         ORDER BY age(xmin), oid DESC LIMIT 1",
    )
    .bind(name)
    .fetch_one(connection)
    .await
}

async fn drop_overloads(
    connection: &mut PgConnection,
    name: &str,
    except: Option<i64>,
) -> Result<(), sqlx::Error> {
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regprocedure::text FROM pg_proc
         WHERE proname = $1 AND pronamespace = current_schema()::regnamespace AND oid::bigint IS DISTINCT FROM $2",
    )
    .bind(name)
    .bind(except)
    .fetch_all(&mut *connection)
    .await?;
    for signature in old {
        // The server wrote the name.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP FUNCTION {signature}")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
