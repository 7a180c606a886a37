//! Fake clock, seeded randomness, factories, faults, and inline and recording clients for tests of Lovage and of its users.

mod clock;
mod entropy;
mod factory;
mod faults;
mod wait;

pub use clock::FakeClock;
pub use entropy::SeededEntropy;
pub use factory::{MessageBuilder, envelope, message, queue};
pub use faults::{Fault, FaultyBroker, Operation};
pub use wait::{settled_down, still_pending, within};
