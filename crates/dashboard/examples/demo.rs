//! A dashboard over sample data in memory: `cargo run -p lovage-dashboard --example demo`.
//!
//! It prints a link that logs in once, and another one for each line on its input.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker_memory::{MemoryResults, MemorySchedules, MemoryStore};
use lovage_core::audit::Action;
use lovage_core::schedule::{Entry, Expected, Schedule, ScheduleStore};
use lovage_core::stats::{Counts, DepthSample, StatsStore as _, Tally};
use lovage_core::{
    ActiveTask, Broker, Clock, DeadReason, Delay, Envelope, ErrorReport, Message, Note, Outcome, Payload,
    Priority, Progress, QueueName, RedactedArg, Reserve, ResultStore, ScheduledSlot, Settle, Settlement,
    SlotWants, TaskId, TaskRecord, TaskState, Token, WorkerId, WorkerInfo,
};
use lovage_dashboard::{Dashboard, Parts};
use lovage_system::{SystemClock, SystemEntropy};
use serde_json::json;

type Fallible = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Fallible {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let broker = MemoryStore::new(Arc::clone(&clock)).handle();
    let results = Arc::new(MemoryResults::new(Arc::clone(&clock)));
    let schedules = Arc::new(MemorySchedules::new(Arc::clone(&clock)));
    let demo = Demo { clock: Arc::clone(&clock), broker, results, schedules };
    demo.fill().await?;
    let parts = Parts {
        broker: Arc::clone(&demo.broker),
        results: Arc::clone(&demo.results) as Arc<dyn ResultStore>,
        schedules: Some(Arc::clone(&demo.schedules) as Arc<dyn ScheduleStore>),
        clock,
        entropy: Arc::new(SystemEntropy),
    };
    let dashboard = Dashboard::new(parts);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port())).await?;
    let (links, address) = (dashboard.links(), listener.local_addr()?);
    print(&links.link(address));
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).for_each(|_| print(&links.link(address)));
    });
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(dashboard.serve(listener, stop).await?)
}

fn port() -> u16 {
    std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8410)
}

#[expect(clippy::print_stdout, reason = "this is for a person at a terminal")]
fn print(link: &str) {
    println!("{link}");
}

struct Demo {
    clock: Arc<dyn Clock>,
    broker: Arc<dyn Broker>,
    results: Arc<MemoryResults>,
    schedules: Arc<MemorySchedules>,
}

impl Demo {
    async fn fill(&self) -> Fallible {
        self.dead_letters().await?;
        self.waiting().await?;
        self.results().await?;
        self.statistics().await?;
        self.audit().await?;
        self.entries().await?;
        self.workers().await
    }

    fn message(&self, queue: &str, envelope: &Envelope, delay: Delay) -> Result<Message, Box<dyn Error>> {
        Ok(Message {
            id: TaskId::new(self.clock.now(), &SystemEntropy),
            queue: QueueName::new(queue)?,
            priority: Priority::new(3)?,
            delay,
            unique: None,
            fence: None,
            body: envelope.encode(),
        })
    }

    /// A busy day, with a bad quarter of an hour.
    async fn statistics(&self) -> Fallible {
        let now = self.clock.now();
        let (mut tallies, mut samples) = (Vec::new(), Vec::new());
        for minute in 0..1_440_u64 {
            let at = now.minus(Duration::from_secs(minute * 60));
            let bad = (20..35).contains(&minute);
            let mut counts = Counts { succeeded: 60 + minute * 7 % 23, ..Counts::default() };
            counts.failed = if bad { 25 } else { minute % 9 / 8 };
            counts.wait.record_many(Duration::from_millis(if bad { 4_000 } else { 30 + minute % 40 }), 60);
            counts.run.record_many(Duration::from_millis(120), 55);
            counts.run.record_many(Duration::from_millis(900 + minute % 7 * 200), 5);
            tallies.push(Tally { at, queue: QueueName::new("mail")?, task: "mail.send".to_owned(), counts });
            for (queue, ready) in
                [("mail", if bad { 900 - minute * 20 } else { minute % 13 }), ("math", minute % 5)]
            {
                let queue = QueueName::new(queue)?;
                let oldest = Duration::from_secs(ready / 10);
                samples.push(DepthSample { at, queue, ready, leased: 4, delayed: 2, dead: 9, oldest });
            }
        }
        self.results.add(&tallies).await?;
        Ok(self.results.sample(&samples).await?)
    }

