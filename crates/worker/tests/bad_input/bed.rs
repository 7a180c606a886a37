//! A broker with results, its client, and one worker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage::{Client, RunningWorker, TaskId, Worker};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{Clock, Message, Published, QueueName, TaskRecord};
use lovage_redis::testing::{RedisCluster, RedisServer, unique_name};
use lovage_sql::Database;
use lovage_system::SystemClock;
use lovage_testkit::message;
use tempfile::TempDir;

use crate::tasks;

/// Longer than anything here takes on a busy machine, short enough to fail before the runner gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// A queue of its own, on a broker that others may use too.
pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) queue: QueueName,
    /// Ends with this value.
    _server: Box<dyn fmt::Debug>,
}

pub(crate) async fn memory() -> Bed {
    let clock = Arc::new(SystemClock::new());
    let results = Arc::new(MemoryResults::new(clock.clone()));
    Bed::of(Client::new(MemoryStore::new(clock).handle(), Some(results)), Box::new(()))
}

pub(crate) async fn sqlite() -> Bed {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("lovage.db").display());
    Bed::of(Client::connect(&url).await.unwrap(), Box::new(dir))
}

pub(crate) async fn postgres() -> Bed {
    let url = lovage_sql::postgres::testing::fresh_url().unwrap();
    let database = Database::connect(&url).await.unwrap();
    for migrations in [&lovage_broker_sql::MIGRATIONS, &lovage_results_sql::MIGRATIONS] {
        lovage_sql::migrate(&database, migrations).await.unwrap();
    }
    Bed::of(Client::connect(&url).await.unwrap(), Box::new(()))
}

pub(crate) async fn redis() -> Bed {
    let server = RedisServer::start().unwrap();
    Bed::of(Client::connect(server.url()).await.unwrap(), Box::new(server))
}

pub(crate) async fn redis_cluster() -> Bed {
    let cluster = RedisCluster::start().unwrap();
    Bed::of(Client::connect(cluster.url()).await.unwrap(), Box::new(cluster))
}

impl Bed {
    pub(crate) fn of(client: Client, server: Box<dyn fmt::Debug>) -> Self {
        let queue = QueueName::new(unique_name("bad")).unwrap();
        Self { client, queue, _server: server }
    }

    pub(crate) fn worker(&self) -> RunningWorker {
        Worker::builder()
            .tasks(tasks::all())
            .queues(vec![(self.queue.clone(), 1)])
            .name("w")
            .shared_store(self.client.shared_store().cloned())
            .build(Arc::clone(self.client.broker()), self.client.results().cloned())
            .unwrap()
            .start()
    }

    /// A message of these bytes, in this queue.
    pub(crate) fn message(&self, body: &[u8]) -> Message {
        message(self.queue.as_str()).body(body).build()
    }

    pub(crate) async fn publish(&self, message: &Message, ago: Duration) {
        let then = SystemClock::new().now().minus(ago);
        let now = (!ago.is_zero()).then_some(then);
        let answers = self.client.broker().publish(std::slice::from_ref(message), now).await.unwrap();
        assert_eq!(answers, [Published::Accepted]);
    }

    pub(crate) async fn record(&self, id: TaskId) -> Option<TaskRecord> {
        self.client.results().unwrap().get(&[id], None).await.unwrap().remove(0)
    }

    /// A good task that is sent now runs.
    pub(crate) async fn goes_on(&self) {
        let sent = tasks::add::call(1, 3).queue(&self.queue).send(&self.client).await.unwrap();
        assert_eq!(sent.get(PATIENCE).await.unwrap(), 4);
    }
}

/// Looks until there is something. Each look asks a server or lets everything else run, which paces it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    while clock.monotonic() < PATIENCE {
        if let Some(found) = look().await {
            return found;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited {PATIENCE:?} for {what}, which did not happen")
}
