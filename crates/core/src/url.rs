//! URLs of brokers and databases: splitting, decoding, and a form without secrets for people.
//!
//! Every crate that reads such a URL uses this module, so that no message shows a part of a password. The login (the
//! text between `://` and the last `@`) and the values of options are never shown.

use std::fmt::Write as _;

use crate::nearest;

/// What stands for text that is not shown.
const MASK: &str = "***";

/// The parts of a URL `scheme://[login@]hosts[/path][?options]`, still percent-encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Url<'a> {
    /// The scheme in lower case, which is how schemes are compared.
    pub scheme: String,
    /// `user:password`, where there is an `@`.
    pub login: Option<&'a str>,
    /// The text before the path: hosts and ports.
    pub hosts: &'a str,
    /// The text after the first `/` of what follows the hosts.
    pub path: &'a str,
    /// The text after `?`.
    options: &'a str,
}

impl<'a> Url<'a> {
    /// Splits a URL.
    ///
    /// # Errors
    /// What is wrong and what to write instead. The text continues a sentence whose subject is the URL, and repeats
    /// nothing of it.
    pub fn split(url: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) = split_scheme(url).ok_or("has no scheme")?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains('@') {
            return Err(
                "has an @ after its host: in user and password write / as %2F, ? as %3F, # as %23 and \
                        @ as %40; in an option write @ as %40",
            );
        }
        if tail.contains('#') {
            return Err("has a #: in a password write it as %23");
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (path, options) = tail.split_once('?').unwrap_or((tail, ""));
        Ok(Self { scheme, login, hosts, path: path.strip_prefix('/').unwrap_or(path), options })
    }

    /// Returns the names and values of the options, in their order and still percent-encoded.
    pub fn options(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        options(self.options)
    }

    /// Returns user and password, percent-decoded; an empty one is none.
    ///
    /// # Errors
    /// As [`split`](Self::split).
    pub fn credentials(&self) -> Result<(Option<String>, Option<String>), &'static str> {
        let (user, password) = match self.login.unwrap_or_default().split_once(':') {
            Some((user, password)) => (user, password),
            None => (self.login.unwrap_or_default(), ""),
        };
        let part = |raw: &str| -> Result<Option<String>, &'static str> {
            let text = decode(raw)
                .ok_or("has a bad percent-encoding in its user or password: write a literal % as %25")?;
            Ok(Some(text).filter(|text| !text.is_empty()))
        };
        Ok((part(user)?, part(password)?))
    }
}

impl std::fmt::Debug for Url<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Url")
            .field("scheme", &self.scheme)
            .field("hosts", &self.hosts)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Splits the options of a URL, the text after `?`, into names and values.
