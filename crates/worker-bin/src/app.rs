//! A program with every subcommand.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::{env, fmt, io};

use clap::{CommandFactory as _, FromArgMatches as _};
use lovage_core::schedule::When;
use lovage_core::{States, TaskDef, registered_tasks};
use lovage_worker::{__private, Call, Hooks};
use tokio::runtime::{Builder, Runtime};

use crate::cli::Cli;
use crate::commands;
use crate::config::{Config, Layers};
use crate::error::CliError;
use crate::logging;
use crate::output::Out;
use crate::schedules::InCode;
use crate::session::Session;

/// The `lovage` command with tasks of your own. `run` is the whole `main` of a worker program.
#[derive(Default)]
#[must_use = "an app does nothing until `run`"]
pub struct App {
    name: Option<String>,
    tasks: Vec<TaskDef>,
    states: States,
    hooks: Option<Arc<dyn Hooks>>,
    schedules: Vec<InCode>,
}

impl App {
    /// An app without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the program is called in its help; by default what it was started as.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Tasks that its workers run: `tasks![add, movies::multiply]`.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = TaskDef>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// Every task that `#[task]` registered in this program, besides those given. A linker drops crates that nothing
    /// names, so [`tasks`](Self::tasks) is the way that always works.
    pub fn task_registry(mut self) -> Self {
        for task in registered_tasks() {
            if !self.tasks.iter().any(|known| known.name == task.name) {
                self.tasks.push(task);
            }
        }
        self
    }

    /// A state for tasks that ask for `State<T>`. `State<Client>` is always there.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Code of yours around each run.
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.hooks = Some(hooks);
        self
    }

    /// An entry of the schedule: a beat of this program sends the call whenever it is due. Arguments, queue, priority, headers
    /// and `expires` are the call's. A mistake is an error of each command, which names the entry.
    ///
    /// The program owns its entries until somebody edits one: see docs/schedules.md.
    ///
    /// ```no_run
    /// # extern crate lovage_worker_bin as lovage;
    /// use lovage::schedule::{Units as _, crontab, every};
    /// use lovage::{App, TaskError, tasks};
    ///
    /// #[lovage::task(name = "multiply_two_numbers")]
    /// async fn multiply(x: i64, y: i64) -> Result<i64, TaskError> {
    ///     Ok(x * y)
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     App::new()
    ///         .tasks(tasks![multiply])
    ///         .schedule("multiply-every-5-seconds", every(5.secs()), multiply::call(16, 16))
    ///         .schedule("multiply-on-mondays", crontab("30 7 * * mon").zone("Europe/Berlin"), multiply::call(16, 16))
    ///         .run()
    /// }
    /// ```
    pub fn schedule<R>(self, name: impl Into<String>, when: When, call: Call<R>) -> Self {
        self.with_schedule(name.into(), when, call, false)
    }

    /// The same for `dev` only: to try things out.
    pub fn dev_schedule<R>(self, name: impl Into<String>, when: When, call: Call<R>) -> Self {
        self.with_schedule(name.into(), when, call, true)
    }

    fn with_schedule<R>(mut self, name: String, when: When, call: Call<R>, dev: bool) -> Self {
        self.schedules.push(InCode::new(name, when, __private::scheduled(call), dev));
        self
    }

    /// Does what the arguments of this process say. Exit codes: 0 done, 1 failed, 2 wrong usage.
    #[must_use]
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// The same with other arguments, the program's own name first.
    #[must_use]
    pub fn run_with<A: Into<OsString> + Clone>(self, args: impl IntoIterator<Item = A>) -> ExitCode {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let name = self.name.clone().unwrap_or_else(|| program_name(args.first()));
        let cli = match parse(&name, args) {
            Ok(cli) => cli,
            Err(error) => {
                // Help is no error and goes to the standard output.
                drop(error.print());
                return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            }
        };
        let code = self.execute(name, cli).unwrap_or_else(|error| {
            Out.note(error.to_string());
            ExitCode::from(error.exit_code())
        });
        logging::flush();
        code
    }

    fn execute(self, program: String, cli: Cli) -> Result<ExitCode, CliError> {
        if cli.command.runs_until_stopped() {
            logging::detach()?;
        }
        let config = Config::load(&Layers::of_process(cli.flags(), cli.common.config.clone()))?;
        for warning in &config.warnings {
            Out.note(format!("warning: {warning}"));
        }
        let runtime = runtime()?;
        let session = Session { program, config, tasks: self.tasks, schedules: self.schedules };
        session.declared(true)?;
        let done = runtime.block_on(Box::pin(commands::run(session, self.states, self.hooks, cli.command)));
        // A plain function that is still running cannot be stopped and must not keep the process.
        runtime.shutdown_background();
        done
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<&str> = self.tasks.iter().map(|task| task.name).collect();
        f.debug_struct("App").field("name", &self.name).field("tasks", &tasks).finish_non_exhaustive()
    }
}

/// A thread for each core, and two on a machine of one: a task that blocks its thread must not hold up all else in the process.
fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    // Whoever sets tokio's own variable means it.
    if env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder.worker_threads(available_parallelism().map_or(2, NonZero::get).max(2));
    }
    builder.enable_all().build()
}

fn parse(name: &str, args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command().display_name(name).bin_name(name).version(env!("CARGO_PKG_VERSION"));
    Cli::from_arg_matches(&command.try_get_matches_from(args)?)
}

fn program_name(first: Option<&OsString>) -> String {
    let stem = first.and_then(|path| Path::new(path).file_stem());
    stem.map_or_else(|| "lovage".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_what_it_was_started_as() {
        assert_eq!(program_name(Some(&"/usr/bin/movies-worker".into())), "movies-worker");
        assert_eq!(program_name(None), "lovage");
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_no_error() {
        let code = |args: &[&str]| format!("{:?}", App::new().run_with(args));
        assert_eq!(code(&["lovage", "fly"]), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code(&["lovage", "--help"]), format!("{:?}", ExitCode::SUCCESS));
    }
}
