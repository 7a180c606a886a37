//! PostgreSQL URLs: the form of libpq, and what Lovage adds.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr as _;
use std::time::Duration;

use lovage_core::url::{Url, decode, unknown_option};
use lovage_core::{BackendError, BackendErrorKind};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

const FORM: &str = "postgres://user:password@host:5432/database";
const CONNECTIONS: usize = 8;
const MOST_CONNECTIONS: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const OPTIONS: &[&str] = &[
    "schema",
    "connections",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "connect_timeout",
    "target_session_attrs",
    "channel_binding",
    "gssencmode",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];
/// A statement that takes longer is ended by the server.
const STATEMENT_TIMEOUT: (&str, &str) = ("statement_timeout", "30s");
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

/// A PostgreSQL database and how to use it.
#[derive(Clone)]
pub(crate) struct PgUrl {
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: Option<String>,
    pub(crate) connections: usize,
    /// The time within which a connection must be open.
    pub(crate) connect_timeout: Duration,
    /// Whether a standby is refused (`target_session_attrs`).
    pub(crate) requires_primary: bool,
    /// Run-time parameters of each session, in the order in which they are set. They are set by SQL, because a pooler refuses
    /// or drops the start-up parameter `options`.
    pub(crate) settings: Vec<(String, String)>,
}

impl PgUrl {
    /// Reads `postgres://…`. The query may hold the options of libpq that [`OPTIONS`] lists, `schema` and `connections`.
    pub(crate) fn parse(url: &str) -> Result<Self, BackendError> {
        let url = Url::split(url)
            .map_err(|error| config(format!("the PostgreSQL URL {error}: expected {FORM}")))?;
        let (user, password) =
            url.credentials().map_err(|error| config(format!("the PostgreSQL URL {error}")))?;
        let mut address = Address { user, password, ..Address::default() };
        address.read_hosts(url.hosts)?;
        let database = decode(url.path).ok_or_else(unreadable)?;
        address.database = Some(database).filter(|name| !name.is_empty());
        let mut parsed = Self {
            options: PgConnectOptions::new_without_pgpass(),
            schema: None,
            connections: CONNECTIONS,
            connect_timeout: CONNECT_TIMEOUT,
            requires_primary: false,
            settings: Vec::new(),
        };
        let mut tls = Vec::new();
        let mut application = "lovage".to_owned();
        for (name, raw) in url.options() {
            let value = decode(raw).filter(|value| !value.contains('\0')).ok_or_else(|| {
                config(format!(
                    "the option `{name}` of the PostgreSQL URL has a bad percent-encoding: write a literal % as %25"
                ))
            });
            if !OPTIONS.contains(&name)
                && !matches!(
                    name,
                    "fallback_application_name" | "client_encoding" | "sslsni" | "sslcompression" | "ssl"
                )
            {
                return Err(config(format!("the PostgreSQL URL {}", unknown_option(name, OPTIONS))));
            }
            let value = value?;
            match name {
                "schema" => parsed.schema = Some(parse_schema(&value)?),
                "connections" => parsed.connections = parse_connections(&value)?,
                "host" | "hostaddr" => address.host = Some(parse_host(&value)?),
                "port" => address.port = Some(parse_port(&value)?),
                "user" => address.user = Some(value),
                "password" => address.password = Some(value),
                "dbname" => address.database = Some(value),
                "application_name" => application = value,
                "options" => parsed.settings = parse_settings(&value)?,
                "connect_timeout" => parsed.connect_timeout = parse_connect_timeout(&value)?,
                "target_session_attrs" => parsed.requires_primary = parse_session_attributes(&value)?,
                "channel_binding" => refuse_channel_binding(&value)?,
                "gssencmode" if value == "require" => {
                    return Err(config(
                        "the PostgreSQL URL has gssencmode=require: Lovage does not encrypt by GSSAPI; use TLS \
                         (sslmode=verify-full) or leave the option out",
                    ));
                }
                "ssl" | "sslmode" | "sslrootcert" | "sslcert" | "sslkey" => tls.push((name, value)),
                // Hints that change nothing here: a connection that falls silent is noticed whatever they say.
                _ => {}
            }
        }
        parsed.settings.extend([STATEMENT_TIMEOUT].into_iter().chain(PLANNER).map(owned));
        if let Some(schema) = &parsed.schema {
            parsed.settings.push(owned(("search_path", schema)));
        }
        parsed.options = address
            .options()?
            .application_name(&application)
            .statement_cache_capacity(STATEMENT_CACHE)
            // Poolers know no such start-up parameter, and floats travel in binary.
            .extra_float_digits(None)
            // Brokers run thousands of statements a second; who wants them traced uses PostgreSQL's own log.
            .disable_statement_logging();
        for (name, value) in tls {
            parsed.options = with_tls(parsed.options, name, &value)?;
        }
        Ok(parsed)
    }

