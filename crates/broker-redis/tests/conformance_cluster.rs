//! The contract of brokers, on Redis Cluster.

use std::sync::Arc;

use async_trait::async_trait;
use lovage_broker_redis::RedisBroker;
use lovage_conformance::BrokerBed;
use lovage_core::Broker;
use lovage_redis::RedisConfig;
use lovage_redis::testing::RedisCluster;

/// A namespace of its own, so that cases can share a cluster.
struct Bed {
    cluster: RedisCluster,
    namespace: String,
}

#[async_trait]
impl BrokerBed for Bed {
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    async fn handle(&self) -> Arc<dyn Broker> {
        let config = RedisConfig::parse(self.cluster.url()).unwrap();
        RedisBroker::connect_in(&config, &self.namespace).await.unwrap()
    }
}

#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
async fn bed() -> Box<dyn BrokerBed> {
    let cluster = RedisCluster::start().unwrap();
    let namespace = cluster.unique_name("lv1");
    Box::new(Bed { cluster, namespace })
}

lovage_conformance::broker_suite!(bed);
