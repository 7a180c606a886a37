//! What each run says of itself, in a file of its worker process. It is written before the runtime knows of the run's
//! end, one `write` to the system a line, so that a killed process leaves everything that it has done.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use lovage_core::{Clock as _, RunInfo, TaskId, Timestamp};
use lovage_system::SystemClock;

/// The variable that names a worker's journal file.
pub const VARIABLE: &str = "DRILL_JOURNAL";

/// The journal of this process; a state of its tasks.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// A run under way. Dropped without an end it was interrupted.
#[derive(Debug)]
#[must_use = "a run ends by `succeed` or `fail`"]
pub struct Open<'a> {
    journal: &'a Journal,
    key: String,
    ended: bool,
}

/// One run of a task, as its journal tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execution {
    /// The task.
    pub id: TaskId,
    /// See [`RunInfo::run`].
    pub run: u32,
    /// See [`RunInfo::delivery`].
    pub delivery: u32,
    /// See [`RunInfo::attempt`].
    pub attempt: u32,
    /// The worker process, by its name.
    pub worker: String,
    /// When its code began.
    pub began: Timestamp,
    /// How and when its code ended; `None`: its process was gone before.
    pub ended: Option<(Ended, Timestamp)>,
}

/// How a task's code ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With its value.
    Succeeded,
    /// With its planned failure.
    Failed,
    /// Dropped half-way by its worker.
    Interrupted,
}

impl Journal {
    /// The journal that [`VARIABLE`] names; without one the lines go nowhere, for commands that run no tasks.
    ///
    /// # Panics
    /// When the file cannot be opened: without journals the drill proves nothing.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the program is of no use without its journal")]
    pub fn of_environment() -> Self {
        let path = std::env::var(VARIABLE).unwrap_or_else(|_| "/dev/null".to_owned());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Self { file: file.expect("the journal cannot be opened") }
    }

    /// Writes that a run begins.
    pub fn begin(&self, info: &RunInfo) -> Open<'_> {
        let key = format!("{} {} {} {}", info.id, info.run, info.delivery, info.attempt);
        self.write('S', &key);
        Open { journal: self, key, ended: false }
    }

    #[expect(clippy::expect_used, reason = "a run that leaves no trace would be judged as lost")]
    fn write(&self, kind: char, key: &str) {
        let line = format!("{kind} {key} {}\n", SystemClock::new().now().as_micros());
        (&self.file).write_all(line.as_bytes()).expect("the journal cannot be written");
    }
}

impl Open<'_> {
    /// It ends with its value.
    pub fn succeed(mut self) {
        self.end('E');
    }

    /// It ends with its planned failure.
    pub fn fail(mut self) {
        self.end('F');
    }

    fn end(&mut self, kind: char) {
        if !std::mem::replace(&mut self.ended, true) {
            self.journal.write(kind, &self.key);
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.end('D');
    }
}

/// Reads the journal of a worker; none yet is an empty one.
///
/// # Errors
/// When the file cannot be read or has a line that is not one of ours.
pub fn read(path: &Path, worker: &str) -> io::Result<Vec<Execution>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, worker).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: a line cannot be read", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(text: &str, worker: &str) -> Option<Vec<Execution>> {
    let mut runs: Vec<Execution> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    // A worker may be about to write the last line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let (key, at) = rest.rsplit_once(' ')?;
        let at = Timestamp::from_micros(at.parse().ok()?);
        let ended = match kind {
            "S" => {
                let mut parts = key.split(' ');
                open.insert(key, runs.len());
                runs.push(Execution {
                    id: parts.next()?.parse().ok()?,
                    run: parts.next()?.parse().ok()?,
                    delivery: parts.next()?.parse().ok()?,
                    attempt: parts.next()?.parse().ok()?,
                    worker: worker.to_owned(),
                    began: at,
                    ended: None,
                });
                continue;
            }
            "E" => Ended::Succeeded,
            "F" => Ended::Failed,
            "D" => Ended::Interrupted,
            _ => return None,
        };
        runs[open.remove(key)?].ended = Some((ended, at));
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_an_end_is_open() {
        let id = "0193a5c2-7b1e-7cc0-8000-0123456789ab";
        let text = format!("S {id} 1 1 1 100\nE {id} 1 1 1 200\nS {id} 1 2 1 300\n");
        let runs = parse(&text, "w1").unwrap();
        assert_eq!(runs[0].ended, Some((Ended::Succeeded, Timestamp::from_micros(200))));
        assert_eq!((runs[1].delivery, runs[1].ended), (2, None));
        assert_eq!(parse("X a b\n", "w1"), None);
        assert_eq!(parse("S 0193a5c2", "w1"), Some(Vec::new()));
        assert_eq!(parse(&format!("E {id} 1 1 1 200\n"), "w1"), None);
    }
}