    /// The statement that sets the session's parameters.
    pub(crate) fn set_up(&self) -> String {
        let mut statement = "SELECT ".to_owned();
        for (at, (name, value)) in self.settings.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _infallible =
                write!(statement, "{comma}set_config({}, {}, false)", literal(name), literal(value));
        }
        statement
    }
}

impl fmt::Debug for PgUrl {
    /// Without user, password and options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgUrl")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A server and a login.
#[derive(Default)]
struct Address {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
}

impl Address {
    fn read_hosts(&mut self, hosts: &str) -> Result<(), BackendError> {
        if hosts.contains(',') {
            return Err(several_hosts());
        }
        let (host, port) = match hosts.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(unreadable)?;
                host.parse::<Ipv6Addr>().map_err(|_| unreadable())?;
                let port = rest.strip_prefix(':');
                if port.is_none() && !rest.is_empty() {
                    return Err(unreadable());
                }
                (host, port)
            }
            None => hosts.split_once(':').map_or((hosts, None), |(host, port)| (host, Some(port))),
        };
        let host = decode(host).ok_or_else(unreadable)?;
        if !host.is_empty() {
            self.host = Some(parse_host(&host)?);
        }
        self.port = port.filter(|port| !port.is_empty()).map(parse_port).transpose()?;
        Ok(())
    }

    /// The driver's options. It reads `.pgpass` only for a URL, so it gets one, without the password.
    fn options(&self) -> Result<PgConnectOptions, BackendError> {
        let mut url = "postgres://".to_owned();
        if let Some(user) = &self.user {
            url.push_str(&encoded(user));
            if self.password.is_some() {
                url.push_str(":-");
            }
            url.push('@');
        }
        // An IPv6 address is set below: the driver keeps its brackets.
        let host = self.host.as_deref().filter(|host| !host.contains(':'));
        // The driver reads an empty host as an error where there is a user.
        url.push_str(&host.map_or_else(|| "localhost".to_owned(), encoded));
        if let Some(port) = self.port {
            let _infallible = write!(url, ":{port}");
        }
        if let Some(database) = &self.database {
            let _infallible = write!(url, "/{}", encoded(database));
        }
        // The driver's message may repeat parts of the URL, so it is not shown.
        let mut options = PgConnectOptions::from_str(&url).map_err(|_| unreadable())?;
        if let Some(host) = self.host.as_deref().filter(|host| host.contains(':') && !host.starts_with('/')) {
            options = options.host(host);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        Ok(options)
    }
}

/// The statement's text for a string.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Percent-encodes everything but letters, digits, `.`, `-` and `_`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A host name, an address, or the directory of a Unix socket.
fn parse_host(value: &str) -> Result<String, BackendError> {
    if value.contains(',') {
        return Err(several_hosts());
    }
    let value = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
    let is_name = value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !value.is_empty() && (value.starts_with('/') || is_name || value.parse::<IpAddr>().is_ok()) {
        return Ok(value.to_owned());
    }
    Err(unreadable())
}

fn several_hosts() -> BackendError {
    config(
        "the PostgreSQL URL names several hosts: Lovage connects to one, because its driver cannot look for the primary among \
         several; name the address that leads to the primary (a virtual IP address, a DNS name or a proxy)",
    )
}

