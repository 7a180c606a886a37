//! What to do with a delivery, and what an ended run leads to. Pure: the dispatcher carries it out.

use std::collections::HashMap;
use std::time::Duration;

use lovage_core::{
    AckMode, Arguments, ArgumentsError, DeadReason, Delivery, Directive, Envelope, EnvelopeError,
    ErrorReport, Event, Handler, Misfit, Note, Outcome, QueueName, RedactedArg, RetryPolicy, Settle,
    SlotKind, TaskDef, TaskError, TaskName, TaskRecord, TaskState, Timestamp, Verdict, transition,
    unstored_reason,
};

/// After this long without a worker that can run it a message is a dead letter.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3_600);
const KEEP_SUCCESS: Duration = Duration::from_secs(7 * 86_400);
const KEEP_POSSIBLE_DUPLICATE: Duration = Duration::from_secs(3_600);
const KEEP_FAILURE: Duration = Duration::from_secs(30 * 86_400);

/// A worker's defaults, for what neither call nor task says.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) worker: String,
    pub(crate) retry: RetryPolicy,
    pub(crate) soft_time_limit: Option<Duration>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) result_limit: usize,
}

/// A delivery that will be run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) def: TaskDef,
    /// Taken by the run.
    pub(crate) args: Option<Arguments>,
    pub(crate) meta: Meta,
    pub(crate) soft_time_limit: Option<Duration>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) ack: AckMode,
    policy: RetryPolicy,
}

/// What a record needs to know of a message, whatever became of it.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) delivery: Delivery,
    pub(crate) queue: QueueName,
    pub(crate) task: String,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    arguments: String,
    schedule: Option<lovage_core::ScheduledSlot>,
    lineage: Option<lovage_core::Lineage>,
    store_result: bool,
    keep: (Duration, Duration),
}

/// What to do with a delivery.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Run it.
    Run(Box<Job>),
    /// End it without a run.
    End(Box<Ending>),
}

/// The end of a delivery: record, then settle.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) meta: Meta,
    pub(crate) state: TaskState,
    pub(crate) record: Option<TaskRecord>,
    pub(crate) settle: Settle,
    pub(crate) error: Option<ErrorReport>,
    /// It is given back, because this worker cannot run it.
    pub(crate) misfit: Option<Misfit>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With a result as JSON.
    Value(String),
    /// With a failure; panics and passed limits are failures too.
    Failed(TaskError),
    /// It blocks its thread beyond its hard limit.
    Stuck(Duration),
    /// Somebody cancelled it.
    Revoked,
    /// The worker stops: no outcome.
    GivenBack,
    /// Somebody else has it: nothing may be recorded or settled.
    LeaseLost,
}

/// When a run began and how long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    pub(crate) run_time: Duration,
    /// Its hard time limit, where it succeeded after that.
    pub(crate) exceeded: Option<Duration>,
}

/// The kind of slot that a task runs in.
pub(crate) const fn slot_kind(def: &TaskDef) -> SlotKind {
    match def.handler {
        Handler::Async(_) => SlotKind::Async,
        Handler::Blocking(_) => SlotKind::Blocking,
    }
}

