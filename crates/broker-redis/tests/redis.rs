//! What is particular to Redis: the layout of keys, forgotten scripts, garbage, full memory, lost connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{
    ClientLike, HashesInterface, KeysInterface, ListInterface, LuaInterface, SetsInterface,
};
use fred::types::{Key, Value};
use lovage_broker_redis::RedisBroker;
use lovage_core::{
    BackendErrorKind, Broker, Cancelled, DeadReason, Hint, Message, Note, Page, Place, Published, QueueName,
    RedactedArg, Reserve, Reserved, Settle, Settled, Settlement, SlotWants, TaskId, TaskInfo, Timestamp,
    Token, Verdict, Watch, WorkerCommand, WorkerId, WorkerInfo, WorkerMode,
};
use lovage_redis::testing::RedisServer;
use lovage_redis::{Redis, RedisConfig, Script};
use lovage_system::{SystemClock, SystemEntropy};
use lovage_testkit::message;

const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

async fn broker(server: &RedisServer) -> Arc<dyn Broker> {
    RedisBroker::connect(&RedisConfig::parse(server.url()).unwrap()).await.unwrap()
}

async fn redis(server: &RedisServer) -> Redis {
    Redis::connect(&RedisConfig::parse(server.url()).unwrap()).await.unwrap()
}

fn queue() -> QueueName {
    lovage_testkit::queue("q")
}

fn at(second: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(1_767_225_600_000_000 + second * 1_000_000))
}

async fn reserve(broker: &dyn Broker, max: usize, now: Option<Timestamp>) -> (Token, Reserved) {
    let token = Token::new(&SystemEntropy);
    let queue = queue();
    let request = Reserve { queue: &queue, want: SlotWants::any(max), token, lease: LEASE, suspects: true };
    (token, broker.reserve(request, now).await.unwrap())
}

async fn settle(broker: &dyn Broker, token: Token, id: TaskId, how: Settle, now: Option<Timestamp>) {
    let settled = broker.settle(&queue(), token, &[Settlement { id, how }], now).await.unwrap();
    assert_eq!(settled, [Settled::Applied]);
}

async fn accept(broker: &dyn Broker, message: impl Into<Message>, now: Option<Timestamp>) -> TaskId {
    let message = message.into();
    let answers = broker.publish(std::slice::from_ref(&message), now).await.unwrap();
    assert_eq!(answers, [Published::Accepted]);
    message.id
}

fn note() -> Note {
    Note::new(at(0).unwrap(), "w", "failed")
}

fn worker() -> WorkerInfo {
    WorkerInfo {
        id: WorkerId::new(&SystemEntropy),
        name: "w".to_owned(),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        started_at: Timestamp::default(),
        seen_at: Timestamp::default(),
        mode: WorkerMode::Running,
        queues: vec![queue()],
        concurrency: 1,
        blocking: 1,
        tasks: vec![TaskInfo {
            name: "pay".to_owned(),
            signature: "(card: String) -> ()".to_owned(),
            redacted: Some(vec![RedactedArg { index: 0, name: "card".to_owned() }]),
            queue: None,
        }],
        active: Vec::new(),
        reserved: 0,
        succeeded: 0,
        failed: 0,
        schedule: None,
        schedule_store: None,
        memory: None,
        cpu: None,
        refused: None,
        stuck_since: None,
        unrunnable: Vec::new(),
        abandoned: Vec::new(),
    }
}

/// All keys with their types, what is random in them left out.
async fn layout(redis: &Redis) -> Vec<String> {
    const LAYOUT: &str = "
        local found = {}
        for i, key in ipairs(redis.call('KEYS', '*')) do
          local shown = key:gsub('(:b:).*', '%1<token>'):gsub('(:told:).*', '%1<worker>')
          found[i] = shown .. ' ' .. redis.call('TYPE', key).ok
        end
        table.sort(found)
        return found";
    let script = Script::new("layout", LAYOUT);
    let Value::Array(found) = script.run(redis, vec![], vec![]).await.unwrap() else { panic!("a list") };
    found.iter().map(|line| line.as_string().unwrap()).collect()
}

