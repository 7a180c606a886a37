//! A Redis whose memory is full, with `noeviction`: nothing is lost, it is drained, and takes tasks again.

use lovage::{Client, ClientError, ClientErrorKind, Handle, TaskState};
use lovage_conformance::documented;
use lovage_core::Outcome;
use lovage_redis::testing::{RedisCluster, RedisServer};

use crate::bed::{Bed, until};
use crate::tasks;

const MARKER: &str = "Redis was out of memory when the task ended: its result is not stored";

const MAXMEMORY: [&str; 2] = ["--maxmemory", "8mb"];

/// A task whose message is far larger than the row of its end.
async fn send(bed: &Bed) -> Result<Handle<String>, ClientError> {
    tasks::echo::call("x".repeat(4_000)).queue(&bed.queue).send(&bed.client).await
}

#[tokio::test]
async fn a_full_redis_with_its_results_is_drained() {
    let redis = RedisServer::start_own(&MAXMEMORY).unwrap();
    is_drained(Bed::of(Client::connect(redis.url()).await.unwrap(), Box::new(redis))).await;
}

/// The queue fills one node; of the results some are there, too.
#[tokio::test]
async fn a_full_node_of_a_cluster_is_drained() {
    let cluster = RedisCluster::start_own(&MAXMEMORY).unwrap();
    is_drained(Bed::of(Client::connect(cluster.url()).await.unwrap(), Box::new(cluster))).await;
}

async fn is_drained(bed: Bed) {
    let mut sent = Vec::new();
    let refused = loop {
        match send(&bed).await {
            Ok(handle) => sent.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), &ClientErrorKind::Unsupported);
    documented(
        "Redis script publish: …OOM command not allowed …; Redis is out of memory: raise maxmemory or let workers drain",
        &refused.to_string(),
    );
    assert!(sent.len() > 100, "{}", sent.len());

    let worker = bed.worker();
    until("an empty queue", async || {
        let depth = bed.client.broker().depth(&bed.queue, None).await.unwrap();
        (depth.ready + depth.leased + depth.delayed + depth.dead == 0).then_some(())
    })
    .await;
    let mut brief = 0;
    for handle in &sent {
        let row = bed.record(handle.id()).await.unwrap();
        assert_eq!(row.state, TaskState::Success);
        brief += usize::from(row.outcome == Outcome::Marker(MARKER.to_owned()));
    }
    assert!(brief > 0, "it was full when they ended");

    // Redis gives its own buffers back a moment after the queue is empty.
    let mut runs = u64::try_from(sent.len()).unwrap();
    let whole = until("a result that is stored whole", async || {
        let again = send(&bed).await.ok()?;
        runs += 1;
        again.get(crate::bed::PATIENCE).await.ok()
    });
    assert_eq!(whole.await.len(), 4_000);
    worker.stop();
    let summary = worker.join().await.unwrap();
    assert_eq!((summary.succeeded, summary.failed, summary.unsettled), (runs, 0, 0));
}
