//! Functions in PostgreSQL are replaced when their text changes, whatever has changed in it.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use lovage_sql::{Database, Function, Migration, Migrations, Step, migrate, pending};
use sqlx::PgConnection;

const TABLE: Migration = Migration { version: 1, name: "table", sql: "CREATE TABLE lovage_one (x integer)" };
const OLD: &[Function] = &[Function {
    name: "lovage_add",
    sql: "CREATE OR REPLACE FUNCTION lovage_add(a integer) RETURNS integer LANGUAGE sql AS 'SELECT a + 1'",
}];
const OTHER_BODY: &[Function] = &[Function {
    name: "lovage_add",
    sql: "CREATE OR REPLACE FUNCTION lovage_add(a integer) RETURNS integer LANGUAGE sql AS 'SELECT a + 2'",
}];
const OTHER_PARAMETERS: &[Function] = &[Function {
    name: "lovage_add",
    sql: "CREATE OR REPLACE FUNCTION lovage_add(a integer, b integer DEFAULT 3) RETURNS integer LANGUAGE sql
          AS 'SELECT a + b'",
}];
const OTHER_RESULT: &[Function] = &[Function {
    name: "lovage_add",
    sql: "CREATE OR REPLACE FUNCTION lovage_add(a integer, b integer DEFAULT 4) RETURNS bigint LANGUAGE sql
          AS 'SELECT (a + b)::bigint'",
}];

const fn with(functions: &'static [Function]) -> Migrations {
    Migrations { component: "test", sqlite: &[], postgres: &[TABLE], functions }
}

/// A database with an empty schema, and a connection that uses this schema.
async fn fixture() -> (Database, PgConnection) {
    let db = PgDatabase::connect(&fresh_url().unwrap()).await.unwrap();
    assert_eq!(
        migrate(&db.clone().into(), &with(OLD)).await.unwrap(),
        [Step::Migration(&TABLE), Step::Functions(OLD)]
    );
    let raw = db.dedicated("test").await.unwrap();
    (db.into(), raw)
}

#[tokio::test]
async fn changed_functions_replace_the_old_ones() {
    let (db, mut raw) = fixture().await;
    assert!(pending(&db, &with(OLD)).await.unwrap().is_empty());
    for (functions, expected) in [(OTHER_BODY, 12), (OTHER_PARAMETERS, 13), (OTHER_RESULT, 14), (OLD, 11)] {
        assert_eq!(pending(&db, &with(functions)).await.unwrap(), [Step::Functions(functions)]);
        migrate(&db, &with(functions)).await.unwrap();
        let found: i64 =
            sqlx::query_scalar("SELECT lovage_add(10)::bigint").fetch_one(&mut raw).await.unwrap();
        assert_eq!(found, expected);
        let overloads: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_proc WHERE proname = 'lovage_add'
             AND pronamespace = current_schema()::regnamespace",
        )
        .fetch_one(&mut raw)
        .await
        .unwrap();
        assert_eq!(overloads, 1);
    }
}

#[tokio::test]
async fn grants_survive_a_changed_body() {
    let (db, mut raw) = fixture().await;
    sqlx::raw_sql("REVOKE ALL ON FUNCTION lovage_add(integer) FROM PUBLIC").execute(&mut raw).await.unwrap();
    migrate(&db, &with(OTHER_BODY)).await.unwrap();
    let public: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_proc, aclexplode(proacl) AS a
         WHERE proname = 'lovage_add' AND pronamespace = current_schema()::regnamespace AND a.grantee = 0)",
    )
    .fetch_one(&mut raw)
    .await
    .unwrap();
    assert!(!public);
}
