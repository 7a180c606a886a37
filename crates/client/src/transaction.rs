//! Sending inside a transaction of the application: the rows commit and the task exists, or neither.

#[cfg(feature = "postgres")]
use std::sync::Arc;

use lovage_core::{BackendError, TaskId};
#[cfg(feature = "sql")]
use lovage_core::{Message, Published, limits};
#[cfg(feature = "sql")]
use lovage_outbox_sql::{Outbox, Relay, Tx};

#[cfg(feature = "sql")]
use crate::{Call, Client, ClientError, ClientErrorKind, Handle};

/// The ways from a transaction to the broker.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// Into the broker's own tables.
    #[cfg(feature = "postgres")]
    pub(crate) direct: Option<Arc<lovage_broker_sql::PgBroker>>,
    #[cfg(feature = "sql")]
    pub(crate) outbox: Option<Outbox>,
}

impl Ways {
    #[cfg_attr(
        not(feature = "sql"),
        expect(clippy::unused_self, reason = "there is no way without a database")
    )]
    pub(crate) fn has_outbox(&self) -> bool {
        #[cfg(feature = "sql")]
        return self.outbox.is_some();
        #[cfg(not(feature = "sql"))]
        false
    }

    /// Whether a task waits in the outbox for a relay.
    #[cfg_attr(
        not(feature = "sql"),
        expect(unused_variables, reason = "there is no outbox without a database")
    )]
    pub(crate) async fn holds(&self, id: TaskId) -> Result<bool, BackendError> {
        #[cfg(feature = "sql")]
        if let Some(outbox) = &self.outbox {
            return outbox.holds(id).await;
        }
        Ok(false)
    }
}

#[cfg(feature = "sql")]
impl Client {
    /// Sends a call inside a transaction of the application, `&mut tx` of its own sqlx pool: the task exists if and when the
    /// transaction commits.
    ///
    /// Where the broker is in the transaction's PostgreSQL database the message goes into the broker's tables. Everywhere else it
    /// is a row of the [`outbox`](crate::ClientBuilder::outbox), which a [`relay`](Self::relay) publishes after the commit. The
    /// call is the same, so the application does not change when its broker does.
    ///
    /// ```no_run
    /// # extern crate lovage_client as lovage;
    /// # use lovage::Client;
    /// # #[lovage::task(name = "movies.tasks.add")]
    /// # async fn add(x: i64, y: i64) -> Result<i64, lovage::TaskError> { Ok(x + y) }
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(client: Client, pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("UPDATE movies SET seats = seats - 1").execute(&mut *tx).await?;
    /// let handle = client.send_in(&mut tx, add::call(1, 3)).await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Before the commit nobody knows the task: ask its handle afterwards. A unique key that is held is a
    /// [`Duplicate`](ClientErrorKind::Duplicate) here where the broker is in the database; by an outbox it is found by the relay,
    /// which drops the message and logs that.
    ///
    /// # Errors
    /// When an option or argument is wrong; [`Config`](ClientErrorKind::Config) when there is no way from this transaction to the
    /// broker; what the database says. Roll back then.
    pub async fn send_in<'t, R>(
        &self,
        tx: impl Into<Tx<'t>>,
        call: Call<R>,
    ) -> Result<Handle<R>, ClientError> {
        let message = self.message(call)?;
        let answer = self.publish_in(&mut tx.into(), std::slice::from_ref(&message)).await?.pop();
        self.sent(message.id, message.queue, answer)
    }

    /// The same for many calls. The answers are in their order; a duplicate does not keep the others from being sent.
    ///
    /// # Errors
    /// As [`send_in`](Self::send_in).
    pub async fn send_all_in<'t, R>(
        &self,
        tx: impl Into<Tx<'t>>,
        calls: Vec<Call<R>>,
    ) -> Result<Vec<Result<Handle<R>, ClientError>>, ClientError> {
        let messages = calls.into_iter().map(|call| self.message(call)).collect::<Result<Vec<_>, _>>()?;
        let mut answers = Vec::with_capacity(messages.len());
        let mut tx = tx.into();
        for batch in messages.chunks(limits::PUBLISH_BATCH) {
            answers.extend(self.publish_in(&mut tx, batch).await?);
        }
        let mut answers = answers.into_iter();
        Ok(messages.into_iter().map(|message| self.sent(message.id, message.queue, answers.next())).collect())
    }

    /// What publishes to the broker what transactions have left in the outbox; nothing where the client has none, because its
    /// messages need no relay. Workers with the same outbox relay too, so a web server need not.
    ///
    /// ```no_run
    /// # extern crate tokio;
    /// # fn example(client: lovage_client::Client) {
    /// if let Some(relay) = client.relay() {
    ///     tokio::spawn(relay.run());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn relay(&self) -> Option<Relay> {
        let outbox = self.outbox()?;
        Some(outbox.relay(self.broker().clone(), self.results().cloned()))
    }

    /// The outbox, where this client has one.
    #[must_use]
    pub fn outbox(&self) -> Option<&Outbox> {
        self.ways().outbox.as_ref()
    }

    async fn publish_in(&self, tx: &mut Tx<'_>, batch: &[Message]) -> Result<Vec<Published>, ClientError> {
        let ways = self.ways();
        match (&ways.outbox, tx) {
            (Some(outbox), tx) if outbox.fits(tx) => {
                outbox.write(tx.again(), batch).await.map_err(ClientError::of_transaction)?;
                Ok(vec![Published::Accepted; batch.len()])
            }
            #[cfg(feature = "postgres")]
            (_, Tx::Postgres(connection)) if let Some(broker) = &ways.direct => {
                broker.publish_on(connection, batch).await.map_err(ClientError::of_transaction)
            }
            (outbox, tx) => Err(no_way(outbox.is_some(), tx)),
        }
    }
}

#[cfg(feature = "sql")]
fn no_way(has_outbox: bool, tx: &Tx<'_>) -> ClientError {
    let kind = tx.database();
    let found = if has_outbox { "its outbox is in another kind of database" } else { "it has no outbox" };
    ClientError::new(
        ClientErrorKind::Config,
        format!(
            "this client cannot send in a transaction of {kind}: the broker is not in {kind}, and {found}; name the \
             application's database as the outbox, by LOVAGE_OUTBOX_URL or Client::builder(…).outbox(url)"
        ),
    )
}
