//! The contract of schedule stores, on each kind of database.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::ScheduleBed;
use lovage_core::schedule::ScheduleStore;
use lovage_sql::Database;

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    struct Bed(tempfile::TempDir);

    impl Bed {
        async fn database(&self) -> Database {
            let url = format!("sqlite://{}", self.0.path().join("schedule.db").display());
            Database::connect(&url).await.expect("a database in a fresh directory opens")
        }
    }

    #[async_trait]
    impl ScheduleBed for Bed {
        async fn store(&self) -> Arc<dyn ScheduleStore> {
            let database = self.database().await;
            lovage_schedules_sql::open(database).await.expect("the tables of a fresh database are made")
        }

        async fn spoil(&self, name: &str) {
            let Database::Sqlite(database) = self.database().await else { return };
            let mut tx = database.write_tx().await.expect("the writer is free");
            let spoil = sqlx::query(
                "UPDATE lovage_schedule SET misfire = 'never', revision = revision + 1 WHERE name = ?",
            );
            spoil.bind(name).execute(&mut *tx).await.expect("the row is there");
            tx.commit().await.expect("it is written");
        }
    }

    async fn bed() -> Box<dyn ScheduleBed> {
        Box::new(Bed(tempfile::tempdir().expect("a temporary directory")))
    }

    lovage_conformance::schedule_suite!(bed);
}

#[cfg(feature = "postgres")]
mod postgres {
    use lovage_schedules_sql::MIGRATIONS;

    use super::*;

    struct Bed(String);

    #[async_trait]
    impl ScheduleBed for Bed {
        async fn store(&self) -> Arc<dyn ScheduleStore> {
            let database = Database::connect(&self.0).await.expect("PostgreSQL answers");
            lovage_schedules_sql::open(database).await.expect("the tables are there")
        }

        async fn spoil(&self, name: &str) {
            let Ok(Database::Postgres(database)) = Database::connect(&self.0).await else { return };
            let spoil = sqlx::query(
                "UPDATE lovage_schedule SET misfire = 'never', revision = revision + 1 WHERE name = $1",
            );
            database.rows("test", spoil.bind(name)).await.expect("the row is there");
        }
    }

    async fn bed() -> Box<dyn ScheduleBed> {
        let url = lovage_sql::postgres::testing::fresh_url().expect("PostgreSQL is installed");
        let database = Database::connect(&url).await.expect("PostgreSQL answers");
        lovage_sql::migrate(&database, &MIGRATIONS).await.expect("a fresh schema takes the tables");
        Box::new(Bed(url))
    }

    lovage_conformance::schedule_suite!(bed);
}
