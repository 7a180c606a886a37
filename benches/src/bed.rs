//! Where one measurement runs: the servers that it starts for itself, and the ways to them.

use std::path::PathBuf;
use std::sync::Arc;

use lovage_client::Client;
use lovage_client::connect::{Backends, open_both, open_broker};
use lovage_core::{Broker, Clock, ResultStore};
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing::PgServer;
use lovage_system::SystemClock;

use crate::Fallible;

/// Where one measurement runs.
pub(crate) struct Bed {
    pub(crate) clock: Arc<dyn Clock>,
    /// The broker.
    pub(crate) url: String,
    /// Where results are kept, by name; the first is beside the broker.
    results: Vec<(String, String)>,
    store: Option<lovage_broker_memory::MemoryStore>,
    /// Ended with this value.
    _servers: Servers,
    dir: Option<PathBuf>,
}

#[derive(Default)]
struct Servers {
    redis: Option<RedisServer>,
    postgres: Option<PgServer>,
}

impl Bed {
    /// A broker by its name (memory, sqlite, redis, postgres: started here) or its URL, with results beside it and in the
    /// other places named.
    pub(crate) fn new(broker: &str, elsewhere: &[String]) -> Fallible<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let dir = std::env::temp_dir().join(format!("lovage-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let mut servers = Servers::default();
        let mut place = |name: &str| -> Fallible<String> {
            Ok(match name {
                "sqlite" => format!("sqlite://{}", dir.join("bench.db").display()),
                "redis" => servers.redis()?,
                "postgres" => servers.postgres()?,
                url => url.to_owned(),
            })
        };
        let url = place(broker)?;
        let mut results = vec![(broker.to_owned(), url.clone())];
        for name in elsewhere.iter().filter(|name| *name != broker) {
            results.push((name.clone(), place(name)?));
        }
        let store = (url == "memory").then(|| lovage_broker_memory::MemoryStore::new(Arc::clone(&clock)));
        Ok(Self { clock, url, results, store, _servers: servers, dir: Some(dir) })
    }

    /// What others have opened already, for a child process.
    pub(crate) fn attached(url: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let results = vec![("beside".to_owned(), url.to_owned())];
        Self { clock, url: url.to_owned(), results, store: None, _servers: Servers::default(), dir: None }
    }

    /// Whether it is only in this process.
    pub(crate) fn is_memory(&self) -> bool {
        self.store.is_some()
    }

    /// Whether it is a single Redis.
    pub(crate) fn is_redis(&self) -> bool {
        self.url.starts_with("redis://")
    }

    /// The names of the places where results are kept.
    pub(crate) fn result_places(&self) -> Vec<String> {
        self.results.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A new participant.
    pub(crate) async fn broker(&self) -> Fallible<Arc<dyn Broker>> {
        match &self.store {
            Some(store) => Ok(store.handle()),
            None => Ok(open_broker(&self.url).await?),
        }
    }

    /// A new participant, and results in one of [`result_places`](Self::result_places).
    pub(crate) async fn backends(&self, place: &str) -> Fallible<Backends> {
        if self.store.is_some() {
            let results: Arc<dyn ResultStore> =
                Arc::new(lovage_broker_memory::MemoryResults::new(Arc::clone(&self.clock)));
            return Ok(Backends { broker: self.broker().await?, results, shared: None });
        }
        let found = self.results.iter().find(|(name, _)| name == place);
        let (_, results) = found.ok_or_else(|| format!("there are no results in {place}"))?;
        Ok(open_both(&self.url, results).await?)
    }

    /// A client without results.
    pub(crate) async fn client(&self) -> Fallible<Client> {
        Ok(Client::new(self.broker().await?, None))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            let _left_behind = std::fs::remove_dir_all(dir);
        }
    }
}

impl Servers {
    fn redis(&mut self) -> Fallible<String> {
        let server = match self.redis.take() {
            Some(server) => server,
            None => RedisServer::start_own(&[])?,
        };
        Ok(self.redis.insert(server).url().to_owned())
    }

    /// With fsync and synchronous_commit, as it comes.
    fn postgres(&mut self) -> Fallible<String> {
        let server = match self.postgres.take() {
            Some(server) => server,
            None => PgServer::start()?,
        };
        let url = self.postgres.insert(server).url().to_owned();
        Ok(format!("{url}?schema=bench"))
    }
}
