//! Runs one job: an async task on the runtime, a plain function on a thread of the blocking pool.
//!
//! Code of users panics in more places than the call of the task: when its future, its arguments or the payload of a panic are
//! dropped, or in a hook. Every such place goes through [`guarded`], and [`Run::run`] catches what is left, so that every run
//! ends with an outcome. A panic while another panic unwinds ends the process; nothing can catch that.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Once};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use lovage_core::{
    Arguments, BoxFuture, Clock, Context, Directive, ErrorReport, Handler, RunInfo, States, TaskError,
    TaskResult,
};

use crate::control::{Control, Stop, Visible};
use crate::plan::{End, Job, Ran};
use crate::polls::Polls;
use crate::threads::ThreadGuard;

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
        (self.job, Ran { started_at: now, finished_at: now, run_time: Duration::ZERO, exceeded: None })
    }

    /// Runs it to its end, whatever unwinds where.
    pub(crate) async fn run(self) -> (Box<Job>, End, Ran) {
        let Self { mut job, info, states, control, clock } = self;
        let started_at = clock.now();
        let start = clock.monotonic();
        let context = Context::new(info, states, Arc::new(Visible(Arc::clone(&control))));
        let Some(args) = job.args.take() else {
            let ran = Ran { started_at, finished_at: started_at, run_time: Duration::ZERO, exceeded: None };
            return (job, End::GivenBack, ran);
        };
        let limits =
            Limits { soft: job.soft_time_limit, hard: job.time_limit, control: &control, clock: &*clock };
        let ended = AssertUnwindSafe(limits.run(job.def.handler, context, args)).catch_unwind().await;
        let end = ended.unwrap_or_else(|panic| End::Failed(failure(panic)));
        control.finish();
        let run_time = clock.monotonic().saturating_sub(start);
        // A task that blocks its thread cannot be ended at its limit. Its effects happened, so that it stays a success.
        let exceeded = job.time_limit.filter(|limit| matches!(end, End::Value(_)) && run_time > *limit);
        (job, end, Ran { started_at, finished_at: clock.now(), run_time, exceeded })
    }
}

/// Time in which a cooperative task may return after it was told to stop.
const WIND_DOWN: Duration = Duration::from_secs(2);

struct Limits<'a> {
    soft: Option<Duration>,
    hard: Option<Duration>,
    control: &'a Arc<Control>,
    clock: &'a dyn Clock,
}

