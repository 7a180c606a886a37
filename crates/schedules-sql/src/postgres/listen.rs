//! Being told of changes: by notifications, on a connection that is made when somebody first asks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::Clock as _;
use lovage_sql::postgres::PgDatabase;
use lovage_system::SystemClock;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, OnceCell};

use crate::postgres::{rows, sql};

const CONTEXT: &str = "listening for changes of the schedule";
const RECONNECT_EVERY: Duration = Duration::from_millis(500);

/// What one handle has been told and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    reader: OnceCell<Reader>,
    arrived: Arc<Notify>,
}

#[derive(Debug)]
struct Reader(tokio::task::JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Changes {
    /// The first call begins to listen and ends at once; the others end with the next change.
    pub(crate) async fn next(&self, db: &PgDatabase) {
        if self.reader.initialized() {
            return self.arrived.notified().await;
        }
        self.reader
            .get_or_init(async || {
                let listener = listen(db).await;
                Reader(tokio::spawn(read(db.clone(), listener, Arc::clone(&self.arrived))))
            })
            .await;
    }
}

/// `None` when it cannot: then it is tried again.
async fn listen(db: &PgDatabase) -> Option<PgListener> {
    let opened = async {
        let channel = db.rows(CONTEXT, sqlx::query(sql!("channel"))).await?;
        let channel: String = match channel.first() {
            Some(row) => rows::get(row, "channel")?,
            None => String::new(),
        };
        db.listen(&channel).await
    };
    match opened.await {
        Ok(mut listener) => {
            listener.eager_reconnect(false);
            Some(listener)
        }
        Err(error) => {
            tracing::debug!("not yet: {error}");
            None
        }
    }
}

async fn read(db: PgDatabase, mut listener: Option<PgListener>, arrived: Arc<Notify>) {
    loop {
        if let Some(listener) = &mut listener {
            let why = until_lost(&db, listener, &arrived).await;
            tracing::warn!("the connection that listens for changes of the schedule is made again: {why}");
        }
        SystemClock::new().sleep(RECONNECT_EVERY).await;
        listener = listen(&db).await;
        if listener.is_some() {
            // Something may have been missed.
            arrived.notify_one();
        }
    }
}

/// Takes in what arrives. Answers why it ended.
async fn until_lost(db: &PgDatabase, listener: &mut PgListener, arrived: &Notify) -> String {
    let clock = SystemClock::new();
    loop {
        let arrived_in_time =
            match select(Box::pin(listener.try_recv()), clock.sleep(db.probe_interval())).await {
                Either::Left((arrived, _)) => Some(arrived),
                Either::Right(_) => None,
            };
        match arrived_in_time {
            Some(Ok(Some(_))) => arrived.notify_one(),
            Some(Ok(None)) => return String::from("the server closed it"),
            Some(Err(error)) => return error.to_string(),
            None => {
                if let Err(error) = db.probe(CONTEXT, listener).await {
                    return error.to_string();
                }
            }
        }
    }
}
