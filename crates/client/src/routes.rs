//! Which tasks go to which queue.

use lovage_core::QueueName;

/// Patterns of task names, each with a queue; the first that matches wins, and without one it is `default`.
///
/// `*` in a pattern stands for any text.
///
/// ```
/// use lovage_client::{QueueName, Routes};
///
/// let routes = Routes::new([("videos.*", "media"), ("*.mail", "mail")])?;
/// assert_eq!(routes.queue("videos.resize").as_str(), "media");
/// assert_eq!(routes.queue("shop.mail").as_str(), "mail");
/// assert_eq!(routes.queue("shop.pay"), QueueName::default());
/// # Ok::<(), lovage_client::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes(Vec<(String, QueueName)>);

impl Routes {
    /// Routes in the order of their precedence.
    ///
    /// # Errors
    /// When the name of a queue is not valid.
    pub fn new<P: Into<String>, Q: AsRef<str>>(
        routes: impl IntoIterator<Item = (P, Q)>,
    ) -> Result<Self, lovage_core::NameError> {
        let checked = routes.into_iter().map(|(pattern, queue)| Ok((pattern.into(), QueueName::new(queue)?)));
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// The queue of a task.
    #[must_use]
    pub fn queue(&self, task: &str) -> QueueName {
        let route = self.0.iter().find(|(pattern, _)| matches(pattern, task));
        route.map_or_else(QueueName::default_queue, |(_, queue)| queue.clone())
    }
}

/// Whether a text is what a pattern with `*` stands for.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("*", "anything", true),
            ("a.*", "a.", true),
            ("a.*.z", "a.b.c.z", true),
            ("a.*.z", "a.z", false),
            ("*mail*", "shop.mail.send", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
