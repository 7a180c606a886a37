//! Publishes what transactions have left in an outbox.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, pending, select};
use lovage_core::{
    BackendError, BackendErrorKind, Broker, Clock as _, Message, Published, QueueName, ResultStore, TaskId,
    limits,
};
use lovage_system::{OutageLog, SystemClock};

use crate::Outbox;
use crate::outbox::Kind;
#[cfg(feature = "postgres")]
use crate::postgres::{PgBatch, PgSource};
#[cfg(feature = "sqlite")]
use crate::sqlite::{SqliteBatch, SqliteSource};
use crate::stored::Row;

/// At most this many rows at a time.
#[expect(clippy::cast_possible_wrap, reason = "a thousand")]
pub(crate) const ROWS: i64 = limits::PUBLISH_BATCH as i64;
/// A batch ends with the row that reaches so many bytes.
pub(crate) const BATCH_BYTES: i64 = 4 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a batch in hand may go on when the relay is told to stop.
const FINISH: Duration = Duration::from_secs(5);

/// Publishes what transactions have left in an outbox, and then removes it there.
///
/// Any number of them may serve one outbox. Dropping one loses nothing; it may leave something published and not removed,
/// which is then published again, and is a duplicate by its id while its task is live. What has ended by then is found in the
/// results and not published again.
#[derive(Debug)]
#[must_use = "a relay does nothing until `run`"]
pub struct Relay {
    source: Source,
    broker: Arc<dyn Broker>,
    results: Option<Arc<dyn ResultStore>>,
    pass: Pass,
}

#[derive(Debug)]
enum Source {
    #[cfg(feature = "postgres")]
    Postgres(PgSource),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteSource),
}

#[derive(Debug)]
enum Batch {
    #[cfg(feature = "postgres")]
    Postgres(PgBatch),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteBatch),
}

/// One walk through the outbox. Rows that commit late, or that another relay let go, are found by the next one.
#[derive(Debug, Default)]
struct Pass {
    after: i64,
    published: u64,
    /// Why rows were left where they are.
    kept: Option<BackendError>,
}

/// What is to become of the rows of a batch; the others stay.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// Published, or never to be.
    pub(crate) done: Vec<i64>,
    /// With the reasons.
    pub(crate) unreadable: Vec<(i64, String)>,
}

/// What a step came to.
#[derive(Debug)]
enum Step {
    /// There may be more.
    More,
    /// A walk has ended, with this many published.
    Walked(u64),
    /// It is woken by what commits from now on.
    Armed,
    /// Another relay does the work.
    StandBy,
}

impl Relay {
    pub(crate) fn new(
        outbox: &Outbox,
        broker: Arc<dyn Broker>,
        results: Option<Arc<dyn ResultStore>>,
    ) -> Self {
        let source = match &outbox.0 {
            #[cfg(feature = "postgres")]
            Kind::Postgres(outbox) => Source::Postgres(PgSource::new(outbox.clone())),
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(outbox) => Source::Sqlite(SqliteSource::new(outbox.clone())),
        };
        Self { source, broker, results, pass: Pass::default() }
    }

    /// Publishes from now on; never ends. While the broker or the database is away everything stays in the outbox, and it
    /// is tried again after 100 ms, doubling to 5 s.
    pub async fn run(self) {
        self.run_until(pending()).await;
    }

