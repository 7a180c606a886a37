//! The settings of the dashboard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Reader, Setting};
use crate::error::CliError;

/// Where the users are unless said otherwise.
pub(crate) const USERS_FILE: &str = "lovage-users";
const PORT: u16 = 8410;

/// How the dashboard is reached, and by whom.
#[derive(Debug)]
pub(crate) struct DashboardConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) base: Option<String>,
    users: Option<PathBuf>,
    /// Proxies in front of it, which are believed.
    pub(crate) proxies: Vec<IpAddr>,
    /// In which they say who somebody is, where they do.
    pub(crate) user_header: Option<String>,
    pub(crate) operators: Vec<String>,
    pub(crate) groups_header: Option<String>,
    pub(crate) operator_groups: Vec<String>,
    pub(crate) secure_cookies: bool,
}

impl DashboardConfig {
    /// Reads it.
    ///
    /// # Errors
    /// When a value is not valid, or says something that has no effect without another one.
    pub(super) fn read(read: &Reader<'_>) -> Result<Self, CliError> {
        let text = |text: &str| Ok(text.to_owned());
        let config = Self {
            listen: read
                .one(Setting::DashboardListen, listen)?
                .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, PORT).into()),
            base: read.one(Setting::DashboardBase, text)?,
            users: read.one(Setting::DashboardUsers, text)?.map(PathBuf::from),
            proxies: read.one(Setting::DashboardProxies, proxies)?.unwrap_or_default(),
            user_header: read.one(Setting::DashboardUserHeader, header)?,
            operators: read.one(Setting::DashboardOperators, names)?.unwrap_or_default(),
            groups_header: read.one(Setting::DashboardGroupsHeader, header)?,
            operator_groups: read.one(Setting::DashboardOperatorGroups, names)?.unwrap_or_default(),
            secure_cookies: read.one(Setting::DashboardSecureCookies, yes_or_no)?.unwrap_or(false),
        };
        config.check()?;
        Ok(config)
    }

    /// The file of the users: the one that is named, or the usual one where it exists.
    pub(crate) fn users_file(&self) -> Option<&Path> {
        let usual = Path::new(USERS_FILE);
        self.users.as_deref().or_else(|| usual.exists().then_some(usual))
    }

    /// The same for those who add users to it.
    pub(crate) fn users_to_edit(&self) -> &Path {
        self.users.as_deref().unwrap_or(Path::new(USERS_FILE))
    }

    /// Half a set-up of a proxy would let in nobody, or the wrong people.
    fn check(&self) -> Result<(), CliError> {
        let proxies = (Setting::DashboardProxies, !self.proxies.is_empty());
        let user_header = (Setting::DashboardUserHeader, self.user_header.is_some());
        let operators = (Setting::DashboardOperators, !self.operators.is_empty());
        let groups_header = (Setting::DashboardGroupsHeader, self.groups_header.is_some());
        let operator_groups = (Setting::DashboardOperatorGroups, !self.operator_groups.is_empty());
        for ((one, is_set), (other, has_other)) in [
            (user_header, proxies),
            (operators, user_header),
            (groups_header, operator_groups),
            (operator_groups, groups_header),
            (groups_header, user_header),
        ] {
            if is_set && !has_other {
                let (one, other) = (one.spec(), other.spec());
                return Err(CliError::usage(format!(
                    "setting `{}` has no effect without `{}`: set both ({} and {})",
                    one.key, other.key, one.variable, other.variable
                )));
            }
        }
        if self.user_header.is_some() && self.users.is_some() {
            return Err(CliError::usage(
                "settings `dashboard.users` and `dashboard.user_header` are two ways to log in: choose one of them",
            ));
        }
        Ok(())
    }
}

/// An address that the dashboard is to listen on, as a flag without a setting of its own has it.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match (text.parse(), port) {
        (Ok(address), _) => Ok(address),
        // A port alone is one of this machine.
        (Err(_), Ok(port)) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        (Err(_), Err(_)) => Err(format!(
            "expected an address and a port such as 127.0.0.1:{PORT} or [::]:{PORT}, found `{text}`"
        )),
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn names(text: &str) -> Result<Vec<String>, String> {
    Ok(list(text).map(str::to_owned).collect())
}

fn proxies(text: &str) -> Result<Vec<IpAddr>, String> {
    let address = |text: &str| {
        text.parse()
            .map_err(|_| format!("expected addresses of proxies such as 10.0.0.5,::1, found `{text}`"))
    };
    list(text).map(address).collect()
}

fn header(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || !text.chars().all(is_name) {
        return Err(format!("expected the name of a header such as x-forwarded-user, found `{text}`"));
    }
    Ok(text.to_ascii_lowercase())
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("expected true or false, found `{text}`")),
    }
}
