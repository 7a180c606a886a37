//! TLS, Redis Cluster, Sentinel and what a managed Redis forbids, against real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface};
use fred::types::Value;
use fred::util::redis_keyslot;
use lovage_core::{BackendError, BackendErrorKind};
use lovage_redis::testing::{RedisCluster, RedisSentinel, RedisServer, TestCertificates, TlsRedisServer};
use lovage_redis::{Redis, RedisConfig, Script, SubscriberEvent};

async fn connect(url: &str) -> Result<Redis, BackendError> {
    Redis::connect(&RedisConfig::parse(url).unwrap()).await
}

fn append() -> Script {
    Script::new("append", "return redis.call('APPEND', KEYS[1], ARGV[1])")
}

async fn run(script: &Script, redis: &Redis, key: &str) -> Result<Value, BackendError> {
    script.run(redis, vec![key.into()], vec!["x".into()]).await
}

#[tokio::test]
async fn tls_with_its_ca_connects_and_with_another_says_so() {
    let server = TlsRedisServer::start(false).unwrap();
    let ca = server.certificates().path("ca.pem").display().to_string();
    let redis = connect(&server.url(&format!("ca={ca}"))).await.unwrap();
    redis.subscriber().await.unwrap().subscribe("c").await.unwrap();
    assert_eq!(run(&append(), &redis, "k").await.unwrap().as_i64(), Some(1));

    let other = TestCertificates::new().unwrap().path("ca.pem");
    let gone = connect(&server.url(&format!("ca={}", other.display()))).await.unwrap_err();
    assert!(gone.to_string().contains("cannot read certificates from"), "{gone}");
    let other = TestCertificates::new().unwrap();
    let wrong = format!("ca={}", other.path("ca.pem").display());
    for url in [server.url(&wrong), server.url("")] {
        let error = connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
        assert!(error.to_string().contains("option ca") || error.to_string().contains("?ca="), "{error}");
    }
    let key = format!("ca={}", other.path("client.key").display());
    let error = connect(&server.url(&key)).await.unwrap_err();
    assert!(error.to_string().contains("there is none in it"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks() {
    let server = TlsRedisServer::start(true).unwrap();
    let path = |name: &str| server.certificates().path(name).display().to_string();
    let ca = format!("ca={}", path("ca.pem"));
    connect(&server.url(&ca)).await.unwrap_err();
    let with = format!("{ca}&cert={}&key={}", path("client.pem"), path("client.key"));
    let redis = connect(&server.url(&with)).await.unwrap();
    assert_eq!(run(&append(), &redis, "k").await.unwrap().as_i64(), Some(1));
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is_tls_say_so() {
    let plain = RedisServer::start().unwrap();
    let certificates = TestCertificates::new().unwrap();
    let ca = certificates.path("ca.pem").display().to_string();
    let error =
        connect(&format!("{}?ca={ca}", plain.url().replace("redis://", "rediss://"))).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("whether this port speaks TLS"), "{error}");
    let server = TlsRedisServer::start(false).unwrap();
    let error = connect(&format!("redis://127.0.0.1:{}", server.port())).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_cluster_and_a_single_server_are_not_taken_for_each_other() {
    let cluster = RedisCluster::start().unwrap();
    connect(cluster.url()).await.unwrap();
    let hosts = cluster.url().trim_start_matches("redis-cluster://");
    let error = connect(&format!("redis://{}", hosts.split(',').next().unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
    assert!(error.to_string().contains("write redis-cluster://"), "{error}");
    let single = RedisServer::start_own(&[]).unwrap();
    let url = single.url().replace("redis://", "redis-cluster://");
    let error = connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
    assert!(error.to_string().contains("write redis://"), "{error}");
}

#[tokio::test]
async fn each_primary_of_a_cluster_is_asked_whether_it_evicts() {
    let cluster = RedisCluster::start_own(&[]).unwrap();
    cluster.command(2, "CONFIG SET maxmemory-policy allkeys-lru").unwrap();
    let error = connect(cluster.url()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
    let says = error.to_string();
    assert!(says.contains("allkeys-lru") && says.contains(&cluster.port(2).to_string()), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_waits_while_its_slot_is_moved_and_follows_it() {
    let cluster = RedisCluster::start_own(&[]).unwrap();
    let redis = connect(cluster.url()).await.unwrap();
    let script = append();
    // Like a queue's: the prefix is the only key that Redis is told, and there is no such key.
    let of_data = || Script::new("data", "return redis.call('APPEND', KEYS[1] .. 'data', ARGV[1])");
    let slot = redis_keyslot(b"q");
    let from = cluster.owner_of(slot).unwrap();
    let to = (from + 1) % 3;
    assert_eq!(run(&of_data(), &redis, "{q}:").await.unwrap().as_i64(), Some(1));
    cluster.begin_to_move(slot, from, to).unwrap();
    let asking = tokio::spawn({
        let redis = redis.clone();
        async move { run(&of_data(), &redis, "{q}:").await }
    });
    tokio::task::block_in_place(|| cluster.wait_until_asked(from)).unwrap();
    tokio::task::block_in_place(|| cluster.finish_to_move(slot, from, to)).unwrap();
    assert_eq!(asking.await.unwrap().unwrap().as_i64(), Some(2), "it saw what was moved");
    // Another client, which does not know yet, meets MOVED.
    assert_eq!(cluster.owner_of(slot).unwrap(), to);
    let other = connect(cluster.url()).await.unwrap();
    assert_eq!(run(&script, &other, "{q}:data").await.unwrap().as_i64(), Some(3));
    cluster.begin_to_move(slot, to, from).unwrap();
    cluster.finish_to_move(slot, to, from).unwrap();
    assert_eq!(run(&script, &other, "{q}:data").await.unwrap().as_i64(), Some(4), "MOVED");
    assert_eq!(redis.run("count", |client| client.strlen::<i64, _>("{q}:data")).await.unwrap(), 4);
}

#[tokio::test]
async fn messages_are_heard_from_every_node_and_again_after_the_listening_one_died() {
    let mut cluster = RedisCluster::start_own(&[]).unwrap();
    let redis = connect(cluster.url()).await.unwrap();
    let subscriber = redis.subscriber().await.unwrap();
    let mut events = subscriber.events();
    subscriber.subscribe("wake").await.unwrap();
    for node in 0..3 {
        cluster.command(node, "PUBLISH wake x").unwrap();
        assert!(matches!(events.next().await, Some(SubscriberEvent::Message { .. })), "{node}");
    }
    let listening =
        (0..3).find(|node| cluster.command(*node, "PUBSUB NUMSUB wake").unwrap().contains(":1\r\n")).unwrap();
    cluster.kill(listening).unwrap();
    assert_eq!(events.next().await, Some(SubscriberEvent::Gap));
    cluster.command((listening + 1) % 3, "PUBLISH wake x").unwrap();
    loop {
        // A change of the cluster may be told more than once.
        match events.next().await.unwrap() {
            SubscriberEvent::Message { .. } => break,
            SubscriberEvent::Gap => {}
        }
    }
}

#[tokio::test]
async fn sentinels_name_the_new_primary_after_a_fail_over() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md"));
    let from = manual.split_once("ACL SETUSER lovage on >secret").unwrap().1;
    let rights: Vec<&str> = from.split_once("\n\n").unwrap().0.split_whitespace().collect();
    // For the keys of this test.
    let own: &[&str] = &["~k", "&wake", "+append"];
    let user = [&["--user", "lovage", "on", ">secret"], rights.as_slice(), own].concat();
    let mut servers = RedisSentinel::start_with(&user).unwrap();
    let url = servers.url().replace("://", "://lovage:secret@");
    let redis = connect(&url).await.unwrap();
    let subscriber = redis.subscriber().await.unwrap();
    let mut events = subscriber.events();
    subscriber.subscribe("wake").await.unwrap();
    let script = append();
    assert_eq!(
        script.run_replicated(&redis, vec!["k".into()], vec!["x".into()]).await.unwrap().as_i64(),
        Some(1)
    );
    servers.kill_sentinel().unwrap();
    servers.kill_primary().unwrap();
    let length = loop {
        match run(&script, &redis, "k").await {
            Ok(length) => break length.as_i64().unwrap(),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    };
    assert_eq!(length, 2, "the replica had what was written");
    assert_eq!(events.next().await, Some(SubscriberEvent::Gap));
    redis.client().publish::<(), _, _>("wake", "x").await.unwrap();
    while events.next().await == Some(SubscriberEvent::Gap) {}
    assert!(connect(&url).await.is_ok(), "the first sentinel of the URL is dead");
}

#[tokio::test]
async fn without_a_replica_replicated_says_that_it_may_have_happened() {
    let server = RedisServer::start_own(&[]).unwrap();
    let redis = connect(server.url()).await.unwrap();
    let error = append().run_replicated(&redis, vec!["k".into()], vec!["x".into()]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error}");
    assert!(error.is_maybe_applied() && error.to_string().contains("no replica acknowledged"), "{error}");
    assert_eq!(redis.run("length", |client| client.strlen::<i64, _>("k")).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_forbidden_is_not_needed_or_named() {
    let renamed = |names: &[&str]| {
        let args: Vec<&str> = names.iter().flat_map(|name| ["--rename-command", *name, ""]).collect();
        RedisServer::start_own(&args).unwrap()
    };
    let managed = [
        "CONFIG",
        "SCRIPT",
        "CLUSTER",
        "DEBUG",
        "KEYS",
        "FLUSHALL",
        "REPLICAOF",
        "SAVE",
        "BGSAVE",
        "INFO",
        "CLIENT",
    ];
    let server = renamed(&managed);
    let redis = connect(server.url()).await.unwrap();
    assert_eq!(run(&append(), &redis, "k").await.unwrap().as_i64(), Some(1));

    let server = renamed(&["EVAL", "EVALSHA", "CLUSTER"]);
    let redis = connect(server.url()).await.unwrap();
    let error = run(&append(), &redis, "k").await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("Lua scripts (EVAL)"), "{error}");
    assert!(redis.client().ping::<Value>(None).await.is_ok(), "the connection goes on");
    let error = connect(&server.url().replace("redis://", "redis-cluster://")).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unsupported, "{error}");
    assert!(error.to_string().to_uppercase().contains("UNKNOWN COMMAND 'CLUSTER'"), "{error}");

    let server = renamed(&["WAIT"]);
    let redis = connect(server.url()).await.unwrap();
    let error = append().run_replicated(&redis, vec!["k".into()], vec!["x".into()]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unsupported, "{error}");
    assert!(error.is_maybe_applied() && error.to_string().contains("docs/redis.md"), "{error}");
}

#[tokio::test]
async fn a_cluster_forms_within_seconds_and_fails_over() {
    let mut cluster = RedisCluster::start_own(&[]).unwrap();
    let redis = connect(cluster.url()).await.unwrap();
    let key = vec!["{q}".into()];
    let script = append();
    assert_eq!(script.run_replicated(&redis, key, vec!["x".into()]).await.unwrap().as_i64(), Some(1));
    cluster.kill(cluster.owner_of(redis_keyslot(b"q")).unwrap()).unwrap();
    let length = loop {
        match run(&script, &redis, "{q}").await {
            Ok(length) => break length.as_i64().unwrap(),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    };
    assert_eq!(length, 2);
}
