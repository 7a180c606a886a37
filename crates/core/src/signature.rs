//! Structural fingerprints of types, for payloads that cannot describe themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A type whose structure has a fingerprint, required of the arguments of `#[task(codec = "postcard")]`.
///
/// postcard does not describe what it carries: decoded into another type it can yield wrong values without an error.
/// So a message names the fingerprint of the types that it was encoded from, and another one is never decoded.
/// Derive it with `#[derive(lovage::Signature)]`; the derive refuses serde attributes that postcard cannot carry.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in postcard: it has no `Signature`",
    label = "needs `#[derive(lovage::Signature)]`",
    note = "postcard does not describe what it carries, so every argument type of a `codec = \"postcard\"` task derives `Signature`",
    note = "without `codec = \"postcard\"` the arguments travel as JSON and need only serde"
)]
pub trait Signature {
    /// A hash of the structure: names and types of fields, names and order of variants.
    const FINGERPRINT: u64;
}

/// Helpers for fingerprints that the macros compute at compile time.
pub mod fingerprint {
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// The hash of nothing (FNV-1a, 64 bit).
    pub const START: u64 = 0xcbf2_9ce4_8422_2325;

    /// Mixes a name in.
    #[must_use]
    pub const fn text(mut hash: u64, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(PRIME);
            i += 1;
        }
        // An end mark, so that ("ab", "c") and ("a", "bc") differ.
        (hash ^ 0xff).wrapping_mul(PRIME)
    }

    /// Mixes another fingerprint in.
    #[must_use]
    pub const fn mix(mut hash: u64, other: u64) -> u64 {
        let mut i = 0;
        while i < 8 {
            hash = (hash ^ ((other >> (i * 8)) & 0xff)).wrapping_mul(PRIME);
            i += 1;
        }
        hash
    }
}

use fingerprint::{START, mix, text};

macro_rules! plain {
    ($($type:ty => $name:literal),* $(,)?) => {
        $(impl Signature for $type { const FINGERPRINT: u64 = text(START, $name); })*
    };
}

plain! {
    bool => "bool", char => "char", String => "str", str => "str", () => "unit",
    u8 => "u8", u16 => "u16", u32 => "u32", u64 => "u64", u128 => "u128", usize => "u64",
    i8 => "i8", i16 => "i16", i32 => "i32", i64 => "i64", i128 => "i128", isize => "i64",
    f32 => "f32", f64 => "f64", Duration => "duration",
}

macro_rules! wrapper {
    ($($type:ty => $name:literal),* $(,)?) => {
        $(impl<T: Signature> Signature for $type { const FINGERPRINT: u64 = mix(text(START, $name), T::FINGERPRINT); })*
    };
}

wrapper! {
    Option<T> => "option", Vec<T> => "seq", VecDeque<T> => "seq", BTreeSet<T> => "seq", [T] => "seq",
}

impl<T: Signature, S> Signature for HashSet<T, S> {
    const FINGERPRINT: u64 = Vec::<T>::FINGERPRINT;
}

impl<K: Signature, V: Signature> Signature for BTreeMap<K, V> {
    const FINGERPRINT: u64 = mix(mix(text(START, "map"), K::FINGERPRINT), V::FINGERPRINT);
}

impl<K: Signature, V: Signature, S> Signature for HashMap<K, V, S> {
    const FINGERPRINT: u64 = BTreeMap::<K, V>::FINGERPRINT;
}

impl<T: Signature, E: Signature> Signature for Result<T, E> {
    const FINGERPRINT: u64 = mix(mix(text(START, "result"), T::FINGERPRINT), E::FINGERPRINT);
}

impl<T: Signature, const N: usize> Signature for [T; N] {
    const FINGERPRINT: u64 = mix(mix(text(START, "array"), N as u64), T::FINGERPRINT);
}

impl<T: Signature + ?Sized> Signature for &T {
    const FINGERPRINT: u64 = T::FINGERPRINT;
}

impl<T: Signature + ?Sized> Signature for Box<T> {
    const FINGERPRINT: u64 = T::FINGERPRINT;
}

macro_rules! tuple {
    ($($name:ident)+) => {
        impl<$($name: Signature),+> Signature for ($($name,)+) {
            const FINGERPRINT: u64 = {
                let hash = text(START, "tuple");
                $(let hash = mix(hash, $name::FINGERPRINT);)+
                hash
            };
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
