//! Whether the arguments of an entry fit a task, judged by the signature that its workers register.

use super::{Entry, ScheduleError, text};
use crate::TaskInfo;
use crate::redact::render_json;

/// What workers say of the task of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fit {
    /// One of them can run it.
    Fits,
    /// None knows the task.
    Unknown,
    /// Its arguments are not those of the task.
    Wrong(ScheduleError),
}

impl Fit {
    /// Compares an entry with the tasks that workers can run. Of two releases one is enough.
    #[must_use]
    pub fn of<'a>(entry: &Entry, known: impl IntoIterator<Item = &'a TaskInfo>) -> Self {
        let mut fit = Self::Unknown;
        for info in known.into_iter().filter(|info| info.name == entry.task.as_str()) {
            match arguments_fit(entry, info) {
                Ok(()) => return Self::Fits,
                Err(error) => fit = Self::Wrong(error),
            }
        }
        fit
    }
}

/// The same of one of them.
///
/// # Errors
/// Names `args` or `kwargs`, what was found there (without what must not be seen), and what the task expects.
fn arguments_fit(entry: &Entry, info: &TaskInfo) -> Result<(), ScheduleError> {
    let by_name = text::is_empty(&entry.args) && !text::is_empty(&entry.kwargs);
    let (field, found) = if by_name { ("kwargs", &entry.kwargs) } else { ("args", &entry.args) };
    info.takes(found).map_err(|why| {
        let expected = format!("what {} takes, {}: {why}", info.name, info.signature);
        let shown = render_json(found, info.redacted.as_deref().unwrap_or_default());
        ScheduleError::new(field, shown, expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Units as _, every};

    fn judged(signature: &str, args: &str) -> Result<(), String> {
        let mut entry = every(5.secs()).entry("e", "t").unwrap();
        let by_name = args.starts_with('{');
        *(if by_name { &mut entry.kwargs } else { &mut entry.args }) = args.to_owned();
        arguments_fit(&entry, &known("t", signature)).map_err(|error| error.to_string())
    }

    fn known(name: &str, signature: &str) -> TaskInfo {
        TaskInfo { name: name.into(), signature: signature.into(), redacted: None, queue: None }
    }

    #[test]
    fn what_the_task_takes_fits() {
        for (signature, args) in [
            ("() -> ()", "[]"),
            ("(x: i64, y: i64) -> i64", "[16, 16]"),
            ("(x: i64, y: i64) -> i64", r#"{"y": -1, "x": 2}"#),
            ("(x: i64, y: Option<i64>) -> i64", "[16]"),
            ("(x: i64, y: Option<i64>) -> i64", "[16, null]"),
            ("(x: i64, y: i64 = …) -> i64", "[16]"),
            ("(n: Vec<(String, u8)>) -> i64", r#"[[["a", 255]]]"#),
            ("(n: std::collections::HashMap<String, Vec<f64>>) -> i64", r#"[{"a": [1, 2.5]}]"#),
            ("(order: shop::Order, c: char) -> i64", r#"[{"any": "thing"}, "é"]"#),
            ("(f: Box<dyn Fn(u8) -> u8>, x: i64) -> i64", "[null, 1]"),
            ("something else", "[1, 2, 3]"),
        ] {
            assert_eq!(judged(signature, args), Ok(()), "{signature} {args}");
        }
    }

    #[test]
    fn of_two_releases_one_is_enough() {
        let entry = every(5.secs()).entry("e", "t").unwrap();
        let (old, new) = (known("t", "() -> ()"), known("t", "(x: i64) -> ()"));
        assert_eq!(Fit::of(&entry, [&new, &old]), Fit::Fits);
        assert_eq!(Fit::of(&entry, [&known("other", "() -> ()")]), Fit::Unknown);
        assert!(
            matches!(Fit::of(&entry, [&new]), Fit::Wrong(error) if error.expected.contains("`x` is missing"))
        );
    }

    #[test]
    fn what_must_not_be_seen_is_not_in_the_error() {
        let mut entry = every(5.secs()).entry("e", "pay").unwrap();
        entry.args = r#"["x","4111"]"#.to_owned();
        let redacted = Some(vec![crate::RedactedArg { index: 1, name: "card".to_owned() }]);
        let pay = TaskInfo { redacted, ..known("pay", "(id: i64, card: String) -> ()") };
        let Fit::Wrong(error) = Fit::of(&entry, [&pay]) else { panic!("it does not fit") };
        assert_eq!(error.found, r#"["x","[redacted]"]"#);
    }

    #[test]
    fn what_it_does_not_take_is_named() {
        for (signature, args, part) in [
            ("() -> ()", "[1]", "too many"),
            ("(x: i64, y: i64) -> i64", "[16]", "`y` is missing"),
            ("(x: i64, y: i64) -> i64", "[16, \"16\"]", "`y` is not a valid i64"),
            ("(x: i64, y: i64) -> i64", "[16, 1.5]", "`y` is not a valid i64"),
            ("(x: i64, y: i64) -> i64", r#"{"x": 1, "z": 2}"#, "there is no argument `z`"),
            ("(x: u8) -> i64", "[256]", "`x` is not a valid u8"),
            ("(x: u64) -> i64", "[-1]", "`x` is not a valid u64"),
            ("(x: bool) -> i64", "[1]", "`x` is not a valid bool"),
            ("(x: Vec<i64>) -> i64", "[[1, \"2\"]]", "`x` is not a valid Vec<i64>"),
            ("(x: (i64, String)) -> i64", "[[1]]", "`x` is not a valid (i64, String)"),
            ("(x: Option<String>) -> i64", "[5]", "`x` is not a valid Option<String>"),
        ] {
            let error = judged(signature, args).unwrap_err();
            assert!(error.contains(part) && error.contains(signature), "{error}");
            assert!(error.starts_with(if args.starts_with('{') { "kwargs" } else { "args" }), "{error}");
        }
    }
}
