//! `relay`, and the relay beside a worker: publish what transactions have left in the outbox.

use lovage_core::url::mask;
use lovage_worker::connect::sends_directly;
use lovage_worker::{Client, Relay};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::RelayArgs;
use crate::config::Setting;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;
use crate::signals::Signals;

use super::worker::{NO_BROKER, connect, stopped};

/// `lovage relay`.
pub(crate) async fn relay(session: &Session, args: &RelayArgs) -> Result<(), CliError> {
    let outbox = named(session)?;
    if sends_directly(&session.config.broker, outbox) {
        return Err(CliError::usage(format!(
            "there is nothing to relay: {} is the broker, too, and what transactions send goes straight into its tables",
            mask(outbox)
        )));
    }
    let mut signals = Signals::listen()?;
    let limit = args.burst.then_some(session.config.burst_timeout);
    let Some(client) = connect(session, false, &mut signals, limit).await? else {
        tracing::info!("{NO_BROKER}");
        return Ok(());
    };
    let Some(mut relay) = client.relay() else { return Ok(()) };
    if args.burst {
        let published = relay.drain().await?;
        return Out.line(format!("took {published} messages from the outbox"));
    }
    let config = &session.config;
    tracing::info!("relay from {} to {} ready", config.shown(Setting::Outbox), config.shown(Setting::Broker));
    relay.run_until(stopped(&mut signals)).await;
    tracing::info!("stopped");
    Ok(())
}

/// The outbox of the configuration.
///
/// # Errors
/// Says how to name one.
pub(crate) fn named(session: &Session) -> Result<&str, CliError> {
    session.config.outbox.as_deref().ok_or_else(|| {
        CliError::usage("there is no outbox").hint(
            "name the application's database, whose transactions send tasks, by --outbox, LOVAGE_OUTBOX_URL or `outbox` in lovage.toml",
        )
    })
}

/// The relay of a process that does something else, too; perhaps none.
#[derive(Debug)]
pub(crate) struct Beside(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Beside {
    /// Starts one where the client has an outbox.
    pub(crate) fn start(client: &Client) -> Self {
        let start = |relay: Relay| {
            let (stop, stopped) = oneshot::channel();
            (stop, tokio::spawn(relay.run_until(async { drop(stopped.await) })))
        };
        Self(client.relay().map(start))
    }

    /// Empties the outbox now and goes on with nothing.
    ///
    /// # Errors
    /// When that is not possible now.
    pub(crate) async fn drain(client: &Client) -> Result<Self, CliError> {
        if let Some(mut relay) = client.relay() {
            relay.drain().await?;
        }
        Ok(Self(None))
    }

    /// Stops it after the batch in hand.
    pub(crate) async fn end(self) {
        if let Some((stop, relay)) = self.0 {
            drop(stop);
            // What it left is published by the next one.
            drop(relay.await);
        }
    }
}
