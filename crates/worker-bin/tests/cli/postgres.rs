//! PostgreSQL: making its tables, and what is said when it cannot be used.

use lovage_conformance::documented;
use lovage_sql::postgres::PgDatabase;
use lovage_sql::postgres::testing::{self, PgServer};

use crate::UNKNOWN;
use crate::support::Bed;

const MIGRATE: &str = "run `lovage migrate` with the same URL";

/// An empty schema as the broker.
fn empty() -> Bed {
    Bed::new().with("LOVAGE_BROKER_URL", &testing::fresh_url().unwrap())
}

#[test]
fn migrate_makes_the_tables_once() {
    let bed = empty();
    let check = bed.run(&["migrate", "--check"]);
    assert_eq!(check.code, 1);
    for part in ["migration 1 (tables) to apply", "migration 1 (results) to apply"] {
        assert!(check.stdout.contains(part), "{}", check.stdout);
    }
    let done = bed.ok(&["migrate"]);
    assert!(
        done.lines()
            .any(|line| line.starts_with("broker postgres://")
                && line.ends_with("applied migration 1 (tables)")),
        "{done}"
    );
    assert!(
        done.lines()
            .any(|line| line.starts_with("results postgres://")
                && line.ends_with("applied migration 1 (results)")),
        "{done}"
    );
    for again in [&["migrate"][..], &["migrate", "--check"]] {
        let again = bed.ok(again);
        assert!(
            again.lines().count() == 3 && again.lines().all(|line| line.ends_with(": is up to date")),
            "{again}"
        );
    }
    bed.ok(&["report"]);
}

#[test]
fn without_tables_everything_says_migrate() {
    let bed = empty();
    for args in [&["worker"][..], &["call", "add"], &["status"], &["explain", UNKNOWN], &["report"]] {
        let done = bed.run(args);
        let said = done.stdout + &done.stderr;
        assert!(done.code == 1 && said.contains(MIGRATE), "{args:?}: {said}");
        assert!(
            said.contains("the tables of the broker") && said.contains("LOVAGE_BROKER_URL"),
            "{args:?}: {said}"
        );
    }
    let results = testing::fresh_url().unwrap();
    let error = Bed::new().with("LOVAGE_RESULTS_URL", &results).fails(1, &["result", UNKNOWN]);
    assert!(error.contains("the tables of the results") && error.contains(MIGRATE), "{error}");
}

#[test]
fn a_worker_makes_the_tables_when_it_is_told_to() {
    let bed = empty();
    assert_eq!(bed.run(&["worker", "--burst", "--migrate"]).code, 0);
    let id = bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    assert_eq!(bed.run(&["worker", "--burst", "--migrate"]).code, 0);
    assert_eq!(bed.ok(&["result", &id]), "4");
}

#[test]
fn results_may_be_there_alone() {
    let bed = Bed::new().with("LOVAGE_RESULTS_URL", &testing::fresh_url().unwrap());
    assert!(bed.ok(&["migrate"]).contains("broker sqlite://lovage.db: applied migration 1"));
    let id = bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    assert_eq!(bed.run(&["worker", "--burst"]).code, 0);
    assert_eq!(bed.ok(&["result", &id]), "4");
}

#[test]
fn what_cannot_be_used_says_what_to_do_and_no_password() {
    let server = PgServer::start().unwrap();
    let url = |user: &str, database: &str| {
        let host = server.url().split_once('@').unwrap().1.split_once('/').unwrap().0;
        format!("postgres://{user}@{host}/{database}")
    };
    run_sql(
        server.url(),
        &[
            "CREATE ROLE reader LOGIN PASSWORD 'hunter2'",
            "ALTER ROLE reader SET default_transaction_read_only = on",
            "CREATE ROLE nobody LOGIN PASSWORD 'hunter2'",
        ],
    );
    Bed::new().ok(&["migrate", "--broker", server.url()]);
    run_sql(
        server.url(),
        &[
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
            "ALTER ROLE lovage PASSWORD 'hunter2'",
            // From now on passwords are asked for.
            "DO $$ BEGIN EXECUTE format('COPY (SELECT %L) TO %L', 'host all all all scram-sha-256', current_setting('hba_file')); END $$",
            "SELECT pg_reload_conf()",
        ],
    );
    for (url, parts) in [
        (
            "postgres://me:hunter2@127.0.0.1:1/db".to_owned(),
            &["cannot be reached", "are host and port right?"][..],
        ),
        (
            "postgres://me:hunter2@db.invalid/db".to_owned(),
            &["cannot be reached", "are host and port right?"],
        ),
        (url("lovage:hunter3", "postgres"), &["password authentication failed", "check user and password"]),
        (url("nobody:hunter2", "postgres"), &["permission denied", "GRANT"]),
        (url("lovage:hunter2", "other"), &["\"other\" does not exist", "createdb"]),
        (url("reader:hunter2", "postgres"), &["read-only", "this user may only read"]),
        (
            url("lovage:hunter2", "postgres?scheme=a"),
            &["an option `scheme` that is not known (did you mean `schema`?)"],
        ),
        (url("lovage:hunter2", "postgres?connections=0"), &["expected a number from 1 to 100"]),
        (url("lovage:hunter2", "postgres?sslmode=require"), &["TLS"]),
    ] {
        refused(&url, 1, parts);
    }
    for (url, text) in [
        (
            url("lovage:hunter3", "postgres"),
            "connect to PostgreSQL: password authentication failed for user \"…\" (code 28P01); check user and password in the URL, and the server's pg_hba.conf",
        ),
        (
            url("nobody:hunter2", "postgres"),
            "…: permission denied for … (code 42501); give this user the right (GRANT) or use another one",
        ),
        (
            url("lovage:hunter2", "other"),
            "connect to PostgreSQL: database \"…\" does not exist (code 3D000); make the database (createdb) or name another one",
        ),
    ] {
        // At once, also by a worker.
        let error = Bed::new().with("LOVAGE_BROKER_URL", &url).fails(1, &["worker"]);
        documented(text, error.lines().next().unwrap().strip_prefix("error: ").unwrap());
    }
    for scheme in ["postgress", "pg", "mysql"] {
        let url = url("lovage:hunter2", "postgres").replace("postgres://", &format!("{scheme}://"));
        refused(&url, 2, &["is not a URL that Lovage knows", "or postgres://user:password@host/database"]);
    }
}

fn refused(url: &str, code: i32, parts: &[&str]) {
    let bed = Bed::new().with("LOVAGE_BROKER_URL", url);
    let error = bed.fails(code, &["call", "movies.tasks.add", "1", "3"]);
    for part in parts {
        assert!(error.contains(part), "{url}: {error}");
    }
    let report = bed.run(&["report"]);
    for text in [error, report.stdout, report.stderr, bed.run(&["inspect", "conf"]).stdout] {
        assert!(!text.contains("hunter"), "{url}: {text}");
        assert!(!text.contains("at line"), "{url}: {text}");
    }
}

fn run_sql(url: &str, statements: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = PgDatabase::connect(url).await.unwrap();
        for statement in statements {
            database.rows("prepare a test", sqlx::query(*statement)).await.unwrap();
        }
    });
}
