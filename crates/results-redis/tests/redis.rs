//! What is particular to Redis: the layout of keys, forgotten scripts, full memory, garbage, the rights it needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{HashesInterface, KeysInterface, LuaInterface, ServerInterface};
use lovage_conformance::documented;
use lovage_core::{
    BackendErrorKind, ErrorReport, Outcome, Priority, QueueName, Recorded, ResultStore, TaskId, TaskRecord,
    TaskState, Timestamp,
};
use lovage_redis::testing::RedisServer;
use lovage_redis::{Redis, RedisConfig};
use lovage_results_redis::RedisResults;

const ROW: &str = "lv1:res:{01010101-0101-0101-0101-010101010101}";
const ATTEMPTS: &str = "lv1:att:{01010101-0101-0101-0101-010101010101}";

fn id() -> TaskId {
    TaskId::from_bytes([1; 16])
}

fn record(version: (u32, u32, u32), state: TaskState) -> TaskRecord {
    TaskRecord {
        id: id(),
        run: version.0,
        delivery: version.1,
        attempt: version.2,
        task: "add".to_owned(),
        arguments: "[1]".to_owned(),
        state,
        outcome: Outcome::None,
        worker: "w".to_owned(),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        enqueued_at: Timestamp::default(),
        started_at: None,
        finished_at: Timestamp::default(),
        run_time: None,
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(3_600),
        warning: None,
    }
}

async fn connect(server: &RedisServer) -> (Arc<RedisResults>, Redis) {
    let redis = Redis::connect(&RedisConfig::parse(server.url()).unwrap()).await.unwrap();
    (RedisResults::on(redis.clone(), "lv1").unwrap(), redis)
}

