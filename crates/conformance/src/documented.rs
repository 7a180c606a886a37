//! Keeping `docs/errors.md` in step with the code.

use std::path::Path;

/// Asserts that an error says what `docs/errors.md` says of it: `text` stands there between backticks, word by word, and
/// `found` is that text. A `…` in it stands for whatever differs from case to case, such as an address.
///
/// # Panics
/// When one of the two is not so.
#[track_caller]
pub fn documented(text: &str, found: &str) {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let manual = std::fs::read_to_string(manual).expect("docs/errors.md").replace("\\|", "|");
    let is_there = manual.match_indices(text).any(|(at, _)| {
        let (before, after) = (manual[..at].trim_end(), manual[at + text.len()..].trim_start());
        before.ends_with('`') && after.starts_with('`')
    });
    assert!(is_there, "docs/errors.md does not have the text: {text}");
    assert!(says(text, found), "expected: {text}\nfound: {found}");
}

/// Whether `found` is `text`, in which each `…` stands for anything.
fn says(text: &str, found: &str) -> bool {
    let mut parts = text.split('…');
    let Some(mut left) = parts.next().and_then(|first| found.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_stands_for_anything_and_the_rest_for_itself() {
        assert!(says("no answer", "no answer"));
        assert!(!says("no answer", "no answer at all"));
        assert!(says("… did not answer within …: look", "redis://h did not answer within 5s: look"));
        assert!(!says("… did not answer: look", "redis://h did not answer: go"));
    }

    #[test]
    #[should_panic(expected = "docs/errors.md does not have the text")]
    fn what_is_not_in_the_manual_is_found() {
        documented("nobody ever wrote this", "nobody ever wrote this");
    }
}
