//! What is looked at in each case.

use std::time::Duration;

use lovage::{ClientErrorKind, RunningWorker, TaskId, TaskState};
use lovage_conformance::documented;
use lovage_core::{
    Clock as _, DeadReason, Message, Outcome, Page, Place, Reserve, Settle, Settlement, SlotWants,
    StoredMessage, TaskRecord, Token,
};
use lovage_system::{SystemClock, SystemEntropy};

use crate::bed::{Bed, until};
use crate::cases::{self, Case, Ends};
use crate::tasks;

/// A refused message is a dead letter after an hour.
const HOURS: Duration = Duration::from_secs(2 * 3_600);

/// A bad message, and then a good one, which the same worker runs.
pub(crate) async fn one(bed: Bed, case: Case) {
    let worker = bed.worker();
    let message = bed.message(&case.body);
    bed.publish(&message, Duration::ZERO).await;
    case.ends.of(&bed, &message).await;
    bed.goes_on().await;
    if let Ends::Refused { text } = case.ends {
        stopped(worker).await;
        given_up(&bed, &case.body, text).await;
    }
}

/// Bad messages between good ones: none takes another one with it, or its place.
pub(crate) async fn all_at_once(bed: Bed) {
    let cases = [
        cases::garbage(),
        cases::truncated(),
        cases::newer_version(),
        cases::other_signature(),
        cases::unknown_task(),
        cases::too_many_arguments(),
        cases::deep_json(),
        cases::result_that_does_not_serialize(),
        cases::hostile_name(),
    ];
    let messages: Vec<Message> = cases.iter().map(|case| bed.message(&case.body)).collect();
    for message in &messages {
        bed.publish(message, Duration::ZERO).await;
        tasks::add::call(1, 3).queue(&bed.queue).send(&bed.client).await.unwrap();
    }
    let _worker = bed.worker();
    bed.goes_on().await;
    for (case, message) in cases.iter().zip(&messages) {
        case.ends.of(&bed, message).await;
    }
    until("an empty queue", async || {
        let depth = bed.client.broker().depth(&bed.queue, None).await.unwrap();
        (depth.ready + depth.leased == 0).then_some(())
    })
    .await;
}

/// A call of ours that is too large is refused before it is sent.
pub(crate) async fn too_large_to_send(bed: Bed) {
    let _worker = bed.worker();
    let call = tasks::echo::call("x".repeat(50 * 1024 * 1024)).queue(&bed.queue);
    let error = call.send(&bed.client).await.unwrap_err();
    assert_eq!(error.kind(), &ClientErrorKind::Invalid);
    documented(
        "the message of task … has … bytes, the limit is 262144: put large data elsewhere and send a reference to it, or raise the limit (at most 16777216 bytes)",
        &error.to_string(),
    );
    let depth = bed.client.broker().depth(&bed.queue, None).await.unwrap();
    assert_eq!(depth.ready + depth.leased + depth.delayed, 0);
    bed.goes_on().await;
}

impl Ends {
    /// Waits for this end of a message, and looks at everything that is left of it.
    async fn of(&self, bed: &Bed, message: &Message) {
        match self {
            Self::Dead { reason, kind, text } => {
                let row = dead(bed, message, *reason).await;
                error_is(&row, kind, text);
            }
            Self::Refused { .. } => {
                let found = placed(bed, message.id, Place::Delayed).await;
                assert_eq!((found.attempt, found.delivery >= 1, found.notes.len()), (0, true, 0));
                assert_eq!(found.body, message.body);
                assert_eq!(found.state(), TaskState::Scheduled);
                assert_eq!(bed.record(message.id).await, None);
            }
            Self::Retried { kind, text, after } => {
                let found = placed(bed, message.id, Place::Delayed).await;
                assert_eq!((found.attempt, found.state()), (1, TaskState::Retry));
                assert!(found.at.unwrap() > SystemClock::new().now().plus(*after), "{:?}", found.at);
                let row = bed.record(message.id).await.unwrap();
                assert_eq!(row.state, TaskState::Retry);
                error_is(&row, kind, text);
            }
            Self::Succeeds(outcome) => {
                let row = ended(bed, message.id).await;
                assert_eq!(row.state, TaskState::Success);
                match (outcome, &row.outcome) {
                    (Outcome::Marker(text), Outcome::Marker(found)) => documented(text, found),
                    (expected, found) => assert_eq!(expected, found),
                }
            }
        }
    }
}

