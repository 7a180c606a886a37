//! The application's transaction.

use std::fmt;

#[cfg(feature = "postgres")]
use sqlx::{PgConnection, Postgres};
#[cfg(feature = "sqlite")]
use sqlx::{Sqlite, SqliteConnection};
use sqlx::{Transaction, pool::PoolConnection};

/// A connection of the application with a transaction on it: `&mut tx` of sqlx.
///
/// Without a transaction it works too, and what is sent then exists at once.
#[non_exhaustive]
pub enum Tx<'t> {
    /// Of PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(&'t mut PgConnection),
    /// Of SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(&'t mut SqliteConnection),
}

impl Tx<'_> {
    /// The same for a shorter time.
    #[must_use]
    pub fn again(&mut self) -> Tx<'_> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => Tx::Postgres(connection),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => Tx::Sqlite(connection),
        }
    }

    /// What kind of database it is of, for people.
    #[must_use]
    pub const fn database(&self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "PostgreSQL",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "SQLite",
        }
    }
}

/// From the forms in which an application holds a connection.
macro_rules! from {
    ($variant:ident, $connection:ty, $database:ty) => {
        impl<'t> From<&'t mut $connection> for Tx<'t> {
            fn from(connection: &'t mut $connection) -> Self {
                Self::$variant(connection)
            }
        }

        impl<'t> From<&'t mut Transaction<'_, $database>> for Tx<'t> {
            fn from(transaction: &'t mut Transaction<'_, $database>) -> Self {
                Self::$variant(&mut *transaction)
            }
        }

        impl<'t> From<&'t mut PoolConnection<$database>> for Tx<'t> {
            fn from(connection: &'t mut PoolConnection<$database>) -> Self {
                Self::$variant(&mut *connection)
            }
        }
    };
}

#[cfg(feature = "postgres")]
from!(Postgres, PgConnection, Postgres);
#[cfg(feature = "sqlite")]
from!(Sqlite, SqliteConnection, Sqlite);

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "Postgres",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "Sqlite",
        })
    }
}
