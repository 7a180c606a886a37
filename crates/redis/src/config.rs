//! Redis URLs: what is accepted, and what to write instead of what is not.

use std::fmt;
use std::path::PathBuf;

use lovage_core::{BackendError, BackendErrorKind};

const FORM: &str = "redis://[user:password@]host[:port][/database], as in redis://localhost:6379/0";
const CLUSTER_FORM: &str = "redis-cluster://[user:password@]host[:port],host[:port],…";
const SENTINEL_FORM: &str =
    "redis-sentinel://[user:password@]host[:port],host[:port],…/master-name[/database]";
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
    ///
    /// and after a `?` the options `durability=primary|replicated`; with TLS `ca`, `cert` and `key` (paths of PEM
    /// files); with sentinels `sentinel_user` and `sentinel_password`. User, password and values may be
    /// percent-encoded; the port is 6379 (26379 of a sentinel) and the database 0 where they are left out.
    ///
    /// # Errors
    /// `Config` for everything that is not understood. Messages never repeat the URL: a part of it may be a password.
    pub fn parse(url: &str) -> Result<Self, BackendError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(config(format!("a Redis URL without a scheme: expected {FORM}")));
        };
        let kind = Kind::of(scheme)?;
        if rest.contains('#') {
            return Err(kind.bad("a Redis URL has nothing after a #; in a password write it as %23"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, addresses) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = parse_login(login)?;
        let hosts = parse_hosts(addresses, &kind)?;
        let (master, database) = match kind.base {
            Base::Sentinel => path.split_once('/').unwrap_or((path, "")),
            Base::Single | Base::Cluster => ("", path),
        };
        let mut options = parse_options(query, &kind)?;
        Ok(Self {
            topology: parse_topology(&kind, master, &mut options)?,
            hosts,
            username,
            password,
            database: parse_database(database, &kind)?,
            tls: kind.tls.then_some(options.tls),
            durability: options.durability,
        })
    }

    /// Whether it is a Redis Cluster, where each queue lives on one of several primaries.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster)
    }

    /// Who must have a task before it counts as accepted.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The URL with the passwords masked and without options, for logs and messages.
    pub fn display_url(&self) -> String {
        let login = match (&self.username, &self.password) {
            (None, None) => String::new(),
            (Some(user), None) => format!("{user}@"),
            (user, Some(_)) => format!("{}:***@", user.as_deref().unwrap_or_default()),
        };
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
            _ => {
                return Err(config(format!(
                    "the scheme of the URL is not one of Redis: expected {FORM}, {CLUSTER_FORM} or \
                     {SENTINEL_FORM}, each also with TLS as rediss…://"
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
        }
    }

    fn bad(&self, what: &str) -> BackendError {
        config(format!("{what}: expected {}", self.form()))
    }

    fn known_options(&self) -> &'static str {
        match (self.base, self.tls) {
            (Base::Single | Base::Cluster, false) => "durability",
            (Base::Single | Base::Cluster, true) => "durability, ca, cert, key",
            (Base::Sentinel, false) => "durability, sentinel_user, sentinel_password",
            (Base::Sentinel, true) => "durability, ca, cert, key, sentinel_user, sentinel_password",
        }
    }
}

#[derive(Default)]
struct Options {
    durability: Durability,
    tls: TlsFiles,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

fn parse_options(query: &str, kind: &Kind) -> Result<Options, BackendError> {
    let known = kind.known_options();
    let mut options = Options::default();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, raw) = option.split_once('=').unwrap_or((option, ""));
        if !known.split(", ").any(|known| known == name) {
            // It may be the rest of a password: a name is shown only where it can be nothing else.
            let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !raw.contains('@');
            let shown = if plain { format!(" `{name}`") } else { String::new() };
            return Err(kind.bad(&format!(
                "the Redis URL has an option{shown} that is not known: known here are {known}; \
                 in a password write ? as %3F"
            )));
        }
        let Some(value) = percent_decode(raw).filter(|value| !value.is_empty()) else {
            return Err(config(format!(
                "the option `{name}` of the Redis URL has no value, or a bad percent-encoding: write {name}=…, \
                 and a literal % as %25"
            )));
        };
        match name {
            "durability" => options.durability = parse_durability(&value)?,
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

fn parse_topology(kind: &Kind, master: &str, options: &mut Options) -> Result<Topology, BackendError> {
    match kind.base {
        Base::Single => Ok(Topology::Single),
        Base::Cluster => Ok(Topology::Cluster),
        Base::Sentinel => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if master.is_empty() || !master.chars().all(allowed) {
                return Err(kind.bad("the Redis URL names sentinels and not the primary that they watch"));
            }
            Ok(Topology::Sentinel {
                master: master.to_owned(),
                username: options.sentinel_user.take(),
                password: options.sentinel_password.take(),
            })
        }
    }
}

type Login = (Option<String>, Option<String>);

fn parse_login(login: &str) -> Result<Login, BackendError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let part = |raw: &str| match percent_decode(raw) {
        Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        None => Err(config(
            "the user or password of the redis:// URL has a bad percent-encoding: write a literal % as %25",
        )),
    };
    let (user, password) = (part(user)?, part(password)?);
    if user.is_some() && password.is_none() {
        return Err(config(
            "the Redis URL has a user and no password: write redis://user:password@host, \
             or redis://:password@host for the default user",
        ));
    }
    Ok((user, password))
}

fn parse_hosts(addresses: &str, kind: &Kind) -> Result<Vec<(String, u16)>, BackendError> {
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
        Base::Single | Base::Cluster => DEFAULT_PORT,
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

fn percent_decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
            bytes.push(u8::try_from(digits[0]? * 16 + digits[1]?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
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
            ("redis://:hunter2@h", "redis://:***@h:6379/0"),
            ("redis://joe:hunter2@h", "redis://joe:***@h:6379/0"),
            ("rediss://h:1?ca=/a/b.pem", "rediss://h:1/0"),
            ("redis-cluster://:hunter2@a,b:7", "redis-cluster://:***@a:6379,b:7"),
            ("redis-cluster://a/0?durability=replicated", "redis-cluster://a:6379"),
            ("redis-sentinel://a,b:7/main", "redis-sentinel://a:26379,b:7/main/0"),
            (
                "rediss-sentinel://joe:hunter2@a/main/2?sentinel_password=hunter2",
                "rediss-sentinel://joe:***@a:26379/main/2",
            ),
        ] {
            let config = RedisConfig::parse(url).unwrap();
            assert_eq!(config.display_url(), display, "{url}");
            assert!(!format!("{config:?}").contains("hunter2"));
        }
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
            ("redis://h?tls=1", "`tls` that is not known: known here are durability;"),
            ("redis://h?ca=x", "known here are durability;"),
            ("rediss://h?verify=no", "known here are durability, ca, cert, key;"),
            ("redis-sentinel://h/m?x=1", "known here are durability, sentinel_user, sentinel_password;"),
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
