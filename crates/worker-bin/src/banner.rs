//! What a worker says of itself when it starts.

use std::fmt::Write as _;

use lovage_core::WorkerInfo;

use crate::commands::Served;
use crate::config::{Setting, show_queues};
use crate::session::Session;

/// Name, version, broker and results (no secrets), concurrency, queues, tasks; the schedule where it is a beat, too, and the
/// dashboard's link.
pub(crate) fn banner(
    session: &Session,
    info: &WorkerInfo,
    beats: bool,
    dashboard: Option<&Served>,
) -> String {
    let config = &session.config;
    let mut text = format!("{} ({} {})\n\n", info.name, session.program, info.version);
    for (title, value) in [
        ("broker", config.shown(Setting::Broker)),
        ("results", config.shown(Setting::Results)),
        ("outbox", config.shown(Setting::Outbox)),
        ("schedule", config.shown(Setting::Schedules)),
        ("concurrency", format!("{} async, {} blocking", info.concurrency, info.blocking)),
        ("queues", show_queues(&config.queues)),
    ] {
        // Only where it is used.
        if (title == "outbox" && config.outbox.is_none()) || (title == "schedule" && !beats) {
            continue;
        }
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {title:<12} {value}");
    }
    if let Some(dashboard) = dashboard {
        let _infallible = writeln!(text, "  {:<12} {}", "dashboard", dashboard.place);
    }
    text.push_str("\n[tasks]\n");
    for task in &info.tasks {
        let _infallible = writeln!(text, "  {} {}", task.name, task.signature);
    }
    text
}
