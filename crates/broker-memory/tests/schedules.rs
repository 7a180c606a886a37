//! The contract of schedule stores, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker_memory::MemorySchedules;
use lovage_conformance::ScheduleBed;
use lovage_core::schedule::ScheduleStore;
use lovage_system::SystemClock;

struct Bed(MemorySchedules);

#[async_trait]
impl ScheduleBed for Bed {
    async fn store(&self) -> Arc<dyn ScheduleStore> {
        Arc::new(self.0.handle())
    }

    async fn spoil(&self, name: &str) {
        self.0.spoil(name, "zone `Mars` is not valid: expected a zone of the IANA database");
    }
}

async fn bed() -> Box<dyn ScheduleBed> {
    Box::new(Bed(MemorySchedules::new(Arc::new(SystemClock::new()))))
}

lovage_conformance::schedule_suite!(bed);
