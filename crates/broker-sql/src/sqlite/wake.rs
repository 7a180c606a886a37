//! Waking other participants: a datagram on their socket, so that nobody polls.
//!
//! Each handle binds a socket beside the database (`lovage.db-wake/`), or in the temporary directory where the path would be
//! too long for a socket. Datagrams are hints: what cannot be delivered is dropped, and `send` says so.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_system::SystemClock;
use tokio::net::UnixDatagram;

use crate::inbox::{Inbox, Signal};

/// A socket's path has at most 108 bytes on Linux and 104 elsewhere; this leaves room for the file's name.
const LONGEST_DIR: usize = 64;
/// Where sockets are impossible a handle looks at everything this often instead.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One participant's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    name: String,
    dir: PathBuf,
    inbox: Arc<Inbox>,
    reader: tokio::task::JoinHandle<()>,
    out: Option<StdDatagram>,
}

impl Mailbox {
    /// Binds a socket named `name` for a participant of this database, and reads it on the current runtime.
    pub(crate) fn open(database: &Path, name: &str) -> Self {
        let dir = directory(database);
        let inbox = Arc::new(Inbox::default());
        let reader = match bind(&dir, name) {
            Ok(socket) => tokio::spawn(read(socket, Arc::clone(&inbox))),
            Err(error) => {
                tracing::warn!(
                    "no socket in {}: {error}; looking every {LOOK_EVERY:?} instead of being told",
                    dir.display()
                );
                tokio::spawn(look(Arc::clone(&inbox)))
            }
        };
        let out = StdDatagram::unbound().and_then(|out| out.set_nonblocking(true).map(|()| out)).ok();
        Self { name: name.to_owned(), dir, inbox, reader, out }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tells another participant. False when it is gone for good.
    pub(crate) fn send(&self, to: &str, signal: &Signal) -> bool {
        if to == self.name {
            self.inbox.take_in(signal.clone());
            return true;
        }
        let path = self.dir.join(to);
        let Some(out) = &self.out else { return true };
        match out.send_to(signal.encode().as_bytes(), &path) {
            Ok(_) => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                // Its process was killed: nobody listens there any more.
                let _already_gone = fs::remove_file(path);
                false
            }
            // Its mailbox is full: it has been told to look often enough.
            Err(_) => true,
        }
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.reader.abort();
        let _already_gone = fs::remove_file(self.dir.join(&self.name));
    }
}

async fn read(socket: UnixDatagram, inbox: Arc<Inbox>) {
    let mut bytes = [0; 256];
    loop {
        match socket.recv(&mut bytes).await {
            Ok(length) => {
                if let Some(signal) =
                    bytes.get(..length).and_then(|bytes| Signal::decode(std::str::from_utf8(bytes).ok()?))
                {
                    inbox.take_in(signal);
                }
            }
            Err(error) => {
                tracing::warn!("the wake-up socket cannot be read: {error}");
                return look(inbox).await;
            }
        }
    }
}

async fn look(inbox: Arc<Inbox>) {
    let clock = SystemClock::new();
    loop {
        clock.sleep(LOOK_EVERY).await;
        inbox.look_at_everything();
    }
}

fn bind(dir: &Path, name: &str) -> std::io::Result<UnixDatagram> {
    // Only for this user: whoever can write here can wake us.
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    UnixDatagram::bind(dir.join(name))
}

/// The same for every process that opens this database.
fn directory(database: &Path) -> PathBuf {
    let mut beside = database.as_os_str().to_owned();
    beside.push("-wake");
    if beside.len() <= LONGEST_DIR {
        return PathBuf::from(beside);
    }
    let mut hash = DefaultHasher::new();
    database.hash(&mut hash);
    std::env::temp_dir().join(format!("lovage-{:016x}", hash.finish()))
}

#[cfg(test)]
mod tests {
    use lovage_core::{Hint, TaskId};

    use super::*;

    #[tokio::test]
    async fn another_participant_is_told_and_a_dead_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("l.db");
        let (a, b) = (Mailbox::open(&database, "a"), Mailbox::open(&database, "b"));
        let ended = b.inbox().wait_for(TaskId::from_bytes([7; 16]));
        assert!(a.send("b", &Signal::Command));
        assert_eq!(b.inbox().hint().await, Hint::Command);
        assert!(a.send("b", &Signal::Ended(TaskId::from_bytes([7; 16]))));
        ended.await.unwrap();
        // A process that was killed leaves its socket behind.
        drop(StdDatagram::bind(directory(&database).join("killed")).unwrap());
        assert!(!a.send("killed", &Signal::Command));
        assert!(!directory(&database).join("killed").exists());
        assert!(!a.send("never", &Signal::Command));
    }
}
