//! The help texts as they are printed. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use crate::support::Bed;

const COMMANDS: [&str; 18] = [
    "",
    "dev",
    "worker",
    "beat",
    "dashboard",
    "relay",
    "call",
    "result",
    "explain",
    "status",
    "inspect",
    "control",
    "queues",
    "purge",
    "dead",
    "schedule",
    "migrate",
    "report",
];
/// Of families.
const PARTS: [[&str; 2]; 2] = [["schedule", "add"], ["dashboard", "user"]];

#[test]
fn the_help_is_as_reviewed() {
    let bed = Bed::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let commands = COMMANDS.map(|command| vec![command]).into_iter();
    for command in commands.chain(PARTS.map(|part| part.to_vec())) {
        let args = [&command[..], &["--help"]].concat();
        let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let help = bed.ok(&args) + "\n";
        let name = if command == [""] { "lovage".to_owned() } else { command.join("-") };
        let path = directory.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &help).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(help, expected, "{name}: UPDATE_GOLDEN=1 accepts the new text");
    }
}

#[test]
fn every_command_is_in_the_list_above() {
    let help = Bed::new().ok(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed =
        listed.take_while(|line| !line.is_empty()).map(|line| line.split_whitespace().next().unwrap());
    let listed: Vec<&str> = listed.collect();
    assert_eq!(listed, COMMANDS[1..]);
}
