//! Fires the slots of schedules. Any number of beats may run; there is no leader, and nothing to elect.
//!
//! [`plan`] decides (pure), [`Scheduler`] carries it out: publish, history, advance. That a slot is published once
//! rests on the fence of the broker's contract alone; that none is missed, on advancing only after the publish.

mod plan;
mod publish;
mod scheduler;

pub use plan::{Planned, plan};
pub use scheduler::Scheduler;
