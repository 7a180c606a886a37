//! The open connections of a server, and which of them to close when there are too many.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use crate::Limits;

/// The open connections, in the order of their accept.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    requests: Arc<AtomicUsize>,
    /// Dropped to close the connection.
    _close: oneshot::Sender<()>,
}

/// An admitted connection.
pub(crate) struct Admitted {
    pub(crate) requests: Requests,
    /// Ends when the connection must be closed.
    pub(crate) closed: oneshot::Receiver<()>,
}

/// Counts the requests of one connection that are under way. Dropping it gives the place of the connection back.
pub(crate) struct Requests {
    id: u64,
    count: Arc<AtomicUsize>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// Admits a connection from an address. At a limit, the oldest connection without a request is closed for it: of the same
    /// address at the limit of the address. `None`: all of them have requests under way.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_proxy = self.limits.proxies.iter().any(|proxy| proxy.to_canonical() == address);
        if !is_proxy {
            let count = open.connections.values().filter(|other| other.address == address).count();
            if count >= self.limits.per_address && !open.close_oldest_idle(|other| other.address == address) {
                return None;
            }
        }
        if open.connections.len() >= self.limits.connections && !open.close_oldest_idle(|_| true) {
            return None;
        }
        let (close, closed) = oneshot::channel();
        let (id, count) = (open.next, Arc::new(AtomicUsize::new(0)));
        open.next += 1;
        open.connections.insert(id, Connection { address, requests: Arc::clone(&count), _close: close });
        Some(Admitted { requests: Requests { id, count, connections: Arc::clone(self) }, closed })
    }

    /// Closes the oldest connection without a request, if there is one.
    pub(crate) fn close_oldest_idle(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).close_oldest_idle(|_| true)
    }
}

impl Open {
    fn close_oldest_idle(&mut self, is_candidate: impl Fn(&Connection) -> bool) -> bool {
        let idle = self
            .connections
            .iter()
            .find(|(_, other)| other.requests.load(Ordering::Relaxed) == 0 && is_candidate(other));
        let Some((&id, _)) = idle else { return false };
        self.connections.remove(&id);
        true
    }
}

impl Requests {
    /// Counts a request from now on.
    pub(crate) fn start(&self) -> UnderWay {
        self.count.fetch_add(1, Ordering::Relaxed);
        UnderWay { count: Arc::clone(&self.count) }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).connections.remove(&self.id);
    }
}

/// A request that is under way.
pub(crate) struct UnderWay {
    count: Arc<AtomicUsize>,
}

impl UnderWay {
    /// The body of its answer; the request is under way until this was sent or dropped.
    pub(crate) fn until_sent(self, body: Body) -> Sending {
        Sending { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer that is being sent.
pub(crate) struct Sending {
    body: Body,
    _under_way: UnderWay,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connections(connections: usize, per_address: usize) -> Arc<Connections> {
        let proxies = vec![IpAddr::from([10, 0, 0, 9])];
        let header_timeout = Duration::from_secs(10);
        Arc::new(Connections::new(Limits { connections, per_address, proxies, header_timeout }))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_closed(admitted: &mut Admitted) -> bool {
        admitted.closed.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn oldest_idle_connection_of_the_address_makes_room() {
        let server = connections(100, 2);
        let mut other = server.admit(address(2)).unwrap();
        let mut first = server.admit(address(1)).unwrap();
        let mut second = server.admit(address(1)).unwrap();
        let request = first.requests.start();
        let mut third = server.admit(address(1)).unwrap();
        assert!(is_closed(&mut second) && !is_closed(&mut first) && !is_closed(&mut third));
        assert!(!is_closed(&mut other), "another address pays nothing");
        let _third = third.requests.start();
        assert!(server.admit(address(1)).is_none(), "all have requests under way");
        drop(request);
        assert!(server.admit(address(1)).is_some());
    }

    #[test]
    fn proxies_share_only_the_limit_of_the_server() {
        let server = connections(4, 1);
        let mut proxied: Vec<_> = (0..4).map(|_| server.admit(address(9)).unwrap()).collect();
        let mut direct = server.admit(address(1)).unwrap();
        assert!(is_closed(&mut proxied[0]) && !is_closed(&mut proxied[1]));
        let _next = server.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(is_closed(&mut direct), "an IPv4 address mapped to IPv6 is the same address");
    }

    #[test]
    fn ended_connection_gives_its_place_back() {
        let server = connections(1, 1);
        let only = server.admit(address(1)).unwrap();
        let _request = only.requests.start();
        assert!(server.admit(address(2)).is_none());
        drop(only);
        assert!(server.admit(address(2)).is_some());
    }
}
