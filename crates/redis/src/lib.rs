//! One set-up of Redis connections for Lovage: URL, credentials, reconnects, scripts.
//!
//! [`Redis`] is one multiplexed connection (concurrent commands share round trips) that reconnects for ever;
//! [`Subscriber`] is the one connection of the process that listens; [`Script`] runs Lua. What keys there are
//! and what they mean is not this crate's business.

mod config;
mod connect;
mod error;
mod script;
mod server_info;
mod silence;
mod subscriber;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;

pub use config::{Durability, RedisConfig, SCHEMES};
pub use connect::Redis;
pub use error::redis_error;
pub use script::Script;
pub use subscriber::{Subscriber, SubscriberEvent, SubscriberEvents};
