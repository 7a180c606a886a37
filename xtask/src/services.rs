//! Throw-away servers on free loopback ports, ended by their pid.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Fallible, say};

/// The servers that tests use. Dropping it ends them.
pub(crate) struct Services {
    redis: Child,
    redis_url: String,
    cluster: Vec<Child>,
    cluster_url: String,
    dir: PathBuf,
}

impl Services {
    /// Starts a redis-server of its own, installing it where that can be done.
    pub(crate) fn start(root: &Path) -> Fallible<Self> {
        install("redis-server", "redis-server")?;
        let dir = root.join(format!("target/services/{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        // Another process may take the port before the server does: then the server says so and ends, and we try again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let redis = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                .arg(port.to_string())
                .arg("--dir")
                .arg(&dir)
                .stdout(Stdio::null())
                .spawn()?;
            let mut services = Self {
                redis,
                redis_url: format!("redis://127.0.0.1:{port}"),
                cluster: Vec::new(),
                cluster_url: String::new(),
                dir: dir.clone(),
            };
            if services.answers(port)? {
                services.start_cluster()?;
                return Ok(services);
            }
        }
        Err("redis-server does not start: try it by hand, it says why".into())
    }

    /// The URL of the redis-server.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The URL of the Redis Cluster.
    pub(crate) fn redis_cluster_url(&self) -> &str {
        &self.cluster_url
    }

    /// Three primaries with a replica each.
    fn start_cluster(&mut self) -> Fallible<()> {
        install("redis-cli", "redis-tools")?;
        // A node takes the port 10,000 higher, too, for the talk among them.
        let ports: Vec<u16> = std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0")?.local_addr())
            .map(|address| address.map(|address| address.port()))
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
                .arg(&self.dir)
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
            ended = self.redis.try_wait().is_ok_and(|status| status.is_some());
            ended || ping(port).is_ok_and(|answer| answer == *b"+PONG\r\n")
        });
        Ok(answers && !ended)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // It may have ended already, and the directory is under target/.
        let _already_gone = self.redis.kill();
        let _already_gone = self.redis.wait();
        for node in &mut self.cluster {
            let _already_gone = node.kill();
            let _already_gone = node.wait();
        }
        let _left_behind = fs::remove_dir_all(&self.dir);
    }
}

/// `cargo xtask services`: keeps them until stdin ends.
#[expect(clippy::print_stdout, reason = "the URL is what this command is for")]
pub(crate) fn hold(root: &Path) -> Fallible<()> {
    let services = Services::start(root)?;
    println!("LOVAGE_TEST_REDIS_URL={}", services.redis_url());
    println!("LOVAGE_TEST_REDIS_CLUSTER_URL={}", services.redis_cluster_url());
    say("the servers run until this command's input ends (Ctrl-D) or Ctrl-C");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes sure that a program is there.
pub(crate) fn install(program: &str, package: &str) -> Fallible<()> {
    let found = |name: &str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|dir| dir.join(name).is_file())
    };
    if found(program) {
        return Ok(());
    }
    if !(found("apt-get") && is_root()) {
        return Err(format!("the tests need `{program}`: install it (Debian: `sudo apt-get install {package}`) and run this again").into());
    }
    say(&format!("installing {package}, which the tests need"));
    for args in [&["update", "-qq"][..], &["install", "-y", "-qq", package][..]] {
        let status = Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Debian starts a server when it is installed; the tests start their own.
            .env("RUNLEVEL", "1")
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!(
                "`apt-get {}` failed: install `{program}` by hand and run this again",
                args.join(" ")
            )
            .into());
        }
    }
    if found(program) {
        Ok(())
    } else {
        Err(format!("`{package}` is installed, but `{program}` is not in PATH").into())
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Looks for five seconds.
fn wait_for(mut there: impl FnMut() -> bool) -> bool {
    for _ in 0..200 {
        if there() {
            return true;
        }
        // A server of another process gives no event when it begins to listen.
        #[expect(clippy::disallowed_methods, reason = "there is nothing to wait on but the port")]
        std::thread::sleep(Duration::from_millis(25));
    }
    false
}

fn ping(port: u16) -> std::io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
