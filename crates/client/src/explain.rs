//! Why a task does not run, or what became of it: who is asked, in which order.

use std::time::Duration;

use lovage_core::{
    Ahead, Explanation, Facts, Place, Point, StoredMessage, TaskId, TaskRecord, TaskState, WorkerMode,
    explain,
};

use crate::{Client, ClientError};

/// How long the queue is watched to tell how fast it drains.
const WATCHED: Duration = Duration::from_secs(1);

/// A task that moves on is asked for again, this often at most.
const LOOKS: usize = 3;

impl Client {
    /// Says why a task does not run, or what became of it. Only the stores are asked: no worker has to answer. When others
    /// are before it the queue is watched for a second, to tell how fast it drains.
    ///
    /// ```no_run
    /// # async fn example(client: lovage_client::Client, id: lovage_client::TaskId) -> Result<(), lovage_client::ClientError> {
    /// println!("{}", client.explain(id).await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When broker or results cannot be asked. A task that nobody knows is no error.
    pub async fn explain(&self, id: TaskId) -> Result<Explanation, ClientError> {
        let mut looks = 0;
        loop {
            looks += 1;
            let mut facts = self.facts(id).await?;
            if facts.message.is_none() && facts.record.is_none() && self.ways().has_outbox() {
                if self.ways().holds(id).await? {
                    let unknown = explain(&facts);
                    return Ok(Explanation {
                        state: Some(TaskState::Pending),
                        points: vec![Point::InOutbox],
                        ..unknown
                    });
                }
                // It may have been published since the broker was asked.
                facts = self.facts(id).await?;
            }
            if looks == LOOKS || self.measure(&mut facts).await? {
                return Ok(explain(&facts));
            }
        }
    }

    async fn facts(&self, id: TaskId) -> Result<Facts, ClientError> {
        let broker = self.broker();
        let (message, record) = self.message_and_record(id).await?;
        let mut facts = Facts {
            id,
            asked_at: self.clock().now(),
            message,
            record,
            workers: Vec::new(),
            paused: false,
            ahead: None,
        };
        let Some(message) = facts.message.as_ref().filter(|message| message.place != Place::Dead) else {
            return Ok(facts);
        };
        facts.workers = broker.workers(None).await?;
        facts.workers.retain(|worker| !worker.is_beat());
        facts.paused = broker.depth(&message.queue, None).await?.paused;
        if message.place == Place::Ready {
            let tasks = broker.ahead(&message.queue, id).await?;
            facts.ahead = tasks.map(|tasks| Ahead { tasks, rate: None });
        }
        Ok(facts)
    }

    /// Results are asked last when the broker has nothing: a task that ended in between is found there.
    async fn message_and_record(
        &self,
        id: TaskId,
    ) -> Result<(Option<StoredMessage>, Option<TaskRecord>), ClientError> {
        let record = self.record(id).await?;
        let message = self.broker().find(id, None).await?;
        if message.is_some() || record.as_ref().is_some_and(|record| record.state.is_terminal()) {
            return Ok((message, record));
        }
        Ok((None, self.record(id).await?))
    }

    /// Measures how fast the queue drains, where others are ahead and somebody takes them. Answers whether the message is
    /// still where it was.
    async fn measure(&self, facts: &mut Facts) -> Result<bool, ClientError> {
        let Some(message) = facts.message.as_ref().filter(|message| message.place == Place::Ready) else {
            return Ok(true);
        };
        let Some(ahead) = &mut facts.ahead else { return Ok(false) };
        let takes = |worker: &&lovage_core::WorkerInfo| {
            worker.mode == WorkerMode::Running && worker.queues.contains(&message.queue)
        };
        if ahead.tasks == 0 || facts.paused || !facts.workers.iter().any(|worker| takes(&worker)) {
            return Ok(true);
        }
        let clock = self.clock();
        let before = clock.monotonic();
        clock.sleep(WATCHED).await;
        let Some(now) = self.broker().ahead(&message.queue, message.id).await? else { return Ok(false) };
        let watched = clock.monotonic().saturating_sub(before).max(WATCHED);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rate = (ahead.tasks as f64 - now as f64) / watched.as_secs_f64();
        *ahead = Ahead { tasks: now, rate: Some(rate) };
        Ok(true)
    }
}