#[tokio::test]
async fn a_task_is_two_keys_that_end_by_themselves() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (store, redis) = connect(&server).await;
    store.record(&[record((1, 1, 1), TaskState::Retry)], None).await.unwrap();
    let client = redis.client();
    let keys: usize = client.dbsize().await.unwrap();
    assert_eq!(keys, 2);
    for key in [ROW, ATTEMPTS] {
        let left: i64 = client.pttl(key).await.unwrap();
        // An hour, and a minute in which a clock that was set back still finds the row.
        assert!((3_600_000..=3_660_000).contains(&left), "{key} lives for {left} ms");
    }
    // A short row does not make the attempts outlive it, nor the other way round.
    let short = TaskRecord { keep_for: Duration::from_secs(60), ..record((1, 2, 1), TaskState::Success) };
    store.record(&[short, record((1, 3, 2), TaskState::Failure)], None).await.unwrap();
    for key in [ROW, ATTEMPTS] {
        let left: i64 = client.pttl(key).await.unwrap();
        assert!((60_000..=120_000).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (store, redis) = connect(&server).await;
    store.record(&[record((1, 1, 1), TaskState::Retry)], None).await.unwrap();
    store.get(&[id()], None).await.unwrap();
    redis.client().script_flush(false).await.unwrap();
    let answers = store.record(&[record((1, 2, 1), TaskState::Success)], None).await.unwrap();
    assert_eq!(answers, [Recorded::Stored]);
    redis.client().script_flush(false).await.unwrap();
    assert_eq!(store.get(&[id()], None).await.unwrap().len(), 1);
}

/// Otherwise a broker in the same memory could never be drained: what is not recorded is not settled.
#[tokio::test]
async fn full_memory_keeps_how_a_task_ended_and_not_its_result() {
    let server = RedisServer::start_own(&["--maxmemory", "4mb"]).unwrap();
    let (store, _redis) = connect(&server).await;
    let first = record((1, 1, 1), TaskState::Retry);
    store.record(std::slice::from_ref(&first), None).await.unwrap();
    let (mut filler, mut n) = (Vec::new(), 0_u16);
    let brief = loop {
        n += 1;
        let mut id = [2; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let outcome = Outcome::Result(format!("\"{}\"", "x".repeat(20_000)));
        let keep_for = Duration::from_secs(86_400);
        let row = TaskRecord { id: TaskId::from_bytes(id), outcome, keep_for, ..first.clone() };
        assert_eq!(store.record(std::slice::from_ref(&row), None).await.unwrap(), [Recorded::Stored]);
        filler.push(row.id);
        let stored = store.get(&[row.id], None).await.unwrap().remove(0).unwrap();
        if stored != row {
            break stored;
        }
    };
    let marker = "Redis was out of memory when the task ended: its result is not stored";
    documented(marker, marker);
    assert_eq!(brief.outcome, Outcome::Marker(marker.to_owned()));
    assert_eq!((brief.state, brief.keep_for), (TaskState::Retry, Duration::from_secs(3_600)));

    // A terminal row stays one, and what was stored before stays as it was.
    let report = ErrorReport::new("k", "é".repeat(10_000));
    let end = TaskRecord { outcome: Outcome::Error(report), ..record((1, 2, 1), TaskState::Failure) };
    assert_eq!(store.record(std::slice::from_ref(&end), None).await.unwrap(), [Recorded::Stored]);
    assert_eq!(store.record(&[first], None).await.unwrap(), [Recorded::Superseded]);
    let row = store.get(&[id()], None).await.unwrap().remove(0).unwrap();
    let shown = Outcome::Error(ErrorReport::new("k", "é".repeat(100)));
    assert_eq!((row.state, row.outcome), (TaskState::Failure, shown));
    assert_eq!(store.history(id()).await.unwrap().len(), 1);

    assert_eq!(store.delete(&filler).await.unwrap(), filler.len(), "room can be made");
    let again = record((2, 1, 0), TaskState::Success);
    assert_eq!(store.record(std::slice::from_ref(&again), None).await.unwrap(), [Recorded::Stored]);
    assert_eq!(store.get(&[id()], None).await.unwrap(), [Some(again)]);
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_says_so() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (store, redis) = connect(&server).await;
    store.record(&[record((1, 1, 1), TaskState::Retry)], None).await.unwrap();
    redis.client().hset::<(), _, _>(ROW, ("record", "{}")).await.unwrap();
    assert_eq!(store.get(&[id()], None).await.unwrap_err().kind(), BackendErrorKind::Corrupt);
    redis.client().set::<(), _, _>(ATTEMPTS, "mine", None, None, false).await.unwrap();
    assert_eq!(store.history(id()).await.unwrap_err().kind(), BackendErrorKind::Corrupt);
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (store, redis) = connect(&server).await;
    store.record(&[record((1, 1, 1), TaskState::Retry)], None).await.unwrap();
    let other = RedisResults::on(redis.clone(), "other").unwrap();
    assert_eq!(other.get(&[id()], None).await.unwrap(), [None]);
    for bad in ["", "a{b}", "a b"] {
        assert_eq!(RedisResults::on(redis.clone(), bad).unwrap_err().kind(), BackendErrorKind::Config);
    }
}

/// The rights as the manual lists them, without `ACL SETUSER`, `on` and the password.
fn documented_rights() -> Vec<&'static str> {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md"));
    let from = manual.split_once("ACL SETUSER lovage on >secret").unwrap().1;
    from.split_once("\n\n").unwrap().0.split_whitespace().collect()
}

#[tokio::test]
async fn the_rights_in_the_manual_are_enough() {
    let rights = documented_rights();
    let user = [&["--user", "lovage", "on", ">secret"], rights.as_slice()].concat();
    let server = RedisServer::start_own(&user).unwrap();
    let url = server.url().replace("redis://", "redis://lovage:secret@");
    let store = RedisResults::connect(&RedisConfig::parse(&url).unwrap()).await.unwrap();
    for n in 1..=25 {
        store.record(&[record((1, n, n), TaskState::Retry)], None).await.unwrap();
    }
    assert!(store.get(&[id()], None).await.unwrap()[0].is_some());
    assert_eq!(store.history(id()).await.unwrap().len(), 20);
    let later = Timestamp::from_micros(i64::MAX / 4);
    store.record(&[record((1, 1, 1), TaskState::Retry)], Some(later)).await.unwrap();
    assert_eq!(store.delete(&[id()]).await.unwrap(), 1);
}

#[tokio::test]
async fn missing_rights_point_to_the_manual() {
    let rights: Vec<&str> = documented_rights().into_iter().filter(|right| *right != "+hset").collect();
    let user = [&["--user", "lovage", "on", ">secret"], rights.as_slice()].concat();
    let server = RedisServer::start_own(&user).unwrap();
    let url = server.url().replace("redis://", "redis://lovage:secret@");
    let store = RedisResults::connect(&RedisConfig::parse(&url).unwrap()).await.unwrap();
    let error = store.record(&[record((1, 1, 1), TaskState::Retry)], None).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Auth);
    assert!(error.to_string().contains("docs/redis.md"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
