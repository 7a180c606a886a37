//! `cargo xtask drill`: builds the drill and the programs that it breaks, and runs it. It starts servers of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use clap::{Args, Subcommand};

use crate::{Fallible, services};

/// Which drill, and how long.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    form: Form,
}

#[derive(Subcommand)]
enum Part {
    /// Three beats on one schedule, killed and frozen: every slot is published exactly once. Ten minutes.
    Beat(Form),
}

#[derive(Args)]
struct Form {
    /// Fewer tasks or entries, shorter faults, not built for release: under a minute.
    #[arg(long)]
    short: bool,
    /// More arguments of the drill itself: `--minutes 2` for beats, `-- --broker postgres --results redis` for tasks, `-- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<String>,
}

/// Runs the drill that is asked for.
pub(crate) fn run_with(root: &Path, options: &Options) -> Fallible<()> {
    let (part, form) = match &options.part {
        Some(Part::Beat(form)) => (Some("beat"), form),
        None => (None, &options.form),
    };
    let short = form.short.then_some("--short");
    let more = form.more.iter().map(String::as_str);
    let args: Vec<&str> = part.into_iter().chain(short).chain(more).collect();
    run(root, !form.short, &args)
}

/// Runs the drill with these arguments of `lovage-drill`, built for release or not.
pub(crate) fn run(root: &Path, release: bool, args: &[impl AsRef<OsStr>]) -> Fallible<()> {
    services::install()?;
    let profile: &[&str] = if release { &["--release"] } else { &[] };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "lovage-drill"])
        .args(profile)
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the drill does not build".into());
    }
    let program = root.join("target").join(if release { "release" } else { "debug" }).join("lovage-drill");
    if Command::new(program).args(args).status()?.success() {
        Ok(())
    } else {
        Err("the drill found broken promises, or could not be run to its end: it says which above".into())
    }
}
