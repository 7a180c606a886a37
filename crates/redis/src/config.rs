//! Redis URLs: what is accepted, and what to write instead of what is not.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::url::{Url, decode, unknown_option};
use lovage_core::{BackendError, BackendErrorKind};

const FORM: &str = "redis://[user:password@]host[:port][/database], as in redis://localhost:6379/0";
const CLUSTER_FORM: &str = "redis-cluster://[user:password@]host[:port],host[:port],…";
const SENTINEL_FORM: &str =
    "redis-sentinel://[user:password@]host[:port],host[:port],…/master-name[/database]";
const SOCKET_FORM: &str = "redis+unix://[user:password@]/path/redis.sock[?db=number]";
/// The schemes of Redis URLs, in lower case.
pub const SCHEMES: [&str; 9] = [
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
    "redis+unix",
    "redis+socket",
    "unix",
];
/// The start of the names of all keys and channels.
const NAMESPACE: &str = "lv1";
const MAX_PREFIX_BYTES: usize = 32;
const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// Where a Redis is, how to log in, and what to wait for. Neither `Debug` nor any message shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub(crate) topology: Topology,
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) durability: Durability,
    namespace: String,
    pub(crate) silence: Silence,
}

/// The limits after which a connection counts as silent, whatever is sent on it and whatever TCP acknowledges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Time between the answer to a `PING` and the next one.
    pub(crate) ping_interval: Duration,
    /// Time that an answer to a `PING` may take.
    pub(crate) ping_timeout: Duration,
}

impl Default for Silence {
    /// Together less than 15 s. The time-out is long, because one slow script keeps a healthy Redis from answering.
    fn default() -> Self {
        Self { ping_interval: Duration::from_secs(4), ping_timeout: Duration::from_secs(9) }
    }
}

/// What stands behind the hosts of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Single,
    /// Some nodes of a Redis Cluster; the others are asked for.
    Cluster,
    /// Sentinels, which know the primary by this name.
    Sentinel { master: String, username: Option<String>, password: Option<String> },
    /// One server, by its Unix socket.
    Socket(PathBuf),
}

/// PEM files; without `ca` the system's certificates are trusted.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// Who must have a task before it counts as accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The primary.
    #[default]
    Primary,
    /// The primary and one replica of it (`WAIT 1`), so that a fail-over seldom loses it.
    Replicated,
}

impl RedisConfig {
    /// Reads a URL of one of these forms, each also with TLS (`rediss://`, `rediss-cluster://`, `rediss-sentinel://`):
    ///
    /// - `redis://[user:password@]host[:port][/database]`
    /// - `redis-cluster://[user:password@]host[:port],host[:port],…`
    /// - `redis-sentinel://[user:password@]host[:port],host[:port],…/master-name[/database]`; user and password are
    ///   those of the data servers
    /// - `redis+unix://[user:password@]/path/redis.sock[?db=number]`, without TLS; also as `redis+socket` and `unix`
    ///
    /// and after a `?` the options `durability=primary|replicated`; `prefix` (1 to 32 of `a-z A-Z 0-9 . _ -`), which
    /// separates applications that share a Redis; with TLS `ca`, `cert` and `key` (paths of PEM files); with sentinels
    /// `sentinel_user` and `sentinel_password`. User, password and values may be percent-encoded; the port is 6379
    /// (26379 of a sentinel) and the database 0 where they are left out. The case of the scheme does not matter.
    ///
    /// # Errors
    /// `Config` for everything that is not understood. Messages never repeat the URL: a part of it may be a password.
    pub fn parse(url: &str) -> Result<Self, BackendError> {
        let parts =
            Url::split(url).map_err(|error| config(format!("the Redis URL {error}: expected {FORM}")))?;
        let kind = Kind::of(&parts.scheme)?;
        let (username, password) =
            parts.credentials().map_err(|error| kind.bad(&format!("the Redis URL {error}")))?;
        if username.is_some() && password.is_none() {
            return Err(config(
                "the Redis URL has a user and no password: write redis://user:password@host, \
                 or redis://:password@host for the default user",
            ));
        }
        let hosts = parse_hosts(parts.hosts, &kind)?;
        let mut options = parse_options(&parts, &kind)?;
        let (path, database) = match kind.base {
            Base::Sentinel => parts.path.split_once('/').unwrap_or((parts.path, "")),
            Base::Single | Base::Cluster => ("", parts.path),
            Base::Socket => (parts.path, ""),
        };
        let database = match (options.db, parse_database(database, &kind)?) {
            (Some(number), _) | (None, number) => number,
        };
        Ok(Self {
            topology: parse_topology(&kind, path, &mut options)?,
            hosts,
            username,
            password,
            database,
            tls: kind.tls.then_some(options.tls),
            durability: options.durability,
            namespace: match options.prefix {
                Some(prefix) => format!("{prefix}:{NAMESPACE}"),
                None => NAMESPACE.to_owned(),
            },
            silence: Silence::default(),
        })
    }

