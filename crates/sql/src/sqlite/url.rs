//! Database URLs: what is accepted, and what to write instead of what is not.

use std::path::PathBuf;

use lovage_core::url::{decode, options, split_scheme, unknown_option};
use lovage_core::{BackendError, BackendErrorKind};

const FORMS: &str = "sqlite://lovage.db (relative) or sqlite:///var/lib/lovage.db (absolute)";

/// Where a SQLite database is, and how it is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqliteUrl {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
}

/// What survives a power loss; a crash of the process alone loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Every commit.
    Full,
    /// All but the last commits; the file stays consistent.
    Normal,
}

impl SqliteUrl {
    /// Reads `sqlite://PATH[?durability=full|normal]`. `PATH` may be percent-encoded.
    pub(crate) fn parse(url: &str) -> Result<Self, BackendError> {
        let rest = match split_scheme(url) {
            Some((scheme, rest)) if scheme == "sqlite" => rest,
            _ => return Err(config(format!("this is no URL of a SQLite database: expected {FORMS}"))),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { path: parse_path(path)?, durability: parse_durability(query)? })
    }
}

fn parse_path(raw: &str) -> Result<PathBuf, BackendError> {
    if matches!(raw, ":memory:" | "/:memory:") {
        return Err(config(
            "sqlite::memory: cannot be used: every connection would see an empty database of its own; \
             name a file (sqlite:///tmp/lovage.db), or use the broker memory://",
        ));
    }
    let path = decode(raw).ok_or_else(|| {
        config("the path of the database URL has a bad percent-encoding: write a literal % as %25")
    })?;
    if path.is_empty() || path.ends_with('/') {
        return Err(config(format!("the database URL names no file: expected {FORMS}")));
    }
    if path.contains('\0') {
        return Err(config("the database URL has a NUL character (%00) in its path: remove it"));
    }
    Ok(PathBuf::from(path))
}

fn parse_durability(query: &str) -> Result<Durability, BackendError> {
    let mut durability = Durability::Normal;
    for (name, value) in options(query) {
        durability = match (name, value) {
            ("durability", "full") => Durability::Full,
            ("durability", "normal") => Durability::Normal,
            ("durability", _) => {
                return Err(config(
                    "the option `durability` of the database URL is not known: expected durability=full or =normal",
                ));
            }
            (other, _) => {
                return Err(config(format!("the database URL {}", unknown_option(other, &["durability"]))));
            }
        };
    }
    Ok(durability)
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> BackendError {
        SqliteUrl::parse(url).unwrap_err()
    }

    #[test]
    fn a_relative_and_an_absolute_path_are_read() {
        assert_eq!(SqliteUrl::parse("sqlite://lovage.db").unwrap().path, PathBuf::from("lovage.db"));
        assert_eq!(SqliteUrl::parse("sqlite:///a/b%20c.db").unwrap().path, PathBuf::from("/a/b c.db"));
    }

    #[test]
    fn durability_is_normal_unless_asked_for() {
        let durability = |url| SqliteUrl::parse(url).unwrap().durability;
        assert_eq!(durability("sqlite://a.db"), Durability::Normal);
        assert_eq!(durability("sqlite://a.db?durability=normal"), Durability::Normal);
        assert_eq!(durability("sqlite://a.db?durability=full"), Durability::Full);
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (url, says) in [
            ("lovage.db", "sqlite://lovage.db"),
            ("sqlite::memory:", "sqlite://lovage.db"),
            ("sqlite://:memory:", "name a file"),
            ("sqlite://", "names no file"),
            ("sqlite:///tmp/", "names no file"),
            ("sqlite://a%zz.db", "%25"),
            ("sqlite://a%2", "%25"),
            ("sqlite://a.db?mode=ro", "the options are durability"),
            ("sqlite://a.db?durability=off", "=normal"),
            ("mysql://a", "sqlite://lovage.db"),
        ] {
            let error = refused(url);
            assert!(error.to_string().contains(says), "{url}: {error}");
            assert_eq!(error.kind(), BackendErrorKind::Config, "{url}");
        }
    }
}
