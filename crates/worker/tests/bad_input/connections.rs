//! What a client says of servers that it cannot use: what was expected, what was found, what to do, and no password.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use lovage::{Client, ClientErrorKind};
use lovage_conformance::documented;
use lovage_redis::testing::RedisServer;

async fn refused(url: &str) -> (ClientErrorKind, String) {
    let error = Client::connect(url).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains("hunter2") && !said.contains("sesame"), "{said}");
    (error.kind().clone(), error.to_string())
}

#[tokio::test]
async fn nobody_is_there() {
    let unavailable = |kind: &ClientErrorKind| matches!(kind, ClientErrorKind::Unavailable { .. });
    for (url, text) in [
        (
            "redis://:hunter2@127.0.0.1:1",
            "connect to redis://…: Connection refused; is it running, and are host and port right?",
        ),
        (
            "redis-cluster://:hunter2@127.0.0.1:1",
            "connect to redis-cluster://…: Connection refused; is it running, and are host and port right?",
        ),
        (
            "postgres://me:hunter2@127.0.0.1:1/db",
            "connect to PostgreSQL: PostgreSQL cannot be reached (…): is it running, and are host and port right?",
        ),
    ] {
        let (kind, said) = refused(url).await;
        assert!(unavailable(&kind), "{kind:?}: {said}");
        documented(text, &said);
    }
}

#[tokio::test]
async fn a_url_of_another_kind() {
    let unknown = "the URL's scheme `…` is not known: expected sqlite://path.db, redis://host:port or postgres://host/database";
    let missing =
        "the URL has no scheme: expected sqlite://path.db, redis://host:port or postgres://host/database";
    for (url, text) in [
        ("redi://:hunter2@h", unknown),
        ("mysql://me:hunter2@h/db", unknown),
        ("me:hunter2@h", missing),
        ("", missing),
    ] {
        let (kind, said) = refused(url).await;
        assert_eq!(kind, ClientErrorKind::Config, "{said}");
        documented(text, &said);
    }
}

#[tokio::test]
async fn a_redis_that_refuses() {
    let locked = RedisServer::start_own(&["--requirepass", "sesame"]).unwrap();
    let (kind, said) = refused(&locked.url().replace("redis://", "redis://:hunter2@")).await;
    assert_eq!(kind, ClientErrorKind::Config);
    documented(
        "connect to redis://…: Authentication Error: WRONGPASS invalid username-password pair or user is disabled.; check the user and password of the Redis URL",
        &said,
    );
    let evicting = RedisServer::start_own(&["--maxmemory-policy", "volatile-ttl"]).unwrap();
    let (kind, said) = refused(evicting.url()).await;
    assert_eq!(kind, ClientErrorKind::Config);
    documented(
        "redis://… has maxmemory-policy …, which throws tasks away when memory is short: set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)",
        &said,
    );
}

#[tokio::test]
async fn a_postgres_without_tables() {
    let url = lovage_sql::postgres::testing::fresh_url().unwrap();
    let (kind, said) = refused(&url).await;
    assert_eq!(kind, ClientErrorKind::Config);
    documented(
        "the tables of the broker in postgres://… are missing or old: run `lovage migrate` with the same URL",
        &said,
    );
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    file("text.db", &"no database".repeat(1_000), 0o600);
    file("read-only.db", "", 0o444);
    std::fs::create_dir(dir.path().join("directory.db")).unwrap();
    for (name, kind, text) in [
        (
            "text.db",
            ClientErrorKind::Decode,
            "open the database …: file is not a database (code 26); the file is damaged or no SQLite database: restore it, or name another file",
        ),
        (
            "read-only.db",
            ClientErrorKind::Config,
            "… is read-only: make it writable for this user (chmod u+w)",
        ),
        ("directory.db", ClientErrorKind::Config, "… is not a regular file: name a file in the database URL"),
        (
            "no/a.db",
            ClientErrorKind::Config,
            "the directory … of the database cannot be used (…): create it first",
        ),
        (
            "a.db?durabilty=full",
            ClientErrorKind::Config,
            "the database URL has an option `durabilty` that is not known (did you mean `durability`?): the options are durability",
        ),
    ] {
        let (found, said) = refused(&format!("sqlite://{}/{name}", dir.path().display())).await;
        assert_eq!(found, kind, "{said}");
        documented(text, &said);
    }
}
