//! Redis URLs: what is accepted, and what to write instead of what is not.

use std::fmt;

use lovage_core::{BackendError, BackendErrorKind};

const FORM: &str = "redis://[user:password@]host[:port][/database], as in redis://localhost:6379/0";
const DEFAULT_PORT: u16 = 6379;

/// Where a Redis is and how to log in. Neither `Debug` nor any message shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
}

impl RedisConfig {
    /// Reads `redis://[user:password@]host[:port][/database]`. User and password may be percent-encoded; the
    /// port is 6379 and the database 0 where they are left out.
    ///
    /// # Errors
    /// `Unsupported` for `rediss://`, `redis-cluster://` and `redis-sentinel://`, `Config` for everything
    /// else that is not understood. Messages never repeat the URL: a part of it may be a password.
    pub fn parse(url: &str) -> Result<Self, BackendError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(config(format!("a Redis URL without a scheme: expected {FORM}")));
        };
        check_scheme(scheme)?;
        if rest.contains(['?', '#']) {
            return Err(config(format!(
                "a Redis URL has no settings after ? or #: expected {FORM}; \
                 in a password write them as %3F and %23"
            )));
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = parse_login(login)?;
        let (host, port) = parse_address(address)?;
        Ok(Self { host, port, username, password, database: parse_database(database)? })
    }

    /// The URL with the password masked, for logs and messages.
    pub fn display_url(&self) -> String {
        let login = match (&self.username, &self.password) {
            (None, None) => String::new(),
            (Some(user), None) => format!("{user}@"),
            (user, Some(_)) => format!("{}:***@", user.as_deref().unwrap_or_default()),
        };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("redis://{login}{host}:{}/{}", self.port, self.database)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisConfig").field(&self.display_url()).finish()
    }
}

fn check_scheme(scheme: &str) -> Result<(), BackendError> {
    match scheme {
        "redis" => Ok(()),
        "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel" | "rediss-sentinel" => {
            Err(BackendError::new(
                BackendErrorKind::Unsupported,
                format!("{scheme}:// (TLS, cluster, sentinel) is not in this release: expected {FORM}"),
            ))
        }
        _ => Err(config(format!("the scheme of the URL is not one of Redis: expected {FORM}"))),
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

fn parse_address(address: &str) -> Result<(String, u16), BackendError> {
    let bad = || {
        config(format!(
            "the host or port of the Redis URL is not valid: expected {FORM}; \
             in a password write / as %2F, @ as %40 and : as %3A"
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
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| bad()))?;
    Ok((host.to_owned(), port))
}

fn parse_database(database: &str) -> Result<u8, BackendError> {
    if database.is_empty() {
        return Ok(0);
    }
    database.parse().map_err(|_| {
        config(format!("the database of the Redis URL is not a number from 0 to 255: expected {FORM}"))
    })
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

    fn shown(url: &str) -> String {
        RedisConfig::parse(url).unwrap().display_url()
    }

    #[test]
    fn defaults_are_filled_in_and_the_password_is_masked() {
        for (url, display) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://localhost/", "redis://localhost:6379/0"),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("redis://[::1]", "redis://[::1]:6379/0"),
            ("redis://[::1]:7000/2", "redis://[::1]:7000/2"),
            ("redis://:hunter2@h", "redis://:***@h:6379/0"),
            ("redis://joe:hunter2@h", "redis://joe:***@h:6379/0"),
        ] {
            assert_eq!(shown(url), display, "{url}");
            assert!(!format!("{:?}", RedisConfig::parse(url).unwrap()).contains("hunter2"));
        }
    }

    #[test]
    fn credentials_are_percent_decoded() {
        let config = RedisConfig::parse("redis://joe%40x:p%2Fa%3As%25@h").unwrap();
        assert_eq!(config.username.as_deref(), Some("joe@x"));
        assert_eq!(config.password.as_deref(), Some("p/a:s%"));
    }

    #[test]
    fn what_is_not_in_this_release_says_so() {
        for url in ["rediss://h", "redis-cluster://h", "redis-sentinel://h"] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Unsupported, "{url}");
            assert!(error.to_string().contains("not in this release"), "{error}");
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
            "redis://[::1",
            "redis://[hunter2]",
            "redis://a b",
        ] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Config, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("redis://"), "{error}");
        }
    }
}
