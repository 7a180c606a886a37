//! The schedule under faults: what beats tell of their rounds, who consumes what they publish, and the judge of both.

pub mod consumer;
pub mod judge;
pub mod rounds;