    /// The start of the names of all keys and channels: `lv1`, behind the URL's `prefix` where it has one.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Sends a `PING` after each `limit` and reconnects when it is not answered within `limit`, for tests that cannot wait for
    /// the real limits.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_silence_limit(self, limit: Duration) -> Self {
        Self { silence: Silence { ping_interval: limit, ping_timeout: limit }, ..self }
    }

    /// Whether it is a Redis Cluster, where each queue lives on one of several primaries.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster)
    }

    /// Who must have a task before it counts as accepted.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The URL without user, password and options, for logs and messages.
    pub fn display_url(&self) -> String {
        let login = if self.password.is_some() { "***@" } else { "" };
        let host = |(host, port): &(String, u16)| {
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        };
        let hosts: Vec<String> = self.hosts.iter().map(host).collect();
        let s = if self.tls.is_some() { "s" } else { "" };
        let hosts = hosts.join(",");
        match &self.topology {
            Topology::Single => format!("redis{s}://{login}{hosts}/{}", self.database),
            Topology::Cluster => format!("redis{s}-cluster://{login}{hosts}"),
            Topology::Sentinel { master, .. } => {
                format!("redis{s}-sentinel://{login}{hosts}/{master}/{}", self.database)
            }
            Topology::Socket(path) => format!("redis+unix://{login}{}?db={}", path.display(), self.database),
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisConfig").field(&self.display_url()).finish()
    }
}

#[derive(Clone, Copy)]
enum Base {
    Single,
    Cluster,
    Sentinel,
    Socket,
}

/// What a scheme says.
struct Kind {
    base: Base,
    tls: bool,
}

impl Kind {
    fn of(scheme: &str) -> Result<Self, BackendError> {
        let (base, tls) = match scheme {
            "redis" => (Base::Single, false),
            "rediss" => (Base::Single, true),
            "redis-cluster" => (Base::Cluster, false),
            "rediss-cluster" => (Base::Cluster, true),
            "redis-sentinel" => (Base::Sentinel, false),
            "rediss-sentinel" => (Base::Sentinel, true),
            "redis+unix" | "redis+socket" | "unix" => (Base::Socket, false),
            _ => {
                return Err(config(format!(
                    "the scheme of the URL is not one of Redis: expected {FORM}, {CLUSTER_FORM} or \
                     {SENTINEL_FORM}, each also with TLS as rediss…://, or {SOCKET_FORM}"
                )));
            }
        };
        Ok(Self { base, tls })
    }

    fn form(&self) -> &'static str {
        match self.base {
            Base::Single => FORM,
            Base::Cluster => CLUSTER_FORM,
            Base::Sentinel => SENTINEL_FORM,
            Base::Socket => SOCKET_FORM,
        }
    }

    fn bad(&self, what: &str) -> BackendError {
        config(format!("{what}: expected {}", self.form()))
    }

    fn known_options(&self) -> Vec<&'static str> {
        let mut known = vec!["durability", "prefix"];
        if self.tls {
            known.extend(["ca", "cert", "key"]);
        }
        match self.base {
            Base::Single | Base::Cluster => {}
            Base::Sentinel => known.extend(["sentinel_user", "sentinel_password"]),
            Base::Socket => known.push("db"),
        }
        known
    }
}

