//! Recording and settling in one transaction, where broker and results are one PostgreSQL database.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_client::connect::{Backends, open_both};
use lovage_core::{
    Outcome, Place, Reserve, Settle, SettlePart, Settled, Settlement, SlotWants, TaskId, TaskState, Token,
};
use lovage_sql::Database;
use lovage_sql::postgres::testing::fresh_url;
use lovage_system::SystemEntropy;

struct Bed {
    database: Database,
    backends: Backends,
}

async fn bed() -> Bed {
    let url = fresh_url().unwrap();
    let database = Database::connect(&url).await.unwrap();
    lovage_sql::migrate(&database, &lovage_broker_sql::MIGRATIONS).await.unwrap();
    lovage_sql::migrate(&database, &lovage_results_sql::MIGRATIONS).await.unwrap();
    Bed { database, backends: open_both(&url, &url).await.unwrap() }
}

impl Bed {
    /// Publishes a message, reserves it, and says how it ends.
    async fn running(&self) -> (TaskId, SettlePart) {
        let queue = lovage_testkit::queue("q");
        let message = lovage_testkit::message(&queue).build();
        let token = Token::new(&SystemEntropy);
        let broker = &self.backends.broker;
        broker.publish(std::slice::from_ref(&message), None).await.unwrap();
        let request = Reserve {
            queue: &queue,
            want: SlotWants::any(1),
            token,
            lease: Duration::from_secs(30),
            suspects: false,
        };
        assert_eq!(broker.reserve(request, None).await.unwrap().deliveries.len(), 1);
        let batch = vec![Settlement { id: message.id, how: Settle::Ack }];
        (message.id, SettlePart { queue, token, batch })
    }

    async fn conclude(
        &self,
        id: TaskId,
        outcome: Outcome,
        part: &SettlePart,
    ) -> Result<Option<Vec<Vec<Settled>>>, lovage_core::BackendError> {
        let mut record = lovage_testkit::record(id, (1, 1, 0), TaskState::Success);
        record.outcome = outcome;
        let shared = self.backends.shared.as_ref().unwrap();
        shared.record_and_settle(&[record], std::slice::from_ref(part)).await
    }

    /// Whether there is a record, and where the message is.
    async fn state(&self, id: TaskId) -> (bool, Option<Place>) {
        let record = self.backends.results.get(&[id], None).await.unwrap().pop().flatten();
        let message = self.backends.broker.find(id, None).await.unwrap();
        (record.is_some(), message.map(|message| message.place))
    }
}

#[tokio::test]
async fn both_are_done() {
    let bed = bed().await;
    let (id, part) = bed.running().await;
    let answers = bed.conclude(id, Outcome::Result("4".to_owned()), &part).await.unwrap();
    assert_eq!(answers, Some(vec![vec![Settled::Applied]]));
    assert_eq!(bed.state(id).await, (true, None));
}

#[tokio::test]
async fn record_of_a_lost_lease_is_kept() {
    let bed = bed().await;
    let (id, mut part) = bed.running().await;
    part.token = Token::new(&SystemEntropy);
    let answers = bed.conclude(id, Outcome::Result("4".to_owned()), &part).await.unwrap();
    assert_eq!(answers, Some(vec![vec![Settled::LeaseLost]]));
    assert_eq!(bed.state(id).await, (true, Some(Place::Leased)));
}

#[tokio::test]
async fn nothing_is_done_when_the_store_refuses_a_record() {
    let bed = bed().await;
    let (id, part) = bed.running().await;
    let too_large = Outcome::Result("4".repeat(lovage_core::limits::MESSAGE_MAX + 1));
    let answers = bed.conclude(id, too_large, &part).await.unwrap();
    assert_eq!(answers, None);
    assert_eq!(bed.state(id).await, (false, Some(Place::Leased)));
}

#[tokio::test]
async fn nothing_is_recorded_when_the_settlement_fails() {
    let bed = bed().await;
    let (id, part) = bed.running().await;
    let Database::Postgres(database) = &bed.database else { panic!("this is PostgreSQL") };
    let break_it = sqlx::query("DROP FUNCTION lovage_settle");
    database.rows("breaking it", break_it).await.unwrap();
    bed.conclude(id, Outcome::Result("4".to_owned()), &part).await.unwrap_err();
    assert_eq!(bed.state(id).await, (false, Some(Place::Leased)));
}

#[tokio::test]
async fn two_databases_are_not_shared() {
    let (one, other) = (fresh_url().unwrap(), fresh_url().unwrap());
    for url in [&one, &other] {
        let database = Database::connect(url).await.unwrap();
        lovage_sql::migrate(&database, &lovage_broker_sql::MIGRATIONS).await.unwrap();
        lovage_sql::migrate(&database, &lovage_results_sql::MIGRATIONS).await.unwrap();
    }
    assert!(open_both(&one, &other).await.unwrap().shared.is_none());
}
