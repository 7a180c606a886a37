//! The contract of result stores, on each kind of database.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::StoreBed;
use lovage_core::ResultStore;
use lovage_sql::Database;

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

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
    lovage_conformance::stats_suite!(bed);
    lovage_conformance::audit_suite!(bed);
}

#[cfg(feature = "postgres")]
mod postgres {
    use lovage_results_sql::MIGRATIONS;

    use super::*;

    struct Bed(String);

    #[async_trait]
    impl StoreBed for Bed {
        async fn store(&self) -> Arc<dyn ResultStore> {
            let database = Database::connect(&self.0).await.expect("PostgreSQL answers");
            lovage_results_sql::open(database).await.expect("the tables are there")
        }

        fn lists(&self) -> bool {
            true
        }
    }

    async fn bed() -> Box<dyn StoreBed> {
        let url = lovage_sql::postgres::testing::fresh_url().expect("PostgreSQL is installed");
        let database = Database::connect(&url).await.expect("PostgreSQL answers");
        lovage_sql::migrate(&database, &MIGRATIONS).await.expect("a fresh schema takes the tables");
        Box::new(Bed(url))
    }

    lovage_conformance::store_suite!(bed);
    lovage_conformance::stats_suite!(bed);
    lovage_conformance::audit_suite!(bed);
}
