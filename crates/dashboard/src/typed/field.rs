//! One argument: as JSON, and as somebody writes it into a field of its type.

use lovage_core::{HIDDEN, Parameter, ParameterKind};
use serde_json::{Number, Value};

/// What is shown of a text that is wrong.
const SHOWN: usize = 80;

/// A parameter and what stands in its field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub(crate) param: Parameter,
    pub(crate) text: String,
    pub(crate) sight: Sight,
}

/// Whether an argument may be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sight {
    Open,
    /// It is hidden, and may stay as it was.
    Kept,
    /// It is hidden, and nobody knows any more what it was.
    Lost,
}

impl Field {
    /// With a value of JSON, or none; `None` where the field could not give it back.
    pub(crate) fn of(param: Parameter, json: Option<&str>, sight: Sight) -> Option<Self> {
        let text = match json {
            None => String::new(),
            Some(json) if sight != Sight::Open && is_placeholder(json) => HIDDEN.to_owned(),
            Some("null") if may_be_null(&param.kind) => String::new(),
            Some(json) => {
                written(bare(&param.kind), json).filter(|text| !text.is_empty() || !param.optional)?
            }
        };
        Some(Self { param, text, sight })
    }

    /// What the field is for.
    pub(crate) fn kind(&self) -> &ParameterKind {
        bare(&self.param.kind)
    }

    pub(crate) fn is_empty(&self) -> bool {
        if *self.kind() == ParameterKind::Text { self.text.is_empty() } else { self.text.trim().is_empty() }
    }

    /// Whether something stands in it that must not go back into a page.
    pub(crate) fn is_unshown(&self) -> bool {
        self.sight != Sight::Open && !self.text.is_empty() && !self.is_hidden()
    }

    /// Whether what was hidden is meant.
    fn is_hidden(&self) -> bool {
        self.sight != Sight::Open && self.text.trim() == HIDDEN
    }

    /// The value as JSON; `None` where it is left out.
    ///
    /// # Errors
    /// What was expected and what was found; nothing of the value where that must not be seen.
    pub(crate) fn json(&self) -> Result<Option<String>, String> {
        match self.sight {
            Sight::Kept if self.is_hidden() => return Ok(Some(Value::from(HIDDEN).to_string())),
            Sight::Lost if self.is_hidden() => {
                return Err("what stood here was not kept: write it again".to_owned());
            }
            Sight::Open | Sight::Kept | Sight::Lost => {}
        }
        if self.is_empty() && self.param.optional {
            return Ok(None);
        }
        // What a page does not show comes back empty, which is not to be taken for an empty text.
        let read =
            if self.is_empty() && self.sight != Sight::Open { None } else { read(self.kind(), &self.text) };
        read.map(Some).ok_or_else(|| {
            let found = match self.text.trim() {
                "" => "nothing".to_owned(),
                _ if self.sight != Sight::Open => "something else".to_owned(),
                text if text.chars().count() > SHOWN => {
                    format!("`{}…`", text.chars().take(SHOWN).collect::<String>())
                }
                text => format!("`{text}`"),
            };
            format!("expected {}, found {found}", self.expected())
        })
    }

    /// In words what belongs into it.
    pub(crate) fn expected(&self) -> String {
        match self.kind() {
            ParameterKind::Integer { least, most } => format!("a whole number from {least} to {most}"),
            ParameterKind::Float => "a number such as 2.5".to_owned(),
            ParameterKind::Bool => "true or false".to_owned(),
            ParameterKind::Text => "text".to_owned(),
            ParameterKind::Char => "one character".to_owned(),
            ParameterKind::Long
            | ParameterKind::Unit
            | ParameterKind::Option(_)
            | ParameterKind::List(_)
            | ParameterKind::Map(_)
            | ParameterKind::Tuple(_)
            | ParameterKind::Other => format!("JSON for {}", self.param.type_name),
        }
    }

    /// Whether null says the same as nothing.
    pub(crate) fn may_be_null(&self) -> bool {
        may_be_null(&self.param.kind)
    }
}

