//! The project of README.md, built and run as its reader would: three crates outside the workspace.
//!
//! The files are the README's own text: each block behind a `<!-- file: … -->` mark is written out as it stands. Only the
//! path of the checkout is put in.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::Fallible;
use crate::services::Services;

/// How long anything that the project does may take, builds excepted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the project and runs its worker and its web server, on each broker.
pub(crate) fn check(root: &Path, services: &Services) -> Fallible<()> {
    let dir = root.join("target/user-project");
    write_out(root, &dir)?;
    let target = root.join("target/user-project-build");
    for package in ["worker", "web"] {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet"])
            .current_dir(dir.join(package))
            .env("CARGO_TARGET_DIR", &target)
            // It is built once and thrown away: what helps to debug it or to build it again would fill the disk.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTFLAGS")
            .status()?;
        if !built.success() {
            return Err(format!("the README's crate `{package}` does not build").into());
        }
    }
    let bin = target.join("debug");
    let sqlite = format!("sqlite://{}", dir.join("lovage.db").display());
    let postgres = format!("{}?schema=movies", services.postgres_url());
    for url in [sqlite.as_str(), services.redis_url(), &postgres] {
        run(&bin, &dir, url).map_err(|error| format!("the README's project on {}: {error}", scheme(url)))?;
    }
    Ok(())
}

fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or(url)
}

/// Writes the README's files. The lock file of the workspace comes along, so that nothing newer is pulled in.
fn write_out(root: &Path, dir: &Path) -> Fallible<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let readme = fs::read_to_string(root.join("README.md"))?;
    let files = files(&readme);
    if files.is_empty() {
        return Err("README.md has no `<!-- file: … -->` blocks: the user's project comes from there".into());
    }
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        let checkout = format!("path = \"{}/", root.display());
        fs::write(&path, text.replace("path = \"../lovage/", &checkout))?;
    }
    for package in ["worker", "web"] {
        fs::copy(root.join("Cargo.lock"), dir.join(package).join("Cargo.lock"))?;
    }
    // Its own workspace root, or cargo would look for one above it.
    for package in ["movies", "worker", "web"] {
        let mut manifest = fs::OpenOptions::new().append(true).open(dir.join(package).join("Cargo.toml"))?;
        manifest.write_all(b"\n[workspace]\n")?;
    }
    Ok(())
}

/// The marked blocks of a text: name and content.
fn files(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let block = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| *line != "```");
        found.push((name, block.fold(String::new(), |text, line| text + line + "\n")));
    }
    found
}

/// Sends a task through the web server, reads its result through it, and calls one from the command line.
fn run(bin: &Path, dir: &Path, url: &str) -> Fallible<()> {
    let migrated = Command::new(bin.join("worker"))
        .arg("migrate")
        .current_dir(dir)
        .env("LOVAGE_BROKER_URL", url)
        .output()?;
    if !migrated.status.success() {
        return Err(format!("`worker migrate`: {}", String::from_utf8_lossy(&migrated.stderr)).into());
    }
    let worker = Running::start(
        Command::new(bin.join("worker")).arg("worker").current_dir(dir).env("LOVAGE_BROKER_URL", url),
    )?;
    worker.wait_for("movies.tasks.add")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let web = Running::start(
        Command::new(bin.join("web")).current_dir(dir).env("LOVAGE_BROKER_URL", url).env("ADDRESS", &address),
    )?;
    let id = retry(|| http(&address, "POST", "/add/1/3"))?;
    expect("the result over HTTP", &http(&address, "GET", &format!("/tasks/{id}/result"))?, "4")?;
    expect("the state over HTTP", &http(&address, "GET", &format!("/tasks/{id}"))?, "SUCCESS")?;
    let called = Command::new(bin.join("worker"))
        .args(["call", "movies.tasks.title", "0", "--wait"])
        .current_dir(dir)
        .env("LOVAGE_BROKER_URL", url)
        .output()?;
    expect(
        "the result on the command line",
        String::from_utf8_lossy(&called.stdout).trim(),
        "\"Metropolis\"",
    )?;
    drop(web);
    drop(worker);
    Ok(())
}

fn expect(what: &str, found: &str, expected: &str) -> Fallible<()> {
    if found == expected { Ok(()) } else { Err(format!("{what} is `{found}`, expected `{expected}`").into()) }
}

/// Until the server listens.
fn retry(mut attempt: impl FnMut() -> Fallible<String>) -> Fallible<String> {
    let mut last = attempt();
    for _ in 0..200 {
        if last.is_ok() {
            break;
        }
        // A server of another process gives no event when it begins to listen.
        #[expect(clippy::disallowed_methods, reason = "there is nothing to wait on but the port")]
        std::thread::sleep(Duration::from_millis(50));
        last = attempt();
    }
    last
}

/// The body of a successful answer.
fn http(address: &str, method: &str, path: &str) -> Fallible<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{method} {path}: {} {body}", head.lines().next().unwrap_or_default()).into());
    }
    Ok(body.to_owned())
}

/// A process that is ended, by its pid, when this is dropped.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Fallible<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = mpsc::channel();
        let pipes: [Option<Box<dyn std::io::Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
        ];
        for pipe in pipes.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // Nobody may listen any more; the pipe is read all the same, or the process would block.
                BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
            });
        }
        Ok(Self { child, lines })
    }

    /// Until the process prints a line with this text.
    fn wait_for(&self, text: &str) -> Fallible<()> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return Ok(());
            }
            seen.push(line);
        }
        Err(format!("the process did not print `{text}`, but:\n{}", seen.join("\n")).into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_marked_blocks_only() {
        let text = "x\n```sh\nno\n```\n<!-- file: a/b.rs -->\n```rust\nfn a() {}\n\nfn b() {}\n```\nrest\n";
        assert_eq!(files(text), [("a/b.rs", "fn a() {}\n\nfn b() {}\n".to_owned())]);
    }
}
