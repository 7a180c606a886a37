//! The client on the memory broker: what is sent, what is refused, and how waiting ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_client as lovage;

use std::sync::Arc;
use std::time::Duration;

use lovage::{Client, ClientErrorKind, TaskError, TaskId, TaskState, Timestamp, tasks};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{
    Clock, QueueName, Reserve, Settle, Settlement, SlotWants, TaskInfo, Token, WorkerId, WorkerInfo,
    WorkerMode,
};
use lovage_testkit::{FakeClock, Recording, SeededEntropy, inline_client};
use serde_json::json;

#[lovage::task(name = "add", queue = "math", priority = 3, redact(y))]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    if x < 0 {
        return Err(TaskError::new("negative"));
    }
    Ok(x + y)
}

#[lovage::task(name = "pay", codec = "postcard")]
async fn pay(cents: u64) -> Result<u64, TaskError> {
    Ok(cents)
}

fn kind<T: std::fmt::Debug>(result: Result<T, lovage::ClientError>) -> ClientErrorKind {
    result.unwrap_err().kind().clone()
}

#[tokio::test]
async fn a_call_travels_with_its_options() {
    let recording = Recording::new();
    let client = recording.client();
    add::call(1, 3)
        .countdown(Duration::from_secs(10))
        .priority(9)
        .header("a", "b")
        .send(client)
        .await
        .unwrap();
    recording.assert_sent("add", &json!([1, 3])).await;
    let sent = recording.sent().await;
    assert_eq!((sent[0].queue.as_str(), sent[0].priority, sent[0].due.is_some()), ("math", 9, true));
}

#[tokio::test]
async fn a_bad_option_is_an_error_at_the_call_and_sends_nothing() {
    let recording = Recording::new();
    let client = recording.client();
    let second = Duration::from_secs(1);
    for (call, part) in [
        (add::call(1, 3).priority(12), "expected 0 to 9"),
        (add::call(1, 3).queue("a#b"), "queue name `a#b`"),
        (add::call(1, 3).replace(), "replace is about a unique key"),
        (add::call(1, 3).until_start(), "until_start is about a unique key"),
        (add::call(1, 3).countdown(second).eta(Timestamp::from_micros(1)), "one delay"),
    ] {
        let error = call.send(client).await.unwrap_err();
        assert_eq!(error.kind(), &ClientErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{error}");
    }
    let not_arguments = client.send_by_name("add", json!(7)).await.unwrap_err().to_string();
    assert!(not_arguments.contains("expected a JSON list or object"), "{not_arguments}");
    let large = client.send_by_name("add", json!(["x".repeat(300_000)])).await.unwrap_err().to_string();
    assert!(large.contains("the limit is 262144"), "{large}");
    assert_eq!(recording.sent().await, []);
}

#[tokio::test]
async fn a_live_id_and_a_held_key_are_duplicates_that_name_their_holder() {
    let recording = Recording::new();
    let client = recording.client();
    let first = add::call(1, 1).unique("k").send(client).await.unwrap();
    let holder = first.id();
    assert_eq!(kind(add::call(2, 2).id(holder).send(client).await), ClientErrorKind::Duplicate { holder });
    assert_eq!(kind(add::call(3, 3).unique("k").send(client).await), ClientErrorKind::Duplicate { holder });
    add::call(4, 4).unique("other").send(client).await.unwrap();
}

#[tokio::test]
async fn many_are_sent_in_order_and_a_refused_one_keeps_nobody_back() {
    let recording = Recording::new();
    let client = recording.client();
    let id = TaskId::from_bytes([1; 16]);
    let mut calls: Vec<_> = (0..2_500).map(|n| add::call(n, n)).collect();
    calls[7] = add::call(7, 7).id(id);
    calls[2_000] = add::call(2_000, 2_000).id(id);
    let sent = client.send_all(calls).await.unwrap();
    assert_eq!((sent.len(), sent.iter().filter(|one| one.is_ok()).count()), (2_500, 2_499));
    assert!(sent[2_000].is_err());
    assert_eq!(recording.sent().await.len(), 2_499);
}

#[tokio::test]
async fn inline_runs_here_and_now() {
    let client = inline_client(tasks![add, pay], lovage_core::States::default());
    let sum: i64 = add::delay(&client, 1, 3).await.unwrap().get(Duration::ZERO).await.unwrap();
    assert_eq!(sum, 4);
    assert_eq!(pay::delay(&client, 7).await.unwrap().get(Duration::ZERO).await.unwrap(), 7);
    let failed = add::delay(&client, -1, 0).await.unwrap();
    assert!(
        matches!(kind(failed.get(Duration::ZERO).await), ClientErrorKind::Failed(report) if report.message == "negative")
    );
    let row = client.results().unwrap().get(&[failed.id()], None).await.unwrap().remove(0).unwrap();
    assert_eq!(row.arguments, "[-1,\"[redacted]\"]");
}

#[tokio::test]
async fn waiting_is_ended_by_the_settlement_and_by_its_deadline() {
    let clock = Arc::new(FakeClock::new());
    let store = MemoryStore::new(clock.clone());
    let results = Arc::new(MemoryResults::new(clock.clone()));
    let entropy = Arc::new(SeededEntropy::new(1));
    let client = Client::with_clock_and_entropy(store.handle(), Some(results), clock.clone(), entropy);
    let handle = add::delay(&client, 1, 3).await.unwrap();
    assert_eq!(kind(handle.get(Duration::ZERO).await), ClientErrorKind::Timeout);
    assert_eq!(handle.state().await.unwrap().unwrap().state, TaskState::Pending);

    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.get(Duration::from_secs(60)).await }
    });
    let worker = store.handle();
    let (queue, token) = (QueueName::new("math").unwrap(), Token::from_bytes([1; 16]));
    let lease = Duration::from_secs(30);
    worker
        .reserve(Reserve { queue: &queue, want: SlotWants::any(1), token, lease, suspects: true }, None)
        .await
        .unwrap();
    lovage_testkit::settled_down().await;
    assert!(!waiting.is_finished());
    // Settled without a result: the wait ends at once and says so.
    worker.settle(&queue, token, &[Settlement { id: handle.id(), how: Settle::Ack }], None).await.unwrap();
    assert_eq!(kind(waiting.await.unwrap()), ClientErrorKind::NotFound);
    assert_eq!(clock.now(), FakeClock::new().now(), "no time had to pass");
    assert!(client.state(handle.id()).await.unwrap().is_none());
    assert!(worker.queues().await.unwrap().contains(&queue));
}