fn is_placeholder(json: &str) -> bool {
    serde_json::from_str::<Value>(json).is_ok_and(|value| value == HIDDEN)
}

fn may_be_null(kind: &ParameterKind) -> bool {
    matches!(kind, ParameterKind::Option(_))
}

/// Without the `Option` around it, which an empty field stands for. Of two of them a field could not tell which is empty.
fn bare(kind: &ParameterKind) -> &ParameterKind {
    if let ParameterKind::Option(inside) = kind
        && !may_be_null(inside)
    {
        return inside;
    }
    kind
}

/// As somebody would write it.
fn written(kind: &ParameterKind, json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    if !kind.fits(&value) {
        return None;
    }
    match (kind, value) {
        // A page does not give back other control characters as they were.
        (ParameterKind::Text | ParameterKind::Char, Value::String(text)) => {
            text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()).then_some(text)
        }
        _ => Some(json.to_owned()),
    }
}

/// As JSON, where it is what the kind takes.
fn read(kind: &ParameterKind, text: &str) -> Option<String> {
    // Forms send line breaks as two characters.
    let text = text.replace("\r\n", "\n");
    let trimmed = text.trim();
    let json = match kind {
        ParameterKind::Text => Value::from(text.as_str()).to_string(),
        ParameterKind::Char => Value::from(text.as_str()).to_string(),
        ParameterKind::Integer { .. } => trimmed.parse::<i128>().ok()?.to_string(),
        ParameterKind::Float => float(trimmed)?,
        ParameterKind::Bool
        | ParameterKind::Long
        | ParameterKind::Unit
        | ParameterKind::Option(_)
        | ParameterKind::List(_)
        | ParameterKind::Map(_)
        | ParameterKind::Tuple(_)
        | ParameterKind::Other => trimmed.to_owned(),
    };
    let value: Value = serde_json::from_str(&json).ok()?;
    kind.fits(&value).then_some(json)
}

