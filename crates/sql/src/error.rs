//! Errors of the database, in the words of the caller's question: again, give up, repair?

use std::error::Error;
use std::fmt;

use lovage_core::{BackendError, BackendErrorKind};

/// Turns an error of the driver into Lovage's, for an operation named by `context` ("publish to queue mail").
///
/// `Unavailable` may be tried again; `Refused` needs room or other data; `Config` needs an operator;
/// `Corrupt` is stored data (or a schema) that this program cannot read.
pub fn sql_error(context: &str, err: sqlx::Error) -> BackendError {
    let (kind, advice) = classify(&err);
    let unsure = lost_connection(&err);
    let source: Box<dyn Error + Send + Sync> = match err.as_database_error() {
        Some(err) => Box::new(Said::of(err)),
        None => Box::new(err),
    };
    let message = match advice {
        "" => format!("{context}: {source}"),
        advice => format!("{context}: {source}; {advice}"),
    };
    let error = BackendError::new(kind, message).with_source(source);
    if unsure { error.maybe_applied() } else { error }
}

/// The code of the database's own error, where an error of [`sql_error`] has one.
#[cfg(feature = "postgres")]
pub(crate) fn code_of(error: &BackendError) -> Option<&str> {
    error.source()?.downcast_ref::<Said>().map(|said| said.code.as_str())
}

/// What the database itself said. The driver's text adds lines of the server's own source code.
#[derive(Debug)]
struct Said {
    message: String,
    code: String,
}

impl Said {
    fn of(error: &dyn sqlx::error::DatabaseError) -> Self {
        Self { message: error.message().to_owned(), code: error.code().unwrap_or_default().into_owned() }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl Error for Said {}

/// The connection to a server broke while a statement was on its way: nobody knows whether it took effect.
fn lost_connection(err: &sqlx::Error) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "sqlx::Error is non-exhaustive")]
    match err {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(err) => {
            err.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}

fn classify(err: &sqlx::Error) -> (BackendErrorKind, &'static str) {
    use BackendErrorKind::{Config, Corrupt, Refused, Unavailable};
    // The driver's enum is non-exhaustive: what it adds later is a broken connection until known better.
    #[expect(clippy::wildcard_enum_match_arm, reason = "sqlx::Error is non-exhaustive")]
    match err {
        sqlx::Error::Database(err) => {
            let code = err.code().unwrap_or_default();
            // SQLite's codes are numbers below 10,000; PostgreSQL's have five letters or digits.
            match code.parse::<i32>() {
                Ok(number) if code.len() < 5 => classify_sqlite(number, err.message()),
                _ if code.len() == 5 => classify_postgres(&code),
                _ => classify_sqlite(SQLITE_ERROR, err.message()),
            }
        }
        sqlx::Error::PoolTimedOut => {
            (Unavailable, "all connections were busy: look for a transaction that stays open for long")
        }
        sqlx::Error::PoolClosed => (Unavailable, "the database handle was closed: the process is stopping"),
        sqlx::Error::Configuration(_) | sqlx::Error::ConfigFile(_) | sqlx::Error::Tls(_) => (Config, ""),
        sqlx::Error::InvalidArgument(_) | sqlx::Error::Encode(_) => (Refused, ""),
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_) => (Corrupt, "stored data is not what this version of Lovage writes"),
        _ => (Unavailable, ""),
    }
}

const SQLITE_ERROR: i32 = 1;

/// Result codes: <https://www.sqlite.org/rescode.html>. The low byte of an extended code is the primary one.
fn classify_sqlite(code: i32, message: &str) -> (BackendErrorKind, &'static str) {
    use BackendErrorKind::{Config, Corrupt, Refused, Unavailable};
    const MIGRATE: &str = "the tables are missing or old: run `lovage migrate`";
    match code & 0xff {
        SQLITE_ERROR if message.starts_with("no such table") || message.contains("no such column") => {
            (Config, MIGRATE)
        }
        SQLITE_ERROR if message.contains("has no column named") => (Config, MIGRATE),
        3 | 23 => (Config, "give this user access to the database file and its directory"),
        5 | 6 => (Unavailable, "another process held the database for longer than 10 s: try again"),
        7 | 9 | 15 => (Unavailable, ""),
        8 => (Config, "make the database file and its directory writable for this user"),
        10 => (Unavailable, "the disk reported an error: look at the system's log"),
        11 | 26 => (Corrupt, "the file is damaged or no SQLite database: restore it, or name another file"),
        13 => (Refused, "the disk or quota is full: free some space"),
        14 => (
            Unavailable,
            "look at the permissions of the directory and at the limit of open files (ulimit -n)",
        ),
        18 => (Refused, "the value is larger than SQLite takes (1 GB)"),
        19 | 20 => (Refused, ""),
        _ => (Refused, ""),
    }
}

/// Error codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. The first two letters are the class.
fn classify_postgres(code: &str) -> (BackendErrorKind, &'static str) {
    use BackendErrorKind::{Auth, Config, Corrupt, Refused, Unavailable};
    match (code.get(..2).unwrap_or_default(), code) {
        (_, "42P01" | "42703" | "42883" | "3F000") => {
            (Config, "the tables are missing or old: run `lovage migrate` with the same URL")
        }
        (_, "42501") => (Config, "give this user the right (GRANT) or use another one"),
        (_, "3D000") => (Config, "make the database (createdb) or name another one"),
        ("28", _) => (Auth, "check user and password in the URL, and the server's pg_hba.conf"),
        (_, "25006") => (
            Unavailable,
            "the server is a standby, or this user may only read: name the primary, or another user",
        ),
        (_, "53100") => (Refused, "the server's disk is full: free some space"),
        (_, "53300") => (
            Unavailable,
            "the server has no connection left: raise max_connections or lower `connections` in the URL",
        ),
        (_, "57014") => (Unavailable, "the statement took longer than 30 s, or somebody cancelled it"),
        ("08" | "40" | "53" | "55" | "57" | "58", _) => (Unavailable, ""),
        ("XX", _) => (Corrupt, "look at the server's log"),
        _ => (Refused, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_and_extended_codes_have_the_same_kind() {
        use BackendErrorKind::{Config, Corrupt, Refused, Unavailable};
        for (code, kind) in [
            (5, Unavailable),
            (261, Unavailable), // SQLITE_BUSY_RECOVERY
            (517, Unavailable), // SQLITE_BUSY_SNAPSHOT
            (262, Unavailable), // SQLITE_LOCKED_SHAREDCACHE
            (778, Unavailable), // SQLITE_IOERR_WRITE
            (8, Config),
            (1032, Config), // SQLITE_READONLY_DBMOVED
            (11, Corrupt),
            (26, Corrupt),
            (13, Refused),
            (2067, Refused), // SQLITE_CONSTRAINT_UNIQUE
        ] {
            assert_eq!(classify_sqlite(code, "").0, kind, "{code}");
        }
    }

    #[test]
    fn a_missing_table_says_migrate() {
        let (kind, advice) = classify_sqlite(1, "no such table: task");
        assert_eq!(kind, BackendErrorKind::Config);
        assert!(advice.contains("lovage migrate"), "{advice}");
    }

    #[test]
    fn the_message_has_context_and_cause_and_keeps_the_source() {
        let error = sql_error("publish", sqlx::Error::PoolTimedOut);
        assert_eq!(error.kind(), BackendErrorKind::Unavailable);
        assert!(error.to_string().contains("publish: "), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
