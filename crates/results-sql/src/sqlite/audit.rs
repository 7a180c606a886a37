//! Who did what.

use async_trait::async_trait;
use lovage_core::audit::{Action, AuditFilter, AuditStore};
use lovage_core::{BackendError, Page, Paged, Timestamp};
use lovage_sql::sql_error;
use serde_json::{Value, json};

use crate::audit::{LISTING, RECORDING, TRIMMING, Wanted, Way};
use crate::page::count;
use crate::sqlite::{SqliteResults, sql};

/// A statement that answers actions.
macro_rules! actions_sql {
    ($range:literal) => {
        concat!(crate::sqlite::sql!("audit_row"), crate::sqlite::sql!($range))
    };
}

#[async_trait]
impl AuditStore for SqliteResults {
    async fn record(&self, batch: &[Action]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let row = |action: Action| {
            let Action { at, who, address, what, to, outcome } = action;
            json!([at.as_micros(), who, address, what, to, outcome])
        };
        let rows: Value = batch.iter().map(Action::fitted).map(row).collect();
        let fail = |error| sql_error(RECORDING, error);
        let mut tx = self.db.write_tx().await?;
        sqlx::query(sql!("audit_add")).bind(rows.to_string()).execute(&mut *tx).await.map_err(fail)?;
        tx.commit().await.map_err(fail)
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<Action>, BackendError> {
        let wanted = Wanted::new(filter, &page)?;
        let rows: Vec<(i64, i64, String, String, String, String, String)> =
            sqlx::query_as(statement(wanted.way()))
                .bind(wanted.since.as_micros())
                .bind(wanted.after.at.as_micros())
                .bind(wanted.after.id)
                .bind(wanted.rows())
                .bind(wanted.filter.who.as_deref())
                .bind(wanted.filter.what.as_deref())
                .fetch_all(self.db.reader())
                .await
                .map_err(|error| sql_error(LISTING, error))?;
        let found = rows.into_iter().map(|(id, at, who, address, what, to, outcome)| {
            (id, Action { at: Timestamp::from_micros(at), who, address, what, to, outcome })
        });
        Ok(wanted.page(found.collect()))
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let fail = |error| sql_error(TRIMMING, error);
        let mut tx = self.db.write_tx().await?;
        let query = sqlx::query(sql!("audit_trim")).bind(before.as_micros()).bind(count(limit));
        let gone = query.execute(&mut *tx).await.map_err(fail)?.rows_affected();
        if gone > 0 {
            tx.commit().await.map_err(fail)?;
        }
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

fn statement(way: Way) -> &'static str {
    match way {
        Way::All => actions_sql!("audit_all"),
        Way::Who => actions_sql!("audit_who"),
        Way::What => actions_sql!("audit_what"),
        Way::Both => actions_sql!("audit_both"),
    }
}

#[cfg(test)]
mod tests {
    use lovage_sql::sqlite::SqliteDatabase;

    use super::*;

    #[tokio::test]
    async fn actions_are_listed_and_trimmed_by_their_index() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("results.db").display());
        let db = SqliteDatabase::connect(&url).await.unwrap();
        lovage_sql::migrate(&db.clone().into(), &crate::MIGRATIONS).await.unwrap();
        let trim = sql!("audit_trim");
        for (sql, index) in [
            (statement(Way::All), "lovage_audit_at (at>? AND at<?)"),
            (statement(Way::Who), "lovage_audit_who (who=? AND at>? AND at<?)"),
            (statement(Way::What), "lovage_audit_what (what=? AND at>? AND at<?)"),
            (statement(Way::Both), "lovage_audit_both (who=? AND what=? AND at>? AND at<?)"),
            (trim, "lovage_audit_at (at<?)"),
        ] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(db.reader()).await.unwrap();
            let steps: Vec<String> = rows.into_iter().map(|row| row.3).collect();
            assert!(steps.iter().any(|step| step.contains(index)), "{index}\n{steps:#?}");
            assert!(
                !steps.iter().any(|step| step.contains("TEMP") || step.contains("SCAN lovage")),
                "{steps:#?}"
            );
        }
    }
}
