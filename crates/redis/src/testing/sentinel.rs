//! A primary and a replica, watched by sentinels.

use std::io;

use tempfile::TempDir;

use super::process::{Process, command, free_port, wait_until};
use super::server::{server_args, start_somewhere};

const SENTINELS: usize = 3;

/// A primary with one replica and three sentinels that promote it, on free ports of 127.0.0.1, ended on drop.
#[derive(Debug)]
pub struct RedisSentinel {
    url: String,
    servers: Vec<(u16, Process)>,
    sentinels: Vec<(u16, Process)>,
    _dir: TempDir,
}

impl RedisSentinel {
    /// Starts them. Returns when the replica follows and the sentinels know it and each other.
    ///
    /// # Errors
    /// Where `redis-server` is not installed or does not start.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`RedisSentinel::start`], with further arguments for the primary and the replica.
    ///
    /// # Errors
    /// Those of [`RedisSentinel::start`].
    pub fn start_with(args: &[&str]) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let primary = start_somewhere(&|port| {
            server_args(port, &[&["--repl-diskless-sync-delay", "0"], args].concat())
        })?;
        let of = format!("127.0.0.1 {}", primary.0);
        let replica =
            start_somewhere(&|port| server_args(port, &[&["--replicaof", of.as_str()], args].concat()))?;
        let port = replica.0;
        wait_until("the replica", || {
            Ok(command(port, "INFO replication")?.contains("master_link_status:up"))
        })?;
        let sentinels: Vec<(u16, Process)> =
            (0..SENTINELS).map(|_| start_sentinel(&dir, primary.0)).collect::<io::Result<_>>()?;
        for (port, _) in &sentinels {
            wait_until("the meeting of the sentinels", || {
                let known = command(*port, "INFO sentinel")?;
                Ok(known.contains(&format!("slaves=1,sentinels={SENTINELS}")))
            })?;
        }
        let hosts: Vec<String> = sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let url = format!("redis-sentinel://{}/main", hosts.join(","));
        Ok(Self { url, servers: vec![primary, replica], sentinels, _dir: dir })
    }

    /// The URL, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills the first primary (SIGKILL); the sentinels promote the replica.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill_primary(&mut self) -> io::Result<()> {
        self.servers[0].1.stop()
    }

    /// Kills the first sentinel (SIGKILL).
    ///
    /// # Errors
    /// What the system says.
    pub fn kill_sentinel(&mut self) -> io::Result<()> {
        self.sentinels[0].1.stop()
    }
}

fn start_sentinel(dir: &TempDir, primary: u16) -> io::Result<(u16, Process)> {
    let port = free_port()?;
    let file = dir.path().join(format!("sentinel-{port}.conf"));
    std::fs::write(
        &file,
        format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
            dir.path().display()
        ),
    )?;
    let args = vec![file.display().to_string(), "--sentinel".to_owned()];
    Process::start("redis-server", args, "+monitor master main").map(|process| (port, process))
}
