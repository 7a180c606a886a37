//! What a task takes, read from the signature that its workers register (see [`TaskInfo::signature`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::TaskInfo;
use crate::worker::MAY_BE_LEFT_OUT;

/// Types within types that are looked into: what a worker says is not trusted to end.
const DEPTH: usize = 16;
/// Parameters of one task: their places are counted in a byte.
const MOST: usize = 256;

/// A parameter as a signature tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type, as written.
    pub type_name: String,
    /// What that means in JSON.
    pub kind: ParameterKind,
    /// Whether a call may leave it out.
    pub optional: bool,
}

/// What a type takes in JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParameterKind {
    /// `i8` to `i64` and `u8` to `u64`, `isize` and `usize`: a whole number.
    Integer {
        /// The least that it can be.
        least: i64,
        /// The most that it can be.
        most: u64,
    },
    /// `i128` and `u128`: a number of any length.
    Long,
    /// `f32` and `f64`: a number.
    Float,
    /// `bool`.
    Bool,
    /// `String`.
    Text,
    /// `char`: a text of one character.
    Char,
    /// `()`: null.
    Unit,
    /// `Option<…>`: null, or what is in it.
    Option(Box<Self>),
    /// `Vec`, `VecDeque`, `HashSet`, `BTreeSet`: a list of the same.
    List(Box<Self>),
    /// `HashMap`, `BTreeMap`: an object with values of the same.
    Map(Box<Self>),
    /// A list of exactly these.
    Tuple(Vec<Self>),
    /// A type that is not known here: any value will do.
    Other,
}

impl TaskInfo {
    /// What the task takes; `None` where its signature does not look so, as an older or newer worker may write it.
    #[must_use]
    pub fn parameters(&self) -> Option<Vec<Parameter>> {
        parameters(&self.signature)
    }

    /// Whether the task can run with these arguments, a JSON list or object. Numbers, texts, lists, pairs and maps are looked
    /// into; of a type that is not known here any value will do, and so will any arguments where the signature is not
    /// understood.
    ///
    /// # Errors
    /// Why not. Values are not repeated in it: they may be such that must not be shown.
    pub fn takes(&self, arguments: &str) -> Result<(), String> {
        let Some(params) = self.parameters() else { return Ok(()) };
        for (param, value) in params.iter().zip(lay_out(&params, arguments)?) {
            let fits =
                |value: &str| serde_json::from_str::<Value>(value).is_ok_and(|value| param.kind.fits(&value));
            match value {
                None if !param.optional => return Err(format!("`{}` is missing", param.name)),
                Some(value) if !fits(value) => {
                    return Err(format!("`{}` is not a valid {}", param.name, param.type_name));
                }
                None | Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The parameters of `(x: i64, y: Option<i64>) -> i64`.
fn parameters(signature: &str) -> Option<Vec<Parameter>> {
    let inside = signature.strip_prefix('(')?;
    let end = split_end(inside, ')')?;
    let params: Vec<Parameter> = split(&inside[..end]).into_iter().map(parameter).collect::<Option<_>>()?;
    let names: BTreeSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
    (names.len() == params.len() && params.len() <= MOST).then_some(params)
}

fn parameter(text: &str) -> Option<Parameter> {
    let (name, kind) = text.split_once(": ")?;
    let (type_name, marked) = kind.strip_suffix(MAY_BE_LEFT_OUT).map_or((kind, false), |kind| (kind, true));
    let kind = ParameterKind::of(type_name);
    let optional = marked || matches!(kind, ParameterKind::Option(_));
    Some(Parameter { name: name.to_owned(), type_name: type_name.to_owned(), kind, optional })
}

/// Arguments by parameter, each as its JSON text: `None` for those that are not there.
///
/// # Errors
/// Why they cannot be laid out: they are neither a JSON list nor an object, they are too many, or one is unknown.
pub fn lay_out<'a>(params: &[Parameter], json: &'a str) -> Result<Vec<Option<&'a str>>, String> {
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(json) {
        if list.len() > params.len() {
            return Err(format!("it has too many arguments: {}, expected {}", list.len(), params.len()));
        }
        let mut values: Vec<Option<&str>> = list.into_iter().map(|value| Some(value.get())).collect();
        values.resize(params.len(), None);
        return Ok(values);
    }
    let mut named: BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|_| "it is neither a JSON list nor an object".to_owned())?;
    let values = params.iter().map(|param| named.remove(&param.name).map(RawValue::get)).collect();
    match named.into_keys().next() {
        Some(unknown) => Err(format!("there is no argument `{unknown}`")),
        None => Ok(values),
    }
}

impl ParameterKind {
    /// What a type as written takes.
    #[must_use]
    pub fn of(type_name: &str) -> Self {
        Self::within(type_name.trim(), DEPTH)
    }