/// Plans a delivery of a queue.
pub(crate) fn plan(
    delivery: Delivery,
    queue: &QueueName,
    tasks: &HashMap<&'static str, TaskDef>,
    defaults: &Defaults,
    broker_now: Timestamp,
    now: Timestamp,
) -> Plan {
    let envelope = match Envelope::decode(&delivery.body).and_then(named) {
        Ok(envelope) => envelope,
        Err(error @ EnvelopeError::Newer { .. }) => {
            let meta = Meta::nameless(delivery, queue);
            return undeliverable(meta, Misfit::Format, &error.to_string(), defaults, broker_now, now);
        }
        Err(error @ EnvelopeError::Unreadable(_)) => {
            let report = ErrorReport::new("unreadable", error.to_string());
            return ended(Meta::nameless(delivery, queue), Event::Unreadable, Some(report), defaults, now);
        }
    };
    let def = tasks.get(envelope.task.as_str());
    let verdict = delivery.verdict;
    let meta = Meta::new(delivery, queue, &envelope, def);
    match verdict {
        Verdict::Run => {}
        Verdict::Revoked => return ended(meta, Event::Revoke, None, defaults, now),
        Verdict::Replaced { by } => {
            let report =
                ErrorReport::new("replaced", format!("replaced by {by}, which has the same unique key"));
            return ended(meta, Event::Revoke, Some(report), defaults, now);
        }
        Verdict::Expired => return ended(meta, Event::Expire, None, defaults, now),
        Verdict::Poisoned => {
            let losses = meta.delivery.losses;
            let message = format!(
                "{losses} workers in a row lost their lease while they ran it: it probably kills them"
            );
            return ended(meta, Event::Poison, Some(ErrorReport::new("poisoned", message)), defaults, now);
        }
    }
    let Some(def) = def else {
        let why = format!("this worker has no task `{}`", meta.task);
        return undeliverable(meta, Misfit::Unregistered, &why, defaults, broker_now, now);
    };
    match Arguments::new(def.name, def.params, def.codec, envelope.payload) {
        Ok(args) => Plan::Run(Box::new(Job {
            soft_time_limit: envelope
                .soft_time_limit
                .or(def.options.soft_time_limit)
                .or(defaults.soft_time_limit),
            time_limit: envelope.time_limit.or(def.options.time_limit).or(defaults.time_limit),
            ack: envelope.ack.or(def.options.ack).unwrap_or_default(),
            policy: envelope.retry.or(def.options.retry).unwrap_or(defaults.retry),
            def: def.clone(),
            args: Some(args),
            meta,
        })),
        Err(error @ ArgumentsError::Fingerprint { .. }) => {
            undeliverable(meta, Misfit::Arguments, &error.to_string(), defaults, broker_now, now)
        }
        Err(error @ ArgumentsError::Invalid(_)) => {
            let report = error.into_task_error().into_report();
            // It is judged as a first and last attempt: nobody can run it as it is.
            let event =
                Event::Fail { directive: Directive::Permanent, failed: meta.delivery.attempt + 1, random: 0 };
            Plan::End(Box::new(ending(
                meta,
                TaskState::Started,
                event,
                &RetryPolicy::NEVER,
                None,
                Some(report),
                None,
                defaults,
                now,
            )))
        }
    }
}

/// The settlement of a delivery whose task has ended in this run or a later one.
///
/// A failure is a dead letter again, because only its settlement may have been lost. It is acknowledged where no dead letter
/// was made (early acknowledgement), and where the message is of an earlier run: a retry of that dead letter would have the
/// run of the record and not run.
pub(crate) fn as_recorded(
    delivery: &Delivery,
    record: &TaskRecord,
    tasks: &HashMap<&'static str, TaskDef>,
) -> Settle {
    let Outcome::Error(report) = &record.outcome else { return Settle::Ack };
    let of_task = || tasks.get(record.task.as_str()).and_then(|def| def.options.ack);
    let of_call = || Envelope::decode(&delivery.body).ok().and_then(|envelope| envelope.ack);
    let ack = of_call().or_else(of_task).unwrap_or_default();
    if record.state != TaskState::Failure || ack == AckMode::Early || record.run > delivery.run {
        return Settle::Ack;
    }
    let reason = match report.kind.as_str() {
        "poisoned" => DeadReason::Poisoned,
        "undeliverable" => DeadReason::Undeliverable,
        "unreadable" => DeadReason::Unreadable,
        "stuck" => DeadReason::Permanent,
        _ => DeadReason::Exhausted,
    };
    Settle::DeadLetter {
        reason,
        note: Note::new(record.finished_at, record.worker.clone(), report.to_string()),
    }
}

/// Makes a delivery continue the run of a record that has not ended and is not older: the broker lost what it knew of the
/// earlier hand-outs, and records of this one would be superseded.
pub(crate) fn continue_from(delivery: &mut Delivery, record: &TaskRecord) {
    if record.state.is_terminal() || (record.run, record.delivery) < (delivery.run, delivery.delivery) {
        return;
    }
    delivery.run = record.run;
    delivery.delivery = record.delivery.saturating_add(1);
    delivery.attempt = delivery.attempt.max(record.attempt);
}

impl Job {
    /// The kind of slot that it runs in.
    pub(crate) const fn kind(&self) -> SlotKind {
        slot_kind(&self.def)
    }

