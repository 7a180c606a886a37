//! Fake clock, seeded randomness, factories, faults, and inline and recording clients for tests of Lovage and of its users.

#[cfg(feature = "client")]
mod client;
mod clock;
mod entropy;
mod factory;
mod faults;
mod relay;
mod wait;

#[cfg(feature = "client")]
pub use client::{Recording, Sent, inline_client};
pub use clock::FakeClock;
pub use entropy::SeededEntropy;
pub use factory::{MessageBuilder, envelope, message, queue, record};
pub use faults::{Fault, FaultyBroker, Operation};
pub use relay::Relay;
pub use wait::{settled_down, still_pending, within};
