//! Who may do what: roles, passwords, sessions, and the check that stands before every route.

mod attempts;
mod guard;
mod links;
mod proxy;
mod secret;
mod sessions;
mod user_file;
mod users;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use attempts::{Attempts, Source};
pub(crate) use guard::{Guard, LOCAL, Refused, bearer, check_origin, login_cookie, session_cookie};
pub use links::LoginLinks;
pub use proxy::Proxy;
pub(crate) use secret::{Digest, Secret, digest};
pub(crate) use sessions::{Flash, NewSession, Session, Sessions, Tone};
pub use user_file::UserFile;
pub use users::{Users, UsersError};

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Sees and changes everything.
    Operator,
}

impl Role {
    /// `viewer` or `operator`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Self, UsersError> {
        [Self::Viewer, Self::Operator].into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            UsersError::new(format!("role `{text}` is not valid: expected viewer or operator"))
        })
    }
}

/// How people prove who they are.
#[derive(Clone, Debug)]
pub enum Access {
    /// By a link with a one-time token; see [`LoginLinks`]. Whoever has it is an operator.
    Link,
    /// By name and password, programs by a token.
    Users(UserFile),
    /// By what a proxy in front says.
    Proxy(Proxy),
}

/// What a route asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permission {
    /// Nothing: login, static assets, health.
    Public,
    /// A login.
    Viewer,
    /// A login as operator.
    Operator,
}

impl Permission {
    /// The role that is needed; `None` where nobody has to log in.
    pub(crate) const fn role(self) -> Option<Role> {
        match self {
            Self::Public => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Operator => Some(Role::Operator),
        }
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// The name for the audit.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// `None` for a program with a token.
    pub(crate) session: Option<SessionRef>,
}

/// The session of a browser.
#[derive(Clone, Debug)]
pub(crate) struct SessionRef {
    pub(crate) id: Digest,
    /// Must come with each request that changes something.
    pub(crate) csrf: String,
}

impl Who {
    pub(crate) fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }
}
