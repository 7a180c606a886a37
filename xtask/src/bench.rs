//! `cargo xtask bench`: builds the benchmarks for release, starts the servers and prints a table per broker.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Fallible;

/// Measures the named brokers (`memory`, `sqlite`, `redis`), the figures as JSON lines into `json`.
pub(crate) fn run(
    root: &Path,
    brokers: &[String],
    tasks: usize,
    redis_url: &str,
    json: Option<&Path>,
) -> Fallible<()> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "lovage-bench"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the benchmarks do not build".into());
    }
    let dir = root.join("target/bench");
    fs::create_dir_all(&dir)?;
    let mut lines = String::new();
    for name in brokers {
        let url = match name.as_str() {
            "memory" => "memory".to_owned(),
            "redis" => redis_url.to_owned(),
            "sqlite" => {
                let path = dir.join(format!("bench-{}.db", std::process::id()));
                format!("sqlite://{}", path.display())
            }
            other => {
                return Err(format!(
                    "there is no broker `{other}` to measure: expected memory, sqlite or redis"
                )
                .into());
            }
        };
        let output = Command::new(root.join("target/release/lovage-bench"))
            .args(["--broker", &url, "--name", name, "--tasks", &tasks.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("measuring {name} failed").into());
        }
        lines.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    let path = json.map_or_else(|| dir.join("figures.jsonl"), Path::to_path_buf);
    fs::write(&path, lines)?;
    Ok(())
}
