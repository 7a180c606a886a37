//! The contract of result stores, on Redis.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::StoreBed;
use lovage_core::ResultStore;
use lovage_redis::RedisConfig;
use lovage_redis::testing::RedisServer;
use lovage_results_redis::RedisResults;

/// A namespace of its own, so that cases can share a server.
struct Bed {
    server: RedisServer,
    namespace: String,
}

#[async_trait]
impl StoreBed for Bed {
    async fn store(&self) -> Arc<dyn ResultStore> {
        let config = RedisConfig::parse(self.server.url()).expect("the URL of a test server");
        RedisResults::connect_in(&config, &self.namespace).await.expect("a test server answers")
    }

    fn lists(&self) -> bool {
        false
    }
}

async fn bed() -> Box<dyn StoreBed> {
    let server = RedisServer::start().expect("redis-server is installed");
    let namespace = server.unique_name("lv1");
    Box::new(Bed { server, namespace })
}

lovage_conformance::store_suite!(bed);