/// Two hours after a first worker refused it, another one does, too: it is a dead letter, and stays one with a worker that
/// cannot run it either.
async fn given_up(bed: &Bed, body: &[u8], why: &str) {
    let message = bed.message(body);
    bed.publish(&message, HOURS).await;
    refuse(bed, &message, HOURS).await;
    let worker = bed.worker();
    let row = dead_letter(bed, &message, DeadReason::Undeliverable).await;
    documented(why, why_of(&row));
    error_is(&row, "undeliverable", "no worker could run it for an hour: …");
    stopped(worker).await;
    let _next = bed.worker();
    bed.goes_on().await;
    dead(bed, &message, DeadReason::Undeliverable).await;
}

async fn stopped(worker: RunningWorker) {
    worker.stop();
    worker.join().await.unwrap();
}

/// As a worker that cannot run it did this long ago.
async fn refuse(bed: &Bed, message: &Message, ago: Duration) {
    let broker = bed.client.broker();
    let now = Some(SystemClock::new().now().minus(ago));
    let token = Token::new(&SystemEntropy);
    let lease = Duration::from_secs(30);
    let request = Reserve { queue: &bed.queue, want: SlotWants::any(1), token, lease, suspects: false };
    let reserved = broker.reserve(request, now).await.unwrap();
    assert_eq!(reserved.deliveries[0].id, message.id);
    let how = Settle::GiveBack { after: Duration::ZERO, refused: true };
    broker.settle(&bed.queue, token, &[Settlement { id: message.id, how }], now).await.unwrap();
}

/// A dead letter can be found, looked at, read as bytes, and deleted.
async fn dead(bed: &Bed, message: &Message, reason: DeadReason) -> TaskRecord {
    let row = dead_letter(bed, message, reason).await;
    let broker = bed.client.broker();
    let page = broker.peek(&bed.queue, Place::Dead, Page::first(100)).await.unwrap();
    assert!(page.items.iter().any(|letter| letter.id == message.id));
    assert_eq!(broker.delete_dead(&bed.queue, &[message.id]).await.unwrap(), 1);
    assert_eq!(broker.find(message.id, None).await.unwrap(), None);
    row
}

async fn dead_letter(bed: &Bed, message: &Message, reason: DeadReason) -> TaskRecord {
    let letter = placed(bed, message.id, Place::Dead).await;
    assert_eq!((letter.reason, letter.queue.clone()), (Some(reason), bed.queue.clone()));
    assert!(letter.body == message.body, "its bytes are kept");
    let row = ended(bed, message.id).await;
    assert_eq!((row.state, row.run, row.queue.clone()), (TaskState::Failure, 1, bed.queue.clone()));
    let Outcome::Error(report) = &row.outcome else { panic!("no error: {:?}", row.outcome) };
    let note = letter.notes.last().unwrap();
    assert_eq!(note.worker, "w");
    let shown = report.to_string();
    assert_eq!(note.error, &shown[..shown.floor_char_boundary(lovage_core::limits::NOTE_BYTES)]);
    row
}

async fn placed(bed: &Bed, id: TaskId, place: Place) -> StoredMessage {
    until("its place", async || {
        let found = bed.client.broker().find(id, Some(&bed.queue)).await.unwrap();
        found.filter(|message| message.place == place)
    })
    .await
}

async fn ended(bed: &Bed, id: TaskId) -> TaskRecord {
    until("its end", async || bed.record(id).await.filter(|row| row.state.is_terminal())).await
}

fn error_is(row: &TaskRecord, kind: &str, text: &str) {
    let Outcome::Error(report) = &row.outcome else { panic!("no error: {:?}", row.outcome) };
    assert_eq!(report.kind, kind, "{report}");
    if matches!(kind, "panic" | "TaskError") && !text.contains('…') {
        // A task's own words.
        assert_eq!(report.message, text);
    } else {
        documented(text, &report.message);
    }
}

/// Why no worker could run it.
fn why_of(row: &TaskRecord) -> &str {
    let Outcome::Error(report) = &row.outcome else { panic!("no error: {:?}", row.outcome) };
    report.message.split_once(": ").map_or("", |(_, why)| why)
}
