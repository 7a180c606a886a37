//! The log: on the standard error, so that the standard output is the result alone.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};
use crate::log_writer::LineWriter;

/// The writers of a process that runs until it is stopped.
static STDERR: OnceLock<LineWriter> = OnceLock::new();
static STDOUT: OnceLock<LineWriter> = OnceLock::new();

/// How long the end of a process, or its banner, waits for a reader that does not read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// From here on nothing that this process writes blocks or ends it. For processes that run until they are stopped.
///
/// # Errors
/// When the system has no thread.
pub(crate) fn detach() -> io::Result<()> {
    let report = |count| {
        let lines = if count == 1 { "line was" } else { "lines were" };
        tracing::warn!("{count} log {lines} dropped: the standard error could not be written");
    };
    let stderr = LineWriter::start(io::stderr(), report)?;
    let stdout = LineWriter::start(io::stdout(), |_| {})?;
    // A second program in the same process goes on with the writers of the first.
    drop((STDERR.set(stderr), STDOUT.set(stdout)));
    Ok(())
}

/// Starts logging. Where a program has done so itself, its own stays.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(|| LogLine)
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
    if STDERR.get().is_some() {
        log_panics_while_stalled();
    }
}

/// Writes a line to the standard error, in order with the log.
pub(crate) fn note(text: &str) {
    // There is nowhere else to report that it cannot be written.
    drop(LogLine.write_all(format!("{text}\n").as_bytes()));
}

/// Writes lines to the standard output of a process that runs until it is stopped. They are there when this returns, unless
/// nobody reads them.
pub(crate) fn announce(text: &str) {
    let lines = format!("{text}\n");
    match STDOUT.get() {
        Some(stdout) => {
            stdout.write(lines.as_bytes());
            stdout.flush(FLUSH_TIMEOUT);
        }
        None => drop(io::stdout().write_all(lines.as_bytes())),
    }
}

/// Waits until the log is written, at most for a second.
pub(crate) fn flush() {
    if let Some(stderr) = STDERR.get() {
        stderr.flush(FLUSH_TIMEOUT);
    }
}

/// The number of log lines that could not be written.
pub(crate) fn dropped_lines() -> u64 {
    STDERR.get().map_or(0, LineWriter::dropped)
}

/// One write to the log. It never fails where the log has a thread.
struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match STDERR.get() {
            Some(stderr) => stderr.write(bytes),
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The default panic hook writes to the standard error itself and would block its thread for ever while nobody reads. A program's
/// own hook, which reports panics elsewhere, is called at all other times.
fn log_panics_while_stalled() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if STDERR.get().is_some_and(LineWriter::is_stalled) {
            tracing::error!("{info}");
        } else {
            previous(info);
        }
    }));
}

/// Drivers say at `info` what is of use to those who work on them.
fn filter(level: LogLevel) -> EnvFilter {
    let level = level.as_str();
    EnvFilter::new(match level {
        "info" | "debug" => format!("{level},fred=warn,sqlx=warn"),
        _ => level.to_owned(),
    })
}
