//! What tests of the dashboard need: a Chromium with its driver, and axe-core, which checks pages for people who cannot see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{find_in_path, install_where};
use crate::{Fallible, say};

/// Rules change with its versions.
const AXE: &str = "4.14.1";

/// Makes sure that all of it is there, and answers where axe-core's script is.
pub(super) fn install(root: &Path) -> Fallible<PathBuf> {
    install_where(|| find_in_path("chromium").is_some(), "chromium", "chromium")?;
    install_where(|| find_in_path("chromedriver").is_some(), "chromedriver", "chromium-driver")?;
    let dir = root.join("target/axe-core").join(AXE);
    let script = dir.join("package/axe.min.js");
    if !script.is_file() {
        install_where(|| find_in_path("npm").is_some(), "npm", "npm")?;
        say(&format!("fetching axe-core {AXE} from npm, for tests only"));
        fs::create_dir_all(&dir)?;
        let fetched = Command::new("npm")
            .args(["pack", "--silent", &format!("axe-core@{AXE}")])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .status()?;
        let archive = format!("axe-core-{AXE}.tgz");
        let unpacked = fetched.success()
            && Command::new("tar").args(["-xzf", &archive]).current_dir(&dir).status()?.success();
        if !unpacked || !script.is_file() {
            return Err(format!(
                "axe-core {AXE} cannot be fetched: run `npm pack axe-core@{AXE}` in {} and `tar -xzf {archive}` there",
                dir.display()
            )
            .into());
        }
    }
    Ok(script)
}
