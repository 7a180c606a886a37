//! A throw-away PostgreSQL for tests.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Names a PostgreSQL to use instead of starting one.
pub const URL_VARIABLE: &str = "LOVAGE_TEST_POSTGRES_URL";

/// The URL of a schema of its own, empty and not yet made: in the server that `LOVAGE_TEST_POSTGRES_URL` names, else in one
/// that this process starts once and that ends with it.
///
/// # Errors
/// Where PostgreSQL is not installed or does not start.
pub fn fresh_url() -> io::Result<String> {
    static OWN: OnceLock<io::Result<(PgServer, Child)>> = OnceLock::new();
    let server = match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => url,
        _ => match OWN.get_or_init(|| PgServer::start().and_then(guarded)) {
            Ok((server, _)) => server.url().to_owned(),
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        },
    };
    let joint = if server.contains('?') { '&' } else { '?' };
    let random = RandomState::new().build_hasher().finish();
    Ok(format!("{server}{joint}schema=t{random:016x}&connections=3"))
}

/// A static is never dropped, and a test may be killed: so a shell of its own waits for the end of this process, which closes
/// the pipe between them, and ends the server then.
fn guarded(server: PgServer) -> io::Result<(PgServer, Child)> {
    let stop = server.control("stop")?;
    let mut guard = Command::new("sh");
    guard.args(["-c", "read _; \"$@\" -m immediate; rm -rf \"$0\""]).arg(&server.dir);
    guard.arg(stop.get_program()).args(stop.get_args());
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Out of reach of what ends the tests and their children.
    let guard = guard.process_group(0).spawn()?;
    Ok((server, guard))
}

/// A PostgreSQL of its own on a free port of 127.0.0.1, for tests that stop it. Ended on drop.
#[derive(Debug)]
pub struct PgServer {
    dir: PathBuf,
    port: u16,
    url: String,
    user: Option<&'static str>,
}

impl PgServer {
    /// Makes a database cluster in a temporary directory and starts it. As root it runs as the user `postgres`, because
    /// PostgreSQL refuses to run as root.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start.
    pub fn start() -> io::Result<Self> {
        let root = Command::new("id").arg("-u").output()?.stdout.trim_ascii() == b"0";
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let random = RandomState::new().build_hasher().finish();
        let dir = std::env::temp_dir().join(format!("lovage-postgres-{random:016x}"));
        let user = root.then_some("postgres");
        let server = Self { dir, port, url: format!("postgres://lovage@127.0.0.1:{port}/postgres"), user };
        fs::create_dir(&server.dir)?;
        if let Some(user) = user {
            done(Command::new("chown").arg(user).arg(&server.dir))?;
        }
        let data = server.dir.join("data");
        done(server.command("initdb")?.args(["-A", "trust", "-U", "lovage", "-N", "-D"]).arg(data))?;
        server.resume()?;
        Ok(server)
    }

    /// Its URL, without a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it at once (its mode `immediate`), as a crash would.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub fn stop(&self) -> io::Result<()> {
        done(self.control("stop")?.args(["-m", "immediate"]))
    }

    /// Starts it again on the same port; returns when it accepts connections.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub fn resume(&self) -> io::Result<()> {
        let dir = self.dir.display();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={dir} -c max_connections=300 -c shared_buffers=128MB",
            self.port
        );
        let log = self.dir.join("log");
        done(self.control("start")?.args(["-w", "-o", &options, "-l"]).arg(log))
    }

    fn control(&self, verb: &str) -> io::Result<Command> {
        let mut command = self.command("pg_ctl")?;
        command.arg(verb).arg("-D").arg(self.dir.join("data"));
        Ok(command)
    }

    fn command(&self, program: &str) -> io::Result<Command> {
        let program = find(program)?;
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        // It may have been stopped by the test already.
        let _already_gone = self.stop();
        let _left_behind = fs::remove_dir_all(&self.dir);
    }
}

/// In the path, or where Debian puts the newest version.
fn find(program: &str) -> io::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) =
        std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file())
    {
        return Ok(found);
    }
    let versions = fs::read_dir(Path::new("/usr/lib/postgresql")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(program))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("`{program}` of PostgreSQL is not installed (Debian: apt-get install postgresql)"),
        )
    })
}

fn done(command: &mut Command) -> io::Result<()> {
    let output = command.stderr(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?} failed: {said}")))
}
