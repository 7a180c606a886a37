//! Fires the slots of schedules. Any number of beats may run; there is no leader, and nothing to elect.
//!
//! [`plan`] decides (pure), [`Scheduler`] carries it out: publish, then history and advance in one write. That a slot is
//! published once rests on the fence of the broker's contract alone; that none is missed, on advancing only after the
//! publish.
//!
//! A beat reads what is due within the next second and publishes it from memory at its instant, by the store's clock. While
//! it waits for the broker's answer it may ask the store, and the other way round, so that neither a write nor a look makes a
//! slot late. An entry has one plan at a time: from its publish until that is written it is left alone. What was read more
//! than a second ago is read again before it is published: a beat that was stopped and goes on fires nothing that was edited
//! meanwhile, unless it was stopped between that check and its publish.
//!
//! Each queue is published to in a lane of its own, so that a large batch for one delays no other. A slot that fires up to 5 s
//! late, or up to a minute late because of the beat's own backlog, was not missed. Later it is judged by the entry's
//! [`Misfire`](lovage_core::schedule::Misfire). A slot that a full queue does not take is passed over, and the history says
//! so; one that cannot be published for another reason is tried again.
//!
//! Clocks may be wrong. While the store's clock is ahead of the broker's, slots wait; when it is set back, the beat moves
//! entries back that were done ahead of it, and slots that fired ahead of time do not fire again.

mod ahead;
mod by_hand;
mod outcomes;
mod plan;
mod publish;
mod scheduler;
mod send;
mod told;
mod trouble;

pub use by_hand::{ByHand, run_by_hand};
pub use outcomes::{LastOutcome, last_outcomes, states};
pub use plan::{Moment, Planned, plan};
pub use publish::task_id;
pub use scheduler::{Scheduler, Watch};
pub use told::{fired_by_results, history, untold};
