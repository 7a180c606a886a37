//! `dashboard user`: who may use the dashboard.

use std::io::{self, BufRead as _, IsTerminal as _};

use lovage_dashboard::{Role, Users};
use lovage_system::SystemEntropy;
use serde_json::json;

use crate::cli::UserCommand;
use crate::config::{DashboardConfig, USERS_FILE};
use crate::error::CliError;
use crate::output::{Out, Rows, Table};

/// Changes the file of users; a dashboard that runs sees it within seconds.
pub(super) fn user(config: &DashboardConfig, command: UserCommand) -> Result<(), CliError> {
    let path = config.users_to_edit();
    let mut users = Users::load(path)?;
    let place = path.display();
    match command {
        UserCommand::Add { name, role } => {
            let role = Role::from(role);
            let is_known = users.list().any(|(known, _)| known == name);
            users.set_password(&name, role, &password()?, &SystemEntropy)?;
            users.save(path)?;
            let done = if is_known { "changed" } else { "added" };
            Out.line(format!("{done} {name}, {}, in {place}", meaning(role)))?;
            note_place(config);
            Ok(())
        }
        UserCommand::Token { name, role } => {
            let role = Role::from(role);
            let token = users.add_token(&name, role, &SystemEntropy)?;
            users.save(path)?;
            // The token alone on the standard output, for a script.
            Out.note(format!(
                "added {name}, {}, in {place}; its token, shown this once, goes into the header `Authorization: Bearer TOKEN`:",
                meaning(role)
            ));
            Out.line(token)?;
            note_place(config);
            Ok(())
        }
        UserCommand::List(format) => {
            let list: Vec<_> = users.list().collect();
            let mut table = Table::new(["NAME", "ROLE"]);
            list.iter().for_each(|(name, role)| table.row([(*name).to_owned(), role.to_string()]));
            let json = list.iter().map(|(name, role)| json!({"name": name, "role": role})).collect();
            let none = format!("{place} has no users: add one with `dashboard user add NAME`");
            Out.rows(format.json, Rows { json, table, none: &none })
        }
        UserCommand::Remove { name } => {
            if !users.remove(&name) {
                let known: Vec<&str> = users.list().map(|(name, _)| name).collect();
                return Err(CliError::failed(format!("{place} has no `{name}`")).hint(format!(
                    "it has: {}",
                    if known.is_empty() { "nobody".to_owned() } else { known.join(", ") }
                )));
            }
            users.save(path)?;
            Out.line(format!("removed {name} from {place}"))
        }
    }
}

fn meaning(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a viewer (sees everything, changes nothing)",
        Role::Operator => "an operator (sees and changes everything)",
    }
}

/// The usual file is looked for in the directory where a dashboard is started.
fn note_place(config: &DashboardConfig) {
    if config.users_to_edit() == std::path::Path::new(USERS_FILE) {
        Out.note(
            "a dashboard that starts in this directory uses it; elsewhere name it: LOVAGE_DASHBOARD_USERS",
        );
    }
}

/// Asked for twice at a terminal, without showing it; else the first line of the standard input.
fn password() -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("password: ")?;
    if first != rpassword::prompt_password("the same again: ")? {
        return Err(CliError::failed("the two passwords are not the same: nothing was changed"));
    }
    Ok(first)
}
