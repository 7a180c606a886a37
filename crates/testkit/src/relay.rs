//! A network fault between a program and its server.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A TCP relay on the loopback that can fall silent: connections stay open and everything sent on them is acknowledged, but
/// nothing is passed on any more.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicUsize,
    /// Connections up to this number are silent.
    silent: AtomicUsize,
}

impl Relay {
    /// Starts a relay to `server`, for as long as the process runs.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay = Self { address: listener.local_addr()?, shared: Arc::default() };
        let shared = Arc::clone(&relay.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                // A server that is away closes the connection.
                drop(TcpStream::connect(server).and_then(|server| pass_on(client, server, number, &shared)));
            }
        });
        Ok(relay)
    }

    /// The address to connect to in place of the server's.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Silences all connections that there are. New ones work.
    pub fn silence(&self) {
        self.shared.silent.store(self.accepted(), Ordering::SeqCst);
    }

    /// Silences all connections, also those to come, until the next [`silence`](Self::silence).
    pub fn silence_all(&self) {
        self.shared.silent.store(usize::MAX, Ordering::SeqCst);
    }

    /// The number of connections so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

fn pass_on(client: TcpStream, server: TcpStream, number: usize, shared: &Arc<Shared>) -> io::Result<()> {
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // The end of one side is passed on as well, unless the connection is silent: then it stays open.
            drop(copy(&from, &to, number, &shared));
            if shared.silent.load(Ordering::SeqCst) < number {
                drop(to.shutdown(Shutdown::Both));
            }
        });
    }
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if shared.silent.load(Ordering::SeqCst) < number {
            to.write_all(&buffer[..length])?;
        }
    }
}
