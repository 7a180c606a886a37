//! Whether the arguments of an entry fit a task, judged by the signature that its workers register.

use serde_json::{Map, Value};

use super::{Entry, ScheduleError, text};
use crate::worker::MAY_BE_LEFT_OUT;

/// Whether a task with this signature (see [`TaskInfo::signature`](crate::TaskInfo::signature)) can run the arguments of an
/// entry. Numbers, texts, lists, pairs and maps are looked into; of a type that is not known here any value will do.
///
/// # Errors
/// Names `args` or `kwargs`, what was found there, and what the task expects.
pub fn arguments_fit(entry: &Entry, signature: &str) -> Result<(), ScheduleError> {
    let Some(params) = parameters(signature) else { return Ok(()) };
    let by_name = text::is_empty(&entry.args) && !text::is_empty(&entry.kwargs);
    let (field, found) = if by_name { ("kwargs", &entry.kwargs) } else { ("args", &entry.args) };
    let wrong = |why: String| {
        let expected = format!("what {} takes, {signature}: {why}", entry.task);
        Err(ScheduleError::new(field, found, expected))
    };
    let Some(values) = lay_out(&params, found) else {
        return wrong("it has too many arguments".to_owned());
    };
    let values = match values {
        Ok(values) => values,
        Err(unknown) => return wrong(format!("there is no argument `{unknown}`")),
    };
    for (param, value) in params.iter().zip(values) {
        match value {
            None if !param.optional => return wrong(format!("`{}` is missing", param.name)),
            Some(value) if !fits(&value, param.kind) => {
                return wrong(format!("`{}` is not a valid {}", param.name, param.kind));
            }
            None | Some(_) => {}
        }
    }
    Ok(())
}

struct Parameter<'a> {
    name: &'a str,
    kind: &'a str,
    optional: bool,
}

/// The parameters of `(x: i64, y: Option<i64>) -> i64`; `None` where it does not look so.
fn parameters(signature: &str) -> Option<Vec<Parameter<'_>>> {
    let inside = signature.strip_prefix('(')?;
    let end = split_end(inside, ')')?;
    split(&inside[..end])
        .into_iter()
        .map(|param| {
            let (name, kind) = param.split_once(": ")?;
            let (kind, marked) =
                kind.strip_suffix(MAY_BE_LEFT_OUT).map_or((kind, false), |kind| (kind, true));
            Some(Parameter { name, kind, optional: marked || generic(kind, "Option").is_some() })
        })
        .collect()
}

/// The values by parameter: `None` when there are too many, the first unknown name as an error.
fn lay_out(params: &[Parameter<'_>], json: &str) -> Option<Result<Vec<Option<Value>>, String>> {
    // What is neither a list nor an object does not pass the entry's own check.
    if let Ok(list) = serde_json::from_str::<Vec<Value>>(json) {
        let mut values: Vec<Option<Value>> = list.into_iter().map(Some).collect();
        if values.len() > params.len() {
            return None;
        }
        values.resize(params.len(), None);
        return Some(Ok(values));
    }
    let mut named: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let values = params.iter().map(|param| named.remove(param.name)).collect();
    Some(match named.into_iter().next() {
        Some((unknown, _)) => Err(unknown),
        None => Ok(values),
    })
}

/// Whether serde would read the value as that type.
fn fits(value: &Value, kind: &str) -> bool {
    let kind = kind.trim();
    if let Some(inside) = generic(kind, "Option") {
        return value.is_null() || fits(value, inside);
    }
    for list in ["Vec", "VecDeque", "HashSet", "BTreeSet"] {
        if let Some(inside) = generic(kind, list) {
            let item = split(inside).first().copied().unwrap_or_default();
            return value.as_array().is_some_and(|list| list.iter().all(|value| fits(value, item)));
        }
    }
    for map in ["HashMap", "BTreeMap"] {
        if let Some(inside) = generic(kind, map) {
            let item = split(inside).get(1).copied().unwrap_or_default();
            return value.as_object().is_some_and(|map| map.values().all(|value| fits(value, item)));
        }
    }
    if let Some(inside) = kind.strip_prefix('(').and_then(|kind| kind.strip_suffix(')'))
        && !inside.is_empty()
    {
        let kinds = split(inside);
        return value.as_array().is_some_and(|list| {
            list.len() == kinds.len() && list.iter().zip(kinds).all(|(value, kind)| fits(value, kind))
        });
    }
    plain(value, kind)
}

fn plain(value: &Value, kind: &str) -> bool {
    let signed = |least: i64, most: i64| value.as_i64().is_some_and(|n| (least..=most).contains(&n));
    let unsigned = |most: u64| value.as_u64().is_some_and(|n| n <= most);
    match kind {
        "i8" => signed(i8::MIN.into(), i8::MAX.into()),
        "i16" => signed(i16::MIN.into(), i16::MAX.into()),
        "i32" => signed(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => value.is_i64(),
        "u8" => unsigned(u8::MAX.into()),
        "u16" => unsigned(u16::MAX.into()),
        "u32" => unsigned(u32::MAX.into()),
        "u64" | "usize" => value.is_u64(),
        "i128" | "u128" | "f32" | "f64" => value.is_number(),
        "bool" => value.is_boolean(),
        "String" => value.is_string(),
        "char" => value.as_str().is_some_and(|text| text.chars().count() == 1),
        "()" => value.is_null(),
        _ => true,
    }
}

/// What stands between the angles of `Option<…>`, also of `std::option::Option<…>`.
fn generic<'a>(kind: &'a str, name: &str) -> Option<&'a str> {
    let (path, inside) = kind.split_once('<')?;
    let is_it = path.rsplit("::").next().is_some_and(|last| last.trim() == name);
    inside.strip_suffix('>').filter(|_| is_it)
}

/// The parts between commas that stand in no brackets.
fn split(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while let Some(end) = split_end(text, ',') {
        parts.push(text[..end].trim());
        text = &text[end + 1..];
    }
    parts.push(text.trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where a character stands that is in no brackets.
fn split_end(text: &str, end: char) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if depth == 0 && c == end {
            return Some(at);
        }
        match c {
            '(' | '[' | '<' => depth += 1,
            // Not the arrow of a function's type.
            ')' | ']' => depth = depth.saturating_sub(1),
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Units as _, every};

    fn judged(signature: &str, args: &str) -> Result<(), String> {
        let mut entry = every(5.secs()).entry("e", "t").unwrap();
        let by_name = args.starts_with('{');
        *(if by_name { &mut entry.kwargs } else { &mut entry.args }) = args.to_owned();
        arguments_fit(&entry, signature).map_err(|error| error.to_string())
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