#[tokio::test]
async fn a_story_leaves_these_keys() {
    let server = RedisServer::start_own(&[]).unwrap();
    let broker = broker(&server).await;
    // Two ready, of which one is watched; one delayed; one leased; one retried; one dead; one lost twice; one cancelled.
    let dead = accept(&*broker, message("q").priority(9), at(0)).await;
    let (token, _) = reserve(&*broker, 1, at(0)).await;
    let how = Settle::DeadLetter { reason: DeadReason::Permanent, note: note() };
    settle(&*broker, token, dead, how, at(0)).await;
    let retried = accept(&*broker, message("q"), at(0)).await;
    let (token, _) = reserve(&*broker, 1, at(0)).await;
    let how = Settle::Retry { after: Duration::from_secs(600), note: note() };
    settle(&*broker, token, retried, how, at(0)).await;
    accept(&*broker, message("q"), at(0)).await;
    for second in [0, 10, 20, 30, 40, 50, 60] {
        broker.maintain(&queue(), 10, LEASE, at(second)).await.unwrap();
        if second == 0 || second == 30 {
            reserve(&*broker, 1, at(second)).await;
        }
    }
    accept(&*broker, message("q").unique("k").fence("s", at(1).unwrap()), at(61)).await;
    let token = Token::new(&SystemEntropy);
    let request = Reserve { queue: &queue(), want: SlotWants::any(1), token, lease: LEASE, suspects: false };
    assert_eq!(broker.reserve(request, at(61)).await.unwrap().deliveries.len(), 1);
    let cancelled = accept(&*broker, message("q").priority(5), at(61)).await;
    assert_eq!(broker.cancel(cancelled, None, at(61)).await.unwrap(), Cancelled::Waiting);
    assert!(matches!(broker.watch(&queue(), cancelled).await.unwrap(), Watch::Waiting(_)));
    let info = worker();
    broker.heartbeat(&info, LEASE, at(61)).await.unwrap();
    assert!(broker.tell(info.id, &WorkerCommand::Quiet, at(61)).await.unwrap());

    let expected = [
        "lv1:{#}:hidden hash",
        "lv1:{#}:queues set",
        "lv1:{#}:told:<worker> list",
        "lv1:{#}:worker hash",
        "lv1:{#}:workers zset",
        "lv1:{q}:a hash",
        "lv1:{q}:b:<token> set",
        "lv1:{q}:d zset",
        "lv1:{q}:f hash",
        "lv1:{q}:i hash",
        "lv1:{q}:k zset",
        "lv1:{q}:kr hash",
        "lv1:{q}:l zset",
        "lv1:{q}:lc hash",
        "lv1:{q}:m hash",
        "lv1:{q}:n hash",
        "lv1:{q}:r5 list",
        "lv1:{q}:s list",
        "lv1:{q}:u hash",
        "lv1:{q}:ui hash",
        "lv1:{q}:x set",
    ];
    assert_eq!(layout(&redis(&server).await).await, expected);
}

#[tokio::test]
async fn a_drained_queue_leaves_only_what_is_known_of_it() {
    let server = RedisServer::start_own(&[]).unwrap();
    let broker = broker(&server).await;
    let messages: Vec<Message> =
        (0..3).map(|n| message("q").priority(n).unique(format!("k{n}")).build()).collect();
    broker.publish(&messages, None).await.unwrap();
    let (token, reserved) = reserve(&*broker, 10, None).await;
    for delivery in reserved.deliveries {
        settle(&*broker, token, delivery.id, Settle::Ack, None).await;
    }
    assert_eq!(layout(&redis(&server).await).await, ["lv1:{#}:queues set", "lv1:{q}:i hash"]);
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (broker, redis) = (broker(&server).await, redis(&server).await);
    let forget = || async { redis.client().script_flush(false).await.unwrap() };
    let id = accept(&*broker, message("q"), None).await;
    forget().await;
    let (token, reserved) = reserve(&*broker, 1, None).await;
    assert_eq!(reserved.deliveries[0].id, id);
    forget().await;
    settle(&*broker, token, id, Settle::Ack, None).await;
    forget().await;
    accept(&*broker, message("q"), None).await;
}

