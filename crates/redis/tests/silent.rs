//! Peers that fall silent: they keep their connections open, acknowledge what is sent and answer nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![expect(clippy::disallowed_methods, reason = "bounds waits for a real server, and paces its traffic")]

use std::time::Duration;

use fred::interfaces::{KeysInterface, PubsubInterface};
use lovage_redis::testing::RedisServer;
use lovage_redis::{Redis, RedisConfig, SubscriberEvent};
use lovage_testkit::Relay;

const LIMIT: Duration = Duration::from_millis(300);
/// Much longer than the limit, shorter than the driver's own time-outs.
const PATIENCE: Duration = Duration::from_secs(8);

async fn relayed() -> (RedisServer, Relay, Redis) {
    let server = RedisServer::start_own(&[]).unwrap();
    let address = server.url().trim_start_matches("redis://").trim_end_matches("/0");
    let relay = Relay::start(address.parse().unwrap()).unwrap();
    let url = format!("redis://{}", relay.address());
    let config = RedisConfig::parse(&url).unwrap().with_silence_limit(LIMIT);
    let redis = Redis::connect(&config).await.unwrap();
    (server, relay, redis)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn write(redis: &Redis) -> Result<(), lovage_core::BackendError> {
    redis.run("write", |client| client.set::<(), _, _>("key", "value", None, None, false)).await
}

#[tokio::test]
async fn traffic_does_not_hide_a_silent_connection() {
    let (_server, relay, redis) = relayed().await;
    let traffic = tokio::spawn({
        let redis = redis.clone();
        async move {
            loop {
                tokio::spawn({
                    let redis = redis.clone();
                    async move { drop(write(&redis).await) }
                });
                // Paces the traffic; the test waits for the error below and not for this.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    write(&redis).await.unwrap();
    relay.silence();
    let lost = within("an answer to the unanswered command", write(&redis)).await.unwrap_err();
    assert!(lost.is_maybe_applied(), "{lost}");
    within("a command on a new connection", write(&redis)).await.unwrap();
    assert_eq!(relay.accepted(), 2, "it has connected again once");
    traffic.abort();
}

#[tokio::test]
async fn a_silent_subscriber_connects_again_and_reports_the_gap() {
    let (_server, relay, redis) = relayed().await;
    let subscriber = redis.subscriber().await.unwrap();
    let mut events = subscriber.events();
    subscriber.subscribe("wake").await.unwrap();
    relay.silence();
    assert_eq!(within("the gap", events.next()).await, Some(SubscriberEvent::Gap));
    let publish = redis.run("publish", |client| client.publish::<i64, _, _>("wake", "x"));
    // The server still believes in the silent connection.
    assert!(within("a publish", publish).await.unwrap() >= 1);
    let heard = within("the message", events.next()).await;
    assert!(matches!(heard, Some(SubscriberEvent::Message { .. })), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_stays_silent_is_found_again_later() {
    let (_server, relay, redis) = relayed().await;
    relay.silence_all();
    // A command waits 10 s for a connection, and a new connection 5 s for the answer to its login.
    let limit = Duration::from_secs(15);
    assert!(tokio::time::timeout(limit, write(&redis)).await.unwrap().is_err());
    relay.silence();
    let recovered = async { while write(&redis).await.is_err() {} };
    tokio::time::timeout(limit, recovered).await.unwrap();
}