pub fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Splits a URL at `://`, with the scheme in lower case. `None` where the text before it is no scheme.
#[must_use]
pub fn split_scheme(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The scheme of a URL in lower case; an empty text where there is none.
#[must_use]
pub fn scheme(url: &str) -> String {
    split_scheme(url).map(|(scheme, _)| scheme).unwrap_or_default()
}

/// Replaces percent-encodings. `None` for a bad one, or where the result is not UTF-8.
#[must_use]
pub fn decode(raw: &str) -> Option<String> {
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

/// Says that an option is not known, with the nearest known one. Its value is not shown, and its name only where it can
/// be no part of a password.
#[must_use]
pub fn unknown_option(name: &str, known: &[&str]) -> String {
    let known_names = known.join(", ");
    if !is_option_name(name) {
        return format!("has an option that is not known: the options are {known_names}");
    }
    let near = nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    format!("has an option `{name}` that is not known{near}: the options are {known_names}")
}

/// A URL for people, without its login and without the values of its options.
///
/// A text that is not a URL, or whose login cannot be told from its options, is not shown at all.
///
/// ```
/// use lovage_core::url::mask;
///
/// assert_eq!(mask("redis://me:hunter2@host:6379/0"), "redis://***@host:6379/0");
/// assert_eq!(mask("rediss://host?ca=/etc/ca.pem"), "rediss://host?ca=***");
/// assert_eq!(mask("me:hunter2@host"), "***");
/// ```
#[must_use]
pub fn mask(url: &str) -> String {
    let Some((scheme, rest)) = split_scheme(url) else { return MASK.to_owned() };
    let (place, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    // The start of a password, or an option whose value has an `@`.
    if tail.contains('@') {
        return format!("{scheme}://{MASK}");
    }
    let mut shown = format!("{scheme}://");
    match place.rsplit_once('@') {
        // The absolute path of a file may have an `@`; it can be no login.
        Some((_, place)) if scheme != "sqlite" || !rest.starts_with('/') => {
            shown.push_str(MASK);
            shown.push('@');
            shown.push_str(place);
        }
        _ => shown.push_str(place),
    }
    if let Some(options) = tail.strip_prefix('?') {
        let mut separator = '?';
        for pair in options.split('&').filter(|pair| !pair.is_empty()) {
            shown.push(separator);
            separator = '&';
            match pair.split_once('=') {
                Some((name, _)) if is_option_name(name) => drop(write!(shown, "{name}={MASK}")),
                _ => shown.push_str(MASK),
            }
        }
    } else if !tail.is_empty() {
        shown.push('#');
        shown.push_str(MASK);
    }
    shown
}

fn is_option_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masked_urls_show_no_login_and_no_option_value() {
        for (url, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("REDIS://localhost", "redis://localhost"),
            ("redis://:hunter2@host", "redis://***@host"),
            ("redis://me:hunter2@host:1/2", "redis://***@host:1/2"),
            ("redis://me:hun@ter/2@host", "redis://***@host"),
            ("redis://hunter2@host", "redis://***@host"),
            ("redis://me:hun?ter2@host", "redis://***"),
            ("redis://me:hun#ter2@host", "redis://***"),
            ("redis://host?password=hun@ter2", "redis://***"),
            ("redis://host#hunter2", "redis://host#***"),
            ("rediss://host?password=hunter2&db=1", "rediss://host?password=***&db=***"),
            ("rediss://host?hunter2", "rediss://host?***"),
            ("postgres://me:hunter2@host/db?schema=q", "postgres://***@host/db?schema=***"),
            ("me:hunter2@host", "***"),
            ("host=db password=hunter2", "***"),
            ("me:hunter2@x://host", "***"),
            ("sqlite:///srv/a@b/lovage.db", "sqlite:///srv/a@b/lovage.db"),
            ("sqlite://me:hunter2@host", "sqlite://***@host"),
        ] {
            assert_eq!(mask(url), shown, "{url}");
        }
    }

    #[test]
    fn a_url_is_split_at_its_first_delimiters() {
        let url = Url::split("Postgres://joe:p%40w@[::1]:5432/app?a=1&b").unwrap();
        assert_eq!((url.scheme.as_str(), url.hosts, url.path), ("postgres", "[::1]:5432", "app"));
        assert_eq!(url.credentials(), Ok((Some("joe".to_owned()), Some("p@w".to_owned()))));
        assert_eq!(url.options().collect::<Vec<_>>(), [("a", "1"), ("b", "")]);
    }

    #[test]
    fn a_misspelt_option_is_named_with_the_nearest_one() {
        let text = unknown_option("pasword", &["password", "schema"]);
        assert!(text.contains("`pasword`") && text.contains("did you mean `password`?"), "{text}");
        assert!(!unknown_option("Hunter2", &["schema"]).contains("Hunter2"));
    }

    proptest! {
        #[test]
        fn no_password_is_shown(
            noise in "[?#@/:%&=a-z]{0,6}",
            scheme in prop::sample::select(vec!["redis", "rediss-cluster", "postgres", "sqlite", "mysql"]),
        ) {
            let secret = format!("S3CRET{noise}S3CRET");
            for url in [
                format!("{scheme}://user:{secret}@host/app"),
                format!("{scheme}://{secret}@host/app?schema=q"),
                format!("{scheme}://host/app?pasword={secret}"),
                format!("{scheme}://host/app?pasword={secret}&schema=q"),
                format!("user:{secret}@host"),
                format!("{scheme}:user:{secret}@host"),
            ] {

                let shown = mask(&url);
                prop_assert!(!shown.contains("S3CRET"), "{url}: {shown}");
                if let Err(error) = Url::split(&url) {
                    prop_assert!(!error.contains("S3CRET"));
                }
            }
        }
    }
}
