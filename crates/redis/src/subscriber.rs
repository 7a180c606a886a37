//! The one connection of a process that listens, and what it hears.

use std::fmt;
use std::sync::Arc;

use fred::clients::SubscriberClient;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{Options, Server};
use fred::types::{Builder, ClusterHash, ClusterStateChange, Message, Value};
use fred::util::redis_keyslot;
use lovage_core::BackendError;
use lovage_system::OutageLog;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::config::{RedisConfig, Silence};
use crate::connect::Connection;
use crate::error::redis_error;
use crate::silence::{outage_log, ping_options, replace_silent};

/// A subscribed connection, which reconnects and subscribes again by itself. Cheap to clone.
#[derive(Clone)]
pub struct Subscriber {
    inner: Arc<Inner>,
}

struct Inner {
    client: SubscriberClient,
    gaps: watch::Receiver<u64>,
    _connection: Connection,
    keeper: JoinHandle<()>,
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriberEvent {
    /// A message on a channel that was subscribed to.
    Message {
        /// The channel.
        channel: String,
        /// What was published, byte for byte.
        payload: Vec<u8>,
    },
    /// Messages may have been lost: the connection was away and is back, with everything subscribed again, or
    /// the reader was too slow. Look at the state itself now.
    Gap,
}

/// The events from the moment it was made. Several readers each get all of them.
#[derive(Debug)]
pub struct SubscriberEvents {
    messages: broadcast::Receiver<Message>,
    gaps: watch::Receiver<u64>,
}

impl Subscriber {
    pub(crate) async fn open(builder: &Builder, config: &RedisConfig) -> Result<Self, BackendError> {
        let server = config.display_url();
        let context = format!("connect to {server} to subscribe");
        let client = builder.build_subscriber_client().map_err(|err| redis_error(&context, err))?;
        let connection = Connection::open(&client).await.map_err(|err| redis_error(&context, err))?;
        let (gap, gaps) = watch::channel(0);
        let keeper = Keeper {
            client: client.clone(),
            outage: outage_log(" that listens", config),
            silence: config.silence,
            gap,
        };
        let keeper = tokio::spawn(keeper.run(client.reconnect_rx(), client.cluster_change_rx()));
        Ok(Self { inner: Arc::new(Inner { client, gaps, _connection: connection, keeper }) })
    }

    /// Starts to hear `channel`; when this returns, nothing published from now on is missed.
    ///
    /// # Errors
    /// Those of a command; the channel is not kept then.
    pub async fn subscribe(&self, channel: &str) -> Result<(), BackendError> {
        let client = &self.inner.client;
        let done = async {
            client.subscribe(channel).await?;
            confirm(client, Options::default()).await
        };
        done.await.map_err(|err| redis_error(&format!("subscribe to {channel}"), err))
    }

    /// Ends what `subscribe` started.
    ///
    /// # Errors
    /// Those of a command.
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), BackendError> {
        let done = self.inner.client.unsubscribe(channel).await;
        done.map_err(|err| redis_error(&format!("unsubscribe from {channel}"), err))
    }

    /// A reader of everything heard from now on. Make it before subscribing.
    pub fn events(&self) -> SubscriberEvents {
        let mut gaps = self.inner.gaps.clone();
        gaps.mark_unchanged();
        SubscriberEvents { messages: self.inner.client.message_rx(), gaps }
    }

    pub(crate) async fn close(&self) {
        self.inner.keeper.abort();
        drop(self.inner.client.quit().await);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("channels", &self.inner.client.tracked_channels()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl SubscriberEvents {
    /// Waits for the next event; `None` once the subscriber is closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<SubscriberEvent> {
        tokio::select! {
            biased;
            changed = self.gaps.changed() => changed.ok().map(|()| SubscriberEvent::Gap),
            message = self.messages.recv() => match message {
                Ok(message) => Some(SubscriberEvent::from(message)),
                Err(RecvError::Lagged(_)) => Some(SubscriberEvent::Gap),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

impl From<Message> for SubscriberEvent {
    fn from(message: Message) -> Self {
        let payload = message.value.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
        Self::Message { channel: message.channel.to_string(), payload }
    }
}

/// Ends when Redis has run everything sent before: the driver ends a SUBSCRIBE when it is written, and Redis might
/// publish to others before it reads that.
async fn confirm(client: &SubscriberClient, options: Options) -> Result<(), Error> {
    // In a cluster the driver subscribes at the node of this slot; another one would confirm nothing.
    let cluster_hash = Some(ClusterHash::Custom(redis_keyslot(client.id().as_bytes())));
    let options = Options { cluster_hash, ..options };
    client.with_options(&options).ping::<Value>(None).await.map(|_| ())
}

/// Not the driver's own `resubscribe_all`: it also sends a PSUBSCRIBE of nothing, whose error would be taken for the
/// answer of what follows.
async fn subscribe_again(client: &SubscriberClient, options: Options) -> Result<(), Error> {
    let channels: Vec<String> = client.tracked_channels().iter().map(ToString::to_string).collect();
    if !channels.is_empty() {
        client.subscribe(channels).await?;
    }
    confirm(client, options).await
}

/// Keeps the connection subscribed.
struct Keeper {
    client: SubscriberClient,
    outage: OutageLog,
    silence: Silence,
    gap: watch::Sender<u64>,
}

impl Keeper {
    /// Subscribes again after each reconnect, and when a cluster has other primaries (the node that we listened at may be
    /// gone). It tells of the gap once that is done: told earlier, a reader would look before it can hear. In between it asks
    /// whether the connection is alive, and replaces it when it is silent.
    async fn run(
        self,
        mut reconnects: broadcast::Receiver<Server>,
        mut changes: broadcast::Receiver<Vec<ClusterStateChange>>,
    ) {
        let mut refresh = tokio::time::interval(self.silence.ping_interval);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.reset();
        let (mut owes_gap, mut subscribed) = (false, true);
        loop {
            tokio::select! {
                reconnected = reconnects.recv() => match reconnected {
                    Ok(_) | Err(RecvError::Lagged(_)) => owes_gap = true,
                    Err(RecvError::Closed) => return,
                },
                changed = changes.recv() => match changed {
                    Ok(_) | Err(RecvError::Lagged(_)) => owes_gap = true,
                    Err(RecvError::Closed) => return,
                },
                _ = refresh.tick() => {}
            }
            let options = ping_options(self.silence);
            let tried = if subscribed && !owes_gap {
                confirm(&self.client, options).await
            } else {
                subscribe_again(&self.client, options).await
            };
            subscribed = tried.is_ok();
            match tried {
                Ok(()) => {
                    self.outage.recovered();
                    if std::mem::take(&mut owes_gap) {
                        self.gap.send_modify(|gaps| *gaps += 1);
                    }
                }
                Err(err) if *err.kind() == ErrorKind::Timeout => {
                    replace_silent(&self.client, &err, &self.outage).await;
                }
                Err(err) => tracing::warn!(%err, "cannot subscribe again yet"),
            }
        }
    }
}
