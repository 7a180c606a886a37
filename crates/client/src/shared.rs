//! Broker and results in one PostgreSQL database.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker_sql::PgBroker;
use lovage_core::{BackendError, Recorded, SettlePart, Settled, SharedStore, TaskRecord};
use lovage_results_sql::PgResults;
use lovage_sql::postgres::PgDatabase;

use crate::connect::Backends;

const CONTEXT: &str = "recording results and settling";

pub(crate) async fn open(db: PgDatabase, broker: Arc<PgBroker>) -> Result<Backends, BackendError> {
    let results = PgResults::open(db.clone()).await?;
    let shared = PgShared { db, results: results.clone() };
    Ok(Backends { broker, results: Arc::new(results), shared: Some(Arc::new(shared)) })
}

#[derive(Debug)]
struct PgShared {
    db: PgDatabase,
    results: PgResults,
}

#[async_trait]
impl SharedStore for PgShared {
    async fn record_and_settle(
        &self,
        records: &[TaskRecord],
        parts: &[SettlePart],
    ) -> Result<Option<Vec<Vec<Settled>>>, BackendError> {
        self.db.undisturbed(|| self.once(records, parts)).await
    }
}

impl PgShared {
    async fn once(
        &self,
        records: &[TaskRecord],
        parts: &[SettlePart],
    ) -> Result<Option<Vec<Vec<Settled>>>, BackendError> {
        let mut tx = self.db.begin(CONTEXT).await?;
        let recording = self.results.record_on(tx.connection(), records, None);
        let recorded = self.db.in_time(CONTEXT, recording).await?;
        if recorded.iter().any(|answer| matches!(answer, Recorded::Refused(_))) {
            // Dropping the transaction undoes it.
            return Ok(None);
        }
        let mut answers = Vec::with_capacity(parts.len());
        for SettlePart { queue, token, batch } in parts {
            answers.push(PgBroker::settle_on(&mut tx, queue, *token, batch, None).await?);
        }
        tx.commit(CONTEXT).await?;
        Ok(Some(answers))
    }
}
