//! `cargo xtask drill`: builds the drill and the programs that it breaks, and runs it. It starts servers of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::{Fallible, services};

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