    /// What people did today.
    async fn audit(&self) -> Fallible {
        let now = self.clock.now();
        let action = |minutes: u64, who: &str, what: &str, to: &str, outcome: &str| Action {
            at: now.minus(Duration::from_secs(minutes * 60)),
            who: who.to_owned(),
            address: "10.0.0.7".to_owned(),
            what: what.to_owned(),
            to: to.to_owned(),
            outcome: outcome.to_owned(),
        };
        let store = self.results.audit().ok_or("these results keep actions")?;
        let paused = "`mail` is paused: its tasks wait until it is resumed.";
        let batch = [
            action(310, "(unknown)", "login/failed", "", "Name or password were wrong."),
            action(95, "ann", "login", "", "Logged in."),
            action(92, "ann", "queues/pause", "mail", paused),
            action(61, "ann", "queues/resume", "mail", "`mail` is open again."),
            action(60, "ci", "queues/pause", "nowhere", "refused: there is no queue `nowhere`"),
            action(12, "bob", "schedules/disable", "`nightly`", "The schedule `nightly` is disabled."),
        ];
        Ok(store.record(&batch).await?)
    }

    async fn dead_letters(&self) -> Fallible {
        let queue = QueueName::new("mail")?;
        let reasons = [DeadReason::Exhausted, DeadReason::Permanent, DeadReason::Poisoned];
        for (number, reason) in (0..9).zip(reasons.into_iter().cycle()) {
            let arguments =
                format!("[\"customer{number}@example.com\",{{\"template\":\"welcome\",\"locale\":\"de\"}}]");
            let envelope = Envelope::new("shop.mail.send_welcome", Payload::Json(arguments));
            let dead = self.message("mail", &envelope, Delay::None)?;
            self.broker.publish(std::slice::from_ref(&dead), None).await?;
            let token = Token::new(&SystemEntropy);
            let lease = Duration::from_secs(60);
            self.broker
                .reserve(
                    Reserve { queue: &queue, want: SlotWants::any(1), token, lease, suspects: true },
                    None,
                )
                .await?;
            let error = "550 mailbox unavailable: the server mx1.example.com does not know this user, and said so in a long sentence";
            let how =
                Settle::DeadLetter { reason, note: Note::new(self.clock.now(), "worker-2@shop", error) };
            self.broker.settle(&queue, token, &[Settlement { id: dead.id, how }], None).await?;
        }
        Ok(())
    }

    async fn waiting(&self) -> Fallible {
        let mut pay =
            Envelope::new("shop.payments.charge", Payload::Json("[1042,\"4111111111111111\"]".into()));
        pay.redacted = vec![RedactedArg { index: 1, name: "card".into() }];
        pay.headers = BTreeMap::from([("request-id".to_owned(), "req_8f2c".to_owned())]);
        let resize = Envelope::new(
            "shop.images.resize",
            Payload::Json("{\"path\":\"/srv/images/2026/11/24/a-rather-long-name-of-a-picture.jpeg\",\"sizes\":[64,128,256,512]}".into()),
        );
        let mut batch = Vec::new();
        for number in 0..60_u64 {
            batch.push(self.message("default", &pay, Delay::None)?);
            batch.push(self.message("images", &resize, Delay::None)?);
            batch.push(self.message(
                "images",
                &resize,
                Delay::For(Duration::from_secs(60 * (number + 1))),
            )?);
        }
        batch.push(self.message(
            "reports",
            &Envelope::new("shop.reports.monthly", Payload::empty()),
            Delay::None,
        )?);
        self.broker.publish(&batch, None).await?;
        self.broker.pause(&QueueName::new("reports")?).await?;
        Ok(())
    }

