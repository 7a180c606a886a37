//! Throw-away servers for tests: a single Redis, a cluster, one watched by sentinels, one with TLS.

mod cluster;
mod process;
mod sentinel;
mod server;
mod tls;

pub use cluster::{CLUSTER_URL_VARIABLE, RedisCluster};
pub use sentinel::RedisSentinel;
pub use server::{RedisServer, URL_VARIABLE, unique_name};
pub use tls::{TestCertificates, TlsRedisServer};