/// As it was written where JSON has it so, too: `.5` and `+1` are not.
fn float(text: &str) -> Option<String> {
    if serde_json::from_str::<Number>(text).is_ok() {
        return Some(text.to_owned());
    }
    Number::from_f64(text.parse().ok()?).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(written: &str, text: &str) -> Field {
        Field { param: param(written, false), text: text.to_owned(), sight: Sight::Open }
    }

    fn param(written: &str, has_default: bool) -> Parameter {
        let kind = ParameterKind::of(written);
        let optional = has_default || may_be_null(&kind);
        Parameter { name: "x".to_owned(), type_name: written.to_owned(), kind, optional }
    }

    #[test]
    fn what_a_field_shows_it_gives_back() {
        for (written, json) in [
            ("i64", "-9223372036854775808"),
            ("u64", "18446744073709551615"),
            ("f64", "1.10"),
            ("f64", "2"),
            ("bool", "false"),
            ("String", r#""""#),
            ("String", r#"" a \"quoted\" text\nof two lines ""#),
            ("char", r#"" ""#),
            ("u128", "340282366920938463463374607431768211455"),
            ("Option<i64>", "5"),
            ("Option<String>", r#""x""#),
            ("Option<Option<i64>>", "7"),
            ("Vec<i64>", "[1,  2]"),
            ("HashMap<String, f64>", r#"{"a":1.50}"#),
            ("(u8, String)", r#"[1,"2"]"#),
            ("()", "null"),
            ("shop::Order", r#"{"any":"thing"}"#),
        ] {
            let field = Field::of(param(written, false), Some(json), Sight::Open)
                .unwrap_or_else(|| panic!("{written} {json}"));
            assert_eq!(field.json(), Ok(Some(json.to_owned())), "{written} `{}`", field.text);
        }
    }

    #[test]
    fn what_is_hidden_is_given_back_as_it_is_shown() {
        for written in ["i64", "bool", "String", "char", "Vec<i64>", "Option<f64>", "Order"] {
            let field = Field::of(param(written, false), Some(r#""[redacted]""#), Sight::Kept).unwrap();
            assert_eq!(
                (field.text.as_str(), field.json()),
                ("[redacted]", Ok(Some(r#""[redacted]""#.to_owned())))
            );
        }
    }

    #[test]
    fn an_empty_field_is_nothing_where_that_may_be() {
        let empty =
            |written, has_default| Field::of(param(written, has_default), None, Sight::Open).unwrap().json();
        assert_eq!(empty("Option<i64>", false), Ok(None));
        assert_eq!(empty("i64", true), Ok(None));
        assert_eq!(empty("String", true), Ok(None));
        assert_eq!(empty("String", false), Ok(Some(r#""""#.to_owned())));
        let null = Field::of(param("Option<i64>", false), Some("null"), Sight::Open).unwrap();
        assert_eq!(null.json(), Ok(None));
        let missing = empty("u8", false).unwrap_err();
        assert_eq!(missing, "expected a whole number from 0 to 255, found nothing");
    }

    #[test]
    fn what_a_field_could_not_give_back_does_not_fit() {
        for (written, json) in [
            ("i64", "1.5"),
            ("i64", "null"),
            ("u8", "256"),
            ("bool", "1"),
            ("String", "5"),
            ("String", r#""a\r\nb""#),
            ("Option<String>", r#""""#),
            ("Vec<i64>", r#"["1"]"#),
        ] {
            assert_eq!(Field::of(param(written, false), Some(json), Sight::Open), None, "{written} {json}");
        }
    }

    #[test]
    fn what_is_wrong_says_what_was_expected_and_found() {
        for (written, text, part) in [
            ("i8", "128", "from -128 to 127, found `128`"),
            ("u64", "-1", "from 0 to 18446744073709551615, found `-1`"),
            ("i64", "1e3", "found `1e3`"),
            ("f32", "NaN", "expected a number such as 2.5, found `NaN`"),
            ("bool", "maybe", "expected true or false, found `maybe`"),
            ("char", "ab", "expected one character, found `ab`"),
            ("Vec<i64>", "[1, \"2\"]", "expected JSON for Vec<i64>, found `[1, \"2\"]`"),
            ("Option<u8>", "x", "from 0 to 255, found `x`"),
            ("Order", "{", "expected JSON for Order"),
        ] {
            let error = open(written, text).json().unwrap_err();
            assert!(error.contains(part), "{written} `{text}`: {error}");
        }
        let long = open("i64", &"9".repeat(5_000));
        assert!(long.json().unwrap_err().len() < 200);
    }

    #[test]
    fn numbers_may_be_written_as_people_do() {
        let json = |written, text: &str| open(written, text).json();
        assert_eq!(json("i64", " +007 "), Ok(Some("7".to_owned())));
        assert_eq!(json("f64", ".5"), Ok(Some("0.5".to_owned())));
        assert_eq!(json("String", "a\r\nb"), Ok(Some(r#""a\nb""#.to_owned())));
    }

    #[test]
    fn a_hidden_argument_stays_where_it_was_kept_and_is_in_no_error() {
        let hidden = |written, text: &str, sight| Field {
            sight,
            ..Field {
                text: text.to_owned(),
                ..Field::of(param(written, false), Some("\"[redacted]\""), sight).unwrap()
            }
        };
        for written in ["String", "u64", "bool", "Vec<i64>", "shop::Card"] {
            let kept = hidden(written, HIDDEN, Sight::Kept);
            assert_eq!(kept.json(), Ok(Some("\"[redacted]\"".to_owned())), "{written}");
            let lost = hidden(written, HIDDEN, Sight::Lost).json().unwrap_err();
            assert!(lost.contains("write it again"), "{lost}");
        }
        let wrong = hidden("u64", "4111-1111", Sight::Kept);
        assert!(wrong.is_unshown() && !wrong.json().unwrap_err().contains("4111"));
        assert_eq!(hidden("u64", "4111", Sight::Lost).json(), Ok(Some("4111".to_owned())));
        assert!(hidden("String", "", Sight::Kept).json().unwrap_err().contains("found nothing"));
    }
}
