//! A PostgreSQL.
//!
//! The tests of one crate start one of their own where nobody names one (`lovage_sql::postgres::testing`). This one is shared
//! by all of them, and does not wait for the disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{find_in_path, free_port, install_where, is_root, wait_for};
use crate::Fallible;

/// The user as whom it runs when we are root, because PostgreSQL refuses to run as root. Debian's package makes it.
const USER: &str = "postgres";
/// Where Debian puts the programs: `15/bin/postgres`.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Enough for every test that runs at once; nothing here has to outlive a crash of the machine.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "max_connections=400",
    "shared_buffers=64MB",
    "fsync=off",
    "full_page_writes=off",
    "log_min_messages=fatal",
];

/// Makes sure that the programs are there.
pub(super) fn install() -> Fallible<()> {
    install_where(|| programs().is_some(), "initdb", "postgresql")
}

/// The server. Dropping it ends it.
pub(super) struct Postgres {
    server: Option<Child>,
    place: Place,
    pub(super) url: String,
}

/// Its directory, the user whom it belongs to, and the programs.
struct Place {
    dir: PathBuf,
    /// The ids of user and group, when it is not our own.
    user: Option<(u32, u32)>,
    programs: PathBuf,
}

impl Postgres {
    /// Makes a database cluster and starts it, installing PostgreSQL where that can be done.
    pub(super) fn start() -> Fallible<Self> {
        install()?;
        let place = Place::make(programs().ok_or("`initdb` went away")?)?;
        let mut postgres = Self { server: None, place, url: String::new() };
        let made = postgres
            .place
            .command("initdb")
            .args(["-A", "trust", "-U", "lovage", "-E", "UTF8", "--locale=C", "-N", "-D", "data"])
            .output()?;
        if !made.status.success() {
            return Err(format!("`initdb`: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let port = free_port()?;
            if postgres.run(port)? {
                postgres.url = format!("postgres://lovage@127.0.0.1:{port}/postgres");
                return Ok(postgres);
            }
        }
        let said = fs::read_to_string(postgres.place.dir.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL does not start:\n{said}").into())
    }

    /// Starts it and waits until it answers; false when it ended instead. It is a child of ours, not a daemon, so that a
    /// Ctrl-C at the terminal reaches it too.
    fn run(&mut self, port: u16) -> Fallible<bool> {
        let log = fs::File::create(self.place.dir.join("log"))?;
        let mut command = self.place.command("postgres");
        command.args(["-D", "data", "-p"]).arg(port.to_string());
        command.args(["-c", &format!("unix_socket_directories={}", self.place.dir.display())]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let server = self.server.insert(command.stderr(log).spawn()?);
        let (mut ended, pid_file) = (false, self.place.dir.join("data/postmaster.pid"));
        let ready = wait_for(|| {
            ended = server.try_wait().is_ok_and(|status| status.is_some());
            // The last line of this file is its state.
            let state = fs::read_to_string(&pid_file).unwrap_or_default();
            ended || state.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        });
        Ok(ready && !ended)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Killed, it would leave its own children behind for a while.
            let stopped =
                self.place.command("pg_ctl").args(["stop", "-m", "immediate", "-D", "data"]).status();
            if !stopped.is_ok_and(|status| status.success()) {
                let _already_gone = server.kill();
            }
            let _already_gone = server.wait();
        }
        let _left_behind = fs::remove_dir_all(&self.place.dir);
    }
}

impl Place {
    /// Not below the checkout: another user may not be let in there.
    fn make(programs: PathBuf) -> Fallible<Self> {
        let user = if is_root() { Some((id("-u")?, id("-g")?)) } else { None };
        for parent in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            let place = Self {
                dir: parent.join(format!("lovage-services-{}", std::process::id())),
                user,
                programs: programs.clone(),
            };
            if place.make_dir().is_ok() {
                return Ok(place);
            }
            let _was_not_made = fs::remove_dir_all(&place.dir);
        }
        Err(format!(
            "there is no directory for temporary files that the user `{USER}` can use: set TMPDIR to one"
        )
        .into())
    }

    fn make_dir(&self) -> Fallible<()> {
        fs::create_dir(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = self.user {
            chown(&self.dir, Some(user), Some(group))?;
        }
        // Fails where that user cannot go.
        let version = self.command("initdb").arg("--version").status()?;
        if version.success() { Ok(()) } else { Err("`initdb --version` failed".into()) }
    }

    /// One of its programs, in its directory, as its user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

/// The directory of the programs: Debian's newest, else that in the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, dir)| dir.join("initdb").is_file())
        .max();
    newest.map(|(_, dir)| dir).or_else(|| find_in_path("initdb")?.parent().map(Path::to_path_buf))
}

/// A number of the user `postgres`.
fn id(which: &str) -> Fallible<u32> {
    let output = Command::new("id").args([which, USER]).output()?;
    let number = String::from_utf8_lossy(&output.stdout).trim().parse();
    number.map_err(|_| {
        format!("PostgreSQL does not run as root, and there is no user `{USER}`: make one (Debian: its package does)").into()
    })
}
