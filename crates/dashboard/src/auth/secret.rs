//! Random secrets, and the digests that are kept instead of them.

use std::fmt::{self, Write as _};

use lovage_core::Entropy;
use sha2::{Digest as _, Sha256};

/// What is kept of a secret. Enough for random ones; passwords have their own slow hash.
pub(crate) type Digest = [u8; 32];

/// 32 random bytes as 64 hexadecimal digits.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(hex(&bytes))
    }

    /// The secret itself: for a cookie, a form or a terminal, never for a log.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Comparing digests tells nothing about the secrets, however long it takes.
pub(crate) fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
