//! The contract of result stores, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker_memory::MemoryResults;
use lovage_conformance::StoreBed;
use lovage_core::ResultStore;
use lovage_system::SystemClock;

struct Bed(Arc<MemoryResults>);

#[async_trait]
impl StoreBed for Bed {
    async fn store(&self) -> Arc<dyn ResultStore> {
        Arc::clone(&self.0) as Arc<dyn ResultStore>
    }

    fn lists(&self) -> bool {
        true
    }
}

async fn bed() -> Box<dyn StoreBed> {
    Box::new(Bed(Arc::new(MemoryResults::new(Arc::new(SystemClock::new())))))
}

lovage_conformance::store_suite!(bed);
lovage_conformance::stats_suite!(bed);
lovage_conformance::audit_suite!(bed);