#[derive(Default)]
struct Options {
    durability: Durability,
    prefix: Option<String>,
    db: Option<u8>,
    tls: TlsFiles,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

fn parse_options(url: &Url<'_>, kind: &Kind) -> Result<Options, BackendError> {
    let known = kind.known_options();
    let mut options = Options::default();
    for (name, raw) in url.options() {
        if !known.contains(&name) {
            return Err(kind.bad(&format!("the Redis URL {}", unknown_option(name, &known))));
        }
        let Some(value) = decode(raw).filter(|value| !value.is_empty()) else {
            return Err(config(format!(
                "the option `{name}` of the Redis URL has no value, or a bad percent-encoding: write {name}=…, \
                 and a literal % as %25"
            )));
        };
        match name {
            "durability" => options.durability = parse_durability(&value)?,
            "prefix" => options.prefix = Some(parse_prefix(value)?),
            "db" => options.db = Some(parse_database(&value, kind)?),
            "ca" => options.tls.ca = Some(value.into()),
            "cert" => options.tls.cert = Some(value.into()),
            "key" => options.tls.key = Some(value.into()),
            "sentinel_user" => options.sentinel_user = Some(value),
            _ => options.sentinel_password = Some(value),
        }
    }
    if options.tls.cert.is_some() != options.tls.key.is_some() {
        return Err(config("a client certificate needs both: write ?cert=client.pem&key=client.key"));
    }
    Ok(options)
}

/// A prefix has no `:`, which separates it from the rest of a key, and no braces, which would be the key's hash tag.
fn parse_prefix(value: String) -> Result<String, BackendError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if value.len() <= MAX_PREFIX_BYTES && value.bytes().all(is_allowed) {
        return Ok(value);
    }
    Err(config(format!(
        "the option `prefix` of the Redis URL is not valid: expected 1 to {MAX_PREFIX_BYTES} of a-z, A-Z, 0-9, '.', \
         '_' and '-'"
    )))
}

fn parse_durability(value: &str) -> Result<Durability, BackendError> {
    match value {
        "primary" => Ok(Durability::Primary),
        "replicated" => Ok(Durability::Replicated),
        _ => Err(config(
            "the option `durability` of the Redis URL is not known: expected durability=primary (the default) or \
             durability=replicated",
        )),
    }
}

fn parse_topology(kind: &Kind, path: &str, options: &mut Options) -> Result<Topology, BackendError> {
    match kind.base {
        Base::Single => Ok(Topology::Single),
        Base::Cluster => Ok(Topology::Cluster),
        Base::Sentinel => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if path.is_empty() || !path.chars().all(allowed) {
                return Err(kind.bad("the Redis URL names sentinels and not the primary that they watch"));
            }
            Ok(Topology::Sentinel {
                master: path.to_owned(),
                username: options.sentinel_user.take(),
                password: options.sentinel_password.take(),
            })
        }
        Base::Socket => match decode(path).filter(|path| !path.is_empty() && !path.contains('\0')) {
            Some(path) => Ok(Topology::Socket(PathBuf::from(format!("/{path}")))),
            None => Err(kind.bad("the Redis URL has no path of a socket, or a bad percent-encoding in it")),
        },
    }
}

fn parse_hosts(addresses: &str, kind: &Kind) -> Result<Vec<(String, u16)>, BackendError> {
    if matches!(kind.base, Base::Socket) {
        return match addresses {
            "" => Ok(Vec::new()),
            _ => Err(kind.bad("the URL of a Redis socket has a host: write three slashes before the path")),
        };
    }
    let hosts: Vec<_> =
        addresses.split(',').map(|address| parse_address(address, kind)).collect::<Result<_, _>>()?;
    if matches!(kind.base, Base::Single) && hosts.len() > 1 {
        return Err(config(format!(
            "the Redis URL has several hosts: for a Redis Cluster write {CLUSTER_FORM}, for sentinels {SENTINEL_FORM}"
        )));
    }
    Ok(hosts)
}

fn parse_address(address: &str, kind: &Kind) -> Result<(String, u16), BackendError> {
    let bad = || {
        config(format!(
            "the host or port of the Redis URL is not valid: expected {}; \
             in a password write / as %2F, @ as %40, : as %3A and ? as %3F",
            kind.form()
        ))
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(bad)?) })
        }
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_host_character) {
        return Err(bad());
    }
    let default = match kind.base {
        Base::Single | Base::Cluster | Base::Socket => DEFAULT_PORT,
        Base::Sentinel => DEFAULT_SENTINEL_PORT,
    };
    let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| bad()))?;
    Ok((host.to_owned(), port))
}

