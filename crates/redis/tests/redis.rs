//! Against a real redis-server: connecting, scripts, subscriptions, reconnects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::net::TcpListener;

use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface};
use fred::types::{InfoKind, Value};
use lovage_core::{BackendError, BackendErrorKind};
use lovage_redis::testing::RedisServer;
use lovage_redis::{Redis, RedisConfig, Script, SubscriberEvent, redis_error};

async fn connect(url: &str) -> Result<Redis, BackendError> {
    Redis::connect(&RedisConfig::parse(url).unwrap()).await
}

async fn connected() -> (RedisServer, Redis) {
    let server = RedisServer::start().unwrap();
    let redis = connect(server.url()).await.unwrap();
    (server, redis)
}

#[tokio::test]
async fn a_database_is_selected() {
    let server = RedisServer::start_own(&[]).unwrap();
    let redis = connect(&server.url().replace("/0", "/5")).await.unwrap();
    redis.client().set::<(), _, _>("a", "b", None, None, false).await.unwrap();
    let info: String = redis.client().info(Some(InfoKind::Keyspace)).await.unwrap();
    assert!(info.contains("db5:keys=1"), "{info}");
}

#[tokio::test]
async fn nobody_there_is_unavailable_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://joe:hunter2@{}", listener.local_addr().unwrap());
    drop(listener);
    let error = connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
    assert!(!error.to_string().contains("hunter2") && error.to_string().contains("://***@"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_unavailable_within_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = connect(&format!("redis://{}", listener.local_addr().unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_wrong_login_or_database_says_which() {
    let server = RedisServer::start_own(&["--requirepass", "hunter2"]).unwrap();
    let with = |login: &str| server.url().replace("redis://", &format!("redis://{login}"));
    for url in [with(":wrong@"), with("joe:wrong@"), with("")] {
        let error = connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Auth, "{url}: {error}");
        assert!(!error.to_string().contains("wrong@"), "{error}");
    }
    connect(&with(":hunter2@")).await.unwrap();
    let error = connect(&with(":hunter2@").replace("/0", "/99")).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
    assert!(error.to_string().contains("DB index"), "{error}");
}

#[tokio::test]
async fn a_user_without_the_right_to_info_is_tolerated() {
    let user = ["--user", "joe", "on", ">secret", "~*", "&*", "+@all", "-info"];
    let server = RedisServer::start_own(&user).unwrap();
    let redis = connect(&server.url().replace("redis://", "redis://joe:secret@")).await.unwrap();
    let err = redis.client().info::<String>(None).await.unwrap_err();
    assert_eq!(redis_error("info", err).kind(), BackendErrorKind::Auth);
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let evicting = RedisServer::start_own(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
    let error = connect(evicting.url()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("allkeys-lru"), "{error}");
}

#[tokio::test]
async fn a_script_runs_by_digest_text_and_digest_again_with_any_bytes() {
    let (server, redis) = connected().await;
    let script =
        Script::new("echo", "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], ARGV[1], 7, false}");
    let mut key = server.unique_name("key").into_bytes();
    key.extend([0, 255, b'{', 10, 13]);
    let bytes: Vec<u8> = (0..=255).collect();
    for _ in 0..2 {
        let answer =
            script.run(&redis, vec![key.as_slice().into()], vec![bytes.as_slice().into()]).await.unwrap();
        let Value::Array(parts) = answer else { panic!("{answer:?}") };
        assert_eq!(parts[0].as_bytes(), Some(key.as_slice()));
        assert_eq!(parts[1].as_bytes(), Some(bytes.as_slice()));
        assert_eq!(parts[2].as_i64(), Some(7));
        assert!(parts[3].is_null());
    }
}

#[tokio::test]
async fn an_error_in_a_script_is_corrupt_and_a_full_server_refuses() {
    let server = RedisServer::start_own(&["--maxmemory", "1"]).unwrap();
    let redis = connect(server.url()).await.unwrap();
    let broken = Script::new("broken", "return nothing.at.all");
    let error = broken.run(&redis, vec![], vec![]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("script broken"), "{error}");
    let write = Script::new("write", "return redis.call('SET', KEYS[1], ARGV[1])");
    let error = write.run(&redis, vec!["a".into()], vec!["b".into()]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Refused, "{error}");
    assert!(!error.is_maybe_applied() && error.to_string().contains("maxmemory"), "{error}");
}

#[tokio::test]
async fn messages_are_heard_byte_for_byte() {
    let (server, redis) = connected().await;
    let channel = server.unique_name("channel");
    let subscriber = redis.subscriber().await.unwrap();
    let mut events = subscriber.events();
    subscriber.subscribe(&channel).await.unwrap();
    let payload: &[u8] = &[0, 255, 10];
    let heard: i64 = redis.client().publish(channel.as_str(), payload).await.unwrap();
    assert_eq!(heard, 1);
    let expected = SubscriberEvent::Message { channel: channel.clone(), payload: payload.to_vec() };
    assert_eq!(events.next().await, Some(expected));
    subscriber.unsubscribe(&channel).await.unwrap();
    assert_eq!(redis.client().publish::<i64, _, _>(channel.as_str(), payload).await.unwrap(), 0);
}

#[tokio::test]
async fn after_a_restart_commands_work_and_subscribers_hear_of_the_gap() {
    let mut server = RedisServer::start_own(&[]).unwrap();
    let redis = connect(server.url()).await.unwrap();
    let subscriber = redis.subscriber().await.unwrap();
    let mut events = subscriber.events();
    subscriber.subscribe("wake").await.unwrap();
    server.restart().unwrap();
    assert_eq!(events.next().await, Some(SubscriberEvent::Gap));
    // Subscribed again before the gap is told.
    let heard: i64 = publish_until_sent(&redis).await;
    assert_eq!(heard, 1);
    assert!(matches!(events.next().await, Some(SubscriberEvent::Message { .. })));
}

/// The first command may be the one that finds the old connection dead.
async fn publish_until_sent(redis: &Redis) -> i64 {
    loop {
        match redis.client().publish("wake", "x").await {
            Ok(heard) => return heard,
            Err(err) => assert!(redis_error("publish", err).is_transient()),
        }
    }
}

#[tokio::test]
async fn a_command_under_way_when_the_connection_breaks_is_not_sent_again() {
    let mut server = RedisServer::start_own(&["--lua-time-limit", "50"]).unwrap();
    let redis = connect(server.url()).await.unwrap();
    let looping = Script::new("loop", "redis.call('SET', KEYS[1], 1) while true do end");
    let running = tokio::spawn({
        let redis = redis.clone();
        async move { looping.run(&redis, vec!["ran".into()], vec![]).await }
    });
    wait_until_busy(&server).await;
    server.restart().unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
    assert!(error.is_maybe_applied(), "{error}");
    let ran: bool = loop {
        match redis.client().exists("ran").await {
            Ok(ran) => break ran,
            Err(err) => assert!(redis_error("exists", err).is_transient()),
        }
    };
    assert!(!ran);
}

/// Connects until the server says that it is busy: then the script runs.
async fn wait_until_busy(server: &RedisServer) {
    while connect(server.url()).await.is_ok() {}
}

#[tokio::test]
async fn closed_and_dropped_connections_go_away() {
    let server = RedisServer::start_own(&[]).unwrap();
    let watcher = connect(server.url()).await.unwrap();
    let closed = connect(server.url()).await.unwrap();
    closed.subscriber().await.unwrap();
    closed.close().await;
    closed.close().await;
    let dropped = connect(server.url()).await.unwrap();
    dropped.subscriber().await.unwrap();
    drop(dropped);
    loop {
        let info: String = watcher.client().info(Some(InfoKind::Clients)).await.unwrap();
        if info.contains("connected_clients:1\r") {
            break;
        }
        tokio::task::yield_now().await;
    }
}
