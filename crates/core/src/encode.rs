//! JSON of arguments and results, without what JSON cannot hold: numbers that are not finite, and nesting that no reader
//! takes.
//!
//! `serde_json` writes `null` for NaN and infinity, and recurses without a limit. So values are encoded through a serializer
//! that stops with an error instead.

use std::fmt::Display;

use serde::ser::{self, Error as _, Serialize, Serializer};

/// Levels of lists and objects that a value may have: `serde_json` reads no more.
pub(crate) const MAX_DEPTH: usize = 127;
/// Levels of calls, of which those without brackets of their own (`Some`, a newtype) are a part. Far from the end of a thread's
/// stack.
const MAX_CALLS: usize = 512;
const NOT_FINITE: &str = "it holds a number that is NaN or infinite, which JSON has not";
/// The first character of the text of a result that is not stored. JSON has no such text.
const UNSTORED: char = '\u{1}';

/// The text of [`crate::TaskResult`] for a result that cannot be stored, and why.
pub(crate) fn unstored(why: &dyn Display) -> String {
    format!("{UNSTORED}{why}")
}

/// The reason why a task's value is not stored, where its text is none of JSON: it holds a NaN or infinity, or nests too
/// deeply.
#[must_use]
pub fn unstored_reason(value: &str) -> Option<&str> {
    value.strip_prefix(UNSTORED)
}

/// Appends the JSON of a value.
///
/// # Errors
/// When it does not serialize, holds a number that is not finite, or nests deeper than 127 levels.
pub(crate) fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    let mut serializer = serde_json::Serializer::new(out);
    let guard = Guard { inner: &mut serializer, at: Level::default(), refuses_not_finite: true };
    value.serialize(guard).map_err(|error| EncodeError::from(error.to_string()))
}

/// Appends a value in postcard.
///
/// # Errors
/// When it does not serialize, or nests deeper than 127 levels.
pub(crate) fn write_postcard<T: Serialize + ?Sized>(out: Vec<u8>, value: &T) -> Result<Vec<u8>, EncodeError> {
    let nested = Nested { value, at: Level::default(), refuses_not_finite: false };
    // Postcard's errors have no text of their own, so depth is looked for by counting first.
    postcard::to_extend(&nested, out).map_err(|error| match DepthOnly::check(value) {
        Err(too_deep) => too_deep,
        Ok(()) => EncodeError::from(error.to_string()),
    })
}

/// Refuses a JSON text that nests deeper than 127 levels.
pub(crate) fn check_depth(json: &str) -> Result<(), EncodeError> {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(EncodeError::Unfit(too_deep()));
        }
    }
    Ok(())
}

/// Why a value was not encoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// It has what JSON, or a reader of it, cannot hold.
    #[error("{0}")]
    Unfit(String),
    /// Its `Serialize` failed.
    #[error("{0}")]
    Other(String),
}

impl From<String> for EncodeError {
    /// Serializers pass errors on as text only.
    fn from(text: String) -> Self {
        if text == NOT_FINITE || text == too_deep() { Self::Unfit(text) } else { Self::Other(text) }
    }
}

fn too_deep() -> String {
    format!("it nests deeper than {MAX_DEPTH} levels, which no reader of JSON takes")
}

#[derive(Clone, Copy, Default)]
struct Level {
    depth: usize,
    calls: usize,
}

impl Level {
    /// One level deeper, with brackets or without.
    fn below<E: ser::Error>(self, brackets: usize) -> Result<Self, E> {
        let below = Self { depth: self.depth + brackets, calls: self.calls + 1 };
        if below.depth > MAX_DEPTH || below.calls > MAX_CALLS {
            return Err(E::custom(too_deep()));
        }
        Ok(below)
    }
}

/// Serializes nothing, for its error.
struct DepthOnly;

impl DepthOnly {
    fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), EncodeError> {
        let mut serializer = serde_json::Serializer::new(std::io::sink());
        let guard = Guard { inner: &mut serializer, at: Level::default(), refuses_not_finite: false };
        match value.serialize(guard).map_err(|error| EncodeError::from(error.to_string())) {
            Err(error @ EncodeError::Unfit(_)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A value at its level.
struct Nested<'a, T: ?Sized> {
    value: &'a T,
    at: Level,
    refuses_not_finite: bool,
}

impl<T: Serialize + ?Sized> Serialize for Nested<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Guard { inner, at: self.at, refuses_not_finite: self.refuses_not_finite })
    }
}

/// A serializer, or a part of one, at its level.
struct Guard<S> {
    inner: S,
    at: Level,
    refuses_not_finite: bool,
}

impl<S> Guard<S> {
    fn nested<'a, T: ?Sized>(&self, value: &'a T) -> Nested<'a, T> {
        Nested { value, at: self.at, refuses_not_finite: self.refuses_not_finite }
    }
}

