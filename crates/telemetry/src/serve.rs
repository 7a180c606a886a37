//! The HTTP side: metrics and health, for whoever can reach the address.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lovage_core::Timestamp;
use lovage_http::Limits;
use tokio::net::TcpListener;

use crate::{Health, Telemetry};

/// What Prometheus calls the format.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Telemetry {
    /// Serves `/metrics` and `/health/…` until `stop` ends.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let clock = Arc::clone(&self.clock);
        lovage_http::serve(listener, self.router(), Limits::for_process(Vec::new()), clock, stop).await
    }

    /// The routes by themselves.
    pub fn router(self: Arc<Self>) -> Router {
        let (metrics, ready, progress) = (Arc::clone(&self), Arc::clone(&self), self);
        Router::new()
            .route("/metrics", get(async move || metrics.metrics().await))
            // Whoever gets this answer has asked the runtime in which tasks run.
            .route("/health/live", get(async || "alive\n"))
            .route("/health/ready", get(async move || answer(&ready.ready().await)))
            .route("/health/progress", get(async move || answer(&progress.progress().await)))
    }

    async fn metrics(&self) -> Response {
        let found = self.ask().await.map_err(|why| tracing::debug!("metrics without queues: {why}")).ok();
        let (now, due) = (self.clock.now(), Timestamp::from_micros(self.due.load(Ordering::Relaxed)));
        self.metrics.set_broker(found.as_ref(), now);
        self.metrics.set_overdue(now.since(due));
        self.metrics.set_worker(self.slots.load(Ordering::Relaxed), self.held.load(Ordering::Relaxed));
        self.metrics.set_dropped_lines((self.dropped_lines)());
        ([(header::CONTENT_TYPE, FORMAT)], self.metrics.text()).into_response()
    }
}

fn answer(health: &Health) -> Response {
    let status = if health.is_good() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", health.words())).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lovage_broker_memory::MemoryStore;
    use lovage_core::{BackendErrorKind, Broker as _, Clock as _, Control as _, QueueName};
    use lovage_testkit::{FakeClock, Fault, FaultyBroker, Operation, message};

    use super::*;

    struct Process {
        clock: FakeClock,
        broker: Arc<FaultyBroker>,
        telemetry: Arc<Telemetry>,
        queue: QueueName,
    }

    impl Process {
        fn new(slots: usize) -> Self {
            let clock = FakeClock::new();
            let shared: Arc<dyn lovage_core::Clock> = Arc::new(clock.clone());
            let broker = FaultyBroker::new(MemoryStore::new(Arc::clone(&shared)).handle());
            let queue = QueueName::default_queue();
            let telemetry = Telemetry::new("own", "1", broker.clone(), shared).of_worker([queue.clone()]);
            telemetry.set_slots(slots);
            Self { clock, broker, telemetry: Arc::new(telemetry), queue }
        }

        async fn send(&self) {
            self.broker.publish(&[message(&self.queue).build()], None).await.unwrap();
        }

        async fn progress(&self) -> String {
            match self.telemetry.progress().await {
                Health::Good(words) => format!("good: {words}"),
                Health::Away(words) => format!("away: {words}"),
                Health::Stuck(words) => format!("bad: {words}"),
            }
        }
    }

    #[tokio::test]
    async fn a_worker_that_takes_nothing_while_something_waits_is_not_well() {
        let process = Process::new(2);
        process.clock.advance(Duration::from_secs(1_000));
        assert_eq!(process.progress().await, "good: it moves: 0 of 2 slots are busy");
        process.send().await;
        assert!(process.progress().await.starts_with("good"), "it has only just come");
        process.clock.advance(Duration::from_secs(59));
        assert!(process.progress().await.starts_with("good"));
        process.clock.advance(Duration::from_secs(2));
        let told = process.progress().await;
        assert_eq!(
            told,
            "bad: it has taken nothing for 61 s although tasks wait in default and 0 of 2 slots are busy"
        );
        process.telemetry.received();
        assert!(process.progress().await.starts_with("good"), "it takes something");
        process.telemetry.received();
        process.clock.advance(Duration::from_secs(600));
        assert!(process.progress().await.starts_with("good"), "all its slots are busy");
        process.telemetry.gone();
        process.clock.advance(Duration::from_secs(600));
        assert!(process.progress().await.starts_with("good"), "its slots were busy until now");
        process.broker.pause(&process.queue).await.unwrap();
        process.clock.advance(Duration::from_secs(600));
        assert!(process.progress().await.starts_with("good"), "somebody wants it to wait");
    }

    #[tokio::test]
    async fn a_slot_that_is_due_and_not_sent_is_overdue_until_it_is_sent() {
        let process = Process::new(1);
        let overdue = async || {
            let bytes = axum::body::to_bytes(process.telemetry.metrics().await.into_body(), 1 << 20).await;
            let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("lovage_schedule_overdue_seconds "));
            line.unwrap().to_owned()
        };
        assert_eq!(overdue().await, "0.0");
        process.telemetry.next_slot(Some(process.clock.now().plus(Duration::from_secs(60))));
        process.clock.advance(Duration::from_secs(60));
        assert_eq!(overdue().await, "0.0");
        process.clock.advance(Duration::from_secs(90));
        assert_eq!(overdue().await, "90.0");
        process.telemetry.next_slot(None);
        assert_eq!(overdue().await, "0.0");
    }

    #[tokio::test]
    async fn a_beat_that_looks_no_more_is_not_well() {
        let mut process = Process::new(1);
        let beat = Telemetry::new("own", "1", process.broker.clone(), Arc::new(process.clock.clone()));
        process.telemetry = Arc::new(beat.of_beat(Duration::from_secs(20)));
        process.telemetry.looked();
        process.clock.advance(Duration::from_secs(60));
        assert!(process.progress().await.starts_with("good"));
        process.clock.advance(Duration::from_secs(60));
        assert_eq!(process.progress().await, "bad: the beat has not looked at its schedule for 120 s");
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_told_by_all_but_live() {
        let process = Process::new(1);
        assert_eq!(process.telemetry.ready().await, Health::Good("ready".to_owned()));
        for _ in 0..3 {
            process.broker.fail_next(Operation::Inspect, Fault::Error(BackendErrorKind::Unavailable));
        }
        assert!(!process.telemetry.ready().await.is_good());
        assert!(process.progress().await.starts_with("away: "), "starting it anew would not help");
        process.telemetry.metrics().await;
        assert!(process.telemetry.metrics.text().contains("lovage_broker_up 0"));
        process.send().await;
        process.telemetry.metrics().await;
        let text = process.telemetry.metrics.text();
        assert!(
            text.contains("lovage_broker_up 1") && text.contains(r#"lovage_queue_ready{queue="default"} 1"#),
            "{text}"
        );
    }
}