    /// What the end of its run leads to; `None` when nothing may be recorded or settled any more.
    pub(crate) fn ended(
        meta: Meta,
        policy: &RetryPolicy,
        end: End,
        ran: Ran,
        random: u64,
        defaults: &Defaults,
    ) -> Option<Ending> {
        let failed = meta.delivery.attempt + 1;
        let (event, value, error) = match end {
            End::Value(json) => (Event::Succeed, Some(json), None),
            End::Failed(error) => {
                let event = Event::Fail { directive: error.directive(), failed, random };
                (event, None, Some(error.into_report()))
            }
            End::Stuck(limit) => {
                let limit = lovage_core::format_duration(limit);
                let message = format!(
                    "it blocked its thread beyond its time limit of {limit}; a thread cannot be killed, its slot was replaced"
                );
                (Event::Stick, None, Some(ErrorReport::new("stuck", message)))
            }
            End::Revoked => (Event::Revoke, None, None),
            End::GivenBack => (Event::GiveBack(Duration::ZERO), None, None),
            End::LeaseLost => return None,
        };
        let now = ran.finished_at;
        Some(ending(meta, TaskState::Started, event, policy, value, error, Some(ran), defaults, now))
    }

    /// The policy that its failures are judged by. What was settled before its run cannot be retried.
    pub(crate) fn policy(&self) -> RetryPolicy {
        match self.ack {
            AckMode::Late => self.policy,
            AckMode::Early => RetryPolicy::NEVER,
        }
    }
}

impl Meta {
    fn new(delivery: Delivery, queue: &QueueName, envelope: &Envelope, def: Option<&TaskDef>) -> Self {
        let options = def.map(|def| &def.options);
        Self {
            queue: queue.clone(),
            task: envelope.task.clone(),
            arguments: envelope.shown(&def.map(|def| RedactedArg::of(def.params)).unwrap_or_default()),
            headers: envelope.headers.clone(),
            schedule: envelope.schedule.clone(),
            lineage: envelope.lineage.clone(),
            store_result: envelope
                .store_result
                .or(options.and_then(|options| options.store_result))
                .unwrap_or(true),
            keep: (
                options.and_then(|options| options.keep_success).unwrap_or(KEEP_SUCCESS),
                options.and_then(|options| options.keep_failure).unwrap_or(KEEP_FAILURE),
            ),
            delivery,
        }
    }

    /// Of a message that cannot be read.
    fn nameless(delivery: Delivery, queue: &QueueName) -> Self {
        let envelope = Envelope::new("(unreadable)", lovage_core::Payload::empty());
        Self::new(delivery, queue, &envelope, None)
    }
}

/// Refuses a name that no worker can have: nobody will ever run it, and logs and tables are not made for it.
fn named(envelope: Envelope) -> Result<Envelope, EnvelopeError> {
    match TaskName::new(&envelope.task) {
        Ok(_) => Ok(envelope),
        Err(error) => Err(EnvelopeError::Unreadable(error.to_string())),
    }
}

/// Given back with a delay that doubles from 1 s to 60 s; for good after an hour.
fn undeliverable(
    meta: Meta,
    misfit: Misfit,
    why: &str,
    defaults: &Defaults,
    broker_now: Timestamp,
    now: Timestamp,
) -> Plan {
    if meta.delivery.refused_since.is_some_and(|since| broker_now.since(since) >= GIVE_UP_AFTER) {
        let message = format!("no worker could run it for an hour: {why}");
        return ended(meta, Event::GiveUp, Some(ErrorReport::new("undeliverable", message)), defaults, now);
    }
    let doublings = meta.delivery.delivery.saturating_sub(1).min(6);
    let after = Duration::from_secs((1_u64 << doublings).min(60));
    Plan::End(Box::new(Ending {
        state: TaskState::Scheduled,
        record: None,
        settle: Settle::GiveBack { after, refused: true },
        error: Some(ErrorReport::new("undeliverable", why)),
        misfit: Some(misfit),
        meta,
    }))
}

