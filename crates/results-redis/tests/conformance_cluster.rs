//! The contract of result stores, on Redis Cluster.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_conformance::StoreBed;
use lovage_core::ResultStore;
use lovage_redis::RedisConfig;
use lovage_redis::testing::RedisCluster;
use lovage_results_redis::RedisResults;

/// A namespace of its own, so that cases can share a cluster.
struct Bed {
    cluster: RedisCluster,
    namespace: String,
}

#[async_trait]
impl StoreBed for Bed {
    async fn store(&self) -> Arc<dyn ResultStore> {
        let config = RedisConfig::parse(self.cluster.url()).expect("the URL of a test cluster");
        RedisResults::connect_in(&config, &self.namespace).await.expect("a test cluster answers")
    }

    fn lists(&self) -> bool {
        false
    }
}

async fn bed() -> Box<dyn StoreBed> {
    let cluster = RedisCluster::start().expect("a cluster forms");
    let namespace = cluster.unique_name("lv1");
    Box::new(Bed { cluster, namespace })
}

lovage_conformance::store_suite!(bed);
