//! Short-lived Lovage results on Redis: read by id and expired by Redis, but not listed; for that there is SQL.

mod results;

pub use results::RedisResults;
