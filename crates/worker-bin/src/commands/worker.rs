//! `worker` and `dev`: run tasks until a signal comes.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{Clock as _, Entropy as _, Place, States, TaskDef, format_duration};
use lovage_system::{OutageLog, SystemClock, SystemEntropy};
use lovage_telemetry::Telemetry;
use lovage_worker::{Client, Hooks, RunningWorker, Summary, Worker};

use crate::banner::banner;
use crate::cli::{Dev, WorkerArgs};
use crate::commands::beat::Beat;
use crate::commands::call::{positional, task_call, wait};
use crate::commands::dashboard::{self, Site};
use crate::commands::migrate::migrate_first;
use crate::commands::purge::purge_queue;
use crate::commands::relay::Beside;
use crate::commands::supervised::{Counted, Part, Supervised};
use crate::config::{Config, Setting};
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;
use crate::signals::{Asked, Signals};

/// Between two tries to reach a broker that is away.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long a worker that stops may take for its last settlements and its deregistration, 7 s at most, and a little more.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// What is logged when a signal comes first.
pub(crate) const NO_BROKER: &str = "stopped before there was a broker";

/// `lovage worker`.
pub(crate) async fn worker(
    session: Session,
    states: States,
    hooks: Option<Arc<dyn Hooks>>,
    args: WorkerArgs,
) -> Result<(), CliError> {
    // Before anything is said: whoever reads the banner may send a signal.
    let mut signals = Signals::listen()?;
    let mut supervised = Supervised::prepare(&session).await?;
    let site = match args.dashboard {
        Some(address) => {
            let config = &session.config.dashboard;
            Some(Site::prepare(config, address.unwrap_or(config.listen)).await?)
        }
        None => None,
    };
    let limit = args.burst.then_some(session.config.burst_timeout);
    let Some(client) = connect(&session, args.migrate, &mut signals, limit).await? else {
        tracing::info!("{NO_BROKER}");
        return Ok(());
    };
    let beat = if args.beat {
        let opening = async || Beat::open(&session, false).await;
        let Some(beat) = patiently(&mut signals, "broker and schedule", None, opening).await? else {
            tracing::info!("{NO_BROKER}");
            return Ok(());
        };
        Some(beat)
    } else {
        None
    };
    if args.purge {
        purge_own(&client, &session.config).await?;
    }
    let part = Part::Worker(&session.config.queues);
    let telemetry = supervised.watch(&session, client.broker(), part, args.beat).cloned();
    let worker = build(&session, states, hooks, args.burst, &client, telemetry.as_ref())?;
    let dashboard = match site {
        Some(site) => {
            let opening = async || dashboard::parts(&session, &client).await;
            let Some(parts) = patiently(&mut signals, "broker and schedule", None, opening).await? else {
                tracing::info!("{NO_BROKER}");
                return Ok(());
            };
            Some(site.open(parts)?)
        }
        None => None,
    };
    Out.announce(banner(&session, worker.info(), args.beat, dashboard.as_ref()));
    let relay = if args.burst { Beside::drain(&client).await? } else { Beside::start(&client) };
    let running = worker.start();
    watch_loop(&running, telemetry.as_ref());
    tracing::info!("{} ready", running.info().name);
    let beat = beat.map(|beat| beat.beside(&session, telemetry));
    supervised.ready("runs tasks");
    let summary = until_ended(running, signals, &supervised).await?;
    if let Some(beat) = beat {
        beat.end().await;
    }
    relay.end().await;
    if let Some(dashboard) = dashboard {
        dashboard.end().await;
    }
    supervised.end().await;
    finish(summary)
}

/// `lovage dev`.
pub(crate) async fn dev(
    session: Session,
    states: States,
    hooks: Option<Arc<dyn Hooks>>,
    args: Dev,
) -> Result<(), CliError> {
    let signals = Signals::listen()?;
    let mut supervised = Supervised::prepare(&session).await?;
    let client = session.connect_with_outbox().await?;
    let part = Part::Worker(&session.config.queues);
    let telemetry = supervised.watch(&session, client.broker(), part, args.task.is_none()).cloned();
    let worker = build(&session, states, hooks, false, &client, telemetry.as_ref())?;
    let Some(task) = args.task else {
        let beat = Beat::open(&session, true).await?;
        let site = Site::prepare_somewhere(&session.config.dashboard).await?;
        let dashboard = site.open(dashboard::parts(&session, &client).await?)?;
        Out.announce(banner(&session, worker.info(), true, Some(&dashboard)));
        Out.announce(first_steps(&session));
        let relay = Beside::start(&client);
        let running = worker.start();
        watch_loop(&running, telemetry.as_ref());
        tracing::info!("{} ready", running.info().name);
        let beat = beat.beside(&session, telemetry);
        supervised.ready("runs tasks");
        let summary = until_ended(running, signals, &supervised).await?;
        beat.end().await;
        relay.end().await;
        dashboard.end().await;
        supervised.end().await;
        return finish(summary);
    };
    let running = worker.start();
    let done = run_one(&session, &client, signals, &task, &args.arguments).await;
    running.stop();
    finish(running.join().await?)?;
    done
}

