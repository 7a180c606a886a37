//! The worker program of the drill, as a user would write one.

use std::process::ExitCode;

use lovage::{App, tasks};
use lovage_drill::journal::Journal;
use lovage_drill::tasks::{block, flaky, nap, plain, quick};

fn main() -> ExitCode {
    App::new().tasks(tasks![quick, nap, plain, flaky, block]).state(Journal::of_environment()).run()
}
