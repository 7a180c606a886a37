//! A browser's side of HTTP, as far as it is needed: a connection for each page, as somebody has who just came.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::Fallible;

/// Somebody who is logged in.
pub(crate) struct Visitor {
    place: String,
    cookie: String,
}

/// What a page answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A page that is kept up to date.
pub(crate) struct Open {
    fragments: Arc<AtomicUsize>,
    reading: JoinHandle<()>,
}

impl Visitor {
    /// By a link that logs in once.
    pub(crate) async fn log_in(link: &str) -> Fallible<Self> {
        let (place, path) = link
            .strip_prefix("http://")
            .and_then(|link| link.split_once('/'))
            .ok_or_else(|| format!("`{link}` is no link"))?;
        let visitor = Self { place: place.to_owned(), cookie: String::new() };
        let answer = visitor.get(&format!("/{path}")).await?;
        let cookie = answer.body.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).ok_or("the link does not log in")?;
        Ok(Self { cookie: cookie.to_owned(), ..visitor })
    }

    /// Head and body of a page.
    pub(crate) async fn get(&self, path: &str) -> Fallible<Answer> {
        let mut stream = self.ask(path).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let status = body.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Answer { status: status.ok_or_else(|| format!("{path}: no answer"))?, body })
    }

    /// Reads what a page is sent while it is open.
    pub(crate) async fn keep_open(&self, page: &str) -> Fallible<Open> {
        let mut stream = self.ask(&format!("/live?of={}", page.replace('/', "%2F"))).await?;
        let fragments = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&fragments);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1_024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                // A fragment has many lines, each marked.
                let found = buffer[..count].windows(15).filter(|part| part == b"event: fragment").count();
                seen.fetch_add(found, Ordering::Relaxed);
            }
        });
        Ok(Open { fragments, reading })
    }

    async fn ask(&self, path: &str) -> Fallible<TcpStream> {
        let mut stream = TcpStream::connect(&self.place).await?;
        stream.set_nodelay(true)?;
        let Self { place, cookie } = self;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }
}

impl Open {
    /// It was sent what changed, and still is.
    pub(crate) fn was_kept_up_to_date(self) -> Fallible<()> {
        let ended = self.reading.is_finished();
        self.reading.abort();
        match self.fragments.load(Ordering::Relaxed) {
            0 => Err("an open page was sent nothing".into()),
            _ if ended => Err("the stream of an open page ended".into()),
            _ => Ok(()),
        }
    }
}