    /// The same until `stop` ends. A batch in hand is finished, if that takes 5 s at most.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) {
        let clock = SystemClock::new();
        let mut stop = pin!(stop);
        let mut trouble = Trouble::new(clock);
        // Whether it is woken by what commits from now on; then one more look finds what came before.
        let mut armed = false;
        loop {
            let step = match select(&mut stop, Box::pin(self.step())).await {
                Either::Right((step, _)) => step,
                Either::Left(((), step)) => {
                    let _out_of_time = select(step, clock.sleep(FINISH)).await;
                    return;
                }
            };
            let step = match step {
                Ok(Step::Walked(0)) if !armed => self.source.arm().await.map(|()| Step::Armed),
                step => step,
            };
            let waiting = match step {
                Ok(Step::Armed) => {
                    armed = true;
                    continue;
                }
                Ok(Step::More | Step::Walked(1..)) => {
                    armed = false;
                    continue;
                }
                Ok(Step::Walked(0)) => {
                    trouble.is_over();
                    Either::Left(self.source.woken())
                }
                Ok(Step::StandBy) => Either::Left(self.source.woken()),
                Err(error) => Either::Right(clock.sleep(trouble.is_there(&error))),
            };
            armed = false;
            if let Either::Left(_) = select(&mut stop, Box::pin(waiting)).await {
                return;
            }
        }
    }

    /// Publishes what is there and answers how much that was. Where another relay has all of it, that is nothing.
    ///
    /// # Errors
    /// When broker or database are away, or the broker refuses something; what it did not take stays.
    pub async fn drain(&mut self) -> Result<u64, BackendError> {
        let mut published = 0;
        self.pass = Pass::default();
        loop {
            match self.step().await? {
                Step::Walked(0) | Step::StandBy | Step::Armed => return Ok(published),
                Step::Walked(count) => published += count,
                Step::More => {}
            }
        }
    }

    /// One batch.
    async fn step(&mut self) -> Result<Step, BackendError> {
        // Where anything fails, or the step is dropped, the next walk begins at the beginning.
        let mut pass = std::mem::take(&mut self.pass);
        let Some((batch, rows)) = self.source.take(pass.after).await? else { return Ok(Step::StandBy) };
        let Some(last) = rows.last() else {
            batch.end(&Fates::default()).await?;
            return match pass.kept {
                Some(error) => Err(error),
                None => Ok(Step::Walked(pass.published)),
            };
        };
        pass.after = last.seq;
        let fates = self.publish(rows, &mut pass).await?;
        batch.end(&fates).await?;
        pass.published += u64::try_from(fates.done.len() + fates.unreadable.len()).unwrap_or(u64::MAX);
        self.pass = pass;
        Ok(Step::More)
    }

    /// An error: nobody knows what became of any of them, or all would fail alike.
    async fn publish(&self, rows: Vec<Row>, pass: &mut Pass) -> Result<Fates, BackendError> {
        let mut fates = Fates::default();
        let mut readable = Vec::with_capacity(rows.len());
        for Row { seq, message } in rows {
            match message {
                Ok(message) => readable.push((seq, message)),
                Err(reason) => {
                    tracing::error!(
                        "row {seq} of the outbox is set aside in lovage_outbox_refused: {reason}"
                    );
                    fates.unreadable.push((seq, reason));
                }
            }
        }
        let ended = self.ended(&readable).await?;
        readable.retain(|(seq, Message { id, .. })| {
            let is_left = !ended.contains(id);
            if !is_left {
                tracing::info!("task {id} has ended already and is not published again");
                fates.done.push(*seq);
            }
            is_left
        });
        let (seqs, messages): (Vec<i64>, Vec<Message>) = readable.into_iter().unzip();
        if messages.is_empty() {
            return Ok(fates);
        }
        match self.broker.publish(&messages, None).await {
            Ok(answers) => pass.note(&seqs, &messages, &answers, &mut fates),
            Err(error) if error.is_transient() || error.is_maybe_applied() => return Err(error),
            Err(error) => self.queue_by_queue(&seqs, messages, error, pass, &mut fates).await?,
        }
        Ok(fates)
    }

    /// What a relay published before it died may have ended since, and then the broker no longer knows its id.
    async fn ended(&self, messages: &[(i64, Message)]) -> Result<HashSet<TaskId>, BackendError> {
        let Some(results) = self.results.as_ref().filter(|_| !messages.is_empty()) else {
            return Ok(HashSet::new());
        };
        let ids: Vec<TaskId> = messages.iter().map(|(_, message)| message.id).collect();
        let records = results.get(&ids, None).await?;
        Ok(records
            .into_iter()
            .flatten()
            .filter(|record| record.state.is_terminal())
            .map(|record| record.id)
            .collect())
    }

    /// One queue may be to blame, and the others have nothing to do with it.
    async fn queue_by_queue(
        &self,
        seqs: &[i64],
        messages: Vec<Message>,
        error: BackendError,
        pass: &mut Pass,
        fates: &mut Fates,
    ) -> Result<(), BackendError> {
        let mut queues: BTreeMap<QueueName, (Vec<i64>, Vec<Message>)> = BTreeMap::new();
        for (seq, message) in seqs.iter().zip(messages) {
            let (seqs, messages) = queues.entry(message.queue.clone()).or_default();
            seqs.push(*seq);
            messages.push(message);
        }
        if queues.len() < 2 {
            pass.kept = Some(error);
            return Ok(());
        }
        for (seqs, messages) in queues.into_values() {
            match self.broker.publish(&messages, None).await {
                Ok(answers) => pass.note(&seqs, &messages, &answers, fates),
                Err(error) if error.is_transient() || error.is_maybe_applied() => return Err(error),
                Err(error) => pass.kept = Some(error),
            }
        }
        Ok(())
    }
}

