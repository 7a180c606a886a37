//! One server process, ended by its id.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    program: &'static str,
    args: Vec<String>,
}

impl Process {
    /// Starts a server and waits until its log says `ready`.
    pub(crate) fn start(program: &'static str, args: Vec<String>, ready: &str) -> io::Result<Self> {
        let child = spawn(program, &args, ready)?;
        Ok(Self { child, program, args })
    }

    /// Kills it (SIGKILL) and waits for its end; twice is safe.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// Starts it again as before.
    pub(crate) fn restart(&mut self, ready: &str) -> io::Result<()> {
        self.stop()?;
        self.child = spawn(self.program, &self.args, ready)?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.stop());
    }
}

/// A port that nobody uses at the moment; below 50,000, because a cluster node takes port + 10,000 too.
pub(crate) fn free_port() -> io::Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if port < 50_000 && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 10_000)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no free port"))
}

/// Sends one command in its plain form (`CLUSTER INFO`) and answers the whole reply as text.
pub(crate) fn command(port: u16, line: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&reply(port, line)?).into_owned())
}

/// As [`command`], byte for byte.
pub(crate) fn reply(port: u16, line: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    // The server reads the end after it has answered.
    stream.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

/// Looks until `done` says so, for at most 15 s.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..1_500 {
        if done().unwrap_or(false) {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "a server of another process gives no event")]
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other(format!("{what} did not happen within 15 s")))
}

fn spawn(program: &str, args: &[String], ready: &str) -> io::Result<Child> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|err| io::Error::new(err.kind(), format!("cannot start {program}: {err}")))?;
    let found = child.stdout.take().map_or(Ok(false), |stdout| wait_for_line(stdout, ready));
    if let Ok(true) = found {
        return Ok(child);
    }
    child.kill().and_then(|()| child.wait())?;
    Err(found.err().unwrap_or_else(|| io::Error::other(format!("{program} ended before it was ready"))))
}

fn wait_for_line(stdout: ChildStdout, wanted: &str) -> io::Result<bool> {
    let mut log = BufReader::new(stdout);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line)? > 0 {
        if String::from_utf8_lossy(&line).contains(wanted) {
            // A full pipe would stop the server.
            thread::spawn(move || io::copy(&mut log, &mut io::sink()));
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}
