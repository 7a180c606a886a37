//! Which backend a URL means. The one place of the client that names concrete backends, each behind its feature.

use std::sync::Arc;

use lovage_core::url::scheme;
use lovage_core::{BackendError, BackendErrorKind, Broker, ResultStore, SharedStore};

use crate::transaction::Ways;

/// The URL of everything when nothing else is said: a SQLite file in the current directory.
pub const DEFAULT_URL: &str = "sqlite://lovage.db";

/// A broker and the results beside it.
#[derive(Clone, Debug)]
pub struct Backends {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The results.
    pub results: Arc<dyn ResultStore>,
    /// Both at once, where they are one PostgreSQL database.
    pub shared: Option<Arc<dyn SharedStore>>,
}

/// Opens the broker of a URL.
///
/// # Errors
/// When the scheme is unknown or its feature is off, or the server cannot be used.
pub async fn open_broker(url: &str) -> Result<Arc<dyn Broker>, BackendError> {
    match scheme(url).as_str() {
        #[cfg(feature = "sql")]
        scheme if is_sql(scheme) => lovage_broker_sql::open(lovage_sql::Database::connect(url).await?).await,
        #[cfg(feature = "redis")]
        scheme if is_redis(scheme) => {
            lovage_broker_redis::RedisBroker::connect(&lovage_redis::RedisConfig::parse(url)?).await
        }
        other => Err(unknown(other)),
    }
}

/// Opens the result store of a URL.
///
/// # Errors
/// When the scheme is unknown or its feature is off, or the server cannot be used.
pub async fn open_results(url: &str) -> Result<Arc<dyn ResultStore>, BackendError> {
    match scheme(url).as_str() {
        #[cfg(feature = "sql")]
        scheme if is_sql(scheme) => lovage_results_sql::open(lovage_sql::Database::connect(url).await?).await,
        #[cfg(feature = "redis")]
        scheme if is_redis(scheme) => {
            Ok(lovage_results_redis::RedisResults::connect(&lovage_redis::RedisConfig::parse(url)?).await?)
        }
        other => Err(unknown(other)),
    }
}

/// Opens both. Where they are the same place they share its connections.
///
/// # Errors
/// As [`open_broker`] and [`open_results`].
pub async fn open_both(broker: &str, results: &str) -> Result<Backends, BackendError> {
    open(broker, results, None).await.map(|(backends, _)| backends)
}

/// Whether what is sent in a transaction of the outbox's database needs no outbox, because the broker is there.
#[must_use]
pub fn sends_directly(broker: &str, outbox: &str) -> bool {
    broker == outbox && is_postgres(broker)
}

fn is_postgres(url: &str) -> bool {
    matches!(scheme(url).as_str(), "postgres" | "postgresql")
}

/// Opens both, and the ways to the broker from transactions of an application.
pub(crate) async fn open(
    broker: &str,
    results: &str,
    outbox: Option<&str>,
) -> Result<(Backends, Ways), BackendError> {
    #[cfg_attr(not(feature = "sql"), expect(unused_mut, reason = "there is no way without a database"))]
    let (backends, mut ways) = backends(broker, results).await?;
    match outbox.filter(|outbox| !sends_directly(broker, outbox)) {
        #[cfg(feature = "sql")]
        Some(url) if is_sql(&scheme(url)) => {
            ways.outbox = Some(lovage_outbox_sql::Outbox::connect(url).await?);
        }
        Some(url) if scheme(url).starts_with("redis") || scheme(url) == "unix" => {
            let message = "an outbox is in the database whose transactions use it: expected sqlite://path.db or \
                postgres://host/database, found the URL of a Redis";
            return Err(BackendError::new(BackendErrorKind::Config, message));
        }
        Some(url) => return Err(unknown(&scheme(url))),
        None => {}
    }
    Ok((backends, ways))
}

async fn backends(broker: &str, results: &str) -> Result<(Backends, Ways), BackendError> {
    #[cfg(feature = "sql")]
    if is_sql(&scheme(broker)) {
        return backends_on_sql(lovage_sql::Database::connect(broker).await?, broker, results).await;
    }
    #[cfg(feature = "redis")]
    if broker == results && is_redis(&scheme(broker)) {
        let config = lovage_redis::RedisConfig::parse(broker)?;
        let redis = lovage_redis::Redis::connect(&config).await?;
        let broker = lovage_broker_redis::RedisBroker::on(redis.clone(), config.namespace())?;
        let results = lovage_results_redis::RedisResults::on(redis, config.namespace())?;
        return Ok((Backends { broker, results, shared: None }, Ways::default()));
    }
    let (broker, results) = (open_broker(broker).await?, open_results(results).await?);
    Ok((Backends { broker, results, shared: None }, Ways::default()))
}

/// The broker is in a database, the results perhaps elsewhere.
#[cfg(feature = "sql")]
async fn backends_on_sql(
    database: lovage_sql::Database,
    broker: &str,
    results: &str,
) -> Result<(Backends, Ways), BackendError> {
    let beside = broker == results;
    match database {
        #[cfg(feature = "postgres")]
        lovage_sql::Database::Postgres(database) => {
            let broker = Arc::new(lovage_broker_sql::PgBroker::open(database.clone()).await?);
            let ways = Ways { direct: Some(Arc::clone(&broker)), ..Ways::default() };
            if beside {
                return Ok((crate::shared::open(database, broker).await?, ways));
            }
            Ok((Backends { broker, results: open_results(results).await?, shared: None }, ways))
        }
        #[cfg(feature = "sqlite")]
        database @ lovage_sql::Database::Sqlite(_) => {
            let broker = lovage_broker_sql::open(database.clone()).await?;
            let results = if beside {
                lovage_results_sql::open(database).await?
            } else {
                open_results(results).await?
            };
            Ok((Backends { broker, results, shared: None }, Ways::default()))
        }
    }
}

/// Whether a database that this program was built for keeps it.
#[cfg(feature = "sql")]
fn is_sql(scheme: &str) -> bool {
    (cfg!(feature = "sqlite") && scheme == "sqlite")
        || (cfg!(feature = "postgres") && matches!(scheme, "postgres" | "postgresql"))
}

/// Whether a scheme, in lower case, is one of Redis.
#[cfg(feature = "redis")]
#[must_use]
pub fn is_redis(scheme: &str) -> bool {
    lovage_redis::SCHEMES.contains(&scheme)
}

fn unknown(scheme: &str) -> BackendError {
    if scheme.is_empty() {
        let message =
            "the URL has no scheme: expected sqlite://path.db, redis://host:port or postgres://host/database";
        return BackendError::new(BackendErrorKind::Config, message);
    }
    let known = [
        ("sqlite", cfg!(feature = "sqlite")),
        ("postgres", cfg!(feature = "postgres")),
        ("redis", cfg!(feature = "redis")),
    ];
    let off = known.iter().find(|(name, on)| *name == scheme && !on);
    // The URL itself is not shown: it may hold a password.
    let message = match off {
        Some((name, _)) => format!(
            "this program was built without `{name}`: switch on the feature `{name}` of lovage-client"
        ),
        None => format!(
            "the URL's scheme `{scheme}` is not known: expected sqlite://path.db, redis://host:port or postgres://host/database"
        ),
    };
    BackendError::new(BackendErrorKind::Config, message)
}
