//! Throw-away servers on free loopback ports, ended by their pid.

mod browser;
mod postgres;
mod redis;

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Fallible, say};

/// The servers that tests use. Dropping it ends them.
pub(crate) struct Services {
    redis: redis::Redis,
    postgres: postgres::Postgres,
    axe: String,
    // Removed last.
    _dir: Directory,
}

/// Removed on drop.
struct Directory(PathBuf);

impl Services {
    /// Starts them, installing what is missing where that can be done.
    pub(crate) fn start(root: &Path) -> Fallible<Self> {
        let dir = Directory(root.join(format!("target/services/{}", std::process::id())));
        fs::create_dir_all(&dir.0)?;
        let axe = browser::install(root)?.display().to_string();
        Ok(Self {
            redis: redis::Redis::start(&dir.0)?,
            postgres: postgres::Postgres::start()?,
            axe,
            _dir: dir,
        })
    }

    /// The URL of the redis-server.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis.url
    }

    /// The URL of the PostgreSQL.
    pub(crate) fn postgres_url(&self) -> &str {
        &self.postgres.url
    }

    /// What tests read: variable and URL, or path.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("LOVAGE_TEST_REDIS_URL", &self.redis.url),
            ("LOVAGE_TEST_REDIS_CLUSTER_URL", &self.redis.cluster_url),
            ("LOVAGE_TEST_POSTGRES_URL", &self.postgres.url),
            ("LOVAGE_TEST_AXE", &self.axe),
        ]
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// `cargo xtask services`: keeps them until stdin ends.
#[expect(clippy::print_stdout, reason = "the URLs are what this command is for")]
pub(crate) fn hold(root: &Path) -> Fallible<()> {
    let services = Services::start(root)?;
    for (variable, url) in services.variables() {
        println!("{variable}={url}");
    }
    say("the servers run until this command's input ends (Ctrl-D) or Ctrl-C");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes sure that there are a Redis and a PostgreSQL for programs that start servers of their own.
pub(crate) fn install() -> Fallible<()> {
    redis::install()?;
    postgres::install()
}

/// Makes sure that a program is where `found` looks for it.
fn install_where(found: impl Fn() -> bool, program: &str, package: &str) -> Fallible<()> {
    if found() {
        return Ok(());
    }
    if find_in_path("apt-get").is_none() || !is_root() {
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
    if found() {
        Ok(())
    } else {
        Err(format!("`{package}` is installed, but `{program}` is not where it was expected").into())
    }
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Looks for ten seconds.
fn wait_for(mut there: impl FnMut() -> bool) -> bool {
    for _ in 0..400 {
        if there() {
            return true;
        }
        // A server of another process gives no event when it begins to listen.
        #[expect(clippy::disallowed_methods, reason = "there is nothing to wait on but the port")]
        std::thread::sleep(Duration::from_millis(25));
    }
    false
}

/// Free at this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
