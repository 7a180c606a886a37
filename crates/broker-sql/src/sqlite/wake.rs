//! Waking other participants: a datagram on their socket, so that nobody polls.
//!
//! Each handle binds a socket beside the database (`lovage.db-wake/`), or in the temporary directory where the path would be
//! too long for a socket. Datagrams are hints: what cannot be delivered is dropped, and `send` says so.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{Clock as _, Hint, QueueName, TaskId};
use lovage_system::SystemClock;
use tokio::net::UnixDatagram;
use tokio::sync::{Notify, oneshot};

/// A socket's path has at most 108 bytes on Linux and 104 elsewhere; this leaves room for the file's name.
const LONGEST_DIR: usize = 64;
/// Where sockets are impossible a handle looks at everything this often instead.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What one participant tells another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// There may be work in a queue.
    Work(QueueName),
    /// A message that it holds was cancelled.
    Revoked(TaskId),
    /// A message that it waits for has ended.
    Ended(TaskId),
    /// Its worker was told something.
    Command,
}

impl Signal {
    fn encode(&self) -> Vec<u8> {
        let (kind, rest): (u8, &[u8]) = match self {
            Self::Work(queue) => (b'w', queue.as_str().as_bytes()),
            Self::Revoked(id) => (b'x', id.as_bytes()),
            Self::Ended(id) => (b'o', id.as_bytes()),
            Self::Command => (b'c', &[]),
        };
        [&[kind], rest].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let id = || Some(TaskId::from_bytes(rest.try_into().ok()?));
        match kind {
            b'w' => Some(Self::Work(QueueName::new(std::str::from_utf8(rest).ok()?).ok()?)),
            b'x' => id().map(Self::Revoked),
            b'o' => id().map(Self::Ended),
            b'c' => Some(Self::Command),
            _ => None,
        }
    }
}

/// One participant's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    name: String,
    dir: PathBuf,
    inner: Arc<Inner>,
    reader: tokio::task::JoinHandle<()>,
    out: Option<StdDatagram>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    hints: VecDeque<Hint>,
    waiters: HashMap<TaskId, Vec<oneshot::Sender<()>>>,
}

impl Mailbox {
    /// Binds a socket named `name` for a participant of this database, and reads it on the current runtime.
    pub(crate) fn open(database: &Path, name: &str) -> Self {
        let dir = directory(database);
        let inner = Arc::new(Inner::default());
        let reader = match bind(&dir, name) {
            Ok(socket) => tokio::spawn(read(socket, Arc::clone(&inner))),
            Err(error) => {
                tracing::warn!(
                    "no socket in {}: {error}; looking every {LOOK_EVERY:?} instead of being told",
                    dir.display()
                );
                tokio::spawn(look(Arc::clone(&inner)))
            }
        };
        let out = StdDatagram::unbound().and_then(|out| out.set_nonblocking(true).map(|()| out)).ok();
        Self { name: name.to_owned(), dir, inner, reader, out }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tells another participant. False when it is gone for good.
    pub(crate) fn send(&self, to: &str, signal: &Signal) -> bool {
        if to == self.name {
            self.inner.take_in(signal.clone());
            return true;
        }
        let path = self.dir.join(to);
        let Some(out) = &self.out else { return true };
        match out.send_to(&signal.encode(), &path) {
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

    /// The next hint. Dropping the future loses nothing.
    pub(crate) async fn hint(&self) -> Hint {
        loop {
            let arrived = self.inner.arrived.notified();
            if let Some(hint) = self.inner.lock().hints.pop_front() {
                return hint;
            }
            arrived.await;
        }
    }

    /// Ends when a message has ended.
    pub(crate) fn wait_for(&self, id: TaskId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.inner.lock();
        // Those who gave up waiting are cleared away by those who begin.
        state.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        state.waiters.entry(id).or_default().push(sender);
        receiver
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.reader.abort();
        let _already_gone = fs::remove_file(self.dir.join(&self.name));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, signal: Signal) {
        let mut state = self.lock();
        let hint = match signal {
            Signal::Work(queue) => Hint::Work(queue),
            Signal::Revoked(id) => Hint::Revoked(id),
            Signal::Command => Hint::Command,
            Signal::Ended(id) => {
                // A receiver that is gone no longer waits.
                for waiter in state.waiters.remove(&id).into_iter().flatten() {
                    let _no_longer_waits = waiter.send(());
                }
                return;
            }
        };
        if !state.hints.contains(&hint) {
            state.hints.push_back(hint);
        }
        drop(state);
        self.arrived.notify_one();
    }
}

async fn read(socket: UnixDatagram, inner: Arc<Inner>) {
    let mut bytes = [0; 256];
    loop {
        match socket.recv(&mut bytes).await {
            Ok(length) => {
                if let Some(signal) = bytes.get(..length).and_then(Signal::decode) {
                    inner.take_in(signal);
                }
            }
            Err(error) => {
                tracing::warn!("the wake-up socket cannot be read: {error}");
                return look(inner).await;
            }
        }
    }
}

async fn look(inner: Arc<Inner>) {
    let clock = SystemClock::new();
    loop {
        clock.sleep(LOOK_EVERY).await;
        let mut state = inner.lock();
        // Ends all waiters: they ask again.
        state.waiters.clear();
        if !state.hints.contains(&Hint::Everything) {
            state.hints.push_back(Hint::Everything);
        }
        drop(state);
        inner.arrived.notify_one();
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
    use super::*;

    #[test]
    fn signals_survive_the_wire_and_garbage_does_no_harm() {
        let id = TaskId::from_bytes([7; 16]);
        let queue = QueueName::default();
        for signal in [Signal::Work(queue), Signal::Revoked(id), Signal::Ended(id), Signal::Command] {
            assert_eq!(Signal::decode(&signal.encode()), Some(signal));
        }
        for garbage in [&b""[..], b"z", b"x123", b"w\xff", b"w a"] {
            assert_eq!(Signal::decode(garbage), None);
        }
    }

    #[tokio::test]
    async fn another_participant_is_told_and_a_dead_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("l.db");
        let (a, b) = (Mailbox::open(&database, "a"), Mailbox::open(&database, "b"));
        let ended = b.wait_for(TaskId::from_bytes([7; 16]));
        assert!(a.send("b", &Signal::Command));
        assert_eq!(b.hint().await, Hint::Command);
        assert!(a.send("b", &Signal::Ended(TaskId::from_bytes([7; 16]))));
        ended.await.unwrap();
        // A process that was killed leaves its socket behind.
        drop(StdDatagram::bind(directory(&database).join("killed")).unwrap());
        assert!(!a.send("killed", &Signal::Command));
        assert!(!directory(&database).join("killed").exists());
        assert!(!a.send("never", &Signal::Command));
    }
}