macro_rules! forward {
    ($($name:ident($type:ty))*) => {
        $(fn $name(self, value: $type) -> Result<S::Ok, S::Error> { self.inner.$name(value) })*
    };
}

macro_rules! compound {
    ($($name:ident($($arg:ident: $type:ty),*) -> $part:ident)*) => {
        $(fn $name(self, $($arg: $type),*) -> Result<Self::$part, S::Error> {
            let at = self.at.below(1)?;
            Ok(Guard { inner: self.inner.$name($($arg),*)?, at, refuses_not_finite: self.refuses_not_finite })
        })*
    };
}

impl<S: Serializer> Serializer for Guard<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Guard<S::SerializeSeq>;
    type SerializeTuple = Guard<S::SerializeTuple>;
    type SerializeTupleStruct = Guard<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Guard<S::SerializeTupleVariant>;
    type SerializeMap = Guard<S::SerializeMap>;
    type SerializeStruct = Guard<S::SerializeStruct>;
    type SerializeStructVariant = Guard<S::SerializeStructVariant>;

    forward! {
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_i128(i128) serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_u128(u128) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    compound! {
        serialize_seq(len: Option<usize>) -> SerializeSeq
        serialize_tuple(len: usize) -> SerializeTuple
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeTupleVariant
        serialize_map(len: Option<usize>) -> SerializeMap
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeStructVariant
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if self.refuses_not_finite && !value.is_finite() {
            return Err(S::Error::custom(NOT_FINITE));
        }
        self.inner.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if self.refuses_not_finite && !value.is_finite() {
            return Err(S::Error::custom(NOT_FINITE));
        }
        self.inner.serialize_f64(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<S::Ok, S::Error> {
        self.at = self.at.below(0)?;
        let value = self.nested(value);
        self.inner.serialize_some(&value)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.at = self.at.below(0)?;
        let value = self.nested(value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.at = self.at.below(1)?;
        let value = self.nested(value);
        self.inner.serialize_newtype_variant(name, index, variant, &value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! items {
    ($($trait:ident::$name:ident)*) => {
        $(impl<S: ser::$trait> ser::$trait for Guard<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                let value = self.nested(value);
                self.inner.$name(&value)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        })*
    };
}

items! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl<S: ser::$trait> ser::$trait for Guard<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                let value = self.nested(value);
                self.inner.serialize_field(key, &value)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.inner.skip_field(key)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl<S: ser::SerializeMap> ser::SerializeMap for Guard<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        let value = self.nested(value);
        self.inner.serialize_value(&value)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;

    fn json<T: Serialize>(value: &T) -> Result<String, EncodeError> {
        let mut out = Vec::new();
        write_json(&mut out, value).map(|()| String::from_utf8(out).unwrap())
    }

    #[derive(serde::Serialize)]
    struct Node {
        next: Option<Box<Node>>,
    }

    impl Drop for Node {
        fn drop(&mut self) {
            let mut next = self.next.take();
            while let Some(mut node) = next {
                next = node.next.take();
            }
        }
    }

    fn chain(levels: usize) -> Node {
        (1..levels).fold(Node { next: None }, |node, _| Node { next: Some(Box::new(node)) })
    }

    #[test]
    fn finite_values_are_encoded_as_serde_json_does() {
        let raw: Box<RawValue> = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert_eq!(json(&raw).unwrap(), raw.get());
        let map = BTreeMap::from([(1, (Some("a"), 0.5, ())), (2, (None, -1e300, ()))]);
        assert_eq!(json(&map).unwrap(), serde_json::to_string(&map).unwrap());
        let value: Result<u8, &str> = Err("no");
        assert_eq!(json(&value).unwrap(), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(json(&vec![Some(number)]), Err(EncodeError::Unfit(NOT_FINITE.to_owned())));
        }
        assert!(json(&BTreeMap::from([("x", f32::NAN)])).is_err());
    }

    #[test]
    fn nesting_ends_where_readers_end() {
        let text = json(&chain(MAX_DEPTH)).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        for levels in [MAX_DEPTH + 1, 100_000] {
            let error = json(&chain(levels)).unwrap_err();
            assert!(matches!(&error, EncodeError::Unfit(why) if why.contains("127 levels")), "{error}");
            let error = write_postcard(Vec::new(), &chain(levels)).unwrap_err();
            assert!(matches!(&error, EncodeError::Unfit(why) if why.contains("127 levels")), "{error}");
        }
        assert!(check_depth(&text).is_ok());
        assert!(check_depth(&"[".repeat(MAX_DEPTH + 1)).is_err());
        assert!(check_depth(&format!("[\"{}\"]", "[".repeat(500))).is_ok());
    }
}
