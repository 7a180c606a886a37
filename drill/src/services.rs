//! The servers that are broken: throw-away ones, on free ports of 127.0.0.1.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing::PgServer;

use crate::Fallible;

/// What keeps tasks or results.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    Redis,
    Postgres,
    Sqlite,
}

/// The servers of one drill.
pub(crate) struct Services {
    broker: Server,
    /// `None`: the broker's.
    results: Option<Server>,
}

enum Server {
    Redis(RedisServer),
    Postgres(PgServer),
    Sqlite(String),
}

impl Services {
    /// Starts them, their files in `dir` as far as they let us choose.
    pub(crate) fn start(broker: Kind, results: Kind, dir: &Path) -> Fallible<Self> {
        let shared = broker == results && broker != Kind::Redis;
        let broker = Server::start(broker, &dir.join("broker"))?;
        let results = if shared { None } else { Some(Server::start(results, &dir.join("results"))?) };
        Ok(Self { broker, results })
    }

    pub(crate) fn broker_url(&self) -> &str {
        self.broker.url()
    }

    pub(crate) fn results_url(&self) -> &str {
        self.results.as_ref().unwrap_or(&self.broker).url()
    }

    /// The broker's server, where it is one that can be stopped.
    pub(crate) fn broker(&mut self) -> Option<Breakable<'_>> {
        self.broker.breakable()
    }

    /// The results' own server, likewise.
    pub(crate) fn results(&mut self) -> Option<Breakable<'_>> {
        self.results.as_mut().and_then(Server::breakable)
    }
}

/// A server that can be stopped.
pub(crate) enum Breakable<'a> {
    Redis(&'a mut RedisServer),
    Postgres(&'a mut PgServer),
}

impl Breakable<'_> {
    /// Ends it as a crash would.
    pub(crate) fn stop(&mut self) -> Fallible<()> {
        match self {
            Self::Redis(redis) => Ok(redis.stop()?),
            Self::Postgres(postgres) => Ok(postgres.stop()?),
        }
    }

    /// Starts it again with what it has kept; returns when it answers.
    pub(crate) fn resume(&mut self) -> Fallible<()> {
        match self {
            Self::Redis(redis) => Ok(redis.restart()?),
            Self::Postgres(postgres) => Ok(postgres.resume()?),
        }
    }
}

impl Server {
    fn start(kind: Kind, dir: &Path) -> Fallible<Self> {
        std::fs::create_dir(dir)?;
        let place = dir.to_str().ok_or("the path of the temporary directory is no text")?;
        Ok(match kind {
            Kind::Redis => Self::Redis(RedisServer::start_own(&["--dir", place, "--appendonly", "yes"])?),
            Kind::Postgres => Self::Postgres(PgServer::start()?),
            Kind::Sqlite => Self::Sqlite(format!("sqlite://{place}/drill.db")),
        })
    }

    fn url(&self) -> &str {
        match self {
            Self::Redis(redis) => redis.url(),
            Self::Postgres(postgres) => postgres.url(),
            Self::Sqlite(url) => url,
        }
    }

    fn breakable(&mut self) -> Option<Breakable<'_>> {
        match self {
            Self::Redis(redis) => Some(Breakable::Redis(redis)),
            Self::Postgres(postgres) => Some(Breakable::Postgres(postgres)),
            Self::Sqlite(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        })
    }
}