#[tokio::test]
async fn options_of_a_unique_key_are_in_any_order() {
    let clock = Arc::new(FakeClock::new());
    let store = MemoryStore::new(clock.clone());
    let entropy = Arc::new(SeededEntropy::new(1));
    let client = Client::with_clock_and_entropy(store.handle(), None, clock, entropy);
    let first = add::call(1, 3).unique("k").send(&client).await.unwrap();
    let second = add::call(1, 3).replace().until_start().unique_for("k", Duration::from_secs(1)).untyped();
    let second = second.send(&client).await.unwrap();
    let replaced = store.handle().find(first.id(), None).await.unwrap().unwrap();
    assert_eq!(replaced.replaced_by, Some(second.id()));
    let queue = QueueName::new("math").unwrap();
    let request = Reserve {
        queue: &queue,
        want: SlotWants::any(10),
        token: Token::from_bytes([1; 16]),
        lease: Duration::from_secs(30),
        suspects: true,
    };
    assert_eq!(store.handle().reserve(request, None).await.unwrap().deliveries.len(), 2);
    add::call(1, 3).unique("k").send(&client).await.expect("the key was held until the start");
}

#[tokio::test]
async fn explain_measures_how_fast_a_queue_drains_and_follows_a_task_that_moves() {
    let clock = Arc::new(FakeClock::new());
    let store = MemoryStore::new(clock.clone());
    let results = Arc::new(MemoryResults::new(clock.clone()));
    let entropy = Arc::new(SeededEntropy::new(1));
    let client = Client::with_clock_and_entropy(store.handle(), Some(results), clock.clone(), entropy);
    let calls = (0..10).map(|x| add::call(x, x)).collect();
    let last = client.send_all(calls).await.unwrap().pop().unwrap().unwrap().id();
    let text = client.explain(last).await.unwrap().to_string();
    assert!(
        text.contains("no worker is alive. It waits behind 9 tasks of higher or equal priority."),
        "{text}"
    );

    let worker = store.handle();
    worker.heartbeat(&worker_of_math(), Duration::from_secs(1_000), None).await.unwrap();
    for (reserved, said) in
        [(4, "behind 5 tasks of higher or equal priority, drained at 4.0/s"), (6, "is STARTED in the queue")]
    {
        let asked = tokio::spawn({
            let client = client.clone();
            async move { client.explain(last).await.unwrap().to_string() }
        });
        lovage_testkit::settled_down().await;
        let (queue, lease) = (QueueName::new("math").unwrap(), Duration::from_secs(30));
        let token = Token::from_bytes([u8::try_from(reserved).unwrap(); 16]);
        let request = Reserve { queue: &queue, want: SlotWants::any(reserved), token, lease, suspects: true };
        assert_eq!(worker.reserve(request, None).await.unwrap().deliveries.len(), reserved);
        clock.advance(Duration::from_secs(1));
        let text = asked.await.unwrap();
        assert!(text.contains(said), "{text}");
    }
}

fn worker_of_math() -> WorkerInfo {
    WorkerInfo {
        id: WorkerId::new(&SeededEntropy::new(9)),
        name: "one".into(),
        host: "host".into(),
        pid: 1,
        version: "0".into(),
        started_at: Timestamp::default(),
        seen_at: Timestamp::default(),
        mode: WorkerMode::Running,
        queues: vec![QueueName::new("math").unwrap()],
        concurrency: 1,
        blocking: 1,
        tasks: vec![TaskInfo::from(&add::def())],
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

#[tokio::test]
async fn an_unknown_scheme_says_what_is_known_and_hides_the_rest() {
    let error = Client::connect("amqp://user:secret@host").await.unwrap_err();
    assert_eq!(error.kind(), &ClientErrorKind::Config);
    assert!(error.to_string().contains("sqlite://") && !error.to_string().contains("secret"), "{error}");
}