    async fn results(&self) -> Fallible {
        let now = self.clock.now();
        let mut records = Vec::new();
        for number in 0..130_u64 {
            let ended = now.minus(Duration::from_secs(number * 47));
            let (state, outcome) = match number % 9 {
                3 => (TaskState::Failure, Outcome::Error(report())),
                5 => (TaskState::Retry, Outcome::Error(ErrorReport::new("timeout", "no answer within 10s"))),
                7 => (TaskState::Revoked, Outcome::None),
                _ => (
                    TaskState::Success,
                    Outcome::Result(format!("{{\"receipt\":\"R-{number:05}\",\"paid\":true}}")),
                ),
            };
            records.push(TaskRecord {
                id: TaskId::new(ended, &SystemEntropy),
                run: 1,
                delivery: 1,
                attempt: u32::from(matches!(outcome, Outcome::Error(_))),
                task: if number % 2 == 0 { "shop.payments.charge" } else { "shop.images.resize" }.to_owned(),
                arguments: format!("[{number},\"[redacted]\"]"),
                state,
                outcome,
                worker: format!("worker-{}@shop", number % 3 + 1),
                queue: QueueName::default(),
                priority: Priority::LOWEST,
                enqueued_at: ended.minus(Duration::from_secs(9)),
                started_at: Some(ended.minus(Duration::from_millis(1_200 + number))),
                finished_at: ended,
                run_time: Some(Duration::from_millis(1_200 + number)),
                schedule: (number % 11 == 0).then(|| ScheduledSlot { name: "nightly".into(), slot: ended }),
                lineage: None,
                headers: BTreeMap::new(),
                keep_for: Duration::from_secs(86_400),
                warning: None,
            });
        }
        self.results.record(&records, None).await?;
        Ok(())
    }

    async fn entries(&self) -> Fallible {
        let berlin = |expression| Schedule::crontab(expression, "Europe/Berlin");
        for (name, task, schedule) in [
            ("nightly", "shop.reports.nightly", berlin("0 3 * * *")?),
            ("weekly newsletter", "shop.mail.newsletter", berlin("30 7 * * mon")?),
            ("clean carts", "shop.carts.clean", Schedule::every(Duration::from_secs(300))?),
            ("spring", "shop.reports.nightly", berlin("30 2 * 3 sun")?),
        ] {
            let mut entry = Entry::new(name.parse()?, task.parse()?, schedule);
            entry.enabled = name != "spring";
            self.schedules.put(&entry, Expected::New, None).await?;
        }
        Ok(())
    }

    async fn workers(&self) -> Fallible {
        let now = self.clock.now();
        let queue = QueueName::new("images")?;
        let token = Token::new(&SystemEntropy);
        let lease = Duration::from_secs(3_600);
        let held = self
            .broker
            .reserve(Reserve { queue: &queue, want: SlotWants::any(4), token, lease, suspects: true }, None)
            .await?;
        let active = held.deliveries.iter().zip(1..).map(|(delivery, number)| ActiveTask {
            id: delivery.id,
            task: "shop.images.resize".into(),
            queue: queue.clone(),
            started_at: now.minus(Duration::from_secs(75)),
            progress: Some(Progress { done: number * 11, total: 60, message: "scaling to 1600 px".into() }),
            blocks_since: None,
        });
        let known = [
            json!({ "name": "shop.images.resize", "signature": "(path: String, sizes: Vec<u32>) -> u64" }),
            json!({ "name": "mail.send", "signature": "(to: String, retries: u8 = …) -> ()" }),
            json!({ "name": "shop.mail.send_welcome", "signature": "(to: String, options: Options) -> ()" }),
        ];
        let info: WorkerInfo = serde_json::from_value(json!({
            "id": WorkerId::new(&SystemEntropy), "name": "worker-1@shop", "host": "shop-7f9c", "pid": 4_711,
            "version": env!("CARGO_PKG_VERSION"), "started_at": now.minus(Duration::from_secs(7_300)),
            "mode": "running", "queues": ["images", "mail"], "concurrency": 64, "blocking": 8, "tasks": known,
            "active": active.collect::<Vec<_>>(), "reserved": 2, "succeeded": 48_211, "failed": 17,
            "memory": 50_541_363, "cpu": 420,
        }))?;
        let (broker, clock) = (Arc::clone(&self.broker), Arc::clone(&self.clock));
        broker.heartbeat(&info, Duration::from_secs(60), None).await?;
        tokio::spawn(async move {
            loop {
                clock.sleep(Duration::from_secs(5)).await;
                drop(broker.heartbeat(&info, Duration::from_secs(60), None).await);
            }
        });
        Ok(())
    }
}

fn report() -> ErrorReport {
    ErrorReport {
        chain: vec!["connection reset by peer (os error 104)".into(), "TLS handshake was not finished".into()],
        backtrace: Some("   0: shop::payments::charge\n             at src/payments.rs:42:9\n   1: tokio::runtime::task::core::Core<T,S>::poll".into()),
        ..ErrorReport::new("shop::payments::GatewayError", "the payment gateway did not take the charge of order 1042")
    }
}
