//! Signals, received by a thread of their own: no task can block it.

use std::io;
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_system::SystemClock;
use tokio::sync::mpsc;

use crate::logging;

/// How long the main thread may take to end the process after an alarm.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The exit code of a process that a signal ends before everything was given back.
const CUT_OFF: i32 = 1;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Stop: SIGTERM, SIGINT or SIGHUP.
    Stop,
    /// Give everything back and end: SIGQUIT, or a second request to stop.
    StopNow,
    /// Take nothing more: SIGTSTP.
    Quiet,
    /// The time of the [alarm](Signals::alarm) has come.
    Overdue,
}

/// The signals of this process. From here on they do not end it by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    asked: mpsc::UnboundedReceiver<Asked>,
    alarms: mpsc::UnboundedSender<Duration>,
}

impl Signals {
    /// Starts the thread. SIGHUP stays ignored where it was ignored at the start (`nohup`). A third request to stop ends the
    /// process at once, whatever its other threads do.
    ///
    /// # Errors
    /// When a signal cannot be received, or when the system has no thread.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (alarms, alarmed) = mpsc::unbounded_channel();
        // Before this returns: a signal must not end a process that has announced itself.
        let incoming = {
            let _context = runtime.enter();
            Incoming::register()?
        };
        std::thread::Builder::new()
            .name("lovage-signals".to_owned())
            .spawn(move || runtime.block_on(forward(incoming, &asks, alarmed)))?;
        Ok(Self { asked, alarms })
    }

    /// Waits for the next request. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Asks for [`Asked::Overdue`] after this time. If the process has not ended 5 s after that, the thread of the signals ends
    /// it. The earliest alarm counts.
    pub(crate) fn alarm(&self, after: Duration) {
        // Without the thread there is no alarm, and no signal that could have led here.
        let _gone = self.alarms.send(after);
    }
}

async fn forward(
    mut incoming: Incoming,
    asks: &mpsc::UnboundedSender<Asked>,
    mut alarms: mpsc::UnboundedReceiver<Duration>,
) {
    let clock = SystemClock::new();
    let (mut stops, mut deadline, mut is_overdue) = (0, Duration::MAX, false);
    loop {
        let asked = tokio::select! {
            asked = incoming.next() => asked,
            Some(after) = alarms.recv() => {
                if !is_overdue {
                    deadline = deadline.min(clock.monotonic() + after);
                }
                continue;
            }
            () = clock.sleep_until(deadline) => {
                if is_overdue {
                    exit("the process did not end in time");
                }
                (is_overdue, deadline) = (true, clock.monotonic() + EXIT_TIMEOUT);
                Asked::Overdue
            }
        };
        let asked = match asked {
            Asked::Stop | Asked::StopNow => {
                stops += 1;
                match (stops, asked) {
                    (1, asked) => asked,
                    (2, _) => Asked::StopNow,
                    _ => exit("ended by a third signal, before everything was given back"),
                }
            }
            Asked::Quiet | Asked::Overdue => asked,
        };
        // The main thread may be ending already.
        let _gone = asks.send(asked);
    }
}

fn exit(why: &str) -> ! {
    logging::note(&format!("error: {why}"));
    logging::flush();
    std::process::exit(CUT_OFF)
}

#[cfg(unix)]
use unix::Incoming;

#[cfg(not(unix))]
use elsewhere::Incoming;

#[cfg(unix)]
mod unix {
    use lovage_system::process::ignores_signal;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Asked, io};

    /// Not named by tokio, and not the same number everywhere.
    const SIGTSTP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 20 } else { 18 };
    const SIGHUP: u32 = 1;

    #[derive(Debug)]
    pub(super) struct Incoming {
        terminate: Signal,
        interrupt: Signal,
        /// None where it is ignored.
        hangup: Option<Signal>,
        quit: Signal,
        stop: Signal,
        user: [Signal; 2],
    }

    impl Incoming {
        pub(super) fn register() -> io::Result<Self> {
            let hangup = if ignores_signal(SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) };
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup,
                quit: signal(SignalKind::quit())?,
                stop: signal(SignalKind::from_raw(SIGTSTP))?,
                user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            })
        }

        pub(super) async fn next(&mut self) -> Asked {
            let [user1, user2] = &mut self.user;
            loop {
                return tokio::select! {
                    _ = self.terminate.recv() => Asked::Stop,
                    _ = self.interrupt.recv() => Asked::Stop,
                    Some(()) = received(&mut self.hangup) => Asked::Stop,
                    _ = self.quit.recv() => Asked::StopNow,
                    _ = self.stop.recv() => Asked::Quiet,
                    // Received only so that they do not end the process.
                    _ = user1.recv() => continue,
                    _ = user2.recv() => continue,
                };
            }
        }
    }

    async fn received(signal: &mut Option<Signal>) -> Option<()> {
        match signal {
            Some(signal) => signal.recv().await,
            None => None,
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{Asked, io};

    /// Control-C.
    #[derive(Debug)]
    pub(super) struct Incoming;

    impl Incoming {
        #[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
        pub(super) fn register() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) -> Asked {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Asked::Stop,
                Err(_) => std::future::pending().await,
            }
        }
    }
}
