//! A Redis Cluster: three primaries with one replica each.

use std::io;

use tempfile::TempDir;

use super::process::{Process, command, reply, wait_until};
use super::server::{server_args, start_somewhere, unique_name};

/// Names a Redis Cluster to use instead of starting one.
pub const CLUSTER_URL_VARIABLE: &str = "LOVAGE_TEST_REDIS_CLUSTER_URL";

const PRIMARIES: usize = 3;
const SLOTS: u16 = 16_384;

/// A Redis Cluster for one test, on free ports of 127.0.0.1, ended on drop; or the one that
/// `LOVAGE_TEST_REDIS_CLUSTER_URL` names, which several tests share.
#[derive(Debug)]
pub struct RedisCluster {
    url: String,
    nodes: Vec<Node>,
    _dir: Option<TempDir>,
}

/// A node; the first three are the primaries of the start, each is followed by its replica three later.
#[derive(Debug)]
struct Node {
    port: u16,
    id: String,
    process: Process,
}

impl RedisCluster {
    /// The cluster that the environment names, else a new one.
    ///
    /// # Errors
    /// Where `redis-server` is not installed or the cluster does not form.
    pub fn start() -> io::Result<Self> {
        match std::env::var(CLUSTER_URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Ok(Self { url, nodes: Vec::new(), _dir: None }),
            _ => Self::start_own(&[]),
        }
    }

    /// A cluster of its own whatever the environment says, with further arguments for each server.
    ///
    /// # Errors
    /// Those of [`RedisCluster::start`].
    pub fn start_own(args: &[&str]) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let nodes: Vec<Node> =
            (0..2 * PRIMARIES).map(|_| Node::start(&dir, args)).collect::<io::Result<_>>()?;
        let hosts: Vec<String> =
            nodes[..PRIMARIES].iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let cluster = Self { url: format!("redis-cluster://{}", hosts.join(",")), nodes, _dir: Some(dir) };
        cluster.form()?;
        Ok(cluster)
    }

    /// The URL, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As the function [`unique_name`].
    pub fn unique_name(&self, prefix: &str) -> String {
        unique_name(prefix)
    }

    /// Which of our nodes serves a slot now.
    ///
    /// # Errors
    /// Where nobody answers, or the cluster is not our own.
    pub fn owner_of(&self, slot: u16) -> io::Result<usize> {
        for (at, node) in self.nodes.iter().enumerate() {
            // Its own line says what it serves; a node that is down is skipped.
            let Ok(nodes) = command(node.port, "CLUSTER NODES") else { continue };
            let own = nodes.lines().find(|line| line.contains("myself,master")).unwrap_or_default();
            if own.split(' ').skip(8).any(|range| is_in(slot, range)) {
                return Ok(at);
            }
        }
        Err(io::Error::other(format!("no node of our own serves slot {slot}")))
    }

    /// Kills a node (SIGKILL).
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self, node: usize) -> io::Result<()> {
        self.nodes[node].process.stop()
    }

    /// The port of a node.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].port
    }

    /// Sends a command in its plain form to a node and answers the reply as it came.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn command(&self, node: usize, line: &str) -> io::Result<String> {
        command(self.nodes[node].port, line)
    }

    /// Begins to move a slot: from now on its keys are asked for with `ASK`.
    ///
    /// # Errors
    /// Where a node refuses.
    pub fn begin_to_move(&self, slot: u16, from: usize, to: usize) -> io::Result<()> {
        self.ok(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.nodes[from].id))?;
        self.ok(from, "CONFIG RESETSTAT")?;
        self.ok(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.nodes[to].id))
    }

    /// Waits until somebody met the `ASK` of a move that has begun. It blocks its thread.
    ///
    /// # Errors
    /// Where nobody does.
    pub fn wait_until_asked(&self, from: usize) -> io::Result<()> {
        wait_until("an ASK", || Ok(self.command(from, "INFO errorstats")?.contains("errorstat_ASK")))
    }

    /// Moves the keys of a slot and ends the move: from now on the old node answers `MOVED`.
    ///
    /// # Errors
    /// Where a node refuses.
    pub fn finish_to_move(&self, slot: u16, from: usize, to: usize) -> io::Result<()> {
        let keys = reply(self.nodes[from].port, &format!("CLUSTER GETKEYSINSLOT {slot} 1000"))?;
        for key in bulk_strings(&keys) {
            let quoted: String = key.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let port = self.nodes[to].port;
            self.ok(from, &format!("MIGRATE 127.0.0.1 {port} \"{quoted}\" 0 5000"))?;
        }
        for node in [to, from] {
            self.ok(node, &format!("CLUSTER SETSLOT {slot} NODE {}", self.nodes[to].id))?;
        }
        Ok(())
    }

    fn form(&self) -> io::Result<()> {
        let share = SLOTS / 3 + 1;
        for node in 0..PRIMARIES {
            let begin = share * u16::try_from(node).unwrap_or_default();
            let end = (begin + share).min(SLOTS) - 1;
            self.ok(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", node + 1))?;
            self.ok(node, &format!("CLUSTER ADDSLOTSRANGE {begin} {end}"))?;
        }
        for node in &self.nodes[1..] {
            self.ok(0, &format!("CLUSTER MEET 127.0.0.1 {}", node.port))?;
        }
        let count = self.nodes.len();
        wait_until("the meeting of the nodes", || {
            let met =
                |node: &Node| Ok(command(node.port, "CLUSTER NODES")?.matches("connected").count() >= count);
            self.nodes.iter().map(met).try_fold(true, |all, met: io::Result<bool>| Ok(all && met?))
        })?;
        for replica in PRIMARIES..count {
            let of = &self.nodes[replica - PRIMARIES].id;
            wait_until("a replica", || Ok(self.ok(replica, &format!("CLUSTER REPLICATE {of}")).is_ok()))?;
        }
        wait_until("the start of the cluster", || {
            let ready = |(at, node): (usize, &Node)| -> io::Result<bool> {
                let state = command(node.port, "CLUSTER INFO")?;
                let link = command(node.port, "INFO replication")?;
                let linked = if at < PRIMARIES { "state=online" } else { "master_link_status:up" };
                Ok(state.contains("cluster_state:ok") && link.contains(linked))
            };
            self.nodes.iter().enumerate().map(ready).try_fold(true, |all, ready| Ok(all && ready?))
        })
    }

    fn ok(&self, node: usize, line: &str) -> io::Result<()> {
        let reply = self.command(node, line)?;
        if reply.starts_with('-') {
            return Err(io::Error::other(format!("{line}: {reply}")));
        }
        Ok(())
    }
}

