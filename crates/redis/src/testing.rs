//! A throw-away Redis for tests.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

/// Names a Redis to use instead of starting one.
pub const URL_VARIABLE: &str = "LOVAGE_TEST_REDIS_URL";

/// A Redis for one test: its own process on a free port of 127.0.0.1, without persistence, ended on drop; or
/// the one that `LOVAGE_TEST_REDIS_URL` names, which several tests share. So give queues names made by
/// [`RedisServer::unique_name`].
#[derive(Debug)]
pub struct RedisServer {
    url: String,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    port: u16,
    args: Vec<String>,
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
        const TRIES: usize = 10;
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let mut result = Err(io::Error::other("no free port"));
        for _ in 0..TRIES {
            // Somebody else may take the port before redis-server does; then the next try has another one.
            let port = free_port()?;
            result = spawn(port, &args);
            if result.is_ok() {
                let url = format!("redis://127.0.0.1:{port}/0");
                return result.map(|child| Self { url, process: Some(Process { child, port, args }) });
            }
        }
        Err(result.err().unwrap_or_else(|| io::Error::other("redis-server did not start")))
    }

    /// The URL for [`RedisConfig::parse`](crate::RedisConfig::parse), without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `prefix` with a random ending: a name that no other test uses, on a shared Redis either.
    pub fn unique_name(&self, prefix: &str) -> String {
        format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
    }

    /// Kills the process (SIGKILL) and waits for its end. Does nothing to a Redis that the environment named.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.as_mut().map_or(Ok(()), |process| end(&mut process.child))
    }

    /// Stops the process and starts an empty one on the same port.
    ///
    /// # Errors
    /// What the system says; `Unsupported` for a Redis that the environment named.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        let Some(process) = &mut self.process else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "not our own redis-server"));
        };
        process.child = spawn(process.port, &process.args)?;
        Ok(())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.stop());
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn spawn(port: u16, args: &[String]) -> io::Result<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(std::env::temp_dir())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|err| io::Error::new(err.kind(), format!("cannot start redis-server: {err}")))?;
    let ready = child.stdout.take().map_or(Ok(false), wait_until_ready);
    if let Ok(true) = ready {
        return Ok(child);
    }
    end(&mut child)?;
    Err(ready.err().unwrap_or_else(|| io::Error::other("redis-server ended before it was ready")))
}

fn wait_until_ready(stdout: ChildStdout) -> io::Result<bool> {
    let mut log = BufReader::new(stdout);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line)? > 0 {
        if String::from_utf8_lossy(&line).contains("Ready to accept connections") {
            // A full pipe would stop the server.
            thread::spawn(move || io::copy(&mut log, &mut io::sink()));
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

fn end(child: &mut Child) -> io::Result<()> {
    if child.try_wait()?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}
