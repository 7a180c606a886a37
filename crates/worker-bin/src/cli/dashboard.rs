//! The dashboard: how it is reached, and who may use it.

use clap::{Args, Subcommand, ValueEnum};
use lovage_dashboard::Role;

use super::Format;
use super::worker::Operations;
use crate::config::Setting;

#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DashboardCommand>,
    /// The address; others than of this machine need users or a proxy [LOVAGE_DASHBOARD_LISTEN; default: 127.0.0.1:8410]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The path under which browsers reach it, such as /lovage [LOVAGE_DASHBOARD_BASE; default: /]
    #[arg(long, value_name = "PATH")]
    base: Option<String>,
    /// The file of users and tokens [LOVAGE_DASHBOARD_USERS; default: lovage-users where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    users: Option<String>,
    /// Addresses of proxies in front, whose x-forwarded-for is believed [LOVAGE_DASHBOARD_PROXIES]
    #[arg(long, value_name = "ADDRS")]
    proxies: Option<String>,
    /// The header in which these proxies say who somebody is: nobody else can log in [LOVAGE_DASHBOARD_USER_HEADER]
    #[arg(long, value_name = "HEADER")]
    user_header: Option<String>,
    /// Names that are operators, everybody else is a viewer [LOVAGE_DASHBOARD_OPERATORS]
    #[arg(long, value_name = "NAMES")]
    operators: Option<String>,
    /// The header in which the proxies say somebody's groups [LOVAGE_DASHBOARD_GROUPS_HEADER]
    #[arg(long, value_name = "HEADER")]
    groups_header: Option<String>,
    /// Groups whose members are operators [LOVAGE_DASHBOARD_OPERATOR_GROUPS]
    #[arg(long, value_name = "NAMES")]
    operator_groups: Option<String>,
    /// Browsers reach it by TLS only [LOVAGE_DASHBOARD_SECURE_COOKIES; default: as x-forwarded-proto says]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    secure_cookies: Option<String>,
    /// Make the tables on PostgreSQL first, as `migrate` does; on SQLite that is always done
    #[arg(long)]
    pub(crate) migrate: bool,
    #[command(flatten)]
    operations: Operations,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DashboardCommand {
    /// Who may use it: people with a password, programs with a token
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add somebody, or give them a new password and role; the password is asked for, or read from the standard input
    Add {
        /// 1 to 64 letters, digits, `_`, `-`, `.`, `@`
        name: String,
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
        role: RoleArg,
    },
    /// Add a program for the JSON API, and print its token: it is shown this once
    Token {
        /// 1 to 64 letters, digits, `_`, `-`, `.`, `@`
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
        role: RoleArg,
    },
    /// Everybody
    List(Format),
    /// Remove somebody; they are logged out
    Remove {
        /// The name
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// Sees everything, changes nothing
    Viewer,
    /// Sees and changes everything
    Operator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
        }
    }
}

impl DashboardArgs {
    pub(super) fn flags(&self) -> Vec<(Setting, &Option<String>)> {
        let own = [
            (Setting::DashboardListen, &self.listen),
            (Setting::DashboardBase, &self.base),
            (Setting::DashboardUsers, &self.users),
            (Setting::DashboardProxies, &self.proxies),
            (Setting::DashboardUserHeader, &self.user_header),
            (Setting::DashboardOperators, &self.operators),
            (Setting::DashboardGroupsHeader, &self.groups_header),
            (Setting::DashboardOperatorGroups, &self.operator_groups),
            (Setting::DashboardSecureCookies, &self.secure_cookies),
        ];
        own.into_iter().chain(self.operations.flags()).collect()
    }
}