fn parse_database(database: &str, kind: &Kind) -> Result<u8, BackendError> {
    if database.is_empty() {
        return Ok(0);
    }
    let number: u8 = database
        .parse()
        .map_err(|_| kind.bad("the database of the Redis URL is not a number from 0 to 255"))?;
    if number != 0 && matches!(kind.base, Base::Cluster) {
        return Err(kind.bad("a Redis Cluster has only database 0"));
    }
    Ok(number)
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in_and_passwords_are_masked() {
        for (url, display) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://localhost/", "redis://localhost:6379/0"),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("redis://[::1]", "redis://[::1]:6379/0"),
            ("redis://[::1]:7000/2", "redis://[::1]:7000/2"),
            ("redis://:hunter2@h", "redis://***@h:6379/0"),
            ("redis://joe:hunter2@h", "redis://***@h:6379/0"),
            ("rediss://h:1?ca=/a/b.pem", "rediss://h:1/0"),
            ("redis-cluster://:hunter2@a,b:7", "redis-cluster://***@a:6379,b:7"),
            ("redis-cluster://a/0?durability=replicated", "redis-cluster://a:6379"),
            ("redis-sentinel://a,b:7/main", "redis-sentinel://a:26379,b:7/main/0"),
            ("REDISS://h", "rediss://h:6379/0"),
            ("unix:///run/redis.sock", "redis+unix:///run/redis.sock?db=0"),
            ("redis+unix://:hunter2@/run/a%20b?db=3", "redis+unix://***@/run/a b?db=3"),
            (
                "rediss-sentinel://joe:hunter2@a/main/2?sentinel_password=hunter2",
                "rediss-sentinel://***@a:26379/main/2",
            ),
        ] {
            let config = RedisConfig::parse(url).unwrap();
            assert_eq!(config.display_url(), display, "{url}");
            assert!(!format!("{config:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_prefix_stands_before_the_namespace() {
        assert_eq!(RedisConfig::parse("redis://h").unwrap().namespace(), "lv1");
        assert_eq!(RedisConfig::parse("redis://h?prefix=shop-1").unwrap().namespace(), "shop-1:lv1");
    }

    #[test]
    fn credentials_and_options_are_percent_decoded() {
        let config = RedisConfig::parse("rediss://joe%40x:p%2Fa%3As%25@h?ca=%2Fa%20b&durability=replicated");
        let config = config.unwrap();
        assert_eq!(config.username.as_deref(), Some("joe@x"));
        assert_eq!(config.password.as_deref(), Some("p/a:s%"));
        assert_eq!(config.tls.unwrap().ca, Some(PathBuf::from("/a b")));
        assert_eq!(config.durability, Durability::Replicated);
    }

    #[test]
    fn an_unknown_option_is_answered_with_the_known_ones() {
        for (url, says) in [
            ("redis://h?tls=1", "`tls` that is not known: the options are durability, prefix:"),
            ("redis://h?ca=x", "the options are durability, prefix:"),
            ("rediss://h?verify=no", "the options are durability, prefix, ca, cert, key:"),
            ("redis-sentinel://h/m?sentinel_pasword=1", "did you mean `sentinel_password`?"),
            ("redis://h?prefix=a:b", "expected 1 to 32 of"),
            ("redis://h?prefix=%7Ba%7D", "expected 1 to 32 of"),
            ("unix://h/run/redis.sock", "three slashes"),
            ("unix://", "no path of a socket"),
            (
                "redis://h?durability=all",
                "expected durability=primary (the default) or durability=replicated",
            ),
            ("redis://h?durability", "write durability=…"),
            ("rediss://h?cert=a", "?cert=client.pem&key=client.key"),
        ] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }

    #[test]
    fn mistakes_are_refused_without_repeating_the_password() {
        for url in [
            "hunter2",
            "http://joe:hunter2@h",
            "redis://",
            "redis://joe:hunter2@",
            "redis://joe:hunter2/x@h",
            "redis://joe:hun%zz@h",
            "redis://joe@h",
            "redis://h:hunter2",
            "redis://h:70000",
            "redis://h/hunter2",
            "redis://h/256",
            "redis://h/0?password=hunter2",
            "redis://x:a?hunter2@h",
            "redis://x:a?hunter2=@h",
            "redis-sentinel://h/m?sentinel_pasword=hunter2",
            "redis://joe:a#hunter2@h",
            "redis://[::1",
            "redis://[hunter2]",
            "redis://a b",
            "redis://a,b",
        ] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Config, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("redis"), "{error}");
        }
        for (url, says) in [
            ("redis-cluster://a/1", "only database 0"),
            ("redis-sentinel://a", "master-name"),
            ("redis-sentinel://a//1", "master-name"),
        ] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }
}
