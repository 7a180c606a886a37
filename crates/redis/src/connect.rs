//! The connection that everything but subscriptions goes through.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy,
    Server, ServerConfig, TcpConfig,
};
use fred::types::{Builder, ConnectHandle};
use lovage_core::{BackendError, BackendErrorKind};
use tokio::sync::{OnceCell, oneshot};

use crate::config::{RedisConfig, Topology};
use crate::error::{is_not_run, redis_error};
use crate::server_info::ServerInfo;
use crate::silence::Watchdog;
use crate::subscriber::Subscriber;
use crate::tls::tls_config;

/// The first connect has no second try: whoever starts a process wants to know at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that sent data may stay unacknowledged, or unsent because the peer reads nothing. The driver writes one command after
/// another, so without it a full buffer would keep it from reconnecting.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(10);
const RECONNECT_MIN_MS: u32 = 100;
/// A worker works again within a second after the server answers.
const RECONNECT_MAX_MS: u32 = 500;
const RECONNECT_JITTER_MS: u32 = 100;
/// How long a command waits for its place: the queue's slot is being moved, a replica is being promoted.
const PLACE_TIMEOUT: Duration = COMMAND_TIMEOUT;
const PLACE_FIRST_PAUSE: Duration = Duration::from_millis(5);
const PLACE_LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Messages that a subscriber may be behind before it is told of a gap.
const SUBSCRIBER_BUFFER: usize = 512;

/// One multiplexed connection to one Redis (in a cluster: to each primary), which reconnects for ever. Cheap to clone;
/// clones share it.
///
/// While the connection is away commands wait for it, for up to 10 s. A command that was on its way when the
/// connection broke fails and is not sent again: the caller knows whether that is safe. A connection whose peer falls silent
/// is replaced within 15 s, whatever the traffic. A command that a server
/// did not run (it has moved elsewhere, a fail-over is under way) is sent again, for up to 10 s.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    config: RedisConfig,
    client: Client,
    _connection: Connection,
    subscriber: OnceCell<Subscriber>,
    waiting: OnceCell<(Client, Connection, Watchdog)>,
    _watchdog: Watchdog,
}

impl Redis {
    /// Connects, logs in and checks that this Redis (in a cluster: each primary) can be trusted with tasks: version 6.2 or
    /// later, no eviction, a primary. Needs a tokio runtime, which must outlive the connection.
    ///
    /// # Errors
    /// Within 5 s: `Unavailable` where nobody answers, `Auth` for a wrong user or password, `Config` for a
    /// database number that does not exist or a server that would lose tasks.
    pub async fn connect(config: &RedisConfig) -> Result<Self, BackendError> {
        let server = config.display_url();
        let client = builder(config)?.build().map_err(|err| redis_error("set up the Redis client", err))?;
        let connecting = async {
            let connection = Connection::open(&client).await;
            let connection = connection.map_err(|err| redis_error(&format!("connect to {server}"), err))?;
            let inner = Inner {
                config: config.clone(),
                _watchdog: Watchdog::start(client.clone(), "", config),
                client,
                _connection: connection,
                subscriber: OnceCell::new(),
                waiting: OnceCell::new(),
            };
            let redis = Self { inner: Arc::new(inner) };
            redis.check_servers(&server).await?;
            Ok(redis)
        };
        within(CONNECT_TIMEOUT, &server, connecting).await
    }

    /// Sends a plain command on one key, again where no server ran it. `context` names it in errors ("read queues").
    ///
    /// # Errors
    /// As [`redis_error`] says.
    pub async fn run<'a, T, F>(
        &'a self,
        context: &str,
        command: impl Fn(&'a Client) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let done = until_run(|| command(&self.inner.client)).await;
        done.map_err(|err| redis_error(context, err))
    }

