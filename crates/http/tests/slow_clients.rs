//! Clients that send slowly, or open many connections, keep no other client out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use lovage_http::{Limits, serve};
use lovage_system::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

async fn server(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Router::new()
        .route("/", get(async || "well\n"))
        // A stream without an end.
        .route("/stream", get(async || Body::new(Endless)));
    let serving =
        serve(listener, router, limits, Arc::new(SystemClock::new()), async { drop(stopped.await) });
    Server { address, stop, serving: tokio::spawn(serving) }
}

struct Endless;

impl http_body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn limits(connections: usize, per_address: usize, header_timeout: Duration) -> Limits {
    Limits { connections, per_address, proxies: Vec::new(), header_timeout }
}

/// Sends a request and returns the status line.
async fn ask(server: &Server) -> String {
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Opens a connection that never finishes the head of its request.
async fn half_open(server: &Server) -> TcpStream {
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
    client
}

#[tokio::test]
async fn half_open_connections_keep_no_client_out() {
    let server = server(limits(1_000, 20, Duration::from_secs(3_600))).await;
    let mut slow = Vec::new();
    for _ in 0..300 {
        slow.push(half_open(&server).await);
        if slow.len() % 50 == 0 {
            assert_eq!(ask(&server).await, "HTTP/1.1 200 OK");
        }
    }
    // The oldest was closed to make room.
    assert_eq!(slow[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn slow_and_silent_clients_are_closed_in_time() {
    let server = server(limits(10, 10, Duration::from_millis(200))).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = half_open(&server).await;
    let mut rest = Vec::new();
    let _closed = silent.read_to_end(&mut rest).await;
    let _closed = slow.read_to_end(&mut rest).await;
    assert_eq!(ask(&server).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn streams_are_not_closed_for_new_clients() {
    let server = server(limits(2, 2, Duration::from_secs(3_600))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    for _ in 0..5 {
        let _slow = half_open(&server).await;
        assert_eq!(ask(&server).await, "HTTP/1.1 200 OK");
    }
    // Whatever is left of the head is there, and no end.
    let mut rest = [0; 1_024];
    while let Ok(read) = stream.try_read(&mut rest) {
        assert_ne!(read, 0, "the stream was closed");
    }
}

#[tokio::test]
async fn stop_waits_for_no_idle_connection() {
    let server = server(limits(10, 10, Duration::from_secs(3_600))).await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    kept.read_exact(&mut head).await.unwrap();
    drop(server.stop);
    server.serving.await.unwrap().unwrap();
}
