//! What can be done: the same for people and for programs.

pub(crate) mod dead;
pub(crate) mod finished;
pub(crate) mod queues;
pub(crate) mod schedules;
pub(crate) mod tasks;
pub(crate) mod workers;
