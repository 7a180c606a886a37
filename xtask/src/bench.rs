//! `cargo xtask bench`: builds the benchmarks for release, runs them on each broker and prints their tables. They start their own servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::{Fallible, say, services};

/// What the benchmarks know; `build` is ours.
const PARTS: [&str; 9] =
    ["send", "drain", "latency", "memory", "idle", "faults", "beat", "dashboard", "build"];

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Which brokers: memory, sqlite, redis, redis-cluster, postgres, or URLs.
    #[arg(long, value_delimiter = ',', default_value = "memory,sqlite,redis,redis-cluster,postgres")]
    broker: Vec<String>,
    /// Messages to send and drain; with several numbers each is drained [default: 100000, Redis also 1000000].
    #[arg(long)]
    tasks: Option<String>,
    /// Only these rows.
    #[arg(value_parser = PARTS)]
    only: Vec<String>,
    /// Where the figures go, one JSON line per broker [default: target/bench/figures.jsonl].
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures the named brokers; a table of each at the end.
pub(crate) fn run(root: &Path, options: &Options) -> Fallible<()> {
    let wanted = |part: &&&str| options.only.is_empty() || options.only.iter().any(|only| only == **part);
    let parts: Vec<&str> = PARTS.iter().filter(wanted).copied().collect();
    let dir = root.join("target/bench");
    fs::create_dir_all(&dir)?;
    let (build, parts): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(|part| *part == "build");
    let mut tables = Vec::new();
    let mut failed = Vec::new();
    if !parts.is_empty() {
        services::install()?;
        build_benchmarks(root)?;
        let json = options.json.clone().unwrap_or_else(|| dir.join("figures.jsonl"));
        fs::write(&json, "")?;
        for broker in &options.broker {
            let (table, whole) = measure(root, options, broker, &parts, &json)?;
            tables.push(table);
            failed.extend((!whole).then_some(broker.as_str()));
        }
    }
    if !build.is_empty() {
        tables.push(cold_builds(root, &dir)?);
    }
    say(&tables.concat());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not all of {} was measured", failed.join(", ")).into())
    }
}

fn build_benchmarks(root: &Path) -> Fallible<()> {
    say("building the benchmarks for release");
    succeeds(
        Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--locked", "--package", "lovage-bench"])
            .current_dir(root),
    )
}

/// The table of a broker, and whether all of it could be measured.
fn measure(
    root: &Path,
    options: &Options,
    broker: &str,
    parts: &[&str],
    json: &Path,
) -> Fallible<(String, bool)> {
    let mut bench = Command::new(root.join("target/release/lovage-bench"));
    bench.args(["--broker", broker, "--only", &parts.join(",")]).arg("--json").arg(json);
    let redis = broker == "redis" || broker.starts_with("redis://");
    if redis {
        // The results of tasks that are queued in Redis are often kept in a database.
        bench.args(["--results", "postgres,sqlite"]);
    }
    // Whether a longer queue is slower is a question to the one that is in memory.
    let sizes = if redis { "100000,1000000" } else { "100000" };
    bench.args(["--tasks", options.tasks.as_deref().unwrap_or(sizes)]);
    let output = bench.stderr(Stdio::inherit()).output()?;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
}

/// How long the first build of a web server takes that sends tasks to one broker, with all its dependencies, as cargo
/// builds while one develops.
#[expect(clippy::disallowed_methods, reason = "tells the person at the terminal how long it took")]
fn cold_builds(root: &Path, dir: &Path) -> Fallible<String> {
    let mut table = "\ncold build of a web server (axum) with lovage-client\n".to_owned();
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
        let took = start.elapsed().as_secs_f64();
        let tree =
            build().args(["tree", "--prefix", "none", "--edges", "normal,build", "--no-dedupe"]).output()?;
        let tree = String::from_utf8_lossy(&tree.stdout);
        let mut crates: Vec<&str> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
        crates.sort_unstable();
        crates.dedup();
        let line = format!("  {feature:<64} {took:>12.1} s    {} crates\n", crates.len());
        say(line.trim_end());
        table.push_str(&line);
        fs::remove_dir_all(&target)?;
    }
    Ok(table)
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