fn parse_port(value: &str) -> Result<u16, BackendError> {
    if value.contains(',') {
        return Err(several_hosts());
    }
    value.parse().map_err(|_| unreadable())
}

/// As libpq: whole seconds, 0 for no limit (here the default of 10 s), and at least 2.
fn parse_connect_timeout(value: &str) -> Result<Duration, BackendError> {
    match value.parse::<u64>() {
        Ok(0) => Ok(CONNECT_TIMEOUT),
        Ok(seconds @ 1..=300) => Ok(Duration::from_secs(seconds.max(2))),
        _ => Err(config(
            "the option `connect_timeout` of the PostgreSQL URL is not valid: expected whole seconds from 0 (the default) to 300",
        )),
    }
}

/// Returns whether a standby is refused.
fn parse_session_attributes(value: &str) -> Result<bool, BackendError> {
    match value {
        "any" => Ok(false),
        "read-write" | "primary" => Ok(true),
        _ => Err(config(
            "the option `target_session_attrs` of the PostgreSQL URL asks for a server that takes no writes: Lovage writes with \
             each operation; expected any, read-write or primary",
        )),
    }
}

fn refuse_channel_binding(value: &str) -> Result<(), BackendError> {
    match value {
        "disable" | "prefer" => Ok(()),
        _ => Err(config(
            "the PostgreSQL URL has channel_binding=require: the driver does not support SCRAM-SHA-256-PLUS, so a login is not \
             bound to its TLS connection; leave the option out, and use sslmode=verify-full to be sure of the server",
        )),
    }
}

/// The parameters of `options`: `-c name=value` or `--name=value`, several with spaces between them.
fn parse_settings(value: &str) -> Result<Vec<(String, String)>, BackendError> {
    let bad = || {
        config(
            "the option `options` of the PostgreSQL URL is not valid: expected `-c name=value`, as in \
             options=-c%20work_mem%3D8MB",
        )
    };
    let mut settings = Vec::new();
    let mut words = value.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--") {
            Some(pair) => pair,
            None => match word.strip_prefix("-c") {
                Some("") => words.next().ok_or_else(bad)?,
                Some(pair) => pair,
                None => return Err(bad()),
            },
        };
        let (name, value) = pair.split_once('=').ok_or_else(bad)?;
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if name.is_empty() || !is_name || value.contains('\\') {
            return Err(bad());
        }
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn with_tls(options: PgConnectOptions, name: &str, value: &str) -> Result<PgConnectOptions, BackendError> {
    let mode = |options: PgConnectOptions, mode: &str| {
        let mode = mode.parse().map_err(|_| {
            config(
                "the option `sslmode` of the PostgreSQL URL is not known: expected disable, allow, prefer, require, verify-ca or \
                 verify-full",
            )
        })?;
        Ok(options.ssl_mode(mode))
    };
    match (name, value) {
        ("ssl", "true") => mode(options, "require"),
        ("ssl", _) => Err(config(
            "the option `ssl` of the PostgreSQL URL is not valid: expected ssl=true, or sslmode=verify-full",
        )),
        ("sslmode", value) => mode(options, value),
        // As libpq 16: the system's certificates, which make sense only where they are checked.
        ("sslrootcert", "system") => mode(options, "verify-full"),
        ("sslrootcert", path) => Ok(options.ssl_root_cert(path)),
        ("sslcert", path) => Ok(options.ssl_client_cert(path)),
        (_, path) => Ok(options.ssl_client_key(path)),
    }
}

/// Lower-case names that need no quotes, so that people can write them in `psql` without any either.
fn parse_schema(value: &str) -> Result<String, BackendError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = value.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && value.len() <= 63 && value.bytes().all(plain) {
        return Ok(value.to_owned());
    }
    Err(config(
        "the option `schema` of the PostgreSQL URL is not valid: expected 1 to 63 of a-z, 0-9 and _, not beginning with a digit",
    ))
}

