//! Who did what.

use async_trait::async_trait;
use lovage_core::audit::{Action, AuditFilter, AuditStore};
use lovage_core::{BackendError, Page, Paged, Timestamp};
use lovage_sql::sql_error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::audit::{LISTING, RECORDING, TRIMMING, Wanted, Way};
use crate::page::count;
use crate::postgres::PgResults;
use crate::postgres::sql;
use crate::postgres::types::Instant;

/// A statement that answers actions.
macro_rules! actions_sql {
    ($range:literal) => {
        concat!(crate::postgres::sql!("audit_row"), crate::postgres::sql!($range))
    };
}
#[cfg(test)]
pub(crate) use actions_sql;

#[async_trait]
impl AuditStore for PgResults {
    async fn record(&self, batch: &[Action]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let batch: Vec<Action> = batch.iter().map(Action::fitted).collect();
        let texts =
            |text: fn(&Action) -> &String| batch.iter().map(|one| text(one).clone()).collect::<Vec<_>>();
        let query = sqlx::query(sql!("audit_add"))
            .bind(batch.iter().map(|action| Instant(action.at)).collect::<Vec<_>>())
            .bind(texts(|action| &action.who))
            .bind(texts(|action| &action.address))
            .bind(texts(|action| &action.what))
            .bind(texts(|action| &action.to))
            .bind(texts(|action| &action.outcome));
        self.db.rows(RECORDING, query).await?;
        Ok(())
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<Action>, BackendError> {
        let wanted = Wanted::new(filter, &page)?;
        let statement = match wanted.way() {
            Way::All => actions_sql!("audit_all"),
            Way::Who => actions_sql!("audit_who"),
            Way::What => actions_sql!("audit_what"),
            Way::Both => actions_sql!("audit_both"),
        };
        let query = sqlx::query(statement)
            .bind(Instant(wanted.since))
            .bind(Instant(wanted.after.at))
            .bind(wanted.after.id)
            .bind(wanted.rows())
            .bind(wanted.filter.who.as_deref())
            .bind(wanted.filter.what.as_deref());
        let rows = self.db.slow().rows(LISTING, query).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>();
        Ok(wanted.page(found.map_err(|error| sql_error(LISTING, error))?))
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let query = sqlx::query(sql!("audit_trim")).bind(Instant(before)).bind(count(limit));
        Ok(self.db.slow().rows(TRIMMING, query).await?.len())
    }
}

fn read(row: &PgRow) -> Result<(i64, Action), sqlx::Error> {
    let action = Action {
        at: row.try_get::<Instant, _>("at")?.0,
        who: row.try_get("who")?,
        address: row.try_get("address")?,
        what: row.try_get("what")?,
        to: row.try_get("target")?,
        outcome: row.try_get("outcome")?,
    };
    Ok((row.try_get("id")?, action))
}
