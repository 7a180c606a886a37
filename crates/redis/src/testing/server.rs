//! A single Redis.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;

use super::process::{Process, free_port};

/// Names a Redis to use instead of starting one.
pub const URL_VARIABLE: &str = "LOVAGE_TEST_REDIS_URL";

pub(crate) const READY: &str = "Ready to accept connections";

/// A Redis for one test: its own process on a free port of 127.0.0.1, without persistence, ended on drop; or
/// the one that `LOVAGE_TEST_REDIS_URL` names, which several tests share. So give queues names made by
/// [`RedisServer::unique_name`].
#[derive(Debug)]
pub struct RedisServer {
    url: String,
    process: Option<Process>,
}

impl RedisServer {
    /// The Redis that the environment names, else a new one. Returns when it accepts connections.
    ///
    /// # Errors
    /// Where `redis-server` is not installed or does not start.
    pub fn start() -> io::Result<Self> {
        match std::env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Ok(Self { url, process: None }),
            _ => Self::start_own(&[]),
        }
    }

    /// A process of its own whatever the environment says, with further arguments
    /// (`&["--requirepass", "secret"]`), for tests that stop it or need a setting.
    ///
    /// # Errors
    /// Those of [`RedisServer::start`].
    pub fn start_own(args: &[&str]) -> io::Result<Self> {
        let (port, process) = start_somewhere(&|port| server_args(port, args))?;
        Ok(Self { url: format!("redis://127.0.0.1:{port}/0"), process: Some(process) })
    }

    /// The URL for [`RedisConfig::parse`](crate::RedisConfig::parse), without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As the function [`unique_name`].
    pub fn unique_name(&self, prefix: &str) -> String {
        unique_name(prefix)
    }

    /// Kills the process (SIGKILL) and waits for its end. Does nothing to a Redis that the environment named.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::stop)
    }

    /// Stops the process and starts an empty one on the same port.
    ///
    /// # Errors
    /// What the system says; `Unsupported` for a Redis that the environment named.
    pub fn restart(&mut self) -> io::Result<()> {
        let not_ours = || io::Error::new(io::ErrorKind::Unsupported, "not our own redis-server");
        self.process.as_mut().ok_or_else(not_ours)?.restart(READY)
    }
}

/// `prefix` with a random ending: a name that no other test uses, on a shared Redis either.
pub fn unique_name(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
}

/// The arguments of a server without persistence.
pub(crate) fn server_args(port: u16, further: &[&str]) -> Vec<String> {
    let port = port.to_string();
    let dir = std::env::temp_dir().display().to_string();
    let first = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &dir];
    first.iter().chain(further).map(ToString::to_string).collect()
}

/// Starts a redis-server on a free port.
pub(crate) fn start_somewhere(args: &dyn Fn(u16) -> Vec<String>) -> io::Result<(u16, Process)> {
    const TRIES: usize = 10;
    let mut result = Err(io::Error::other("no free port"));
    for _ in 0..TRIES {
        // Somebody else may take the port before redis-server does; then the next try has another one.
        let port = free_port()?;
        result = Process::start("redis-server", args(port), READY).map(|process| (port, process));
        if result.is_ok() {
            break;
        }
    }
    result
}