fn parse_connections(value: &str) -> Result<usize, BackendError> {
    let number = value.parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number.ok_or_else(|| {
        config(format!(
            "the option `connections` of the PostgreSQL URL is not valid: expected a number from 1 to {MOST_CONNECTIONS}"
        ))
    })
}

fn unreadable() -> BackendError {
    config(format!(
        "the PostgreSQL URL cannot be read: expected {FORM}, with special characters in user and password percent-encoded"
    ))
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
    fn forms_of_libpq_and_providers_are_read() {
        for (url, host, port) in [
            ("postgres://joe@[::1]:5433/app", "::1", 5433),
            ("POSTGRESQL://joe@[2001:db8::1]/app", "2001:db8::1", 5432),
            ("postgres:///app?host=db.example&port=6432&user=joe", "db.example", 6432),
            (
                "postgres://joe@db/app?connect_timeout=5&target_session_attrs=read-write&keepalives=1",
                "db",
                5432,
            ),
            (
                "postgres://joe@db/app?channel_binding=prefer&gssencmode=disable&keepalives_idle=30",
                "db",
                5432,
            ),
        ] {
            let parsed = PgUrl::parse(url).unwrap();
            assert_eq!((parsed.options.get_host(), parsed.options.get_port()), (host, port), "{url}");
            assert_eq!(parsed.options.get_username(), "joe", "{url}");
            assert_eq!(parsed.options.get_database(), Some("app"), "{url}");
        }
        let socket = PgUrl::parse("postgres://joe@%2Frun%2Fpostgresql/app").unwrap();
        assert_eq!(socket.options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        let socket = PgUrl::parse("postgres:///app?host=/run/postgresql").unwrap();
        assert_eq!(socket.options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
    }

    #[test]
    fn parameters_are_set_by_one_statement() {
        let url = PgUrl::parse("postgres://h/d?schema=q&options=-c%20work_mem%3D8MB%20--geqo%3Do'n").unwrap();
        let statement = url.set_up();
        assert!(
            statement.starts_with(
                "SELECT set_config('work_mem', '8MB', false), set_config('geqo', 'o''n', false), "
            )
        );
        assert!(statement.ends_with("set_config('search_path', 'q', false)"), "{statement}");
        assert_eq!(url.options.get_options(), None);
    }

    #[test]
    fn debug_output_has_no_secret() {
        let url = PgUrl::parse("postgres://joe:hunter2@db/app?options=-c%20a.b%3Dhunter2").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_refused_says_what_to_write_and_no_secret() {
        for (url, says) in [
            ("postgres://joe:hunter2@db/app?poolsize=3", "schema, connections"),
            ("postgres://joe:hun?ter2@db/app", "write / as %2F"),
            ("postgres://db/app?pasword=hunter2", "did you mean `password`?"),
            ("postgres://db/app?schema=Hunter2", "a-z"),
            ("postgres://joe:hunter2@a,b/app", "several hosts"),
            ("postgres://joe:hunter2@a/app?channel_binding=require", "SCRAM-SHA-256-PLUS"),
            ("postgres://joe:hunter2@a/app?target_session_attrs=standby", "read-write or primary"),
            ("postgres://joe:hunter2@a/app?connect_timeout=hunter2", "whole seconds"),
            ("postgres://joe:hunter2@a/app?options=hunter2", "-c name=value"),
            ("postgres://joe:hunter2@a/app?sslmode=hunter2", "verify-full"),
            ("postgres://joe:hunter2@db/app?schema=Bad", "a-z"),
            ("postgres://joe:hunter2@db/app?schema=", "a-z"),
            ("postgres://joe:hunter2@db/app?connections=0", "from 1 to 100"),
            ("postgres://joe:hunter2@db:port/app", "expected postgres://"),
        ] {
            let error = PgUrl::parse(url).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Config, "{url}");
            let text = error.to_string();
            assert!(text.contains(says), "{url}: {text}");
            assert!(
                !text.to_ascii_lowercase().contains("hunter2") && !text.contains("ter2"),
                "{url}: {text}"
            );
        }
    }
}
