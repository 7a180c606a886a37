//! Signals that end a worker, or keep it from taking more.

use std::io;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Stop: SIGTERM or SIGINT.
    Stop,
    /// Take nothing more: SIGTSTP.
    Quiet,
}

#[cfg(unix)]
pub(crate) use unix::Signals;

#[cfg(not(unix))]
pub(crate) use elsewhere::Signals;

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Asked, io};

    /// Not named by tokio, and not the same number everywhere.
    const SIGTSTP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 20 } else { 18 };

    /// The signals of this process. From here on they do not end it by themselves.
    #[derive(Debug)]
    pub(crate) struct Signals {
        terminate: Signal,
        interrupt: Signal,
        stop: Signal,
    }

    impl Signals {
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                stop: signal(SignalKind::from_raw(SIGTSTP))?,
            })
        }

        /// The next one. Dropping the future loses none.
        pub(crate) async fn next(&mut self) -> Asked {
            tokio::select! {
                _ = self.terminate.recv() => Asked::Stop,
                _ = self.interrupt.recv() => Asked::Stop,
                _ = self.stop.recv() => Asked::Quiet,
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{Asked, io};

    /// Control-C.
    #[derive(Debug)]
    pub(crate) struct Signals;

    impl Signals {
        #[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn next(&mut self) -> Asked {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Asked::Stop,
                Err(_) => std::future::pending().await,
            }
        }
    }
}