impl Limits<'_> {
    async fn run(&self, handler: Handler, context: Context, args: Arguments) -> End {
        match handler {
            Handler::Async(run) => match guarded(|| run(context, args)) {
                Ok(future) => self.run_async(future).await,
                Err(panic) => End::Failed(panic),
            },
            Handler::Blocking(run) => {
                let thread = ThreadGuard::new(self.control);
                self.run_blocking(move || {
                    // Where the pool had no thread until now, the run may have ended meanwhile.
                    if thread.is_abandoned() {
                        return Err(TaskError::new("the run ended before its thread started"));
                    }
                    guarded(|| run(context, args)).unwrap_or_else(Err)
                })
                .await
            }
        }
    }

    async fn run_async(&self, future: BoxFuture<'static, TaskResult>) -> End {
        let mut run = pin!(Guarded { future: Some(future), polls: &self.control.polls });
        tokio::select! {
            biased;
            result = &mut run => self.finished(result),
            why = self.interrupted() => match why {
                Interruption::Stop => self.wind_down(run).await,
                Interruption::Late(limit) => End::Failed(timeout(limit)),
            },
        }
    }

    async fn run_blocking(&self, run: impl FnOnce() -> TaskResult + Send + 'static) -> End {
        let thread =
            tokio::task::spawn_blocking(run).map(|ended| ended.unwrap_or_else(|error| Err(error.into())));
        let mut thread = pin!(thread);
        tokio::select! {
            biased;
            result = &mut thread => self.finished(result),
            why = self.interrupted() => match why {
                Interruption::Stop => self.wind_down(thread).await,
                Interruption::Late(limit) => End::Stuck(limit),
            },
        }
    }

    /// Ends a run that was told to stop. A task that has asked whether it should stop has a moment to return by itself.
    async fn wind_down(&self, run: impl Future<Output = TaskResult>) -> End {
        if self.control.is_cooperative() {
            tokio::select! {
                biased;
                result = run => return self.finished(result),
                () = self.clock.sleep(WIND_DOWN) => {}
            }
        }
        stopped(self.control.why())
    }

    /// What a returned result means. An error after the run was told to abort is its reaction to that, and no failure.
    fn finished(&self, result: TaskResult) -> End {
        let why = self.control.why();
        match result {
            Ok(json) => End::Value(json),
            Err(_) if why.is_abort() => stopped(why),
            Err(error) => End::Failed(error),
        }
    }

    /// Ends when the run has to end now. Without limits it arms no timer.
    async fn interrupted(&self) -> Interruption {
        let stop = self.control.stopped(Stop::is_abort);
        tokio::pin!(stop);
        if let Some(soft) = self.soft.filter(|soft| self.hard.is_none_or(|hard| *soft < hard)) {
            tokio::select! {
                () = &mut stop => return Interruption::Stop,
                () = self.clock.sleep(soft) => self.control.stop(Stop::Soft),
            }
        }
        let Some(hard) = self.hard else {
            stop.await;
            return Interruption::Stop;
        };
        let passed = self.soft.filter(|soft| *soft < hard).unwrap_or_default();
        tokio::select! {
            () = &mut stop => Interruption::Stop,
            () = self.clock.sleep(hard - passed) => Interruption::Late(hard),
        }
    }
}

enum Interruption {
    Stop,
    Late(Duration),
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

/// A task's future: panics in its polls and in its drop are caught, and its polls are counted.
struct Guarded<'a> {
    /// `None` after its end.
    future: Option<BoxFuture<'static, TaskResult>>,
    polls: &'a Polls,
}

impl Future for Guarded<'_> {
    type Output = TaskResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<TaskResult> {
        let polls = self.polls;
        let Some(future) = self.future.as_mut() else { return Poll::Pending };
        let polled = polls.around(|| guarded(|| future.as_mut().poll(cx)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(panic),
        };
        self.discard();
        Poll::Ready(result)
    }
}

impl Guarded<'_> {
    /// Drops the future. How the run has ended is decided already, so that a panic here is only logged.
    fn discard(&mut self) {
        let future = self.future.take();
        if let Err(panic) = guarded(|| drop(future)) {
            tracing::error!("the task panicked while its future was dropped: {}", panic.report());
        }
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.discard();
        }
    }
}

/// Calls code of a user; a panic is a failure with its message and backtrace.
pub(crate) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, TaskError> {
    let before = IN_TASK.replace(true);
    // A task that panicked is not used again, and what it shares with others is its author's to keep consistent.
    let result = catch_unwind(AssertUnwindSafe(code));
    IN_TASK.set(before);
    result.map_err(failure)
}

/// The failure that a panic is.
fn failure(panic: Box<dyn Any + Send>) -> TaskError {
    let message = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = message.unwrap_or_else(|| "a panic without a message".to_owned());
    let report = ErrorReport { backtrace: BACKTRACE.take(), ..ErrorReport::new("panic", message) };
    discard(panic);
    TaskError::from_report(Directive::Policy, report)
}

/// Drops the payload of a panic, which may panic again, with another payload. After a few of them the last one is leaked.
fn discard(payload: Box<dyn Any + Send>) {
    let mut payload = payload;
    for _ in 0..3 {
        let before = IN_TASK.replace(true);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        IN_TASK.set(before);
        BACKTRACE.take();
        match dropped {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    Box::leak(payload);
}
