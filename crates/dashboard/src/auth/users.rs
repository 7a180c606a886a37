//! The users: people with a password, programs with a token.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use lovage_core::Entropy;

use super::secret::hex;
use super::{Digest, Role, Secret, digest};

/// Shortest password in characters.
const SHORTEST: usize = 10;
/// Longest password in bytes.
const LONGEST: usize = 1_024;
const LONGEST_NAME: usize = 64;

/// People and programs that may log in, as a users file lists them: one a line, `user NAME ROLE HASH` or
/// `token NAME ROLE DIGEST`; lines that begin with `#` are remarks.
///
/// Passwords are kept as argon2id hashes. Tokens are random, so their SHA-256 is enough.
#[derive(Clone, Default, Debug)]
pub struct Users {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    role: Role,
    key: Key,
}

#[derive(Clone)]
enum Key {
    /// In the PHC form, checked when it was read.
    Password(String),
    Token(Digest),
}

/// Why users cannot be read or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsersError(String);

impl UsersError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Users {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds somebody, or gives them a new password and role: sessions under the old password end.
    ///
    /// # Errors
    /// When the name has characters other than letters, digits, `_`, `-`, `.` and `@` or is longer than 64, or the password
    /// has fewer than 10 characters or more than 1,024 bytes.
    pub fn set_password(
        &mut self,
        name: &str,
        role: Role,
        password: &str,
        entropy: &dyn Entropy,
    ) -> Result<(), UsersError> {
        let name = checked_name(name)?;
        let characters = password.chars().count();
        if characters < SHORTEST || password.len() > LONGEST {
            return Err(UsersError(format!(
                "the password has {characters} characters: expected {SHORTEST} characters to {LONGEST} bytes"
            )));
        }
        let hash = hash(password, entropy)?;
        self.remove(name);
        self.entries.push(Entry { name: name.to_owned(), role, key: Key::Password(hash) });
        Ok(())
    }

    /// Adds a program and answers its token, which is not kept: show it once.
    ///
    /// # Errors
    /// When the name is not valid, as for [`set_password`](Self::set_password), or is taken.
    pub fn add_token(&mut self, name: &str, role: Role, entropy: &dyn Entropy) -> Result<String, UsersError> {
        let name = checked_name(name)?;
        if self.entries.iter().any(|entry| entry.name == name) {
            return Err(UsersError(format!("`{name}` exists: remove it first, or choose another name")));
        }
        let token = format!("lovage_{}", Secret::new(entropy).reveal());
        self.entries.push(Entry { name: name.to_owned(), role, key: Key::Token(digest(&token)) });
        Ok(token)
    }

    /// Removes somebody, whose sessions end. Answers whether there was such a name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.name != name);
        self.entries.len() < before
    }

    /// Names and roles, in the order of the file.
    pub fn list(&self) -> impl Iterator<Item = (&str, Role)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.role))
    }

    /// Whether nobody can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks a password; takes some 20 ms of a core and 19 MiB, for a name that does not exist as well.
    pub(crate) fn check_password(&self, name: &str, password: &str) -> Option<(Role, Digest)> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let found = entry.and_then(|entry| match &entry.key {
            Key::Password(hash) => Some((entry.role, hash.as_str())),
            Key::Token(_) => None,
        });
        let (role, hash) = found.unwrap_or((Role::Viewer, NOBODY));
        let parsed = PasswordHash::new(hash).ok()?;
        let is_right = password.len() <= LONGEST
            && argon2().verify_password(password.as_bytes(), &parsed).is_ok()
            && found.is_some();
        is_right.then(|| (role, digest(hash)))
    }

    /// The program that has a token.
    pub(crate) fn check_token(&self, token: &str) -> Option<(&str, Role)> {
        let digest = digest(token);
        self.entries.iter().find_map(|entry| match &entry.key {
            Key::Token(kept) if *kept == digest => Some((entry.name.as_str(), entry.role)),
            Key::Token(_) | Key::Password(_) => None,
        })
    }

    /// The role of somebody whose session was opened with this password; `None` when that is no longer theirs.
    pub(crate) fn role_of(&self, name: &str, proof: &Digest) -> Option<Role> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        match &entry.key {
            Key::Password(hash) => (digest(hash) == *proof).then_some(entry.role),
            Key::Token(_) => None,
        }
    }
}

impl FromStr for Users {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Self, UsersError> {
        let mut users = Self::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry =
                line.parse::<Entry>().map_err(|error| UsersError(format!("line {number}: {error}")))?;
            if users.entries.iter().any(|other| other.name == entry.name) {
                return Err(UsersError(format!(
                    "line {number}: `{}` stands in the file twice: remove one of them",
                    entry.name
                )));
            }
            users.entries.push(entry);
        }
        Ok(users)
    }
}

/// As the file has it.
impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# People and programs that may use Lovage's dashboard: `user NAME ROLE HASH` or")?;
        writeln!(f, "# `token NAME ROLE DIGEST`, where ROLE is viewer or operator.")?;
        self.entries.iter().try_for_each(|entry| match &entry.key {
            Key::Password(hash) => writeln!(f, "user {} {} {hash}", entry.name, entry.role),
            Key::Token(digest) => writeln!(f, "token {} {} sha256:{}", entry.name, entry.role, hex(digest)),
        })
    }
}

