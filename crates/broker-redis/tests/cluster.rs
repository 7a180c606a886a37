//! The broker while a cluster changes under it: a slot moves, a primary dies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fred::util::redis_keyslot;
use futures_util::future::join_all;
use lovage_broker_redis::RedisBroker;
use lovage_core::{
    Broker, Hint, Message, Published, QueueName, Reserve, Reserved, Settle, Settlement, SlotWants, TaskId,
    Token,
};
use lovage_redis::RedisConfig;
use lovage_redis::testing::RedisCluster;
use lovage_system::{SystemClock, SystemEntropy};
use lovage_testkit::message;

const LEASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

async fn broker(cluster: &RedisCluster, options: &str) -> Arc<dyn Broker> {
    let config = RedisConfig::parse(&format!("{}{options}", cluster.url())).unwrap();
    RedisBroker::connect(&config).await.unwrap()
}

fn queue() -> QueueName {
    lovage_testkit::queue("q")
}

async fn reserve(broker: &dyn Broker, max: usize) -> Option<(Token, Reserved)> {
    let token = Token::new(&SystemEntropy);
    let request = Reserve { queue: &queue(), want: SlotWants::any(max), token, lease: LEASE, suspects: true };
    match broker.reserve(request, None).await {
        Ok(reserved) => Some((token, reserved)),
        Err(error) => {
            assert!(error.is_transient(), "{error}");
            None
        }
    }
}

/// Publishes until told what became of it: an answer that was lost is asked for again with the same id.
async fn publish(broker: &dyn Broker, message: Message) -> TaskId {
    loop {
        match broker.publish(std::slice::from_ref(&message), None).await {
            Ok(answers) => match &answers[..] {
                [Published::Accepted] => return message.id,
                [Published::Duplicate { holder }] if *holder == message.id => return message.id,
                other => panic!("{other:?}"),
            },
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// A worker's loop: takes and ends messages until all of `wanted` were seen.
async fn consume(broker: &dyn Broker, mut wanted: BTreeSet<TaskId>) {
    while !wanted.is_empty() {
        drop(broker.maintain(&queue(), 100, LEASE, None).await);
        let Some((token, reserved)) = reserve(broker, 10).await else { continue };
        if reserved.deliveries.is_empty() {
            tokio::task::yield_now().await;
        }
        for delivery in reserved.deliveries {
            wanted.remove(&delivery.id);
            let ack = [Settlement { id: delivery.id, how: Settle::Ack }];
            drop(broker.settle(&queue(), token, &ack, None).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_flow_while_their_slot_moves() {
    let cluster = RedisCluster::start_own(&[]).unwrap();
    let (sender, worker) = (broker(&cluster, "").await, broker(&cluster, "").await);
    let first = publish(&*sender, message("q").build()).await;
    let (moved, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(usize::MAX)));
    let (ended, all_sent) = (Arc::clone(&moved), Arc::clone(&count));
    let sending = tokio::spawn(async move {
        let mut sent = BTreeSet::from([first]);
        while !ended.load(Ordering::SeqCst) {
            // Several at a time: no answer may be taken for another one's.
            let some = join_all((0..8).map(|_| publish(&*sender, message("q").build())));
            sent.extend(some.await);
        }
        all_sent.store(sent.len(), Ordering::SeqCst);
        sent
    });
    let working = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < count.load(Ordering::SeqCst) {
            let Some((token, reserved)) = reserve(&*worker, 10).await else { continue };
            let ids: Vec<TaskId> = reserved.deliveries.iter().map(|delivery| delivery.id).collect();
            let acks: Vec<_> = ids.iter().map(|id| Settlement { id: *id, how: Settle::Ack }).collect();
            worker.settle(&queue(), token, &acks, None).await.unwrap();
            seen.extend(ids);
        }
        (worker, seen)
    });
    let slot = redis_keyslot(b"q");
    let from = cluster.owner_of(slot).unwrap();
    let hops = [from, (from + 1) % 3, (from + 2) % 3, from];
    tokio::task::block_in_place(|| {
        for (from, to) in hops.iter().zip(&hops[1..]) {
            cluster.begin_to_move(slot, *from, *to).unwrap();
            cluster.wait_until_asked(*from).unwrap();
            cluster.finish_to_move(slot, *from, *to).unwrap();
        }
    });
    moved.store(true, Ordering::SeqCst);
    let sent = within("the sender", sending).await.unwrap();
    let (worker, seen) = within("the worker", working).await.unwrap();
    assert_eq!(seen.len(), sent.len(), "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(worker.depth(&queue(), None).await.unwrap(), lovage_core::Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_loses_nothing_that_was_accepted_by_a_replica() {
    let mut cluster = RedisCluster::start_own(&[]).unwrap();
    let sender = broker(&cluster, "?durability=replicated").await;
    let worker = broker(&cluster, "").await;
    assert!(reserve(&*worker, 1).await.unwrap().1.deliveries.is_empty(), "it is idle and listens");
    let mut accepted = BTreeSet::new();
    for _ in 0..50 {
        accepted.insert(publish(&*sender, message("q").build()).await);
    }
    let held = reserve(&*worker, 10).await.unwrap().1.deliveries.len();
    assert_eq!(held, 10, "some are leased, the others ready");
    let owner = cluster.owner_of(redis_keyslot(b"q")).unwrap();
    tokio::task::block_in_place(|| cluster.kill(owner)).unwrap();
    let after = tokio::spawn(async move {
        let message = message("q").build();
        // Its replica is the primary now and has no replica of its own: nobody acknowledges.
        loop {
            let error = match sender.publish(std::slice::from_ref(&message), None).await {
                Ok(answers) => panic!("{answers:?}"),
                Err(error) => error,
            };
            assert!(error.is_transient() && error.is_maybe_applied(), "{error}");
            if error.to_string().contains("no replica acknowledged") {
                return message.id;
            }
        }
    });
    let gap = async { while worker.hint().await != Hint::Everything {} };
    within("the hint to look at everything", gap).await;
    accepted.insert(within("the fail-over", after).await.unwrap());
    within("all that was accepted", consume(&*worker, accepted)).await;
}

#[tokio::test]
async fn the_rights_in_the_manual_are_enough_in_a_cluster() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md"));
    let from = manual.split_once("ACL SETUSER lovage on >secret").unwrap().1;
    let rights: Vec<&str> = from.split_once("\n\n").unwrap().0.split_whitespace().collect();
    let user = [&["--user", "lovage", "on", ">secret"], rights.as_slice()].concat();
    let cluster = RedisCluster::start_own(&user).unwrap();
    let url = cluster.url().replace("://", "://lovage:secret@");
    let config = RedisConfig::parse(&format!("{url}?durability=replicated")).unwrap();
    let broker = RedisBroker::connect(&config).await.unwrap();
    assert!(reserve(&*broker, 1).await.unwrap().1.deliveries.is_empty());
    let batch: Vec<Message> = ["a", "b", "c", "q"].map(|queue| message(queue).build()).into();
    let answers = broker.publish(&batch, None).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Published::Accepted), "{answers:?}");
    assert_eq!(within("the hint", broker.hint()).await, Hint::Work(queue()));
    assert_eq!(broker.queues().await.unwrap().len(), 4);
    assert!(broker.find(batch[1].id, None).await.unwrap().is_some(), "on whichever node");
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    lovage_testkit::within(&SystemClock::new(), PATIENCE, what, future).await
}
