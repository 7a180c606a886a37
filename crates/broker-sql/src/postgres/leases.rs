//! The second connection, which only renews leases and registrations.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{BackendError, Extended, Leases, QueueName, Timestamp, Token, WorkerInfo};
use lovage_sql::postgres::PgDatabase;
use sqlx::types::Uuid;

use crate::postgres::rows;
use crate::postgres::sql;

#[derive(Debug)]
pub(crate) struct PgLeases {
    db: PgDatabase,
}

impl PgLeases {
    pub(crate) async fn open(db: &PgDatabase) -> Result<Self, BackendError> {
        let db = db.separate();
        // Connects now, while somebody can be told when it does not work.
        db.rows("connecting for leases", sqlx::query("SELECT 1")).await?;
        Ok(Self { db })
    }
}

#[async_trait]
impl Leases for PgLeases {
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError> {
        let all: Vec<Uuid> = tokens.iter().copied().map(rows::token).collect();
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT kept, revoked FROM lovage_extend($1, $2, $3, $4)");
                let query = query.bind(queue.as_str()).bind(rows::micros(now)).bind(&all);
                self.db.rows("renewing leases", query.bind(rows::duration(lease)))
            })
            .await?;
        let (mut kept, mut revoked) = (Vec::new(), Vec::new());
        for row in &found {
            kept.extend(rows::get::<Option<Uuid>>(row, "kept")?);
            revoked.extend(rows::get::<Option<Uuid>>(row, "revoked")?.map(rows::task_id));
        }
        let lost = tokens.iter().filter(|token| !kept.contains(&rows::token(**token))).copied().collect();
        Ok(Extended { lost, revoked })
    }

    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let json = rows::info(info)?;
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query(sql!("speak_for")).bind(info.id.to_string()).bind(&json);
                let query = query.bind(rows::duration(ttl)).bind(rows::micros(now));
                self.db.rows("renewing a registration", query)
            })
            .await?;
        Ok(!found.is_empty())
    }
}
