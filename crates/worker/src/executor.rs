//! Runs one job: an async task on the runtime, a plain function on a thread of the blocking pool.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use lovage_core::{
    BoxFuture, Clock, Context, Directive, ErrorReport, Handler, RunInfo, States, TaskError, TaskResult,
};

use crate::control::{Control, Stop, Visible};
use crate::plan::{End, Job, Ran};
use crate::polls::Polls;

thread_local! {
    /// Whether this thread runs a task's code right now.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    /// The backtrace of the panic that the running task raised.
    static BACKTRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the backtrace of a task's panic for its record, and the previous hook for all other panics.
pub(crate) fn catch_backtraces() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_TASK.get() {
                let backtrace = std::backtrace::Backtrace::force_capture();
                let place = info.location().map(|place| format!("at {place}\n")).unwrap_or_default();
                BACKTRACE.set(Some(format!("{place}{backtrace}")));
            } else {
                previous(info);
            }
        }));
    });
}

/// A job with what it runs in.
pub(crate) struct Run {
    pub(crate) job: Box<Job>,
    pub(crate) info: Arc<RunInfo>,
    pub(crate) states: Arc<States>,
    pub(crate) control: Arc<Control>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Run {
    /// A job that was not started.
    pub(crate) fn not_run(self) -> (Box<Job>, Ran) {
        let now = self.clock.now();
        (self.job, Ran { started_at: now, finished_at: now, run_time: Duration::ZERO })
    }

    /// Runs it to its end, whatever that is.
    pub(crate) async fn run(self) -> (Box<Job>, End, Ran) {
        let Self { mut job, info, states, control, clock } = self;
        let started_at = clock.now();
        let start = clock.monotonic();
        let context = Context::new(info, states, Arc::new(Visible(Arc::clone(&control))));
        let Some(args) = job.args.take() else {
            let ran = Ran { started_at, finished_at: started_at, run_time: Duration::ZERO };
            return (job, End::GivenBack, ran);
        };
        let limits =
            Limits { soft: job.soft_time_limit, hard: job.time_limit, control: &control, clock: &*clock };
        let end = match job.def.handler {
            Handler::Async(run) => match guarded(|| run(context, args)) {
                Ok(future) => limits.run_async(future).await,
                Err(panic) => End::Failed(panic),
            },
            Handler::Blocking(run) => {
                limits.run_blocking(move || guarded(|| run(context, args)).unwrap_or_else(Err)).await
            }
        };
        let run_time = clock.monotonic().saturating_sub(start);
        (job, end, Ran { started_at, finished_at: clock.now(), run_time })
    }
}

struct Limits<'a> {
    soft: Option<Duration>,
    hard: Option<Duration>,
    control: &'a Control,
    clock: &'a dyn Clock,
}

impl Limits<'_> {
    async fn run_async(&self, future: BoxFuture<'static, TaskResult>) -> End {
        tokio::select! {
            biased;
            result = Guarded { future, polls: &self.control.polls } => finished(result),
            why = self.interrupted() => match why {
                Interruption::Stop(why) => stopped(why),
                Interruption::Late(limit) => End::Failed(timeout(limit)),
            },
        }
    }

    async fn run_blocking(&self, run: impl FnOnce() -> TaskResult + Send + 'static) -> End {
        let thread = tokio::task::spawn_blocking(run);
        tokio::select! {
            biased;
            result = thread => match result {
                // A thread cannot be dropped half-way: when it was asked to stop, that is how it ended.
                Ok(_) if self.control.why().is_abort() => stopped(self.control.why()),
                Ok(result) => finished(result),
                Err(error) => End::Failed(TaskError::from(error)),
            },
            why = self.interrupted() => match why {
                Interruption::Stop(why) => stopped(why),
                Interruption::Late(limit) => End::Stuck(limit),
            },
        }
    }

    /// Ends when the run has to end now. Without limits it arms no timer.
    async fn interrupted(&self) -> Interruption {
        let stop = self.control.stopped(Stop::is_abort);
        tokio::pin!(stop);
        if let Some(soft) = self.soft.filter(|soft| self.hard.is_none_or(|hard| *soft < hard)) {
            tokio::select! {
                () = &mut stop => return Interruption::Stop(self.control.why()),
                () = self.clock.sleep(soft) => self.control.stop(Stop::Soft),
            }
        }
        let Some(hard) = self.hard else {
            stop.await;
            return Interruption::Stop(self.control.why());
        };
        let passed = self.soft.filter(|soft| *soft < hard).unwrap_or_default();
        tokio::select! {
            () = &mut stop => Interruption::Stop(self.control.why()),
            () = self.clock.sleep(hard - passed) => Interruption::Late(hard),
        }
    }
}

enum Interruption {
    Stop(Stop),
    Late(Duration),
}

fn finished(result: TaskResult) -> End {
    match result {
        Ok(json) => End::Value(json),
        Err(error) => End::Failed(error),
    }
}

fn stopped(why: Stop) -> End {
    match why {
        Stop::Revoked => End::Revoked,
        Stop::LeaseLost => End::LeaseLost,
        Stop::No | Stop::Soft | Stop::GiveBack => End::GivenBack,
    }
}

fn timeout(limit: Duration) -> TaskError {
    let message = format!("it did not end within its time limit of {}", lovage_core::format_duration(limit));
    TaskError::from_report(Directive::Policy, ErrorReport::new("timeout", message))
}

/// Polls a task's future with panics caught, and shows that it does.
struct Guarded<'a> {
    future: BoxFuture<'static, TaskResult>,
    polls: &'a Polls,
}

impl Future for Guarded<'_> {
    type Output = TaskResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<TaskResult> {
        let polls = self.polls;
        let polled = polls.around(|| guarded(|| self.future.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    }
}

/// Calls a task's code; a panic is a failure with its message and backtrace.
fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, TaskError> {
    IN_TASK.set(true);
    // A task that panicked is not used again, and what it shares with others is its author's to keep consistent.
    let result = catch_unwind(AssertUnwindSafe(code));
    IN_TASK.set(false);
    result.map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(ToString::to_string);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = message.unwrap_or_else(|| "a panic without a message".to_owned());
        let report = ErrorReport { backtrace: BACKTRACE.take(), ..ErrorReport::new("panic", message) };
        TaskError::from_report(Directive::Policy, report)
    })
}
