//! Batches as one array per column.

use lovage_core::schedule::{Advance, Firing};
use lovage_sql::postgres::Instant;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::postgres::sql;
use crate::row::note;

type Statement = Query<'static, Postgres, PgArguments>;

/// The statement that writes a batch, sorted by name: see `advance.sql`.
pub(crate) fn advance(batch: &[Advance]) -> Statement {
    let mut sorted: Vec<&Advance> = batch.iter().collect();
    sorted.sort_by_key(|advance| &advance.name);
    let instants = |of: fn(&Advance) -> Instant| sorted.iter().map(|advance| of(advance)).collect::<Vec<_>>();
    let statement = sqlx::query(sql!("advance"))
        .bind(sorted.iter().map(|advance| advance.name.as_str().to_owned()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|advance| advance.revision).collect::<Vec<_>>())
        .bind(instants(|advance| Instant(advance.seen)))
        .bind(instants(|advance| Instant(advance.done_until)))
        .bind(sorted.iter().map(|advance| advance.next_run_at.map(Instant)).collect::<Vec<_>>())
        .bind(sorted.iter().map(|advance| advance.ends).collect::<Vec<_>>())
        .bind(sorted.iter().map(|advance| advance.error.clone()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|advance| advance.rewinds).collect::<Vec<_>>());
    firings(statement, &sorted.iter().flat_map(|advance| &advance.firings).collect::<Vec<_>>())
}

/// The statement that adds firings.
pub(crate) fn tell(batch: &[&Firing]) -> Statement {
    firings(sqlx::query(sql!("tell")), batch)
}

fn firings(statement: Statement, batch: &[&Firing]) -> Statement {
    let instants = |of: fn(&Firing) -> Instant| batch.iter().map(|firing| of(firing)).collect::<Vec<_>>();
    let task = |firing: &&Firing| firing.fate.stored_task().map(|id| Uuid::from_bytes(*id.as_bytes()));
    statement
        .bind(batch.iter().map(|firing| firing.name.as_str().to_owned()).collect::<Vec<_>>())
        .bind(instants(|firing| Instant(firing.slot)))
        .bind(batch.iter().map(|firing| firing.fate.as_str()).collect::<Vec<_>>())
        .bind(instants(|firing| Instant(firing.last_slot)))
        .bind(instants(|firing| Instant(firing.at)))
        .bind(batch.iter().map(task).collect::<Vec<_>>())
        .bind(batch.iter().map(|firing| note(firing)).collect::<Vec<_>>())
}
