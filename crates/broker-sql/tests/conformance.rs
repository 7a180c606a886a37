//! The contract, with a database connection for each participant, as separate processes have.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::BrokerBed;
use lovage_core::Broker;
use lovage_sql::Database;

struct Bed(tempfile::TempDir);

#[async_trait]
impl BrokerBed for Bed {
    async fn handle(&self) -> Arc<dyn Broker> {
        let url = format!("sqlite://{}", self.0.path().join("broker.db").display());
        let database = Database::connect(&url).await.expect("a database in a fresh directory opens");
        lovage_broker_sql::open(database).await.expect("the tables of a fresh database are made")
    }
}

async fn bed() -> Box<dyn BrokerBed> {
    Box::new(Bed(tempfile::tempdir().expect("a temporary directory")))
}

lovage_conformance::broker_suite!(bed);
