//! `cargo xtask test`: everything that CI checks, in the order of what fails fastest.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::services::Services;
use crate::{Fallible, conformance, drill, say, tidy, user_project};

/// Runs the steps and stops at the first that fails.
pub(crate) fn run(root: &Path, quick: bool) -> Fallible<()> {
    step("format", || cargo(root, &["fmt", "--all", "--check"], &[]))?;
    step("tidy", || tidy::run(root))?;
    let services = Services::start(root)?;
    let servers = services.variables();
    step("clippy", || {
        cargo(
            root,
            &["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"],
            &[],
        )
    })?;
    step("feature walls", || feature_walls(root))?;
    step("tests", || {
        let nextest = Command::new(env!("CARGO"))
            .args(["nextest", "--version"])
            .output()
            .is_ok_and(|out| out.status.success());
        if nextest {
            cargo(root, &["nextest", "run", "--workspace", "--all-features", "--locked"], &servers)?;
            return conformance::tell(root);
        }
        say(
            "cargo-nextest is not installed (`cargo install cargo-nextest`): running `cargo test`, which does not count the conformance cases of each backend",
        );
        cargo(
            root,
            &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--locked"],
            &servers,
        )
    })?;
    if !quick {
        step("the drill, short form, Redis and PostgreSQL", || drill::run(root, false, &["--short"]))?;
        step("the drill, short form, PostgreSQL for both", || {
            drill::run(root, false, &["--short", "--broker", "postgres"])
        })?;
        step("the drill of beats, short form", || drill::run(root, false, &["beat", "--short"]))?;
        step("examples in the docs", || {
            cargo(root, &["test", "--doc", "--workspace", "--all-features", "--locked"], &servers)
        })?;
        step("docs", || {
            let strict = [("RUSTDOCFLAGS", "-D warnings")];
            cargo(root, &["doc", "--workspace", "--no-deps", "--all-features", "--locked"], &strict)
        })?;
        step("the README's project", || user_project::check(root, &services))?;
    }
    say("\neverything passed");
    Ok(())
}

/// With only one backend's feature, a web server does not compile another's driver, and each crate of SQL builds alone.
fn feature_walls(root: &Path) -> Fallible<()> {
    let walls: [(&str, &[&str]); 3] = [
        ("redis", &["sqlx", "sqlx-core"]),
        ("sqlite", &["fred", "sqlx-postgres"]),
        ("postgres", &["fred", "sqlx-sqlite", "libsqlite3-sys"]),
    ];
    for (feature, unwanted) in walls {
        let features = alone("lovage-client", feature);
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--edges", "normal", "--prefix", "none"])
            .args(features)
            .current_dir(root)
            .output()?;
        let tree = String::from_utf8(tree.stdout)?;
        if !tree.starts_with("lovage-client") {
            return Err("`cargo tree -p lovage-client` shows no tree".into());
        }
        let mut names = tree.lines().filter_map(|line| line.split(' ').next());
        if let Some(found) = names.find(|name| unwanted.contains(name)) {
            return Err(format!("lovage-client with only `{feature}` depends on {found}").into());
        }
        build_alone(root, &features)?;
    }
    for package in ["lovage-sql", "lovage-broker-sql", "lovage-results-sql", "lovage-schedules-sql"] {
        for feature in ["sqlite", "postgres"] {
            build_alone(root, &alone(package, feature))?;
        }
    }
    Ok(())
}

/// Without a warning: what another feature needs is not there.
fn build_alone(root: &Path, features: &[&str]) -> Fallible<()> {
    cargo(root, &[&["clippy", "--locked"], features, &["--", "-D", "warnings"]].concat(), &[])
}

fn alone<'a>(package: &'a str, feature: &'a str) -> [&'a str; 5] {
    ["-p", package, "--no-default-features", "--features", feature]
}

#[expect(clippy::disallowed_methods, reason = "tells the person at the terminal where the time goes")]
fn step(name: &str, run: impl FnOnce() -> Fallible<()>) -> Fallible<()> {
    say(&format!("\n=== {name}"));
    let start = Instant::now();
    run().map_err(|error| format!("{name}: {error}"))?;
    say(&format!("=== {name}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}

fn cargo(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Fallible<()> {
    let status =
        Command::new(env!("CARGO")).args(args).envs(env.iter().copied()).current_dir(root).status()?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed", args.join(" ")).into()) }
}
