//! The log: on the standard error, so that the standard output is the result alone.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Starts logging. Where a program has done so itself, its own stays.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}

/// Drivers say at `info` what is of use to those who work on them.
fn filter(level: LogLevel) -> EnvFilter {
    let level = level.as_str();
    EnvFilter::new(match level {
        "info" | "debug" => format!("{level},fred=warn,sqlx=warn"),
        _ => level.to_owned(),
    })
}