impl Node {
    fn start(dir: &TempDir, args: &[&str]) -> io::Result<Self> {
        let (port, process) = start_somewhere(&|port| {
            let file = format!("nodes-{port}.conf");
            let dir = dir.path().display().to_string();
            let cluster = [
                "--dir",
                &dir,
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                &file,
                "--cluster-node-timeout",
                "1000",
                "--repl-diskless-sync",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
                "--cluster-replica-validity-factor",
                "0",
            ];
            server_args(port, &[&cluster[..], args].concat())
        })?;
        let id = command(port, "CLUSTER MYID")?;
        let id = id.lines().nth(1).unwrap_or_default().to_owned();
        Ok(Self { port, id, process })
    }
}

fn is_in(slot: u16, range: &str) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok();
    number(first).zip(number(last)).is_some_and(|(first, last)| (first..=last).contains(&slot))
}

/// The strings of a flat reply, each `$length` and so many bytes.
fn bulk_strings(mut reply: &[u8]) -> Vec<Vec<u8>> {
    let mut strings = Vec::new();
    while let Some(end) = reply.windows(2).position(|two| two == b"\r\n") {
        let (line, rest) = (&reply[..end], &reply[end + 2..]);
        reply = rest;
        let length =
            line.strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let Some((string, rest)) = length.and_then(|length| reply.split_at_checked(length)) {
            strings.push(string.to_vec());
            reply = rest;
        }
    }
    strings
}
