//! Links within the dashboard.

use std::fmt::{self, Write as _};

use maud::Render;

/// A path of ours with its query.
#[derive(Clone, Debug)]
pub(crate) struct Url(String);

impl Url {
    /// The path behind the base.
    pub(crate) fn new(base: &str, path: &str) -> Self {
        Self(format!("{base}{path}"))
    }

    /// The same with a field in its query.
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        let before = if self.0.contains('?') { '&' } else { '?' };
        // Writing to a String cannot fail.
        let _infallible = write!(self.0, "{before}{name}={}", Encoded(&value.to_string()));
        self
    }

    /// The same with the fields that are there.
    pub(crate) fn with_some(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Render for Url {
    fn render_to(&self, buffer: &mut String) {
        self.0.as_str().render_to(buffer);
    }
}

/// Everything but the characters that mean nothing in any part of a URL as `%XX`.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => f.write_char(byte.into()),
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_query_is_encoded() {
        let url = Url::new("/lovage", "/queue").with("name", "a&b=c#d/é").with_some("after", None::<&str>);
        assert_eq!(url.to_string(), "/lovage/queue?name=a%26b%3Dc%23d%2F%C3%A9");
        assert_eq!(url.with("x", 1).to_string(), "/lovage/queue?name=a%26b%3Dc%23d%2F%C3%A9&x=1");
    }
}
