//! Tasks that wait or run, and dead letters: from the broker.

use lovage_core::{Envelope, Hidden, Place, QueueName, StoredMessage, TaskState};
use schemars::JsonSchema;
use serde::Serialize;

use super::queues::{QueueRow, existing, rows};
use super::{At, part};
use crate::call::Call;
use crate::problem::Problem;

/// A task that is in the broker.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct LiveRow {
    pub(crate) id: String,
    /// Its name; where its message cannot be read, why.
    pub(crate) task: String,
    /// As JSON text, what must not be seen hidden.
    pub(crate) arguments: String,
    pub(crate) queue: String,
    /// 0 to 9, 9 first.
    pub(crate) priority: u8,
    /// `ready`, `delayed`, `leased` or `dead`.
    pub(crate) place: &'static str,
    #[schemars(with = "String")]
    pub(crate) state: TaskState,
    /// 1, and one more for each requeue after its end.
    pub(crate) run: u32,
    /// Hand-outs so far.
    pub(crate) delivery: u32,
    /// Failed attempts in this run.
    pub(crate) attempt: u32,
    pub(crate) published_at: At,
    /// Due later: when. Running: when its lease ends unless renewed. Dead: since when.
    pub(crate) at: Option<At>,
    /// Whether it waits because no worker that got it could run it.
    pub(crate) given_back: bool,
    /// Whether it was cancelled or replaced.
    pub(crate) revoked: bool,
    /// Why it is dead.
    pub(crate) reason: Option<&'static str>,
    /// The last error.
    pub(crate) error: Option<String>,
}

/// A part of a list.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// `after` of the next part; nothing at the end.
    pub(crate) next: Option<String>,
}

/// What the page of live tasks shows.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) queues: Vec<QueueRow>,
    /// `None` where there is no queue.
    pub(crate) queue: Option<QueueName>,
    pub(crate) place: Place,
}

pub(crate) async fn live(call: Call) -> Result<Part<LiveRow>, Problem> {
    let queue = existing(&call, "queue").await?;
    let place = place(&call)?.unwrap_or(Place::Ready);
    peek(&call, &queue, place).await
}

pub(crate) async fn dead(call: Call) -> Result<Part<LiveRow>, Problem> {
    let queue = existing(&call, "queue").await?;
    peek(&call, &queue, Place::Dead).await
}

/// Which queue and which place are asked for: where nothing is said, the first where there is something.
pub(crate) async fn choice(call: &Call, fixed: Option<Place>) -> Result<Choice, Problem> {
    let queues = rows(&call.app).await?;
    let asked = match fixed {
        Some(place) => Some(place),
        None => place(call)?,
    };
    let named = match call.input.get("queue") {
        Some(_) => Some(existing(call, "queue").await?),
        None => None,
    };
    let places: &[Place] = match &asked {
        Some(place) => std::slice::from_ref(place),
        None => &[Place::Leased, Place::Ready, Place::Delayed],
    };
    let candidates = queues.iter().filter(|row| named.as_ref().is_none_or(|name| row.name == name.as_str()));
    let filled = candidates
        .flat_map(|row| places.iter().map(move |place| (row, *place)))
        .find(|(row, place)| held(row, *place) > 0);
    let place = filled.map(|(_, place)| place).or(asked).unwrap_or(Place::Ready);
    let first = filled.map(|(row, _)| row).or(queues.first());
    let queue = named.or_else(|| first.and_then(|row| row.name.parse().ok()));
    Ok(Choice { queues, queue, place })
}

/// How much a queue holds in a place.
pub(crate) const fn held(row: &QueueRow, place: Place) -> u64 {
    match place {
        Place::Ready => row.ready,
        Place::Delayed => row.delayed,
        Place::Leased => row.leased,
        Place::Dead => row.dead,
    }
}

/// A part of one place of a queue.
pub(crate) async fn peek(call: &Call, queue: &QueueName, place: Place) -> Result<Part<LiveRow>, Problem> {
    let paged = part(call, |page| call.app.parts.broker.peek(queue, place, page)).await?;
    let hidden = call.app.hidden().await;
    let row = |message| LiveRow::of(message, &hidden);
    Ok(Part { items: paged.items.iter().map(row).collect(), next: paged.next })
}

fn place(call: &Call) -> Result<Option<Place>, Problem> {
    let Some(word) = call.input.get("place") else { return Ok(None) };
    let found = Place::ALL.into_iter().find(|place| place.as_str() == word);
    found.map(Some).ok_or_else(|| {
        Problem::wrong(format!("place `{word}` is not valid: expected ready, delayed, leased or dead"))
    })
}

impl LiveRow {
    pub(super) fn of(message: &StoredMessage, hidden: &Hidden) -> Self {
        let (task, arguments) = match Envelope::decode(&message.body) {
            Ok(envelope) => {
                let arguments = hidden.shown(&envelope);
                (envelope.task, arguments)
            }
            Err(error) => (format!("({error})"), String::new()),
        };
        Self {
            id: message.id.to_string(),
            task,
            arguments,
            queue: message.queue.to_string(),
            priority: message.priority.get(),
            place: message.place.as_str(),
            state: message.state(),
            run: message.run,
            delivery: message.delivery,
            attempt: message.failed_attempts(),
            published_at: At(message.published_at),
            at: message.at.map(At),
            given_back: message.is_given_back(),
            revoked: message.revoked,
            reason: message.reason.map(lovage_core::DeadReason::as_str),
            error: message.notes.last().map(|note| note.error.clone()),
        }
    }
}