/// Connects as soon as broker and results can be reached; nothing when a signal came first.
///
/// # Errors
/// At once, where waiting does not help: wrong credentials, missing tables, a set-up that would lose tasks.
pub(crate) async fn connect(
    session: &Session,
    migrate: bool,
    signals: &mut Signals,
    limit: Option<Duration>,
) -> Result<Option<Client>, CliError> {
    let connecting = async || {
        if migrate {
            migrate_first(session, &Setting::ALL).await?;
        }
        session.connect_with_outbox().await
    };
    patiently(signals, "broker and results", limit, connecting).await
}

/// Tries again until servers can be reached, at most for `limit`; nothing when a signal came first.
///
/// # Errors
/// At once, where waiting does not help; after the limit with what is away.
pub(crate) async fn patiently<T>(
    signals: &mut Signals,
    what: &str,
    limit: Option<Duration>,
    connecting: impl AsyncFn() -> Result<T, CliError>,
) -> Result<Option<T>, CliError> {
    let clock = SystemClock::new();
    let outage = OutageLog::new(format!("waiting for {what}, trying again"), Arc::new(clock));
    let deadline = limit.map_or(Duration::MAX, |limit| clock.monotonic() + limit);
    let mut pause = FIRST_PAUSE;
    let mut last = None;
    let too_late = |last: Option<CliError>| {
        let limit = format_duration(limit.unwrap_or_default());
        let why = last.map_or_else(|| "it does not answer".to_owned(), |error: CliError| error.in_one_line());
        let failed = format!("{what} could not be reached within {limit}: {why}");
        CliError::failed(failed).hint("a burst waits no longer: --burst-timeout sets another time")
    };
    loop {
        let error = tokio::select! {
            connected = Box::pin(connecting()) => match connected {
                Err(error) if error.may_pass() => error,
                connected => {
                    outage.recovered();
                    return connected.map(Some);
                }
            },
            () = stopped(signals) => return Ok(None),
            () = clock.sleep_until(deadline) => return Err(too_late(last)),
        };
        // Between half and the whole of it, so that many workers do not come back in step.
        let random =
            f64::from(u32::try_from(SystemEntropy.next_u64() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        let wait = pause.mul_f64(0.5 + random / 2.0);
        outage.failed(error.in_one_line());
        last = Some(error);
        tokio::select! {
            () = clock.sleep(wait) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stopped(signals) => return Ok(None),
            () = clock.sleep_until(deadline) => return Err(too_late(last)),
        }
    }
}

pub(crate) async fn stopped(signals: &mut Signals) {
    while signals.next().await == Asked::Quiet {}
}

/// Sends one task and waits for it; a signal ends the wait.
async fn run_one(
    session: &Session,
    client: &Client,
    mut signals: Signals,
    task: &str,
    arguments: &[String],
) -> Result<(), CliError> {
    if !session.tasks.iter().any(|known| known.name == task) {
        let names: Vec<&str> = session.tasks.iter().map(|task| task.name).collect();
        return Err(CliError::usage(format!("this program has no task `{task}`"))
            .hint(format!("it has {}", names.join(", "))));
    }
    let mut call = task_call(&session.tasks, task, positional(arguments));
    // Into a queue that this worker serves, whatever the task or the routes say.
    if let Some((queue, _)) = session.config.queues.first() {
        call = call.queue(queue);
    }
    let handle = client.send(call).await?;
    tokio::select! {
        done = wait(session, client, &handle, None, false) => done,
        () = stopped(&mut signals) => Err(CliError::failed("stopped before the task had ended")),
    }
}

fn build(
    session: &Session,
    states: States,
    hooks: Option<Arc<dyn Hooks>>,
    burst: bool,
    client: &Client,
    telemetry: Option<&Arc<Telemetry>>,
) -> Result<Worker, CliError> {
    let config = &session.config;
    let mut builder = Worker::builder()
        .tasks(session.tasks.iter().map(|task| with_ttl(task, config)))
        .states(states)
        .state(client.clone())
        .queues(config.queues.clone())
        .soft_time_limit(config.soft_time_limit)
        .time_limit(config.time_limit)
        .burst(burst);
    if let Some(slots) = config.concurrency {
        builder = builder.concurrency(slots);
    }
    if let Some(slots) = config.blocking {
        builder = builder.blocking(slots);
    }
    if let Some(name) = &config.name {
        builder = builder.name(name);
    }
    if let Some(lease) = config.lease {
        builder = builder.lease(lease);
    }
    if let Some(grace) = config.grace {
        builder = builder.grace(grace);
    }
    if let Some(hooks) = Counted::around(hooks, telemetry) {
        builder = builder.hooks(hooks);
    }
    let builder = builder.shared_store(client.shared_store().cloned());
    let worker = builder.build(Arc::clone(client.broker()), client.results().cloned())?;
    if let Some(telemetry) = telemetry {
        telemetry.set_slots(worker.info().concurrency + worker.info().blocking);
    }
    Ok(worker)
}

/// Lets the health of the process follow the worker's loop.
fn watch_loop(running: &RunningWorker, telemetry: Option<&Arc<Telemetry>>) {
    if let Some(telemetry) = telemetry {
        let liveness = running.liveness();
        telemetry.watch_loop(move || liveness.stuck_since());
    }
}

/// A task without a time to live of its own takes the configured one.
fn with_ttl(task: &TaskDef, config: &Config) -> TaskDef {
    let mut task = task.clone();
    task.options.keep_success = task.options.keep_success.or(config.result_ttl);
    task.options.keep_failure = task.options.keep_failure.or(config.failure_ttl);
    task
}

/// Passes signals on until the worker has ended, by them or by a command. Where tasks block every thread of the runtime, the
/// worker's loop cannot stop: then this ends without it, at the latest after the grace period.
async fn until_ended(
    mut running: RunningWorker,
    mut signals: Signals,
    supervised: &Supervised,
) -> Result<Summary, CliError> {
    let (grace, liveness) = (running.grace(), running.liveness());
    loop {
        tokio::select! {
            biased;
            summary = running.ended() => return Ok(summary?),
            asked = signals.next() => match asked {
                Asked::Quiet => running.quiet(),
                Asked::Stop => {
                    supervised.stopping();
                    running.stop();
                    signals.alarm(grace + STOP_TIMEOUT);
                }
                Asked::StopNow if liveness.stuck_since().is_some() => return Err(blocked()),
                Asked::StopNow => {
                    supervised.stopping();
                    running.stop_now();
                    signals.alarm(STOP_TIMEOUT);
                }
                Asked::Overdue => return Err(blocked()),
            },
        }
    }
}

fn blocked() -> CliError {
    CliError::failed("ended without giving tasks back: tasks block every thread of this worker").hint(
        "other workers run its tasks again when their lease ends; make a task that blocks a plain function, or move the work into `spawn_blocking`",
    )
}

fn finish(summary: Summary) -> Result<(), CliError> {
    tracing::info!("stopped: {} succeeded, {} failed", summary.succeeded, summary.failed);
    if summary.unsettled > 0 {
        tracing::warn!(
            "{} outcomes could not be settled: their tasks may run a second time",
            summary.unsettled
        );
    }
    Ok(())
}

async fn purge_own(client: &Client, config: &Config) -> Result<(), CliError> {
    for (queue, _) in &config.queues {
        let depth = client.broker().depth(queue, None).await?;
        let places = [Place::Ready, Place::Delayed];
        let removed = purge_queue(client, queue, &places, depth.ready + depth.delayed).await?;
        Out.note(format!("removed {removed} tasks from {queue}"));
    }
    Ok(())
}

/// How to send the first task from a second shell.
fn first_steps(session: &Session) -> String {
    let Some(task) = session.tasks.iter().min_by_key(|task| task.name) else { return String::new() };
    let program = &session.program;
    let mut number = -1;
    let arguments = task.params.iter().map(|param| match param.type_name {
        "i8" | "i16" | "i32" | "i64" | "isize" | "u8" | "u16" | "u32" | "u64" | "usize" | "f32" | "f64" => {
            number += 2;
            number.to_string()
        }
        _ => param.name.to_uppercase(),
    });
    let arguments: Vec<String> = arguments.collect();
    format!(
        "In a second shell, in this directory:\n  {program} call {} {} --wait\n  {program} inspect registered\n  {program} schedule list\n  {program} result ID\n",
        task.name,
        arguments.join(" ")
    )
}