    /// The driver's client. Map what fails with [`redis_error`](crate::redis_error).
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
            within(CONNECT_TIMEOUT, &server, Subscriber::open(&builder(config)?, config)).await
        };
        self.inner.subscriber.get_or_try_init(open).await
    }

    /// A connection for what waits for replicas, opened at the first call: `WAIT` keeps everything behind it waiting.
    pub(crate) async fn waiting_client(&self) -> Result<&Client, BackendError> {
        let config = &self.inner.config;
        let open = || async {
            let server = config.display_url();
            let client =
                builder(config)?.build().map_err(|err| redis_error("set up the Redis client", err))?;
            let opening = async {
                let opened = Connection::open(&client).await;
                opened.map_err(|err| redis_error(&format!("connect to {server}"), err))
            };
            let connection = within(CONNECT_TIMEOUT, &server, opening).await?;
            let watchdog = Watchdog::start(client.clone(), " that waits for replicas", config);
            Ok((client, connection, watchdog))
        };
        self.inner.waiting.get_or_try_init(open).await.map(|(client, ..)| client)
    }

    /// Ends all connections after the commands under way. Later commands fail; closing twice is safe.
    pub async fn close(&self) {
        if let Some(subscriber) = self.inner.subscriber.get() {
            subscriber.close().await;
        }
        if let Some((client, ..)) = self.inner.waiting.get() {
            drop(client.quit().await);
        }
        // A client that is not connected cannot say goodbye, and needs not.
        drop(self.inner.client.quit().await);
    }

    async fn check_servers(&self, url: &str) -> Result<(), BackendError> {
        let client = &self.inner.client;
        if !self.inner.config.is_cluster() {
            return self.check_server(url, client.info(None).await);
        }
        for server in client.active_connections() {
            let info = client.with_cluster_node(&server).info(None).await;
            self.check_server(&format!("{server} of {url}"), info)?;
        }
        Ok(())
    }

    fn check_server(&self, server: &str, info: Result<String, Error>) -> Result<(), BackendError> {
        match info {
            Ok(info) => ServerInfo::parse(&info).check(server, self.inner.config.is_cluster()),
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

/// Repeats what no server ran, with growing pauses, for [`PLACE_TIMEOUT`]; then the last error is the answer.
pub(crate) async fn until_run<T, F>(command: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let (mut pause, mut waited) = (PLACE_FIRST_PAUSE, Duration::ZERO);
    loop {
        match command().await {
            Err(err) if is_not_run(&err) && waited < PLACE_TIMEOUT => {
                tracing::debug!(%err, "no server ran the command: it is sent again");
                #[expect(
                    clippy::disallowed_methods,
                    reason = "paces a driver's own I/O, which no simulation drives"
                )]
                tokio::time::sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(PLACE_LONGEST_PAUSE);
            }
            done => return done,
        }
    }
}

fn builder(config: &RedisConfig) -> Result<Builder, BackendError> {
    let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2);
    policy.set_jitter(RECONNECT_JITTER_MS);
    let mut builder = Builder::from_config(Config {
        server: server_config(config),
        tls: config.tls.as_ref().map(tls_config).transpose()?,
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
    Ok(builder)
}

fn server_config(config: &RedisConfig) -> ServerConfig {
    let mut hosts: Vec<Server> =
        config.hosts.iter().map(|(host, port)| Server::new(host.as_str(), *port)).collect();
    match &config.topology {
        Topology::Single => ServerConfig::Centralized { server: hosts.swap_remove(0) },
        Topology::Cluster => ServerConfig::Clustered { hosts, policy: ClusterDiscoveryPolicy::default() },
        Topology::Sentinel { master, username, password } => ServerConfig::Sentinel {
            hosts,
            service_name: master.clone(),
            username: username.clone(),
            password: password.clone(),
        },
        Topology::Socket(path) => ServerConfig::Unix { path: path.clone() },
    }
}

fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        // Sending again by itself would reserve twice under one token, or find its own publish a duplicate.
        max_command_attempts: 1,
        // The driver answers ASK wrongly where other commands are under way, and a script must not follow it anyway: it
        // would see a part of its keys. Sent again once the slot has moved, it finds them all.
        max_redirections: 0,
        // A password that is being changed is no reason to give up for good.
        reconnect_on_auth_error: true,
        tcp: tcp_config(),
        reconnect_errors: vec![ReconnectError::Loading, ReconnectError::MasterDown, ReconnectError::ReadOnly],
        ..ConnectionConfig::default()
    }
}

fn tcp_config() -> TcpConfig {
    TcpConfig {
        nodelay: Some(true),
        #[cfg(target_os = "linux")]
        user_timeout: Some(UNACKNOWLEDGED_TIMEOUT),
        ..TcpConfig::default()
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
                "{server} did not answer within {limit:?}: check the address, the network, that Redis runs, \
                 and whether this port speaks TLS (rediss://)"
            ),
        ))
    })
}

fn is_forbidden(error: &BackendError) -> bool {
    error.kind() == BackendErrorKind::Unsupported || error.to_string().contains("NOPERM")
}
