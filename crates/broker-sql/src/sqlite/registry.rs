//! The registry of workers, and what they are told.

use std::time::Duration;

use lovage_core::{
    BackendError, Heartbeat, Hidden, TaskInfo, Timestamp, WorkerCommand, WorkerId, WorkerInfo,
};
use lovage_sql::{sql_error, sqlite::SqliteDatabase};
use sqlx::SqliteConnection;

use crate::inbox::Signal;
use crate::sqlite::broker::{Outbox, SqliteBroker};
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "registering a worker";

impl SqliteBroker {
    pub(crate) async fn register(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Heartbeat, BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let key = bytes(info.id);
        let json = json(info, now)?;
        let mut tx = self.db.write_tx().await?;
        let shorten = sqlx::query(sql!("worker_shorten")).bind(now.as_micros());
        shorten.execute(&mut *tx).await.map_err(fail)?;
        sqlx::query(sql!("worker_expire"))
            .bind(now.as_micros())
            .bind(&key)
            .execute(&mut *tx)
            .await
            .map_err(fail)?;
        let is_known = sqlx::query_scalar::<_, String>(sql!("worker_get")).bind(&key).bind(i64::MIN);
        if is_known.fetch_optional(&mut *tx).await.map_err(fail)?.is_none() {
            learn(&mut tx, &info.tasks).await?;
        }
        let upsert =
            sqlx::query(sql!("worker_upsert")).bind(&key).bind(self.handle()).bind(&info.name).bind(json);
        upsert.bind(now.as_micros()).bind(rows::micros(ttl)).execute(&mut *tx).await.map_err(fail)?;
        let live: i64 = sqlx::query_scalar(sql!("worker_count")).fetch_one(&mut *tx).await.map_err(fail)?;
        let taken = sqlx::query(sql!("command_take")).bind(&key).fetch_all(&mut *tx).await.map_err(fail)?;
        self.commit(tx, Outbox::new()).await?;
        let mut commands = Vec::with_capacity(taken.len());
        for row in &taken {
            commands.push((rows::get::<i64>(row, "seq")?, rows::get::<String>(row, "command")?));
        }
        commands.sort_unstable();
        // A command of a newer release that this one does not know is dropped.
        let commands =
            commands.iter().filter_map(|(_, command)| serde_json::from_str(command).ok()).collect();
        Ok(Heartbeat { live_workers: usize::try_from(live).unwrap_or(0), commands })
    }

    pub(crate) async fn unregister(&self, worker: WorkerId) -> Result<(), BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let mut tx = self.db.write_tx().await?;
        sqlx::query(sql!("worker_delete")).bind(bytes(worker)).execute(&mut *tx).await.map_err(fail)?;
        sqlx::query(sql!("command_take")).bind(bytes(worker)).fetch_all(&mut *tx).await.map_err(fail)?;
        self.commit(tx, Outbox::new()).await
    }

    pub(crate) async fn tell_worker(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Timestamp,
    ) -> Result<bool, BackendError> {
        let fail = |error| sql_error("telling a worker", error);
        let json =
            serde_json::to_string(command).map_err(|_| rows::corrupt("a command that cannot be written"))?;
        let mut tx = self.db.write_tx().await?;
        let get = sqlx::query_scalar(sql!("worker_get")).bind(bytes(worker)).bind(now.as_micros());
        let Some(handle) = get.fetch_optional(&mut *tx).await.map_err(fail)? else { return Ok(false) };
        sqlx::query(sql!("command_add"))
            .bind(bytes(worker))
            .bind(json)
            .execute(&mut *tx)
            .await
            .map_err(fail)?;
        self.commit(tx, vec![(handle, Signal::Command)]).await?;
        Ok(true)
    }
}

/// Keeps what tasks hide, in the place of what was known of them. An older worker does not say.
async fn learn(tx: &mut SqliteConnection, tasks: &[TaskInfo]) -> Result<(), BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let told: Vec<&str> =
        tasks.iter().filter(|task| task.redacted.is_some()).map(|task| task.name.as_str()).collect();
    let names = serde_json::json!(told).to_string();
    sqlx::query(sql!("hidden_forget")).bind(names).execute(&mut *tx).await.map_err(fail)?;
    let mut hidden = Hidden::default();
    hidden.learn(tasks);
    for (task, marks) in hidden.tasks() {
        let marks = serde_json::json!(marks).to_string();
        sqlx::query(sql!("hidden_keep")).bind(task).bind(marks).execute(&mut *tx).await.map_err(fail)?;
    }
    Ok(())
}

/// Renews the registration of a worker whose loop cannot.
pub(super) async fn speak_for(
    db: &SqliteDatabase,
    info: &WorkerInfo,
    ttl: Duration,
    now: Timestamp,
) -> Result<bool, BackendError> {
    let fail = |error| sql_error("renewing a registration", error);
    let json = json(info, now)?;
    let mut tx = db.write_tx().await?;
    let update = sqlx::query(sql!("worker_speak_for")).bind(bytes(info.id)).bind(now.as_micros());
    let update = update.bind(json).bind(rows::micros(ttl));
    let done = update.execute(&mut *tx).await.map_err(fail)?;
    tx.commit().await.map_err(fail)?;
    Ok(done.rows_affected() > 0)
}

/// What a worker says of itself, as it is stored.
fn json(info: &WorkerInfo, now: Timestamp) -> Result<String, BackendError> {
    let known = WorkerInfo { seen_at: now, ..info.clone() };
    serde_json::to_string(&known).map_err(|_| rows::corrupt("a worker that cannot be written"))
}

/// The key of a worker's rows.
fn bytes(worker: WorkerId) -> Vec<u8> {
    worker.to_string().into_bytes()
}
