//! The contract of result stores, on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::StoreBed;
use lovage_core::ResultStore;
use lovage_sql::Database;

struct Bed(tempfile::TempDir);

#[async_trait]
impl StoreBed for Bed {
    async fn store(&self) -> Arc<dyn ResultStore> {
        let url = format!("sqlite://{}", self.0.path().join("results.db").display());
        let database = Database::connect(&url).await.expect("a database in a fresh directory opens");
        lovage_results_sql::open(database).await.expect("the tables of a fresh database are made")
    }

    fn lists(&self) -> bool {
        true
    }
}

async fn bed() -> Box<dyn StoreBed> {
    Box::new(Bed(tempfile::tempdir().expect("a temporary directory")))
}

lovage_conformance::store_suite!(bed);
