//! What the memory store promises beyond the contract: one timer for many idle handles, and nothing lost with a handle.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker_memory::MemoryStore;
use lovage_conformance::BrokerBed;
use lovage_core::{
    BackendErrorKind, Broker, Clock, Hint, Published, Reserve, Reserved, Settle, Settlement, SlotWants, Token,
};
use lovage_testkit::{
    FakeClock, Fault, FaultyBroker, Operation, SeededEntropy, message, queue, still_pending,
};

const LEASE: Duration = Duration::from_secs(30);

async fn reserve(broker: &dyn Broker, seed: u64) -> Reserved {
    let queue = queue("q");
    let token = Token::new(&SeededEntropy::new(seed));
    let request = Reserve { queue: &queue, want: SlotWants::any(10), token, lease: LEASE, suspects: true };
    broker.reserve(request, None).await.expect("the memory broker does not fail")
}

#[tokio::test(flavor = "current_thread")]
async fn only_one_idle_handle_is_told_the_time() {
    let clock = FakeClock::new();
    let store = MemoryStore::new(Arc::new(clock.clone()));
    let (one, two) = (store.handle(), store.handle());
    one.publish(&[message("q").delay(Duration::from_secs(10)).build()], None).await.unwrap();
    assert_eq!(reserve(&*one, 1).await.next_check, Some(Duration::from_secs(10)));
    assert_eq!(reserve(&*two, 2).await.next_check, None);
    clock.advance(Duration::from_secs(4));
    assert_eq!(reserve(&*one, 3).await.next_check, Some(Duration::from_secs(6)));
}

#[tokio::test(flavor = "current_thread")]
async fn timer_of_a_handle_that_is_gone_falls_to_another() {
    let store = MemoryStore::new(Arc::new(FakeClock::new()));
    let (one, two) = (store.handle(), store.handle());
    one.publish(&[message("q").delay(Duration::from_secs(10)).build()], None).await.unwrap();
    reserve(&*one, 1).await;
    reserve(&*two, 2).await;
    drop(one);
    assert_eq!(two.hint().await, Hint::Work(queue("q")));
    assert_eq!(reserve(&*two, 3).await.next_check, Some(Duration::from_secs(10)));
}

#[tokio::test(flavor = "current_thread")]
async fn hint_of_a_handle_that_is_gone_falls_to_another() {
    let store = MemoryStore::new(Arc::new(FakeClock::new()));
    let (one, two) = (store.handle(), store.handle());
    reserve(&*one, 1).await;
    reserve(&*two, 2).await;
    two.publish(&[message("q").build()], None).await.unwrap();
    assert!(still_pending(&mut two.hint()).await, "one message wakes the one that waited longest");
    drop(one);
    assert_eq!(two.hint().await, Hint::Work(queue("q")));
}

#[tokio::test(flavor = "current_thread")]
async fn without_an_instant_the_injected_clock_counts() {
    let clock = FakeClock::new();
    let broker = MemoryStore::new(Arc::new(clock.clone())).handle();
    broker.publish(&[message("q").delay(Duration::from_secs(10)).build()], None).await.unwrap();
    assert_eq!(reserve(&*broker, 1).await.deliveries, []);
    clock.advance(Duration::from_secs(10));
    let reserved = reserve(&*broker, 2).await;
    assert_eq!((reserved.deliveries.len(), reserved.now), (1, clock.now()));
}

#[tokio::test(flavor = "current_thread")]
async fn faults_happen_on_command() {
    let store = MemoryStore::new(Arc::new(FakeClock::new()));
    let faulty = FaultyBroker::new(store.handle());
    let sent = message("q").build();
    faulty.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    faulty.fail_next(Operation::Publish, Fault::LostAnswer);
    let batch = [sent.clone()];
    assert_eq!(faulty.publish(&batch, None).await.unwrap_err().kind(), BackendErrorKind::Refused);
    assert!(faulty.publish(&batch, None).await.unwrap_err().is_maybe_applied());
    assert_eq!(faulty.publish(&batch, None).await.unwrap(), [Published::Duplicate { holder: sent.id }]);
    assert_eq!(faulty.calls(Operation::Publish), 3);

    let leases = faulty.open_leases().await.unwrap();
    faulty.go_down();
    let how = [Settlement { id: sent.id, how: Settle::Ack }];
    let token = Token::from_bytes([7; 16]);
    assert!(faulty.settle(&queue("q"), token, &how, None).await.unwrap_err().is_transient());
    assert!(leases.extend(&queue("q"), &[token], LEASE, None).await.unwrap_err().is_transient());
    faulty.come_back();
    assert_eq!(faulty.hint().await, Hint::Everything);
    assert_eq!(leases.extend(&queue("q"), &[token], LEASE, None).await.unwrap().lost, [token]);
}

/// Without faults a faulty broker keeps the contract.
struct Bed(MemoryStore);

#[async_trait]
impl BrokerBed for Bed {
    async fn handle(&self) -> Arc<dyn Broker> {
        FaultyBroker::new(self.0.handle())
    }
}

async fn faultless_bed() -> Box<dyn BrokerBed> {
    Box::new(Bed(MemoryStore::new(Arc::new(FakeClock::new()))))
}

mod without_faults {
    lovage_conformance::broker_suite!(super::faultless_bed);
}
