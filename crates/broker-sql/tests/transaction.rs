//! Publishing inside a transaction of the application on PostgreSQL.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_broker_sql::{MIGRATIONS, PgBroker};
use lovage_core::{
    BackendErrorKind, Broker as _, Delivery, Hint, Inspect as _, Message, Published, QueueName, Reserve,
    SlotWants, Token,
};
use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use lovage_system::{SystemClock, SystemEntropy};
use lovage_testkit::{message, within};
use sqlx::{Connection as _, PgConnection};

const PATIENCE: Duration = Duration::from_secs(10);

/// A schema that only the broker's URL names, and the application's connections to the same database.
struct Bed {
    url: String,
    queue: QueueName,
}

async fn bed() -> Bed {
    let url = fresh_url().unwrap();
    let db = PgDatabase::connect(&url).await.unwrap();
    lovage_sql::migrate(&db.into(), &MIGRATIONS).await.unwrap();
    Bed { url, queue: lovage_testkit::queue("q") }
}

impl Bed {
    async fn join(&self) -> PgBroker {
        PgBroker::open(PgDatabase::connect(&self.url).await.unwrap()).await.unwrap()
    }

    async fn application(&self) -> PgConnection {
        let (place, _) = self.url.split_once("schema=").unwrap();
        PgConnection::connect(place.trim_end_matches(['?', '&'])).await.unwrap()
    }

    async fn take(&self, broker: &PgBroker) -> Vec<Delivery> {
        let token = Token::new(&SystemEntropy);
        let lease = Duration::from_secs(30);
        let request = Reserve { queue: &self.queue, want: SlotWants::any(10), token, lease, suspects: true };
        broker.reserve(request, None).await.unwrap().deliveries
    }

    async fn exists(&self, broker: &PgBroker, message: &Message) -> bool {
        broker.find(message.id, None).await.unwrap().is_some()
    }
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    within(&SystemClock::new(), PATIENCE, what, future).await
}

async fn woken(broker: &PgBroker) -> QueueName {
    loop {
        if let Hint::Work(queue) = broker.hint().await {
            return queue;
        }
    }
}

#[tokio::test]
async fn message_exists_from_the_commit_on_and_wakes_an_idle_worker() {
    let bed = bed().await;
    let (client, worker) = (bed.join().await, bed.join().await);
    let mut app = bed.application().await;
    assert!(bed.take(&worker).await.is_empty(), "it is idle");
    let sent = message(&bed.queue).build();

    let mut tx = app.begin().await.unwrap();
    let answers = client.publish_on(&mut tx, std::slice::from_ref(&sent)).await.unwrap();
    assert_eq!(answers, [Published::Accepted]);
    assert!(!bed.exists(&client, &sent).await, "before the commit");
    tx.commit().await.unwrap();

    assert_eq!(in_time("a hint of work", woken(&worker)).await, bed.queue);
    let ids: Vec<_> = bed.take(&worker).await.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, [sent.id]);
}

#[tokio::test]
async fn message_of_a_transaction_that_is_rolled_back_never_exists() {
    let bed = bed().await;
    let broker = bed.join().await;
    let mut app = bed.application().await;
    let sent = message(&bed.queue).unique("k").build();

    let mut tx = app.begin().await.unwrap();
    broker.publish_on(&mut tx, std::slice::from_ref(&sent)).await.unwrap();
    tx.rollback().await.unwrap();

    assert!(!bed.exists(&broker, &sent).await);
    assert!(bed.take(&broker).await.is_empty());
    let again = message(&bed.queue).unique("k").build();
    assert_eq!(broker.publish(&[again], None).await.unwrap(), [Published::Accepted], "its key is free");
}

#[tokio::test]
async fn refusals_are_answered_inside_the_transaction() {
    let bed = bed().await;
    let broker = bed.join().await;
    let mut app = bed.application().await;
    let holder = message(&bed.queue).unique("k").build();
    broker.publish(std::slice::from_ref(&holder), None).await.unwrap();

    let mut tx = app.begin().await.unwrap();
    let (other, late) = (message("other").build(), message(&bed.queue).unique("k").build());
    let answers = broker.publish_on(&mut tx, &[other.clone(), late.clone()]).await.unwrap();
    assert_eq!(answers, [Published::Accepted, Published::Duplicate { holder: holder.id }]);
    tx.commit().await.unwrap();
    assert!(bed.exists(&broker, &other).await && !bed.exists(&broker, &late).await);
}

/// Its first use registers a queue: who registers it in a long transaction must not make everybody wait.
#[tokio::test]
async fn open_transaction_on_a_new_queue_keeps_nobody_waiting() {
    let bed = bed().await;
    let (client, worker) = (bed.join().await, bed.join().await);
    let mut app = bed.application().await;
    let mut tx = app.begin().await.unwrap();
    client.publish_on(&mut tx, &[message(&bed.queue).build()]).await.unwrap();

    assert!(in_time("a look that finds nothing", bed.take(&worker)).await.is_empty());
    let beside = message(&bed.queue).build();
    let published = worker.publish(std::slice::from_ref(&beside), None);
    assert_eq!(in_time("a publish beside it", published).await.unwrap(), [Published::Accepted]);
    assert_eq!(in_time("its reservation", bed.take(&worker)).await.len(), 1);

    let mut second = bed.application().await;
    let mut second = second.begin().await.unwrap();
    let another = [message(&bed.queue).build()];
    let publishing = client.publish_on(&mut second, &another);
    in_time("a second transaction", publishing).await.unwrap();
    in_time("its commit", second.commit()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bed.take(&worker).await.len(), 2);
}

#[tokio::test]
async fn connection_to_another_database_is_told_so() {
    let bed = bed().await;
    let broker = bed.join().await;
    let mut app = bed.application().await;
    // So it looks like a database without the tables.
    let gone = "DROP FUNCTION lovage_publish";
    PgDatabase::connect(&bed.url).await.unwrap().rows("test", sqlx::query(gone)).await.unwrap();

    let mut tx = app.begin().await.unwrap();
    let error = broker.publish_on(&mut tx, &[message(&bed.queue).build()]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("the broker's database") && text.contains("lovage migrate"), "{text}");
}