    fn within(written: &str, depth: usize) -> Self {
        let Some(depth) = depth.checked_sub(1) else { return Self::Other };
        if let Some(inside) = generic(written, "Option") {
            return Self::Option(Box::new(Self::within(inside, depth)));
        }
        let part = |inside, place| {
            Box::new(Self::within(split(inside).get(place).copied().unwrap_or_default(), depth))
        };
        for list in ["Vec", "VecDeque", "HashSet", "BTreeSet"] {
            if let Some(inside) = generic(written, list) {
                return Self::List(part(inside, 0));
            }
        }
        for map in ["HashMap", "BTreeMap"] {
            if let Some(inside) = generic(written, map) {
                return Self::Map(part(inside, 1));
            }
        }
        match written.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some("") => Self::Unit,
            Some(inside) => {
                Self::Tuple(split(inside).into_iter().map(|kind| Self::within(kind, depth)).collect())
            }
            None => Self::plain(written),
        }
    }

    fn plain(written: &str) -> Self {
        let integer = |least: i64, most: u64| Self::Integer { least, most };
        match written {
            "i8" => integer(i8::MIN.into(), i8::MAX.unsigned_abs().into()),
            "i16" => integer(i16::MIN.into(), i16::MAX.unsigned_abs().into()),
            "i32" => integer(i32::MIN.into(), i32::MAX.unsigned_abs().into()),
            "i64" | "isize" => integer(i64::MIN, i64::MAX.unsigned_abs()),
            "u8" => integer(0, u8::MAX.into()),
            "u16" => integer(0, u16::MAX.into()),
            "u32" => integer(0, u32::MAX.into()),
            "u64" | "usize" => integer(0, u64::MAX),
            "i128" | "u128" => Self::Long,
            "f32" | "f64" => Self::Float,
            "bool" => Self::Bool,
            "String" => Self::Text,
            "char" => Self::Char,
            _ => Self::Other,
        }
    }

    /// Whether serde would read the value as that type.
    #[must_use]
    pub fn fits(&self, value: &Value) -> bool {
        let whole = || value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        match self {
            Self::Integer { least, most } => {
                whole().is_some_and(|number| (i128::from(*least)..=i128::from(*most)).contains(&number))
            }
            // One that is too long for a `Value` is a float in it.
            Self::Long | Self::Float => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Text => value.is_string(),
            Self::Char => value.as_str().is_some_and(|text| text.chars().count() == 1),
            Self::Unit => value.is_null(),
            Self::Option(inside) => value.is_null() || inside.fits(value),
            Self::List(item) => {
                value.as_array().is_some_and(|list| list.iter().all(|value| item.fits(value)))
            }
            Self::Map(item) => {
                value.as_object().is_some_and(|map| map.values().all(|value| item.fits(value)))
            }
            Self::Tuple(kinds) => value.as_array().is_some_and(|list| {
                list.len() == kinds.len() && kinds.iter().zip(list).all(|(kind, value)| kind.fits(value))
            }),
            Self::Other => true,
        }
    }
}

