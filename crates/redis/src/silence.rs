//! Connections whose peer falls silent without closing them.
//!
//! The driver counts from the last write, and each write begins anew, so traffic hides a silent peer. TCP helps only where
//! the peer's kernel no longer acknowledges. So each connection has a `PING` of its own that must be answered.

use std::sync::Arc;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::Options;
use fred::types::{ClientState, Value};
use futures_util::future::try_join_all;
use lovage_core::Clock as _;
use lovage_system::{OutageLog, SystemClock};
use tokio::task::JoinHandle;

use crate::config::{RedisConfig, Silence};

/// A task that sends `PING` on a connection and replaces the connection when it is silent. Ends with this value.
#[derive(Debug)]
pub(crate) struct Watchdog(JoinHandle<()>);

impl Watchdog {
    /// Watches the connection of `client`; `purpose` follows "the connection" in the log.
    pub(crate) fn start(client: Client, purpose: &str, config: &RedisConfig) -> Self {
        Self(tokio::spawn(watch(client, outage_log(purpose, config), config.silence)))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The log of the silence of one connection.
pub(crate) fn outage_log(purpose: &str, config: &RedisConfig) -> OutageLog {
    let problem = format!("the connection{purpose} to {} is silent", config.display_url());
    OutageLog::new(problem, Arc::new(SystemClock::new()))
}

/// The options of a `PING` that finds out whether a connection is silent.
pub(crate) fn ping_options(silence: Silence) -> Options {
    Options { timeout: Some(silence.ping_timeout), ..Options::default() }
}

async fn watch(client: Client, outage: OutageLog, silence: Silence) {
    loop {
        SystemClock::new().sleep(silence.ping_interval).await;
        if client.state() != ClientState::Connected {
            continue;
        }
        match ping(&client, silence).await {
            Err(err) => replace_silent(&client, &err, &outage).await,
            Ok(()) => {
                outage.recovered();
            }
        }
    }
}

/// Ends a connection that did not answer in time and waits for the next one. Other errors are the driver's to mend.
pub(crate) async fn replace_silent<C: ClientLike>(client: &C, err: &Error, outage: &OutageLog) {
    // A connection that is away is being made again already, and the driver would break the new one.
    if *err.kind() != ErrorKind::Timeout || client.state() != ClientState::Connected {
        return;
    }
    outage.failed("a PING was not answered in time, connecting again");
    match client.force_reconnection().await {
        Ok(()) => outage.recovered(),
        Err(err) => outage.failed(err),
    };
}

/// Asks each server that the client is connected to.
async fn ping(client: &Client, silence: Silence) -> Result<(), Error> {
    let options = ping_options(silence);
    if !client.is_clustered() {
        return client.with_options(&options).ping::<Value>(None).await.map(drop);
    }
    let nodes = client.active_connections().into_iter().map(|server| async {
        let options = Options { cluster_node: Some(server), ..options.clone() };
        client.with_options(&options).ping::<Value>(None).await
    });
    try_join_all(nodes).await.map(drop)
}
