//! What another program did to the keys of Redis: lists with garbage, and keys of another kind.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use lovage::{Client, RunningWorker, Worker};
use lovage_conformance::documented;
use lovage_core::{DeadReason, Page, Place, QueueName};
use lovage_redis::testing::RedisServer;

use crate::bed::{PATIENCE, until};
use crate::tasks;

struct Damaged {
    redis: RedisServer,
    client: Client,
}

impl Damaged {
    async fn new() -> Self {
        let redis = RedisServer::start_own(&[]).unwrap();
        let client = Client::connect(redis.url()).await.unwrap();
        Self { redis, client }
    }

    /// Sends a command in its plain form, as anybody may.
    fn does(&self, command: &str) {
        let address = self.redis.url().trim_start_matches("redis://").trim_end_matches("/0");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(!reply.starts_with('-'), "{reply}");
    }

    fn worker(&self, queues: &[&str]) -> RunningWorker {
        let queues = queues.iter().map(|queue| (QueueName::new(queue).unwrap(), 1)).collect();
        Worker::builder()
            .tasks(tasks::all())
            .queues(queues)
            .build(Arc::clone(self.client.broker()), self.client.results().cloned())
            .unwrap()
            .start()
    }
}

/// Entries that are no ids, and ids of nothing, are dropped; a record that is none is a dead letter.
#[tokio::test]
async fn garbage_in_the_list_of_a_queue() {
    let damaged = Damaged::new().await;
    // So that the queue knows that something is in the list.
    damaged.client.broker().pause(&QueueName::new("q").unwrap()).await.unwrap();
    let sent = tasks::add::call(1, 3).queue("q").send(&damaged.client).await.unwrap();
    for entry in ["garbage", "0123456789abcdef", "\"\"", "\"\\xde\\xad\""] {
        damaged.does(&format!("LPUSH lv1:{{q}}:r0 {entry}"));
        damaged.does(&format!("HSET lv1:{{q}}:m {entry} short"));
    }
    let _worker = damaged.worker(&["q"]);
    damaged.client.broker().resume(&QueueName::new("q").unwrap()).await.unwrap();
    assert_eq!(sent.get(PATIENCE).await.unwrap(), 4);
    let letter = until("a dead letter", async || {
        let queue = QueueName::new("q").unwrap();
        let page = damaged.client.broker().peek(&queue, Place::Dead, Page::first(10)).await.unwrap();
        page.items.into_iter().next()
    })
    .await;
    assert_eq!((letter.reason, letter.id.as_bytes()), (Some(DeadReason::Unreadable), b"0123456789abcdef"));
    assert_eq!(letter.body, b"short");
}

/// Who damaged one queue has not damaged the others.
#[tokio::test]
async fn a_queue_of_another_kind() {
    let damaged = Damaged::new().await;
    damaged.does("SET lv1:{broken}:m mine");
    damaged.does("SET lv1:{broken}:i mine");
    let error = tasks::add::call(1, 3).queue("broken").send(&damaged.client).await.unwrap_err();
    documented(
        "Redis script publish: …WRONGTYPE …; a key of Lovage holds something else: give Lovage a database of its own",
        &error.to_string(),
    );
    let _worker = damaged.worker(&["broken", "whole"]);
    for _ in 0..3 {
        let sent = tasks::add::call(1, 3).queue("whole").send(&damaged.client).await.unwrap();
        assert_eq!(sent.get(PATIENCE).await.unwrap(), 4);
    }
}
