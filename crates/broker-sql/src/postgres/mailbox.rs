//! How a participant is told something: by a notification on a channel of its own.
//!
//! The connection that listens also holds an advisory lock while it is there. Whoever wants to wake somebody tries that lock
//! first: it is free when the participant is gone, and then the next one is woken instead.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{BackendError, Clock as _, Entropy as _};
use lovage_sql::postgres::PgDatabase;
use lovage_system::{SystemClock, SystemEntropy};
use sqlx::postgres::PgListener;

use crate::inbox::{Inbox, Signal};

const CONTEXT: &str = "listening for work";
const RECONNECT_EVERY: Duration = Duration::from_millis(500);

/// One participant's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    handle: i64,
    inbox: Arc<Inbox>,
    reader: tokio::task::JoinHandle<()>,
}

impl Mailbox {
    /// Listens, on the current runtime, until it is dropped.
    pub(crate) async fn open(db: &PgDatabase) -> Result<Self, BackendError> {
        // Positive, because it is written in hexadecimal digits.
        let handle = SystemEntropy.next_u64().cast_signed() & i64::MAX;
        let inbox = Arc::new(Inbox::default());
        let listener = listen(db, handle).await?;
        let reader = tokio::spawn(read(db.clone(), handle, listener, Arc::clone(&inbox)));
        Ok(Self { handle, inbox, reader })
    }

    /// Names this participant in the tables.
    pub(crate) const fn handle(&self) -> i64 {
        self.handle
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn listen(db: &PgDatabase, handle: i64) -> Result<PgListener, BackendError> {
    let mut listener = db.listen(&format!("lovage_{handle:x}")).await?;
    listener.eager_reconnect(false);
    // Shared, so that a connection that the server still believes in does not keep its successor waiting.
    let lock = sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(handle).execute(&mut listener);
    db.in_time(CONTEXT, lock).await?;
    Ok(listener)
}

async fn read(db: PgDatabase, handle: i64, mut listener: PgListener, inbox: Arc<Inbox>) {
    loop {
        let why = until_lost(&db, &mut listener, &inbox).await;
        tracing::warn!("the connection that listens for work is lost and is made again: {why}");
        listener = again(&db, handle).await;
        inbox.look_at_everything();
    }
}

/// Takes in what arrives. Answers why it ended.
async fn until_lost(db: &PgDatabase, listener: &mut PgListener, inbox: &Inbox) -> String {
    let clock = SystemClock::new();
    let mut probe = clock.sleep(db.probe_interval());
    loop {
        let receiving = Box::pin(listener.try_recv());
        let Either::Left((arrived, _)) = select(receiving, &mut probe).await else {
            if let Err(error) = db.probe(CONTEXT, listener).await {
                return error.to_string();
            }
            probe = clock.sleep(db.probe_interval());
            continue;
        };
        match arrived {
            Ok(Some(notification)) => {
                if let Some(signal) = Signal::decode(notification.payload()) {
                    inbox.take_in(signal);
                }
            }
            Ok(None) => return String::from("the server closed it"),
            Err(error) => return error.to_string(),
        }
    }
}

async fn again(db: &PgDatabase, handle: i64) -> PgListener {
    loop {
        match listen_if_it_answers(db, handle).await {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!("not yet: {error}"),
        }
        SystemClock::new().sleep(RECONNECT_EVERY).await;
    }
}

/// The driver's listener waits for a server that is away by itself, with pauses of up to 6 s. So it is asked only once another
/// connection was made.
async fn listen_if_it_answers(db: &PgDatabase, handle: i64) -> Result<PgListener, BackendError> {
    drop(db.dedicated(CONTEXT).await?);
    listen(db, handle).await
}