impl Pass {
    fn note(&mut self, seqs: &[i64], messages: &[Message], answers: &[Published], fates: &mut Fates) {
        for ((seq, Message { id, queue, .. }), answer) in seqs.iter().zip(messages).zip(answers) {
            match answer {
                Published::Accepted => {}
                Published::Duplicate { holder } if holder == id => {
                    tracing::debug!("task {id} was published already");
                }
                Published::Duplicate { holder } => {
                    tracing::warn!("task {id} is dropped: its unique key is held by task {holder}");
                }
                Published::Stale { newest } => {
                    tracing::warn!(
                        "task {id} is dropped: slot {newest} or a newer one was published already"
                    );
                }
                Published::Early { now } => {
                    let message = format!(
                        "task {id} has a slot ahead of the broker's clock, which shows {now}: set the clocks of the servers"
                    );
                    self.kept = Some(BackendError::new(BackendErrorKind::Refused, message));
                    continue;
                }
                Published::Full { limit } => {
                    let message = format!("queue {queue} is full: it holds {limit} tasks");
                    self.kept = Some(BackendError::new(BackendErrorKind::Refused, message));
                    continue;
                }
            }
            fates.done.push(*seq);
        }
    }
}

impl Source {
    async fn take(&mut self, after: i64) -> Result<Option<(Batch, Vec<Row>)>, BackendError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(source) => {
                source.take(after).await.map(|(batch, rows)| Some((Batch::Postgres(batch), rows)))
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(source) => {
                let taken = source.take(after).await?;
                Ok(taken.map(|(batch, rows)| (Batch::Sqlite(batch), rows)))
            }
        }
    }

    async fn arm(&mut self) -> Result<(), BackendError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(source) => source.arm().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(source) => source.arm().await,
        }
    }

    async fn woken(&mut self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(source) => source.woken().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(source) => source.woken().await,
        }
    }
}

impl Batch {
    async fn end(self, fates: &Fates) -> Result<(), BackendError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(batch) => batch.end(fates).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(batch) => batch.end(fates).await,
        }
    }
}

/// What keeps a relay from its work, logged once, each minute and at its end.
#[derive(Debug)]
struct Trouble {
    pause: Option<Duration>,
    log: OutageLog,
}

impl Trouble {
    fn new(clock: SystemClock) -> Self {
        let problem = "the outbox is not emptied, everything stays in it and is tried again";
        Self { pause: None, log: OutageLog::new(problem, Arc::new(clock)) }
    }

    /// Returns how long to wait.
    fn is_there(&mut self, error: &BackendError) -> Duration {
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.log.failed(error);
        self.pause = Some(pause);
        pause
    }

    fn is_over(&mut self) {
        self.pause = None;
        self.log.recovered();
    }
}
