//! The contract, with a database connection for each participant, as separate processes have.
//!
//! PostgreSQL is that of `LOVAGE_TEST_POSTGRES_URL`, or one of its own; each case has a schema of its own.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::BrokerBed;
use lovage_core::Broker;
use lovage_sql::Database;

/// Participants of the broker at one URL.
struct Bed {
    url: String,
    _dir: Option<tempfile::TempDir>,
}

#[async_trait]
impl BrokerBed for Bed {
    async fn handle(&self) -> Arc<dyn Broker> {
        let database = Database::connect(&self.url).await.expect("the database opens");
        lovage_broker_sql::open(database).await.expect("the tables are there")
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    async fn bed() -> Box<dyn BrokerBed> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Box::new(Bed { url: format!("sqlite://{}", dir.path().join("broker.db").display()), _dir: Some(dir) })
    }

    lovage_conformance::broker_suite!(bed);
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;

    async fn bed() -> Box<dyn BrokerBed> {
        let url = lovage_sql::postgres::testing::fresh_url().expect("a PostgreSQL");
        let database = Database::connect(&url).await.expect("the database opens");
        lovage_sql::migrate(&database, &lovage_broker_sql::MIGRATIONS).await.expect("the tables are made");
        Box::new(Bed { url, _dir: None })
    }

    lovage_conformance::broker_suite!(bed);
}