impl FromStr for Entry {
    type Err = UsersError;

    /// Errors do not repeat the hash.
    fn from_str(line: &str) -> Result<Self, UsersError> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [kind, name, role, key] = fields[..] else {
            return Err(UsersError(format!(
                "expected `user NAME ROLE HASH` or `token NAME ROLE DIGEST`, found {} fields",
                fields.len()
            )));
        };
        let key = match kind {
            "user" if is_argon2id(key) => Key::Password(key.to_owned()),
            "user" => {
                return Err(UsersError("the hash is not one of argon2id ($argon2id$v=19$…)".to_owned()));
            }
            "token" => Key::Token(token_digest(key).ok_or_else(|| {
                UsersError("the digest is not `sha256:` and 64 hexadecimal digits".to_owned())
            })?),
            other => return Err(UsersError(format!("`{other}` is not valid: expected `user` or `token`"))),
        };
        Ok(Self { name: checked_name(name)?.to_owned(), role: role.parse()?, key })
    }
}

impl fmt::Debug for Entry {
    /// Without the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The hash of no password, which takes as long to check as any other: nobody learns which names exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bG92YWdlLW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn checked_name(name: &str) -> Result<&str, UsersError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        let found: String = name.chars().take(LONGEST_NAME).flat_map(char::escape_default).collect();
        return Err(UsersError(format!(
            "name `{found}` is not valid: expected 1 to {LONGEST_NAME} of letters, digits, `_`, `-`, `.`, `@`"
        )));
    }
    Ok(name)
}

/// 19 MiB, two passes: what OWASP recommends.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hash(password: &str, entropy: &dyn Entropy) -> Result<String, UsersError> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let failed = |error: argon2::password_hash::Error| {
        UsersError(format!("the password cannot be hashed ({error}): is there enough memory?"))
    };
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    argon2().hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string()).map_err(failed)
}

fn is_argon2id(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hash.algorithm == argon2::ARGON2ID_IDENT && hash.hash.is_some())
}

fn token_digest(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.is_ascii())?;
    let mut digest = [0; 32];
    for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[place..place + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use lovage_testkit::SeededEntropy;

    use super::*;

    #[test]
    fn a_file_reads_what_it_wrote_and_keeps_no_secret() {
        let entropy = SeededEntropy::new(7);
        let mut users = Users::new();
        users.set_password("ann", Role::Operator, "correct horse", &entropy).unwrap();
        let token = users.add_token("ci", Role::Viewer, &entropy).unwrap();
        let text = users.to_string();
        assert!(!text.contains("correct horse") && !text.contains(&token), "{text}");
        let users: Users = text.parse().unwrap();
        let (role, proof) = users.check_password("ann", "correct horse").unwrap();
        assert_eq!(role, Role::Operator);
        assert_eq!(users.role_of("ann", &proof), Some(Role::Operator));
        assert_eq!(users.check_token(&token), Some(("ci", Role::Viewer)));
        for (name, password) in [("ann", "wrong horse"), ("bob", "correct horse"), ("ci", &token), ("", "")] {
            assert_eq!(users.check_password(name, password), None, "{name}");
        }
        assert!(!format!("{users:?}").contains("argon2id"));
    }

    #[test]
    fn a_new_password_ends_what_the_old_one_opened() {
        let entropy = SeededEntropy::new(7);
        let mut users = Users::new();
        users.set_password("ann", Role::Operator, "correct horse", &entropy).unwrap();
        let (_, proof) = users.check_password("ann", "correct horse").unwrap();
        users.set_password("ann", Role::Operator, "correct horse", &entropy).unwrap();
        assert_eq!(users.role_of("ann", &proof), None);
        assert!(users.remove("ann") && !users.remove("ann") && users.is_empty());
    }

    #[test]
    fn what_is_wrong_says_where_and_what_is_expected() {
        let digest = "0".repeat(64);
        for (text, part) in [
            ("user ann operator", "line 1: expected `user NAME"),
            ("\nuser ann admin $argon2id$x", "line 2: the hash"),
            ("user a:b viewer x", "line 1: the hash"),
            (&format!("token a:b viewer sha256:{digest}"), "name `a:b` is not valid"),
            (&format!("token ci admin sha256:{digest}"), "expected viewer or operator"),
            (&format!("token ci viewer sha256:{digest}\ntoken ci viewer sha256:{digest}"), "twice"),
            ("token ci viewer sha256:xyz", "64 hexadecimal"),
            ("person ann viewer x", "`user` or `token`"),
        ] {
            let error = text.parse::<Users>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let mut users = Users::new();
        let entropy = SeededEntropy::new(7);
        let short = users.set_password("ann", Role::Viewer, "short", &entropy).unwrap_err().to_string();
        assert!(short.contains("10 characters") && !short.contains("`short`"), "{short}");
    }
}
