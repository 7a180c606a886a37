//! `queues`: how much is where.

use serde_json::json;

use crate::cli::Format;
use crate::error::CliError;
use crate::output::{Out, Rows, Table};
use crate::session::{Session, now, queues_of};
use crate::show::whole_seconds;

/// `lovage queues`.
pub(crate) async fn queues(session: &Session, format: Format) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    let now = now();
    let mut table = Table::new(["QUEUE", "READY", "DELAYED", "LEASED", "DEAD", "OLDEST", "PAUSED", "LIMIT"]);
    let mut rows = Vec::new();
    for queue in queues_of(&client, None).await? {
        let depth = client.broker().depth(&queue, None).await?;
        table.row([
            queue.to_string(),
            depth.ready.to_string(),
            depth.delayed.to_string(),
            depth.leased.to_string(),
            depth.dead.to_string(),
            depth.oldest_ready.map_or_else(String::new, |at| whole_seconds(now.since(at))),
            if depth.paused { "paused".to_owned() } else { String::new() },
            depth.limit.map_or_else(String::new, |limit| limit.to_string()),
        ]);
        rows.push(json!({
            "queue": queue,
            "ready": depth.ready,
            "delayed": depth.delayed,
            "leased": depth.leased,
            "dead": depth.dead,
            "oldest_ready": depth.oldest_ready.map(|at| at.to_string()),
            "paused": depth.paused,
            "limit": depth.limit.map(|limit| limit.to_string()),
        }));
    }
    Out.rows(format.json, Rows { json: rows.into(), table, none: "there is no queue yet" })
}
