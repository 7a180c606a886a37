//! From send to start at a low load, and from send to the value in hand.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lovage::{TaskError, Worker, tasks};
use lovage_client::Client;
use lovage_core::{Broker, Clock as _, Delivery, QueueName, Reserve, SlotWants, Token};
use lovage_redis::{Redis, RedisConfig, Script, SubscriberEvent};
use lovage_system::{SystemClock, SystemEntropy};

use crate::report::Report;
use crate::targets::{NONE, Target, VALUE_P50};
use crate::throughput::message;
use crate::{Bed, Fallible, Kind, queue};

const SAMPLES: usize = 1_000;
/// From one to the next.
const PAUSE: Duration = Duration::from_millis(10);

static CLOCK: OnceLock<SystemClock> = OnceLock::new();
static TAKEN: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

/// Notes how long it was on its way. Sender and worker share this process and so a clock.
#[lovage::task(name = "bench.stamp")]
async fn stamp(sent_micros: u64) -> Result<u64, TaskError> {
    let now = CLOCK.get_or_init(SystemClock::new).monotonic();
    let took = now.saturating_sub(Duration::from_micros(sent_micros));
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    Ok(sent_micros)
}

/// At 100 tasks a second, with results in each place.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Fallible<()> {
    if bed.kind == Kind::Redis {
        let mut bare = bare(bed).await?;
        add(report, "a message heard, and a round trip that does nothing", &mut bare, [NONE, NONE]);
    }
    let mut raw = raw(bed).await?;
    add(report, "the broker alone: publish, hint, reserve", &mut raw, [NONE, NONE]);
    for (place, kind) in bed.result_places()? {
        with_results(bed, report, &place, kind).await?;
    }
    Ok(())
}

async fn with_results(bed: &Bed, report: &mut Report, place: &str, kind: Kind) -> Fallible<()> {
    let from = queue("latency");
    let backends = bed.backends(place).await?;
    let client = Client::new(bed.broker().await?, Some(backends.results.clone()));
    let worker = Worker::builder()
        .tasks(tasks![stamp])
        .queues(vec![(from.clone(), 1)])
        .shared_store(backends.shared)
        .build(backends.broker, Some(backends.results))?;
    let running = worker.start();
    let waited = send_and_wait(&client, &from).await;
    // Also where that failed: a worker that stays would be in the figures of the others.
    running.stop();
    running.join().await?;
    let mut waited = waited?;
    let mut started = std::mem::take(&mut *TAKEN.lock().unwrap_or_else(PoisonError::into_inner));
    let targets = bed.kind.targets();
    let start = [targets.start_p50, targets.start_p99];
    add(report, &format!("send to start, results in {place}"), &mut started, start);
    let value = if (bed.kind, kind) == (Kind::Redis, Kind::Postgres) { VALUE_P50 } else { NONE };
    add(report, &format!("send to value in hand, results in {place}"), &mut waited, [value, NONE]);
    Ok(())
}

async fn send_and_wait(client: &Client, to: &QueueName) -> Fallible<Vec<Duration>> {
    let clock = CLOCK.get_or_init(SystemClock::new);
    let mut waited = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let sent = clock.monotonic();
        let micros = u64::try_from(sent.as_micros())?;
        let handle = stamp::call(micros).queue(to).send(client).await?;
        let _value: u64 = handle.get(Duration::from_secs(10)).await?;
        let took = clock.monotonic() - sent;
        waited.push(took);
        clock.sleep(PAUSE.saturating_sub(took)).await;
    }
    Ok(waited)
}

fn add(report: &mut Report, what: &str, sample: &mut [Duration], [p50, p99]: [Target; 2]) {
    sample.sort_unstable();
    report.judge(format!("100/s: {what}, p50"), millis(sample, 50), "ms", p50);
    report.judge(format!("100/s: {what}, p99"), millis(sample, 99), "ms", p99);
}

/// The same journeys with nothing done on the way: a script tells whoever listens, who then asks another one. What is left is
/// the machine, and how it wakes who sleeps.
async fn bare(bed: &Bed) -> Fallible<Vec<Duration>> {
    const CHANNEL: &str = "lovage-bench";
    let clock = CLOCK.get_or_init(SystemClock::new);
    let config = RedisConfig::parse(&bed.url)?;
    let (sender, receiver) = (Redis::connect(&config).await?, Redis::connect(&config).await?);
    let (tell, nothing) = (
        Script::new("tell", "return redis.call('PUBLISH', KEYS[1], 'w')"),
        Script::new("nothing", "return 1"),
    );
    let subscriber = receiver.subscriber().await?;
    let mut events = subscriber.events();
    subscriber.subscribe(CHANNEL).await?;
    let mut took = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        clock.sleep(PAUSE).await;
        let sent = clock.monotonic();
        let (told, heard) = tokio::join!(tell.run(&sender, vec![CHANNEL.into()], vec![]), async {
            while !matches!(events.next().await, Some(SubscriberEvent::Message { .. }) | None) {}
            nothing.run(&receiver, vec![], vec![]).await.map(|_| clock.monotonic() - sent)
        });
        told?;
        took.push(heard?);
    }
    Ok(took)
}

/// The same operations without client and worker: publish, be told, reserve. What is left is the broker and the machine.
async fn raw(bed: &Bed) -> Fallible<Vec<Duration>> {
    let clock = CLOCK.get_or_init(SystemClock::new);
    let from = queue("latency-raw");
    let (sender, receiver) = (bed.broker().await?, bed.broker().await?);
    let mut took = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        // It finds nothing and registers as idle.
        while !take(&*receiver, &from).await?.is_empty() {}
        clock.sleep(PAUSE).await;
        let sent = clock.monotonic();
        let message = [message(bed, &from)];
        let (published, found) = tokio::join!(sender.publish(&message, None), async {
            loop {
                receiver.hint().await;
                // A hint that came late tells of a message that was found before.
                match take(&*receiver, &from).await {
                    Ok(found) if found.is_empty() => {}
                    found => return (found, clock.monotonic() - sent),
                }
            }
        });
        published?;
        found.0?;
        took.push(found.1);
    }
    Ok(took)
}

async fn take(broker: &dyn Broker, from: &QueueName) -> Fallible<Vec<Delivery>> {
    let token = Token::new(&SystemEntropy);
    let request = Reserve {
        queue: from,
        want: SlotWants::any(1),
        token,
        lease: Duration::from_secs(30),
        suspects: true,
    };
    Ok(broker.reserve(request, None).await?.deliveries)
}

fn millis(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len().saturating_sub(1)) * percent / 100;
    sorted.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1_000.0)
}
