//! `cargo xtask bench`: builds the benchmarks for release and prints a table per broker. They start their own servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::{Fallible, say, services};

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Which brokers: memory, sqlite, redis, postgres, or URLs.
    #[arg(long, value_delimiter = ',', default_value = "memory,sqlite,redis,postgres")]
    broker: Vec<String>,
    /// Messages to drain.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Only these rows: send, drain, latency, idle, memory, faults, build.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the figures go, one JSON line per broker; default target/bench/figures.jsonl.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures the named brokers, the figures as JSON lines into a file.
pub(crate) fn run(root: &Path, options: &Options) -> Fallible<()> {
    let wanted = |part: &str| options.only.is_empty() || options.only.iter().any(|only| only == part);
    let dir = root.join("target/bench");
    fs::create_dir_all(&dir)?;
    if ["send", "drain", "latency", "idle", "memory", "faults"].into_iter().any(wanted) {
        let lines = measure(root, options)?;
        let path = options.json.clone().unwrap_or_else(|| dir.join("figures.jsonl"));
        fs::write(&path, lines)?;
    }
    if wanted("build") {
        cold_builds(root, &dir)?;
    }
    Ok(())
}

fn measure(root: &Path, options: &Options) -> Fallible<String> {
    services::install()?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "lovage-bench"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the benchmarks do not build".into());
    }
    let mut lines = String::new();
    for broker in &options.broker {
        let mut bench = Command::new(root.join("target/release/lovage-bench"));
        bench.args(["--broker", broker, "--tasks", &options.tasks.to_string()]);
        if broker == "redis" {
            // The results of tasks that are queued in Redis are often kept in a database.
            bench.args(["--results", "postgres,sqlite"]);
        }
        if !options.only.is_empty() {
            bench.args(["--only", &options.only.join(",")]);
        }
        let output = bench.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("measuring {broker} failed").into());
        }
        lines.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(lines)
}

/// How long the first build of a web server takes that sends tasks to one broker, with all its dependencies, as cargo
/// builds while one develops.
#[expect(clippy::disallowed_methods, reason = "tells the person at the terminal how long it took")]
fn cold_builds(root: &Path, dir: &Path) -> Fallible<()> {
    let project = dir.join("web");
    fs::create_dir_all(project.join("src"))?;
    fs::write(project.join("src/main.rs"), WEB_SERVER)?;
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock"))?;
    for feature in ["redis", "sqlite", "postgres"] {
        fs::write(project.join("Cargo.toml"), manifest(root, feature))?;
        let target = project.join("target");
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        let build = || {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(&project).env("CARGO_TARGET_DIR", &target);
            cargo
        };
        // What is downloaded is no part of it.
        succeeds(build().args(["fetch", "--quiet"]))?;
        let start = Instant::now();
        succeeds(build().args(["build", "--quiet"]))?;
        let tree =
            build().args(["tree", "--prefix", "none", "--edges", "normal,build", "--no-dedupe"]).output()?;
        let tree = String::from_utf8_lossy(&tree.stdout);
        let mut crates: Vec<&str> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
        crates.sort_unstable();
        crates.dedup();
        say(&format!(
            "cold build, axum and lovage-client with `{feature}`: {:.1} s, {} crates",
            start.elapsed().as_secs_f64(),
            crates.len()
        ));
        fs::remove_dir_all(&target)?;
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> Fallible<()> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

fn manifest(root: &Path, feature: &str) -> String {
    format!(
        "[package]\nname = \"web\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         axum = {{ version = \"0.8\", default-features = false, features = [\"http1\", \"json\", \"tokio\"] }}\n\
         lovage = {{ package = \"lovage-client\", path = {:?}, default-features = false, features = [{feature:?}] }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\"] }}\n",
        root.join("crates/client").display().to_string()
    )
}

const WEB_SERVER: &str = r#"//! A web server that sends a task with each request.

use axum::{Router, extract::State, routing::post};
use lovage::Client;

#[lovage::task(name = "mail.send")]
async fn send(to: String) -> Result<(), lovage::TaskError> {
    let _ = to;
    Ok(())
}

async fn handle(State(client): State<Client>, to: String) -> Result<String, String> {
    let sent = send::call(to).send(&client).await.map_err(|error| error.to_string())?;
    Ok(sent.id().to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::from_env().await?;
    let app = Router::new().route("/", post(handle)).with_state(client);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    Ok(axum::serve(listener, app).await?)
}
"#;
