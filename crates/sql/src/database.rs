//! Which kind of database a URL means.

use lovage_core::{BackendError, BackendErrorKind};

#[cfg(feature = "postgres")]
use crate::postgres::PgDatabase;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteDatabase;

/// A database, opened and checked. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteDatabase),
    /// A PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(PgDatabase),
}

impl Database {
    /// Opens `sqlite://…` ([`SqliteDatabase::connect`](crate::sqlite::SqliteDatabase::connect)) or `postgres://…`
    /// ([`PgDatabase::connect`](crate::postgres::PgDatabase::connect)).
    ///
    /// # Errors
    /// Theirs; `Config` for other schemes, and for one whose feature is off.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        match lovage_core::url::scheme(url).as_str() {
            #[cfg(feature = "sqlite")]
            "sqlite" => Ok(Self::Sqlite(SqliteDatabase::connect(url).await?)),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(PgDatabase::connect(url).await?)),
            "" => Err(BackendError::new(
                BackendErrorKind::Config,
                format!("the URL of the database has no scheme: expected {}", forms().join(" or ")),
            )),
            // Other schemes may carry a password, so the message names the scheme and never the rest.
            other => Err(BackendError::new(
                BackendErrorKind::Config,
                format!("`{other}://` is no SQL database of this program: expected {}", forms().join(" or ")),
            )),
        }
    }
}

/// The URLs that this program can open.
fn forms() -> Vec<&'static str> {
    let mut forms = Vec::new();
    if cfg!(feature = "sqlite") {
        forms.push("sqlite://lovage.db");
    }
    if cfg!(feature = "postgres") {
        forms.push("postgres://user:password@host/database");
    }
    forms
}

#[cfg(feature = "sqlite")]
impl From<SqliteDatabase> for Database {
    fn from(database: SqliteDatabase) -> Self {
        Self::Sqlite(database)
    }
}

#[cfg(feature = "postgres")]
impl From<PgDatabase> for Database {
    fn from(database: PgDatabase) -> Self {
        Self::Postgres(database)
    }
}
