//! The connection that everything but subscriptions goes through.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, ServerConfig, TcpConfig,
    UnresponsiveConfig,
};
use fred::types::{Builder, ConnectHandle};
use lovage_core::{BackendError, BackendErrorKind};
use tokio::sync::{OnceCell, oneshot};

use crate::config::RedisConfig;
use crate::error::redis_error;
use crate::server_info::ServerInfo;
use crate::subscriber::Subscriber;

/// The first connect has no second try: whoever starts a process wants to know at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that owes an answer for so long is dead, whatever TCP believes.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(15);
const RECONNECT_MIN_MS: u32 = 100;
/// A worker works again within a second after the server answers.
const RECONNECT_MAX_MS: u32 = 500;
const RECONNECT_JITTER_MS: u32 = 100;
/// Messages that a subscriber may be behind before it is told of a gap.
const SUBSCRIBER_BUFFER: usize = 4_096;

/// One multiplexed connection to one Redis, which reconnects for ever. Cheap to clone; clones share it.
///
/// While the connection is away commands wait for it, for up to 10 s. A command that was on its way when the
/// connection broke fails and is not sent again: the caller knows whether that is safe.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    config: RedisConfig,
    client: Client,
    _connection: Connection,
    subscriber: OnceCell<Subscriber>,
}

impl Redis {
    /// Connects, logs in and checks that this Redis can be trusted with tasks: version 6.2 or later, no
    /// eviction, a primary. Needs a tokio runtime, which must outlive the connection.
    ///
    /// # Errors
    /// Within 5 s: `Unavailable` where nobody answers, `Auth` for a wrong user or password, `Config` for a
    /// database number that does not exist or a server that would lose tasks.
    pub async fn connect(config: &RedisConfig) -> Result<Self, BackendError> {
        let server = config.display_url();
        let client = builder(config).build().map_err(|err| redis_error("set up the Redis client", err))?;
        let connecting = async {
            let connection = Connection::open(&client).await;
            let connection = connection.map_err(|err| redis_error(&format!("connect to {server}"), err))?;
            let config = config.clone();
            let subscriber = OnceCell::new();
            let redis =
                Self { inner: Arc::new(Inner { config, client, _connection: connection, subscriber }) };
            redis.check_server(&server).await?;
            Ok(redis)
        };
        within(CONNECT_TIMEOUT, &server, connecting).await
    }

    /// The driver's client, for plain commands. Map what fails with [`redis_error`](crate::redis_error).
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// What it is connected to.
    pub fn config(&self) -> &RedisConfig {
        &self.inner.config
    }

    /// The one subscribed connection of this process, opened at the first call.
    ///
    /// # Errors
    /// Those of [`Redis::connect`]; the next call tries again.
    pub async fn subscriber(&self) -> Result<&Subscriber, BackendError> {
        let config = &self.inner.config;
        let open = || async {
            let server = config.display_url();
            within(CONNECT_TIMEOUT, &server, Subscriber::open(&builder(config), &server)).await
        };
        self.inner.subscriber.get_or_try_init(open).await
    }

    /// Ends both connections after the commands under way. Later commands fail; closing twice is safe.
    pub async fn close(&self) {
        if let Some(subscriber) = self.inner.subscriber.get() {
            subscriber.close().await;
        }
        // A client that is not connected cannot say goodbye, and needs not.
        drop(self.inner.client.quit().await);
    }

    async fn check_server(&self, server: &str) -> Result<(), BackendError> {
        match self.inner.client.info::<String>(None).await {
            Ok(info) => ServerInfo::parse(&info).check(server),
            Err(err) => {
                let error = redis_error(&format!("ask {server} for its version (INFO)"), err);
                if !is_forbidden(&error) {
                    return Err(error);
                }
                tracing::warn!(%server, "INFO is forbidden: neither version nor eviction can be checked");
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.inner.config).finish()
    }
}

/// The driver's task behind a client; ends with this value.
pub(crate) struct Connection(ConnectHandle);

impl Connection {
    pub(crate) async fn open<C: ClientLike + 'static>(client: &C) -> Result<Self, Error> {
        let (done, opened) = oneshot::channel();
        let client = client.clone();
        // A task of its own: where the caller gives up half-way, `init` alone would leave a client behind that
        // connects later, for nobody, for ever. Here the unread answer is dropped, which ends it.
        tokio::spawn(async move { drop(done.send(client.init().await.map(Self))) });
        opened.await?
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn builder(config: &RedisConfig) -> Builder {
    let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2);
    policy.set_jitter(RECONNECT_JITTER_MS);
    let mut builder = Builder::from_config(Config {
        server: ServerConfig::new_centralized(config.host.as_str(), config.port),
        username: config.username.clone(),
        password: config.password.clone(),
        database: Some(config.database).filter(|database| *database != 0),
        fail_fast: true,
        ..Config::default()
    });
    builder.set_policy(policy).set_connection_config(connection_config()).set_performance_config(
        PerformanceConfig {
            default_command_timeout: COMMAND_TIMEOUT,
            broadcast_channel_capacity: SUBSCRIBER_BUFFER,
            ..PerformanceConfig::default()
        },
    );
    builder
}

fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        // Sending again by itself would reserve twice under one token, or find its own publish a duplicate.
        max_command_attempts: 1,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(UNRESPONSIVE_AFTER),
            ..UnresponsiveConfig::default()
        },
        // A password that is being changed is no reason to give up for good.
        reconnect_on_auth_error: true,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        reconnect_errors: vec![ReconnectError::Loading, ReconnectError::MasterDown, ReconnectError::ReadOnly],
        ..ConnectionConfig::default()
    }
}

async fn within<T>(
    limit: Duration,
    server: &str,
    work: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    #[expect(clippy::disallowed_methods, reason = "bounds a driver's own I/O, which no simulation drives")]
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| {
        Err(BackendError::new(
            BackendErrorKind::Unavailable,
            format!(
                "{server} did not answer within {limit:?}: check the address, the network and that Redis runs"
            ),
        ))
    })
}

fn is_forbidden(error: &BackendError) -> bool {
    error.kind() == BackendErrorKind::Unsupported || error.to_string().contains("NOPERM")
}
