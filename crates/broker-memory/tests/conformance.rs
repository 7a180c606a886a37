//! The memory broker keeps the whole contract.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker_memory::MemoryStore;
use lovage_conformance::{BrokerBed, broker_suite};
use lovage_core::Broker;
use lovage_testkit::FakeClock;

struct Bed(MemoryStore);

#[async_trait]
impl BrokerBed for Bed {
    async fn handle(&self) -> Arc<dyn Broker> {
        self.0.handle()
    }
}

async fn bed() -> Box<dyn BrokerBed> {
    Box::new(Bed(MemoryStore::new(Arc::new(FakeClock::new()))))
}

broker_suite!(bed);