/// What stands between the angles of `Option<…>`, also of `std::option::Option<…>`.
fn generic<'a>(written: &'a str, name: &str) -> Option<&'a str> {
    let (path, inside) = written.split_once('<')?;
    let is_it = path.rsplit("::").next().is_some_and(|last| last.trim() == name);
    inside.strip_suffix('>').map(str::trim).filter(|_| is_it)
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
    use crate::{Codec, Handler, Param, TaskDef, TaskOptions};

    fn kinds(signature: &str) -> Option<Vec<(String, ParameterKind, bool)>> {
        let params = parameters(signature)?;
        Some(params.into_iter().map(|param| (param.name, param.kind, param.optional)).collect())
    }

    #[test]
    fn what_a_worker_writes_is_read() {
        let param = |name, type_name, optional| Param { name, type_name, optional, redacted: false };
        let params = [
            param("x", "i64", false),
            param("y", "u8", true),
            param("z", "Option<String>", true),
            param("w", "std::option::Option<f64>", true),
            param("on", "bool", false),
            param("c", "char", false),
            param("pairs", "Vec<(String, u8)>", false),
            param("map", "std::collections::HashMap<String, Vec<f64>>", true),
            param("order", "shop::Order", false),
            param("mine", "MyOption<u8>", true),
            param("f", "Box<dyn Fn(u8) -> u8>", true),
        ];
        let read = task(&params).parameters().unwrap();
        assert_eq!(read.len(), params.len());
        for (read, written) in read.iter().zip(&params) {
            assert_eq!((read.name.as_str(), read.type_name.as_str()), (written.name, written.type_name));
            assert_eq!(read.optional, written.optional, "{}", written.name);
            assert_eq!(read.kind, ParameterKind::of(written.type_name));
        }
        assert_eq!(task(&[]).parameters(), Some(Vec::new()));
    }

    fn task(params: &[Param]) -> TaskInfo {
        TaskInfo::from(&TaskDef {
            name: "t",
            options: TaskOptions::default(),
            params: params.to_vec().leak(),
            returns: "Vec<(u8, u8)>",
            codec: Codec::Json,
            states: Vec::new(),
            handler: Handler::Blocking(|_, _| Ok(String::new())),
        })
    }

    #[test]
    fn what_is_written_otherwise_is_not_guessed() {
        for signature in
            ["", "x: i64", "(x", "(x) -> i64", "(x: i64, x: i64) -> i64", "<script>alert(1)</script>"]
        {
            assert_eq!(kinds(signature), None, "{signature}");
        }
        let many: Vec<String> = (0..257).map(|place| format!("x{place}: i64")).collect();
        assert_eq!(kinds(&format!("({}) -> ()", many.join(", "))), None);
    }

    #[test]
    fn types_within_types_end() {
        let deep = format!("{}i64{}", "Option<".repeat(100_000), ">".repeat(100_000));
        let mut kind = ParameterKind::of(&deep);
        let mut depth = 0;
        while let ParameterKind::Option(inside) = kind {
            kind = *inside;
            depth += 1;
        }
        assert_eq!((kind, depth), (ParameterKind::Other, DEPTH));
    }

    #[test]
    fn arguments_are_laid_out_as_they_were_written() {
        let params = parameters("(x: u128, y: Option<f64>) -> ()").unwrap();
        let long = "340282366920938463463374607431768211455";
        assert_eq!(lay_out(&params, &format!("[ {long} ]")), Ok(vec![Some(long), None]));
        assert_eq!(lay_out(&params, r#"{"y": 1.10}"#), Ok(vec![None, Some("1.10")]));
        assert!(lay_out(&params, "[1, 2, 3]").unwrap_err().contains("too many arguments: 3, expected 2"));
        assert!(lay_out(&params, r#"{"z": 1}"#).unwrap_err().contains("there is no argument `z`"));
        assert!(lay_out(&params, "7").unwrap_err().contains("neither"));
    }

    #[test]
    fn the_least_and_the_most_of_integers_are_exact() {
        for (written, least, most) in [
            ("i8", "-128", "127"),
            ("i16", "-32768", "32767"),
            ("i32", "-2147483648", "2147483647"),
            ("i64", "-9223372036854775808", "9223372036854775807"),
            ("u8", "0", "255"),
            ("u16", "0", "65535"),
            ("u32", "0", "4294967295"),
            ("u64", "0", "18446744073709551615"),
        ] {
            let fits = |text: &str| ParameterKind::of(written).fits(&serde_json::from_str(text).unwrap());
            assert!(fits(least) && fits(most), "{written}");
            let beyond = |text: &str, by: i128| (text.parse::<i128>().unwrap() + by).to_string();
            assert!(!fits(&beyond(least, -1)) && !fits(&beyond(most, 1)) && !fits("1.5"), "{written}");
        }
    }
}
