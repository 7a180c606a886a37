//! PostgreSQL URLs: the driver's form, and what Lovage adds.

use std::str::FromStr as _;

use lovage_core::{BackendError, BackendErrorKind};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

const FORM: &str = "postgres://user:password@host:5432/database";
const CONNECTIONS: usize = 8;
const MOST_CONNECTIONS: usize = 100;
/// What the driver reads from the query itself.
const DRIVER_KEYS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "user",
    "dbname",
    "application_name",
    "options",
];
/// A statement that takes longer is ended by the server.
const STATEMENT_TIMEOUT: &str = "30s";
const STATEMENT_CACHE: usize = 64;
/// Plans are made once, often when a table is still empty, and kept while it grows: so rows are found by an index, in its order,
/// wherever there is one, and joined one by one, since each statement wants few of many. The high costs by which that works must
/// not look as if compiling the plan were worth it.
const PLANNER: [(&str, &str); 6] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Where a PostgreSQL database is, and how it is to be used.
#[derive(Debug, Clone)]
pub(crate) struct PgUrl {
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: Option<String>,
    pub(crate) connections: usize,
}

impl PgUrl {
    /// Reads `postgres://…`. The query may hold the driver's settings (`sslmode`, …), `schema` and `connections`.
    pub(crate) fn parse(url: &str) -> Result<Self, BackendError> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = None;
        let mut connections = CONNECTIONS;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "schema" => schema = Some(parse_schema(value)?),
                "connections" => connections = parse_connections(value)?,
                known if DRIVER_KEYS.contains(&known) => rest.push(pair),
                // The value may be a password.
                _ => {
                    return Err(config(format!(
                        "unknown setting {key:?} in the PostgreSQL URL: expected schema, connections, {}",
                        DRIVER_KEYS.join(", ")
                    )));
                }
            }
        }
        // The driver's message may repeat parts of the URL, so it is not shown.
        let mut options = PgConnectOptions::from_str(&format!("{place}?{}", rest.join("&")))
            .map_err(|_| config(format!("the PostgreSQL URL cannot be read: expected {FORM}, with special characters in user and password percent-encoded")))?
            .statement_cache_capacity(STATEMENT_CACHE)
            .options([("statement_timeout", STATEMENT_TIMEOUT)])
            .options(PLANNER)
            // Brokers run thousands of statements a second; who wants them traced uses PostgreSQL's own log.
            .disable_statement_logging();
        if !rest.iter().any(|pair| pair.starts_with("application_name=")) {
            options = options.application_name("lovage");
        }
        if let Some(schema) = &schema {
            options = options.options([("search_path", schema)]);
        }
        Ok(Self { options, schema, connections })
    }
}

/// Lower-case names that need no quotes, so that people can write them in `psql` without any either.
fn parse_schema(value: &str) -> Result<String, BackendError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = value.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && value.len() <= 63 && value.bytes().all(plain) {
        return Ok(value.to_owned());
    }
    Err(config(format!("schema={value}: expected 1 to 63 of a-z, 0-9 and _, not beginning with a digit")))
}

fn parse_connections(value: &str) -> Result<usize, BackendError> {
    let number = value.parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number
        .ok_or_else(|| config(format!("connections={value}: expected a number from 1 to {MOST_CONNECTIONS}")))
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_settings_are_read_and_the_drivers_are_passed_on() {
        let url =
            PgUrl::parse("postgres://joe:pw@db:5433/app?schema=queue&connections=3&sslmode=require").unwrap();
        assert_eq!((url.schema.as_deref(), url.connections), (Some("queue"), 3));
        assert_eq!((url.options.get_host(), url.options.get_port()), ("db", 5433));
        assert_eq!(url.options.get_database(), Some("app"));
    }

    #[test]
    fn what_is_refused_says_what_to_write_and_no_secret() {
        for (url, says) in [
            ("postgres://joe:hunter2@db/app?poolsize=3", "schema, connections"),
            ("postgres://joe:hunter2@db/app?schema=Bad", "a-z"),
            ("postgres://joe:hunter2@db/app?schema=", "a-z"),
            ("postgres://joe:hunter2@db/app?connections=0", "from 1 to 100"),
            ("postgres://joe:hunter2@db:port/app", "expected postgres://"),
        ] {
            let error = PgUrl::parse(url).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Config, "{url}");
            let text = error.to_string();
            assert!(text.contains(says) && !text.contains("hunter2"), "{url}: {text}");
        }
    }
}
