//! Where one measurement runs: the servers that it starts for itself, and the ways to them.

use std::path::PathBuf;
use std::sync::Arc;

use lovage_client::Client;
use lovage_client::connect::{Backends, open_both, open_broker};
use lovage_core::{Broker, Clock, ResultStore};
use lovage_redis::testing::{RedisCluster, RedisServer};
use lovage_sql::Database;
use lovage_sql::postgres::testing::PgServer;
use lovage_system::SystemClock;

use crate::Fallible;

/// Which broker, or place of results, a URL means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    /// A single one.
    Redis,
    Cluster,
    Postgres,
}

/// Where one measurement runs.
pub(crate) struct Bed {
    pub(crate) clock: Arc<dyn Clock>,
    /// The broker.
    pub(crate) url: String,
    pub(crate) kind: Kind,
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
    cluster: Option<RedisCluster>,
    postgres: Option<PgServer>,
}

impl Bed {
    /// A broker by its name (memory, sqlite, redis, redis-cluster, postgres: started here) or its URL, with results beside it and in the
    /// other places named.
    pub(crate) async fn new(broker: &str, elsewhere: &[String]) -> Fallible<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let dir = std::env::temp_dir().join(format!("lovage-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let mut servers = Servers::default();
        let mut place = |name: &str| -> Fallible<String> {
            Ok(match name {
                "sqlite" => format!("sqlite://{}", dir.join("bench.db").display()),
                "redis" => servers.redis()?,
                "redis-cluster" => servers.cluster()?,
                "postgres" => servers.postgres()?,
                url => url.to_owned(),
            })
        };
        let url = place(broker)?;
        let mut results = vec![(broker.to_owned(), url.clone())];
        for name in elsewhere.iter().filter(|name| *name != broker) {
            results.push((name.clone(), place(name)?));
        }
        for (_, url) in &results {
            migrate(url).await?;
        }
        let kind = Kind::of(&url)?;
        let store =
            (kind == Kind::Memory).then(|| lovage_broker_memory::MemoryStore::new(Arc::clone(&clock)));
        Ok(Self { clock, url, kind, results, store, _servers: servers, dir: Some(dir) })
    }

    /// What others have opened already, for a child process.
    pub(crate) fn attached(url: &str) -> Fallible<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let results = vec![("beside".to_owned(), url.to_owned())];
        let (url, kind) = (url.to_owned(), Kind::of(url)?);
        Ok(Self { clock, url, kind, results, store: None, _servers: Servers::default(), dir: None })
    }

    /// The names of the places where results are kept.
    pub(crate) fn result_places(&self) -> Fallible<Vec<(String, Kind)>> {
        self.results.iter().map(|(name, url)| Ok((name.clone(), Kind::of(url)?))).collect()
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

    /// Where the schedule is kept: beside the broker where that is SQL, else where results are.
    pub(crate) fn schedules(&self) -> Fallible<String> {
        match self.kind {
            Kind::Sqlite | Kind::Postgres => Ok(self.url.clone()),
            Kind::Memory | Kind::Redis | Kind::Cluster => {
                let postgres = self
                    .results
                    .iter()
                    .find(|(_, url)| Kind::of(url).is_ok_and(|kind| kind == Kind::Postgres));
                let none = "there is no place for the schedule: say `--results postgres`";
                Ok(postgres.ok_or(none)?.1.clone())
            }
        }
    }

    /// A client without results.
    pub(crate) async fn client(&self) -> Fallible<Client> {
        Ok(Client::new(self.broker().await?, None))
    }
}

impl Kind {
    fn of(url: &str) -> Fallible<Self> {
        Ok(match url.split(':').next().unwrap_or(url) {
            "memory" => Self::Memory,
            "sqlite" => Self::Sqlite,
            "redis" | "rediss" => Self::Redis,
            "redis-cluster" | "rediss-cluster" => Self::Cluster,
            "postgres" | "postgresql" => Self::Postgres,
            other => {
                let expected =
                    "expected memory, sqlite, redis, redis-cluster, postgres or a URL of one of them";
                return Err(format!("{expected}, found `{other}`").into());
            }
        })
    }
}

async fn migrate(url: &str) -> Fallible<()> {
    match Kind::of(url)? {
        Kind::Memory | Kind::Redis | Kind::Cluster => {}
        Kind::Sqlite | Kind::Postgres => {
            let database = Database::connect(url).await?;
            lovage_sql::migrate(&database, &lovage_broker_sql::MIGRATIONS).await?;
            lovage_sql::migrate(&database, &lovage_results_sql::MIGRATIONS).await?;
            lovage_sql::migrate(&database, &lovage_schedules_sql::MIGRATIONS).await?;
        }
    }
    Ok(())
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

    /// Three primaries with a replica each.
    fn cluster(&mut self) -> Fallible<String> {
        let cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => RedisCluster::start_own(&[])?,
        };
        Ok(self.cluster.insert(cluster).url().to_owned())
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
