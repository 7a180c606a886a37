//! Processes of the real programs, their logs in files, ended on drop.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lovage_drill::tasks::PLANNED_FAILURE;

use crate::Fallible;

/// One process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program of this package, its output in `dir/name.log`.
    pub(crate) fn start(
        program: &str,
        name: &str,
        dir: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Fallible<Self> {
        let path = std::env::current_exe()?.with_file_name(program);
        let log = log_of(dir, name);
        let output = File::create(&log)?;
        let mut command = Command::new(&path);
        for (variable, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOVAGE_"))
        {
            command.env_remove(variable);
        }
        command.current_dir(dir).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        change(&mut command);
        let child = command.spawn().map_err(|error| format!("{} does not start: {error}", path.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Sends a signal by its name: TERM, STOP, CONT.
    pub(crate) fn signal(&self, name: &str) -> Fallible<()> {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        if status.success() { Ok(()) } else { Err(format!("{} cannot be sent SIG{name}", self.name).into()) }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The exit code of a process that has ended; `Some(None)` for a signal.
    pub(crate) fn ended(&mut self) -> io::Result<Option<Option<i32>>> {
        Ok(self.child.try_wait()?.map(|status| status.code()))
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        const LINES: usize = 12;
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        // What fails as planned says nothing.
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(PLANNED_FAILURE)).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n    ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; nobody is left to be told.
        let _already_gone = self.kill();
    }
}

/// Where a process of this name logs.
pub(crate) fn log_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}
