//! The real binary in a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing;
use lovage_system::SystemClock;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// Longer than anything here takes, short enough to fail before the runner gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a test of each story (`fn(&Bed)`) on each broker.
macro_rules! on_each_broker {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $story() {
                super::$story(&crate::support::Bed::new());
            })+
        }

        mod on_redis {
            $(#[test]
            fn $story() {
                crate::support::on_redis(super::$story);
            })+
        }

        mod on_postgres {
            $(#[test]
            fn $story() {
                super::$story(&crate::support::Bed::on_postgres());
            })+
        }
    };
}
pub(crate) use on_each_broker;

/// With a Redis of its own, because the queue of the stories has a fixed name.
pub(crate) fn on_redis(story: fn(&Bed)) {
    let redis = RedisServer::start_own(&[]).unwrap();
    story(&Bed::new().with("LOVAGE_BROKER_URL", redis.url()));
}

/// A directory with a broker of its own.
pub(crate) struct Bed {
    directory: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that goes on, ended on drop.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// With the tables in a schema of its own.
    pub(crate) fn on_postgres() -> Self {
        let bed = Self::new().with("LOVAGE_BROKER_URL", &testing::fresh_url().unwrap());
        bed.ok(&["migrate"]);
        bed
    }

    pub(crate) fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOVAGE_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed, and answers its standard output without the last line break.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}{}", done.stdout, done.stderr);
        done.stdout.trim_end().to_owned()
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Runs a command that must fail with a code, and answers its standard error.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, code, "{args:?}: {}{}", done.stdout, done.stderr);
        done.stderr
    }

    /// Changes rows of the schedule behind everybody's back.
    pub(crate) fn sql(&self, statement: &str) {
        let broker = self.variables.iter().find(|(name, _)| *name == "LOVAGE_BROKER_URL");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            match broker.and_then(|(_, url)| url.split_once("?schema=")) {
                Some((place, schema)) => {
                    let schema = schema.split('&').next().unwrap();
                    let mut connection = PgConnection::connect(place).await.unwrap();
                    let both = format!("SET search_path TO {schema}; {statement}");
                    sqlx::raw_sql(AssertSqlSafe(both)).execute(&mut connection).await.unwrap();
                    connection.close().await.unwrap();
                }
                None => {
                    let url = format!("sqlite://{}", self.path().join("lovage.db").display());
                    let mut connection = SqliteConnection::connect(&url).await.unwrap();
                    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
                    statement.execute(&mut connection).await.unwrap();
                    connection.close().await.unwrap();
                }
            }
        });
    }

    /// Starts a worker and waits until it says that it is ready.
    pub(crate) fn worker(&self, args: &[&str]) -> Running {
        let mut worker = self.start(&[&["worker"], args].concat());
        worker.wait_for(" ready");
        worker
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    /// A command of the program of `own.rs` instead of the stock one.
    pub(crate) fn own(&self, args: &[&str]) -> Command {
        let stock = self.command(&[]);
        let mut own = Command::new(std::env::current_exe().unwrap());
        own.args(["--exact", crate::own::PROGRAM, "--nocapture"])
            .current_dir(self.path())
            .stdin(Stdio::null());
        for (name, value) in stock.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        own.env(crate::own::ARGUMENTS, args.join("\n"));
        own
    }

    /// Starts a worker of that program and waits until it says that it is ready.
    pub(crate) fn own_worker(&self, args: &[&str]) -> Running {
        let mut worker = Running::of(self.own(&[&["worker"], args].concat()));
        worker.wait_for(" ready");
        worker
    }

    /// Asks again until the answer is right: each command is a process and paces itself.
    pub(crate) fn until(&self, args: &[&str], is_right: impl Fn(&Value) -> bool) -> Value {
        let clock = SystemClock::new();
        while clock.monotonic() < PATIENCE {
            let answer = self.json(args);
            if is_right(&answer) {
                return answer;
            }
        }
        panic!("{args:?} does not become right: {}", self.json(args));
    }
}

impl Running {
    pub(crate) fn of(command: Command) -> Self {
        Self::with_stderr(command, Stdio::piped())
    }

    /// Reads the standard error only where it is a pipe.
    pub(crate) fn with_stderr(mut command: Command, stderr: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let mut pipes: Vec<Box<dyn Read + Send>> = vec![Box::new(child.stdout.take().unwrap())];
        pipes.extend(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        for pipe in pipes {
            let sender = sender.clone();
            std::thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Running { child, lines, seen: Vec::new() }
    }

    /// Waits for a line with a text in it, on either output; lines before it are kept.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(part)) {
            return line.clone();
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with `{part}`:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Whether a line with a text in it was seen so far.
    pub(crate) fn has_seen(&self, part: &str) -> bool {
        self.seen.iter().any(|line| line.contains(part))
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until SIGTERM no longer ends it by itself. For processes whose log cannot be read.
    pub(crate) fn until_it_handles_signals(&self) {
        let clock = SystemClock::new();
        while clock.monotonic() < PATIENCE {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            if u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("it does not handle signals");
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, after its outputs have ended.
    pub(crate) fn exit_code(self) -> i32 {
        self.end().0
    }

    /// Its exit code, and all that it ever said.
    pub(crate) fn end(mut self) -> (i32, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.seen.join("\n")),
            }
        }
        (self.child.wait().unwrap().code().unwrap_or(-1), self.seen.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