#[tokio::test]
async fn garbage_on_a_queue_is_handed_out_or_dropped_and_never_stops_it() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (broker, redis) = (broker(&server).await, redis(&server).await);
    let id = accept(&*broker, message("q"), None).await;
    let stranger = message("q").build().id;
    let raw = stranger.as_bytes().as_slice();
    let client = redis.client();
    for entry in [b"not an id".as_slice(), raw, b"0123456789abcdef"] {
        client.lpush::<(), _, _>("lv1:{q}:r0", entry).await.unwrap();
    }
    client.hset::<(), _, _>("lv1:{q}:m", (Key::from(raw), "short")).await.unwrap();
    client.hset::<(), _, _>("lv1:{q}:m", ("not an id", "short")).await.unwrap();
    client.hset::<(), _, _>("lv1:{q}:a", (Key::from(raw), "short")).await.unwrap();

    client.sadd::<(), _, _>("lv1:{#}:queues", "no name").await.unwrap();

    let found = broker.find(stranger, None).await.unwrap().unwrap();
    assert_eq!((found.body, found.run, found.delivery), (b"short".to_vec(), 1, 0));
    let page = broker.peek(&queue(), Place::Ready, Page::first(10)).await.unwrap();
    let listed: Vec<_> = page.items.iter().map(|message| message.id).collect();
    assert_eq!(listed, [stranger, id]);
    let (token, reserved) = reserve(&*broker, 10, None).await;
    let found: Vec<_> = reserved.deliveries.iter().map(|d| (d.id, d.verdict)).collect();
    assert_eq!(found, [(stranger, Verdict::Run), (id, Verdict::Run)]);
    assert_eq!(reserved.deliveries[0].body, b"short");
    let how = Settle::DeadLetter { reason: DeadReason::Unreadable, note: note() };
    settle(&*broker, token, stranger, how, None).await;
    settle(&*broker, token, id, Settle::Ack, None).await;
    let page = broker.peek(&queue(), Place::Dead, Page::first(10)).await.unwrap();
    assert_eq!((page.items[0].id, page.items[0].reason), (stranger, Some(DeadReason::Unreadable)));
    assert_eq!(broker.delete_dead(&queue(), &[stranger]).await.unwrap(), 1);
    assert_eq!(broker.find(stranger, None).await.unwrap(), None);
}

#[tokio::test]
async fn keys_of_another_kind_are_corrupt() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (broker, redis) = (broker(&server).await, redis(&server).await);
    redis.client().set::<(), _, _>("lv1:{q}:m", "mine", None, None, false).await.unwrap();
    let error = broker.publish(&[message("q").build()], None).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("database of its own"), "{error}");
    redis.client().hset::<(), _, _>("lv1:{#}:worker", ("w", "garbage")).await.unwrap();
    assert!(broker.workers(None).await.unwrap().is_empty(), "it is not registered");
}

