//! What a client says of servers that it cannot use: what was expected, what was found, what to do, and no password.

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
    for url in ["redi://:hunter2@h", "mysql://me:hunter2@h/db", "me:hunter2@h", ""] {
        let (kind, said) = refused(url).await;
        assert_eq!(kind, ClientErrorKind::Config, "{said}");
        documented(
            "the URL's scheme `…` is not known: expected sqlite://path.db, redis://host:port or postgres://host/database",
            &said,
        );
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
