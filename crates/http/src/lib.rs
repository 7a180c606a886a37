//! The HTTP server of the dashboard and of the metrics.
//!
//! A client that sends its request slowly, or opens many connections, cannot keep others out: a request head has
//! [`HEADER_TIMEOUT`] to arrive, and each address and the whole server have a limit of connections. At a limit the connection
//! that has been without a request for longest is closed, so that a new client always gets in.

mod connections;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lovage_core::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::connections::{Admitted, Connections};

/// Time in which the head of a request must arrive, counted from the accept or from the end of the request before it.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a connection could not be accepted because the process has no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections in total.
    pub connections: usize,
    /// Open connections from one address.
    pub per_address: usize,
    /// Addresses of reverse proxies, which bring the connections of many clients: they have no limit of their own.
    pub proxies: Vec<IpAddr>,
    /// Time in which the head of a request must arrive.
    pub header_timeout: Duration,
}

impl Limits {
    /// A quarter of the file descriptors that this process may have (64 to 1,024 connections), so that a flood of clients leaves
    /// the process what it needs for its work, and 100 connections from one address.
    #[must_use]
    pub fn for_process(proxies: Vec<IpAddr>) -> Self {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let connections = (max_open_files(&limits).unwrap_or(1_024) / 4).clamp(64, 1_024);
        Self { connections, per_address: 100, proxies, header_timeout: HEADER_TIMEOUT }
    }
}

/// The soft limit of open files in the text of `/proc/self/limits`.
fn max_open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

/// Serves a router until `stop` ends and the requests that were under way are answered. Requests carry
/// [`ConnectInfo<SocketAddr>`](ConnectInfo).
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    clock: Arc<dyn Clock>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let header_timeout = limits.header_timeout;
    let connections = Arc::new(Connections::new(limits));
    // Its receivers are the open connections: they end their keep-alive when it changes, and all are closed when none is left.
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    let mut refused = 0_u64;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match connections.admit(peer.ip()) {
                Some(admitted) => {
                    let connection = Connection { stream, peer, admitted, header_timeout };
                    tokio::spawn(connection.serve(router.clone(), stopped.clone()));
                }
                None => {
                    refused += 1;
                    if refused.is_power_of_two() {
                        tracing::warn!(
                            "refused {refused} HTTP connections, the last from {}: too many requests are under way",
                            peer.ip()
                        );
                    }
                }
            },
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                connections.close_oldest_idle();
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, stopped));
    let _no_connections = stopping.send(true);
    stopping.closed().await;
    Ok(())
}

/// Whether the client closed a connection before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    header_timeout: Duration,
}

impl Connection {
    async fn serve(self, router: Router, mut stopped: watch::Receiver<bool>) {
        let Self { stream, peer, admitted: Admitted { requests, mut closed }, header_timeout } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (router, under_way) = (router.clone(), requests.start());
            async move {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let Ok(response): Result<Response, Infallible> = router.oneshot(request).await;
                // The request is under way until its answer was sent: a stream of events may take hours.
                Ok::<_, Infallible>(response.map(|body| under_way.until_sent(body)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::trace!("an HTTP connection from {peer} ended: {error}");
                    }
                    break;
                }
                _ = &mut closed => break,
                _ = stopped.changed(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_of_open_files_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95907                95907                processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(max_open_files(text), Some(1_024));
        assert_eq!(
            max_open_files("Max open files            unlimited            unlimited   files"),
            Some(usize::MAX)
        );
        assert_eq!(max_open_files(""), None);
    }
}