#[tokio::test]
async fn a_full_redis_is_drained() {
    let server = RedisServer::start_own(&["--maxmemory", "4mb"]).unwrap();
    let broker = broker(&server).await;
    let leases = broker.open_leases().await.unwrap();
    let waiting = accept(&*broker, message("q").delay(LEASE), None).await;
    broker.heartbeat(&worker(), LEASE, None).await.unwrap();
    let mut accepted = 1;
    let refused = loop {
        let batch: Vec<Message> = (0..50).map(|_| message("q").body(vec![1; 2_000]).build()).collect();
        match broker.publish(&batch, None).await {
            Ok(answers) => accepted += answers.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), BackendErrorKind::Refused, "{refused}");
    assert!(!refused.is_maybe_applied());
    broker.maintain(&queue(), 10, LEASE, None).await.unwrap();
    broker.heartbeat(&worker(), LEASE, None).await.unwrap();
    assert_eq!(broker.cancel(waiting, None, None).await.unwrap(), Cancelled::Waiting);
    let mut drained = 0;
    loop {
        let (token, reserved) = reserve(&*broker, 7, None).await;
        if reserved.deliveries.is_empty() {
            break;
        }
        let extended = leases.extend(&queue(), &[token], LEASE, None).await.unwrap();
        assert_eq!(extended.lost, []);
        drained += reserved.deliveries.len();
        for delivery in reserved.deliveries {
            settle(&*broker, token, delivery.id, Settle::Ack, None).await;
        }
    }
    assert_eq!(drained, accepted);
    accept(&*broker, message("q"), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_redis_is_used_again_and_everything_is_looked_at() {
    let mut server = RedisServer::start_own(&[]).unwrap();
    let broker = broker(&server).await;
    reserve(&*broker, 1, None).await;
    let id = accept(&*broker, message("q"), None).await;
    let Watch::Waiting(waiter) = broker.watch(&queue(), id).await.unwrap() else { panic!("it is live") };
    let hint = within("the hint of the publish", broker.hint()).await;
    assert_eq!(hint, Hint::Work(queue()));

    tokio::task::block_in_place(|| server.restart()).unwrap();
    within("the end of the waiter", waiter).await;
    assert_eq!(within("the hint of the reconnect", broker.hint()).await, Hint::Everything);
    let again = within("a publish", async {
        loop {
            if let Ok(answers) = broker.publish(&[message("q").build()], None).await {
                return answers;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(again.await, [Published::Accepted]);
    assert_eq!(reserve(&*broker, 10, None).await.1.deliveries.len(), 1);
    assert_eq!(broker.queues().await.unwrap(), [queue()], "the queue is known again");
    reserve(&*broker, 10, None).await;
    accept(&*broker, message("q"), None).await;
    assert_eq!(within("a hint as before", broker.hint()).await, Hint::Work(queue()));
}

#[tokio::test]
async fn a_worker_that_signs_off_passes_its_wake_ups_on() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (leaving, staying) = (broker(&server).await, broker(&server).await);
    let info = worker();
    leaving.heartbeat(&info, LEASE, None).await.unwrap();
    reserve(&*leaving, 1, at(0)).await;
    reserve(&*staying, 1, at(1)).await;
    leaving.sign_off(info.id).await.unwrap();
    accept(&*staying, message("q"), at(2)).await;
    assert_eq!(within("the hint of the other", staying.hint()).await, Hint::Work(queue()));
}

#[tokio::test]
async fn a_full_worker_hands_the_time_keeping_over() {
    let server = RedisServer::start_own(&[]).unwrap();
    let (keeper, other) = (broker(&server).await, broker(&server).await);
    accept(&*other, message("q").delay(Duration::from_secs(10)), at(0)).await;
    assert!(reserve(&*keeper, 1, at(0)).await.1.next_check.is_some(), "it keeps the time");
    assert_eq!(reserve(&*other, 1, at(1)).await.1.next_check, None, "one is enough");
    accept(&*other, message("q"), at(2)).await;
    assert_eq!(within("the hint of the longest idle", keeper.hint()).await, Hint::Work(queue()));
    assert_eq!(reserve(&*keeper, 1, at(2)).await.1.deliveries.len(), 1, "it is full and looks no more");
    assert_eq!(within("the hint of the hand-over", other.hint()).await, Hint::Work(queue()));
    let check = reserve(&*other, 1, at(2)).await.1.next_check;
    assert_eq!(check, Some(Duration::from_secs(8)), "the other one keeps the time now");
}

#[tokio::test]
async fn the_rights_in_the_manual_are_enough() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md"));
    let from = manual.split_once("ACL SETUSER lovage on >secret").unwrap().1;
    let rights: Vec<&str> = from.split_once("\n\n").unwrap().0.split_whitespace().collect();
    let user = [&["--user", "lovage", "on", ">secret"], rights.as_slice()].concat();
    let server = RedisServer::start_own(&user).unwrap();
    let url = server.url().replace("redis://", "redis://lovage:secret@");
    let broker = RedisBroker::connect(&RedisConfig::parse(&url).unwrap()).await.unwrap();
    use_everything(&*broker).await;
    let replicated = RedisConfig::parse(&format!("{url}?durability=replicated")).unwrap();
    let replicated = RedisBroker::connect(&replicated).await.unwrap();
    let error = replicated.publish(&[message("q").build()], None).await.unwrap_err();
    assert!(error.to_string().contains("no replica acknowledged"), "WAIT is allowed: {error}");
}

#[tokio::test]
async fn a_managed_redis_without_its_commands_of_administration_is_enough() {
    let forbidden = [
        "CONFIG", "SCRIPT", "CLUSTER", "DEBUG", "KEYS", "SCAN", "FLUSHALL", "CLIENT", "INFO", "ACL",
        "MONITOR",
    ];
    let args: Vec<&str> = forbidden.iter().flat_map(|name| ["--rename-command", *name, ""]).collect();
    let server = RedisServer::start_own(&args).unwrap();
    use_everything(&*broker(&server).await).await;
}

/// Every operation once, on every kind of message.
async fn use_everything(broker: &dyn Broker) {
    let leases = broker.open_leases().await.unwrap();
    let info = worker();
    broker.heartbeat(&info, LEASE, at(0)).await.unwrap();
    assert!(broker.tell(info.id, &WorkerCommand::Quiet, at(0)).await.unwrap());
    assert_eq!(broker.workers(at(0)).await.unwrap().len(), 1);
    reserve(broker, 1, at(0)).await;
    let held = accept(broker, message("q").unique("k").until_start(), at(0)).await;
    let newer = accept(broker, message("q").unique("k").replace().until_start().priority(3), at(0)).await;
    accept(broker, message("q").fence("s", at(1).unwrap()).delay(LEASE), at(0)).await;
    let promoted = accept(broker, message("q").delay(LEASE), at(0)).await;
    assert!(broker.promote(promoted, None, at(0)).await.unwrap());
    assert_eq!(broker.ahead(&queue(), held).await.unwrap(), Some(1));
    assert!(matches!(broker.watch(&queue(), newer).await.unwrap(), Watch::Waiting(_)));
    broker.pause(&queue()).await.unwrap();
    broker.resume(&queue()).await.unwrap();
    let (token, reserved) = reserve(broker, 3, at(0)).await;
    assert_eq!(reserved.deliveries.len(), 3);
    leases.extend(&queue(), &[token], LEASE, at(0)).await.unwrap();
    assert_eq!(broker.cancel(newer, None, at(0)).await.unwrap(), Cancelled::Leased);
    leases.extend(&queue(), &[token], LEASE, at(0)).await.unwrap();
    for place in Place::ALL {
        broker.peek(&queue(), place, Page::first(10)).await.unwrap();
    }
    let how = Settle::DeadLetter { reason: DeadReason::Permanent, note: note() };
    settle(broker, token, newer, how, at(0)).await;
    assert_eq!(broker.requeue_dead(&queue(), &[newer], at(0)).await.unwrap(), 1);
    settle(broker, token, held, Settle::Retry { after: LEASE, note: note() }, at(0)).await;
    for second in [0, 10, 20, 30, 40] {
        broker.maintain(&queue(), 10, LEASE, at(second)).await.unwrap();
    }
    broker.depth(&queue(), None).await.unwrap();
    broker.find(held, None).await.unwrap();
    broker.delete_dead(&queue(), &[held]).await.unwrap();
    for place in [Place::Ready, Place::Delayed, Place::Dead] {
        broker.purge(&queue(), place, 10).await.unwrap();
    }
    broker.sign_off(info.id).await.unwrap();
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let server = RedisServer::start_own(&[]).unwrap();
    let config = RedisConfig::parse(server.url()).unwrap();
    let one = RedisBroker::connect_in(&config, "one").await.unwrap();
    let two = RedisBroker::connect_in(&config, "two").await.unwrap();
    let id = accept(&*one, message("q"), None).await;
    assert_eq!(two.queues().await.unwrap(), []);
    assert_eq!(two.find(id, Some(&queue())).await.unwrap(), None);
    let error = RedisBroker::connect_in(&config, "{one}").await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    lovage_testkit::within(&SystemClock::new(), PATIENCE, what, future).await
}

#[tokio::test]
async fn flushed_queues_are_listed_again_by_the_next_heartbeat() {
    let server = RedisServer::start_own(&[]).unwrap();
    let broker = broker(&server).await;
    broker.heartbeat(&worker(), LEASE, None).await.unwrap();
    reserve(&*broker, 1, None).await;
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
    redis(&server).await.client().flushall::<()>(false).await.unwrap();
    broker.heartbeat(&worker(), LEASE, None).await.unwrap();
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
    assert_eq!(broker.hint().await, Hint::Everything, "it was registered as idle in what was lost");
}
