//! What a worker says of itself when it starts.

use std::fmt::Write as _;

use lovage_core::WorkerInfo;

use crate::config::{Config, Setting, show_queues};

/// Name, version, broker and results (no secrets), concurrency, queues, tasks; the schedule where it is a beat, too.
pub(crate) fn banner(program: &str, info: &WorkerInfo, config: &Config, beats: bool) -> String {
    let mut text = format!("{} ({program} {})\n\n", info.name, info.version);
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
    text.push_str("\n[tasks]\n");
    for task in &info.tasks {
        let _infallible = writeln!(text, "  {} {}", task.name, task.signature);
    }
    text
}
