//! A redis-server, and a Redis Cluster of three primaries with a replica each.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{find_in_path, free_port, install_where, wait_for};
use crate::Fallible;

/// Makes sure that the server is there.
pub(super) fn install() -> Fallible<()> {
    install_where(|| find_in_path("redis-server").is_some(), "redis-server", "redis-server")
}

/// The servers. Dropping it ends them.
pub(super) struct Redis {
    server: Child,
    pub(super) url: String,
    cluster: Vec<Child>,
    pub(super) cluster_url: String,
}

impl Redis {
    /// Starts them, installing Redis where that can be done.
    pub(super) fn start(dir: &Path) -> Fallible<Self> {
        install()?;
        // Another process may take the port before the server does: then the server says so and ends, and we try again.
        for _ in 0..5 {
            let port = free_port()?;
            let server = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                .arg(port.to_string())
                .arg("--dir")
                .arg(dir)
                .stdout(Stdio::null())
                .spawn()?;
            let mut redis = Self {
                server,
                url: format!("redis://127.0.0.1:{port}"),
                cluster: Vec::new(),
                cluster_url: String::new(),
            };
            if redis.answers(port)? {
                redis.start_cluster(dir)?;
                return Ok(redis);
            }
        }
        Err("redis-server does not start: try it by hand, it says why".into())
    }

    fn start_cluster(&mut self, dir: &Path) -> Fallible<()> {
        install_where(|| find_in_path("redis-cli").is_some(), "redis-cli", "redis-tools")?;
        // A node takes the port 10,000 higher, too, for the talk among them.
        let ports: Vec<u16> = std::iter::repeat_with(free_port)
            .filter(|port| port.as_ref().is_ok_and(|port| *port < 50_000))
            .take(6)
            .collect::<Result<_, _>>()?;
        for port in &ports {
            let node = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--cluster-enabled", "yes"])
                .args(["--cluster-node-timeout", "5000", "--repl-diskless-sync-delay", "0", "--port"])
                .arg(port.to_string())
                .arg("--cluster-config-file")
                .arg(format!("nodes-{port}.conf"))
                .arg("--dir")
                .arg(dir)
                .stdout(Stdio::null())
                .spawn()?;
            self.cluster.push(node);
        }
        let answered = |port: &u16| wait_for(|| ping(*port).is_ok_and(|answer| answer == *b"+PONG\r\n"));
        if !ports.iter().all(answered) {
            return Err("a node of the Redis Cluster does not start: another process may have its port; run this again".into());
        }
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&hosts)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()?;
        if !created.status.success() {
            return Err(format!(
                "`redis-cli --cluster create`: {}",
                String::from_utf8_lossy(&created.stdout)
            )
            .into());
        }
        self.cluster_url = format!("redis-cluster://{}", hosts[..3].join(","));
        Ok(())
    }

    /// Waits until the server answers; false when it ended instead.
    fn answers(&mut self, port: u16) -> Fallible<bool> {
        let mut ended = false;
        let answers = wait_for(|| {
            ended = self.server.try_wait().is_ok_and(|status| status.is_some());
            ended || ping(port).is_ok_and(|answer| answer == *b"+PONG\r\n")
        });
        Ok(answers && !ended)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for node in std::iter::once(&mut self.server).chain(&mut self.cluster) {
            // It may have ended already.
            let _already_gone = node.kill();
            let _already_gone = node.wait();
        }
    }
}

fn ping(port: u16) -> std::io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
