//! URLs without their secrets.

/// A URL for people: the password masked, and every setting after `?` whose name sounds like a secret.
///
/// What is not a URL is masked up to the last `@`, because it may be one with a slip in it.
pub(crate) fn mask_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        // A path, which may have an `@`.
        Some(("sqlite", _)) => return url.to_owned(),
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The last `@`: a password may have one that somebody forgot to encode.
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:***@"), rest),
            // A user; with the other schemes it may be a password without its colon.
            None if scheme.starts_with("postgres") => (format!("{login}@"), rest),
            None => ("***@".to_owned(), rest),
        },
        None => (String::new(), rest),
    };
    let Some((place, query)) = rest.split_once('?') else { return format!("{scheme}{login}{rest}") };
    let query: Vec<String> = query.split('&').map(mask_pair).collect();
    format!("{scheme}{login}{place}?{}", query.join("&"))
}

fn mask_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if ["pass", "secret", "token", "key"].iter().any(|word| key.contains(word)) => {
            format!("{key}=***")
        }
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:hunter2@host", "redis://:***@host"),
            ("redis://me:hunter2@host:1/2", "redis://me:***@host:1/2"),
            ("redis://me:hun@ter/2@host", "redis://me:***@host"),
            ("redis://hunter2@host", "redis://***@host"),
            ("rediss://host?password=hunter2&db=1", "rediss://host?password=***&db=1"),
            ("postgres://me:hunter2@host/db?schema=q", "postgres://me:***@host/db?schema=q"),
            ("postgres://me@host/db?password=hunter2", "postgres://me@host/db?password=***"),
            ("postgres://me:hun?ter2@host/db", "postgres://me:***@host/db"),
            ("me:hunter2@host", "me:***@host"),
            ("sqlite:///srv/a@b/lovage.db", "sqlite:///srv/a@b/lovage.db"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