fn ended(meta: Meta, event: Event, error: Option<ErrorReport>, defaults: &Defaults, now: Timestamp) -> Plan {
    Plan::End(Box::new(ending(
        meta,
        TaskState::Pending,
        event,
        &defaults.retry,
        None,
        error,
        None,
        defaults,
        now,
    )))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all that is known of an end comes together"
)]
fn ending(
    meta: Meta,
    from: TaskState,
    event: Event,
    policy: &RetryPolicy,
    value: Option<String>,
    error: Option<ErrorReport>,
    ran: Option<Ran>,
    defaults: &Defaults,
    now: Timestamp,
) -> Ending {
    // Every event above is legal in the state that it is judged in; a bug here must not lose the message.
    let step = transition(from, event, policy).unwrap_or(lovage_core::Step {
        state: TaskState::Failure,
        after: None,
        dead: Some(DeadReason::Permanent),
    });
    let note = || {
        let error = error.as_ref().map_or_else(|| step.state.as_str().to_owned(), ToString::to_string);
        Note::new(now, defaults.worker.clone(), error)
    };
    let settle = match (step.dead, step.after) {
        (Some(reason), _) => Settle::DeadLetter { reason, note: note() },
        (None, Some(after)) if step.state == TaskState::Retry => Settle::Retry { after, note: note() },
        (None, Some(after)) => Settle::GiveBack { after, refused: false },
        (None, None) => Settle::Ack,
    };
    let given_back = matches!(settle, Settle::GiveBack { .. });
    let record = (!given_back).then(|| record(&meta, step.state, value, error.clone(), ran, defaults, now));
    Ending { meta, state: step.state, record, settle, error, misfit: None }
}

fn record(
    meta: &Meta,
    state: TaskState,
    value: Option<String>,
    error: Option<ErrorReport>,
    ran: Option<Ran>,
    defaults: &Defaults,
    now: Timestamp,
) -> TaskRecord {
    let delivery = &meta.delivery;
    let limit = defaults.result_limit;
    let outcome = match (error, value) {
        (Some(report), _) => Outcome::Error(cut(report, limit)),
        (None, Some(_)) if !meta.store_result => Outcome::None,
        (None, Some(json)) if unstored_reason(&json).is_some() => {
            Outcome::Marker(unstored_reason(&json).unwrap_or_default().to_owned())
        }
        (None, Some(json)) if json.len() > limit => {
            Outcome::Marker(format!("the result has {} bytes, the limit is {limit}", json.len()))
        }
        (None, Some(json)) => Outcome::Result(json),
        (None, None) => Outcome::None,
    };
    let failed = matches!(state, TaskState::Retry | TaskState::Failure);
    TaskRecord {
        id: delivery.id,
        run: delivery.run,
        delivery: delivery.delivery,
        attempt: delivery.attempt + u32::from(failed),
        task: meta.task.clone(),
        arguments: match meta.arguments.len() {
            bytes if bytes > limit => format!("\"[{bytes} bytes]\""),
            _ => meta.arguments.clone(),
        },
        state,
        outcome,
        worker: defaults.worker.clone(),
        queue: meta.queue.clone(),
        priority: delivery.priority,
        enqueued_at: delivery.published_at,
        started_at: ran.map(|ran| ran.started_at),
        finished_at: now,
        run_time: ran.map(|ran| ran.run_time),
        schedule: meta.schedule.clone(),
        lineage: meta.lineage.clone(),
        headers: meta.headers.clone(),
        keep_for: keep_for(meta, state),
        warning: ran.and_then(|ran| Some((ran, ran.exceeded?))).map(|(ran, limit)| {
            format!(
                "it ran for {}, longer than its time limit of {}: it blocks its thread, so that it could not be ended in time",
                lovage_core::format_duration(ran.run_time),
                lovage_core::format_duration(limit)
            )
        }),
    }
}

/// The record of a possible duplicate is what keeps it from running again, so it lives for an hour at least.
fn keep_for(meta: &Meta, state: TaskState) -> Duration {
    let keep = if state == TaskState::Success { meta.keep.0 } else { meta.keep.1 };
    if Envelope::is_possible_duplicate(&meta.delivery.body) {
        keep.max(KEEP_POSSIBLE_DUPLICATE)
    } else {
        keep
    }
}

/// A report in which no text is longer than a result may be.
fn cut(mut report: ErrorReport, limit: usize) -> ErrorReport {
    for text in std::iter::once(&mut report.message).chain(&mut report.chain).chain(&mut report.backtrace) {
        if text.len() > limit {
            let bytes = text.len();
            text.truncate(text.floor_char_boundary(limit));
            text.push_str(&format!("… ({bytes} bytes)"));
        }
    }
    report
}
