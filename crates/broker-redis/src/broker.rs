//! The data path: publish, reserve, settle, maintain.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::SetsInterface;
use fred::types::Value;
use futures_util::future::{join, join_all};
use lovage_core::{
    BackendError, Broker, Delay, Delivery, Envelope, Heartbeat, Hint, Leases, Maintained, Message, Published,
    QueueName, Reserve, Reserved, Settle, Settled, Settlement, SlotKind, TaskId, Timestamp, Token,
    UniquePolicy, Verdict, Watch, WorkerId, WorkerInfo, limits,
};
use lovage_redis::{Durability, Redis, RedisConfig, Script};
use lovage_system::SystemEntropy;
use tokio::sync::OnceCell;

use crate::answer::{Answer, integer, list, task_id, unexpected};
use crate::args::{Args, instant, micros};
use crate::inbox::{Inbox, Listener};
use crate::keys::Keys;
use crate::leases::RedisLeases;
use crate::record::{History, Record};
use crate::scripts;

/// Idle handles that have not maintained a queue for so long are forgotten; live ones do so at least once a minute with 10,000
/// queues.
const IDLE_FOR: Duration = Duration::from_secs(300);

/// A process that publishes registers its queues again after this time: only workers notice that Redis has lost its data.
const REGISTER_INTERVAL: Duration = Duration::from_secs(5);

/// A participant of queues on a Redis: one connection for commands, and one that listens once there is something to
/// listen for.
pub struct RedisBroker {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    channel: String,
    inbox: Arc<Inbox>,
    listener: OnceCell<Listener>,
}

impl RedisBroker {
    /// Connects. Needs a tokio runtime, which must outlive the broker.
    ///
    /// # Errors
    /// Those of [`Redis::connect`].
    pub async fn connect(config: &RedisConfig) -> Result<Arc<dyn Broker>, BackendError> {
        Self::connect_in(config, config.namespace()).await
    }

    /// Connects with this namespace, the start of the names of all keys and channels, instead of the URL's.
    ///
    /// # Errors
    /// `Config` for a namespace with anything but letters, digits, `-`, `_`, `.` and `:`; those of [`Redis::connect`].
    #[doc(hidden)]
    pub async fn connect_in(config: &RedisConfig, namespace: &str) -> Result<Arc<dyn Broker>, BackendError> {
        Self::on(Redis::connect(config).await?, namespace)
    }

    /// A broker on a connection that others use too, such as the results. One broker per connection: it uses its
    /// subscriber.
    ///
    /// # Errors
    /// `Config` for a namespace with anything but letters, digits, `-`, `_`, `.` and `:`; the usual one is
    /// [`RedisConfig::namespace`].
    pub fn on(redis: Redis, namespace: &str) -> Result<Arc<dyn Broker>, BackendError> {
        let keys = Keys::new(namespace)?;
        let channel = keys.new_channel(redis.config().is_cluster(), &SystemEntropy);
        Ok(Arc::new(Self { redis, keys, channel, inbox: Arc::default(), listener: OnceCell::new() }))
    }

    /// Runs a script on a queue.
    pub(crate) async fn on_queue(
        &self,
        script: &Script,
        queue: &QueueName,
        args: Args,
    ) -> Result<Value, BackendError> {
        script.run(&self.redis, vec![self.keys.queue(queue)], args.into_values()).await
    }

    async fn publish_with(&self, queue: &QueueName, args: Args) -> Result<Value, BackendError> {
        match self.redis.config().durability() {
            Durability::Primary => self.on_queue(&scripts::PUBLISH, queue, args).await,
            Durability::Replicated => {
                let keys = vec![self.keys.queue(queue)];
                scripts::PUBLISH.run_replicated(&self.redis, keys, args.into_values()).await
            }
        }
    }

    /// Runs a script on the registry of workers.
    pub(crate) async fn on_registry(&self, script: &Script, args: Args) -> Result<Value, BackendError> {
        script.run(&self.redis, vec![self.keys.registry()], args.into_values()).await
    }

    /// Whoever registers for being told must be listening.
    async fn listen(&self) -> Result<(), BackendError> {
        let start = || Listener::start(&self.redis, &self.channel, Arc::clone(&self.inbox));
        self.listener.get_or_try_init(start).await.map(|_| ())
    }

    /// Adds a queue to the set of queues, once per process. It fails in a full Redis, where work must go on: then the
    /// next call tries again.
    pub(crate) async fn remember(&self, queue: &QueueName) {
        if !self.inbox.knows(queue) {
            self.register(queue).await;
        }
    }

    async fn register(&self, queue: &QueueName) {
        let key = self.keys.queues();
        let added: Result<(), _> =
            self.redis.run("add to the queues", |client| client.sadd(key.clone(), queue.as_str())).await;
        match added {
            Ok(()) => self.inbox.learn(queue),
            Err(err) => tracing::debug!(%queue, %err, "the queue is not in the list of queues yet"),
        }
    }

    /// Registers the queues of this process again, after Redis has lost all data (`FLUSHALL`, say) while the process ran on.
    async fn register_all_again(&self) {
        let queues = self.inbox.known();
        if queues.is_empty() {
            return;
        }
        tracing::warn!(
            queues = queues.len(),
            "Redis has lost its data (FLUSHALL, or a start without it): the queues of this process are registered again, \
             and what they held is lost"
        );
        // Hints were lost, too.
        self.inbox.gap();
        join_all(queues.iter().map(|queue| self.remember(queue))).await;
    }

    /// Publishes messages of one queue, at most [`limits::PUBLISH_BATCH`].
    async fn publish_to(
        &self,
        queue: &QueueName,
        batch: &[&Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let mut args = Args::at(now).number(batch.len());
        batch.iter().for_each(|message| args.push_bytes(message.id.as_bytes()));
        batch.iter().for_each(|message| push_message(&mut args, message));
        let publishing = self.publish_with(queue, args);
        let registering = async {
            if !self.inbox.knows_lately(queue, REGISTER_INTERVAL) {
                self.register(queue).await;
            }
        };
        let (answer, ()) = join(publishing, registering).await;
        let mut refused = Answer::new("publish", answer?)?;
        let mut answers = vec![Published::Accepted; batch.len()];
        loop {
            let position = refused.next();
            if position.is_null() {
                return Ok(answers);
            }
            let index = usize::try_from(integer("publish", &position)? - 1).ok();
            let answer = refusal(&refused.next(), &refused.next())?;
            if let Some(place) = index.and_then(|index| answers.get_mut(index)) {
                *place = answer;
            }
        }
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("redis", &self.redis).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let groups = by_queue(batch);
        let parts: Vec<(&QueueName, Vec<usize>)> = groups
            .into_iter()
            .flat_map(|(queue, places)| {
                let parts: Vec<_> = places.chunks(limits::PUBLISH_BATCH).map(<[usize]>::to_vec).collect();
                parts.into_iter().map(move |part| (queue, part))
            })
            .collect();
        let published = join_all(parts.iter().map(|(queue, places)| async move {
            let messages: Vec<&Message> = places.iter().map(|place| &batch[*place]).collect();
            self.publish_to(queue, &messages, now).await
        }));
        let published = published.await;
        let some_applied = published.iter().any(Result::is_ok);
        let mut answers = vec![Published::Accepted; batch.len()];
        for ((_, places), part) in parts.iter().zip(published) {
            let part = part.map_err(|err| if some_applied { err.maybe_applied() } else { err })?;
            for (place, answer) in places.iter().zip(part) {
                answers[*place] = answer;
            }
        }
        Ok(answers)
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        self.listen().await?;
        let want = request.want.bounded();
        let args = Args::at(now)
            .number(want.total)
            .bytes(request.token.as_bytes())
            .duration(request.lease)
            .text(if request.suspects { "1" } else { "" })
            .text(&self.channel)
            .number(usize::try_from(limits::POISON_LOSSES).unwrap_or(usize::MAX))
            .number(usize::from(want.kinds()));
        let args = SlotKind::ALL.into_iter().fold(args, |args, kind| args.number(want.get(kind)));
        let reserving = self.on_queue(&scripts::RESERVE, request.queue, args);
        let (answer, ()) = join(reserving, self.remember(request.queue)).await;
        let mut answer = Answer::new("reserve", answer?)?;
        let (now, next_check) = (answer.instant()?, answer.time()?);
        let (ids, records) = (answer.list_or_none()?, answer.list_or_none()?);
        let (histories, revoked) = (answer.list_or_none()?, answer.list_or_none()?);
        let (replaced, kinds) = (answer.list_or_none()?, answer.list_or_none()?);
        let deliveries = ids.iter().zip(&records).enumerate().map(|(i, (id, record))| {
            let history = History::read_or_new(histories.get(i).unwrap_or(&Value::Null));
            let by = replaced.get(i).filter(|by| !by.is_null());
            let revoked = match by {
                Some(by) => Some(Verdict::Replaced { by: task_id("reserve", by)? }),
                None => (revoked.get(i).and_then(Value::as_i64) == Some(1)).then_some(Verdict::Revoked),
            };
            let record = Record::read_or_raw(record.as_bytes().unwrap_or_default());
            let kind = kinds.get(i).and_then(Value::as_i64).and_then(kind_of_number);
            Ok(Delivery { kind, ..delivery(task_id("reserve", id)?, record, &history, revoked, now) })
        });
        Ok(Reserved { now, next_check, deliveries: deliveries.collect::<Result<_, BackendError>>()? })
    }

    /// The commands are written together, so that the server answers all of them in one round trip.
    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        Ok(join_all(requests.iter().map(|request| self.reserve(*request, now))).await)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        let parts = batch.chunks(limits::PUBLISH_BATCH).map(|part| async move {
            let (args, order) = settle_args(token, part, now)?;
            let answer = self.on_queue(&scripts::SETTLE, queue, args).await?;
            let lost = list("settle", answer)?;
            let mut answers = vec![Settled::Applied; part.len()];
            for position in &lost {
                let position = usize::try_from(integer("settle", position)? - 1).ok();
                if let Some(place) = position.and_then(|position| order.get(position)) {
                    answers[*place] = Settled::LeaseLost;
                }
            }
            Ok(answers)
        });
        let mut answers = Vec::with_capacity(batch.len());
        for part in parts {
            answers.extend(part.await?);
        }
        Ok(answers)
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        let limit = limit.clamp(1, limits::PUBLISH_BATCH);
        let args = Args::at(now).number(limit).duration(lease).duration(IDLE_FOR).text(&self.channel);
        let mut answer = Answer::new("maintain", self.on_queue(&scripts::MAINTAIN, queue, args).await?)?;
        let (reclaimed, promoted) = (answer.size()?, answer.size()?);
        let (is_ready, is_leased) = (answer.size()? == 1, answer.size()? == 1);
        Ok(Maintained { reclaimed, promoted, is_ready, is_leased })
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        Ok(join_all(queues.iter().map(|queue| self.maintain(queue, limit, lease, now))).await)
    }

    async fn hint(&self) -> Hint {
        self.inbox.hint().await
    }

    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        self.listen().await?;
        let waiter = self.inbox.wait_for(id);
        let args = Args::new().bytes(id.as_bytes()).text(&self.channel);
        let watched = self.on_queue(&scripts::WATCH, queue, args).await?;
        Ok(if integer("watch", &watched)? == 1 { Watch::Waiting(waiter) } else { Watch::Gone })
    }

    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        self.listen().await?;
        let args = Args::at(now).duration(ttl).text(&info.id.to_string()).text(&self.channel);
        let args = args.bytes(&crate::control::to_json(info)?);
        let mut answer = Answer::new("heartbeat", self.on_registry(&scripts::HEARTBEAT, args).await?)?;
        let (live_workers, told) = (answer.size()?, answer.list()?);
        if answer.size()? == 0 {
            self.register_all_again().await;
        }
        // A command of a later release is not for us.
        let command = |told: &Value| serde_json::from_slice(told.as_bytes()?).ok();
        Ok(Heartbeat { live_workers, commands: told.iter().filter_map(command).collect() })
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        let args = Args::new().text(&worker.to_string());
        self.on_registry(&scripts::SIGN_OFF, args).await?;
        // A hint to who takes no more work would be lost.
        let left = join_all(self.inbox.known().into_iter().map(|queue| async move {
            let hinted = if self.inbox.give_up_hint(&queue) { "1" } else { "" };
            self.on_queue(&scripts::LEAVE, &queue, Args::new().text(&self.channel).text(hinted)).await
        }));
        left.await.into_iter().try_for_each(|left| left.map(|_| ()))
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        let redis = Redis::connect(self.redis.config()).await?;
        Ok(Box::new(RedisLeases { redis, keys: self.keys.clone() }))
    }
}

/// The places of a batch by queue, in the order in which the queues appear.
fn by_queue(batch: &[Message]) -> Vec<(&QueueName, Vec<usize>)> {
    let mut groups: Vec<(&QueueName, Vec<usize>)> = Vec::new();
    let mut index: HashMap<&QueueName, usize> = HashMap::new();
    for (place, message) in batch.iter().enumerate() {
        let group = *index.entry(&message.queue).or_insert_with(|| {
            groups.push((&message.queue, Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(place);
    }
    groups
}

/// A message as publish.lua takes it, its options only where it has any.
fn push_message(args: &mut Args, message: &Message) {
    let plain = message.delay == Delay::None && message.unique.is_none() && message.fence.is_none();
    args.push(format!("{}{}", message.priority, if plain { "" } else { "+" }));
    args.push_bytes(&message.body);
    if plain {
        return;
    }
    args.push(match message.delay {
        Delay::None => String::new(),
        Delay::For(time) => format!("f{}", micros(time)),
        Delay::Until(at) => format!("u{}", instant(at)),
    });
    let unique = message.unique.as_ref();
    args.push(unique.map(|unique| unique.key.clone()).unwrap_or_default());
    args.push(unique.and_then(|unique| unique.ttl).map(|ttl| micros(ttl).to_string()).unwrap_or_default());
    let replace = unique.is_some_and(|unique| unique.policy == UniquePolicy::Replace);
    let until_start = unique.is_some_and(|unique| unique.until_start);
    args.push([if replace { "r" } else { "" }, if until_start { "s" } else { "" }].concat());
    args.push(if until_start { expires(&message.body) } else { String::new() });
    let fence = message.fence.as_ref();
    args.push(fence.map(|fence| fence.name.clone()).unwrap_or_default());
    args.push(fence.map(|fence| instant(fence.slot).to_string()).unwrap_or_default());
}

/// When a message expires, as publish.lua takes it: an end that moves with the publish is counted from there.
fn expires(body: &[u8]) -> String {
    let published_at = |micros| Envelope::expires_at(body, Timestamp::from_micros(micros));
    match (published_at(0), published_at(1)) {
        (None, _) => String::new(),
        (Some(at), other) if Some(at) == other => format!("u{}", instant(at)),
        (Some(after), _) => format!("f{}", instant(after)),
    }
}

fn refusal(why: &Value, what: &Value) -> Result<Published, BackendError> {
    match why.as_bytes() {
        Some(b"d") => Ok(Published::Duplicate { holder: task_id("publish", what)? }),
        Some(b"s") => Ok(Published::Stale { newest: Timestamp::from_micros(integer("publish", what)?) }),
        Some(b"e") => Ok(Published::Early { now: Timestamp::from_micros(integer("publish", what)?) }),
        _ => Err(unexpected("publish", "a reason", why)),
    }
}

fn delivery(
    id: TaskId,
    record: Record,
    history: &History,
    revoked: Option<Verdict>,
    now: Timestamp,
) -> Delivery {
    let expires = Envelope::expires_at(&record.body, record.published_at);
    let verdict = if let Some(revoked) = revoked {
        revoked
    } else if expires.is_some_and(|at| at <= now) {
        Verdict::Expired
    } else if history.losses >= limits::POISON_LOSSES {
        Verdict::Poisoned
    } else {
        Verdict::Run
    };
    Delivery {
        id,
        priority: record.priority,
        body: record.body,
        run: history.run,
        delivery: history.deliveries + 1,
        attempt: history.attempts,
        losses: history.losses,
        refused_since: history.refused_since,
        published_at: record.published_at,
        kind: None,
        verdict,
    }
}

/// The number of a slot kind in the scripts, from 1 on.
const fn number_of_kind(kind: SlotKind) -> usize {
    kind.index() + 1
}

/// The slot kind of a number of the scripts; `None` for a message that was not kept.
fn kind_of_number(number: i64) -> Option<SlotKind> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    SlotKind::ALL.get(index).copied()
}

/// The arguments of settle.lua, acknowledgements first, and the place in the batch of each of its positions.
fn settle_args(
    token: Token,
    batch: &[Settlement],
    now: Option<Timestamp>,
) -> Result<(Args, Vec<usize>), BackendError> {
    let is_ack = |place: &usize| matches!(batch[*place].how, Settle::Ack);
    let (acks, others): (Vec<usize>, Vec<usize>) = (0..batch.len()).partition(is_ack);
    let mut args = Args::at(now)
        .bytes(token.as_bytes())
        .number(limits::DEAD_LETTERS)
        .number(limits::NOTES)
        .number(acks.len())
        .number(others.len());
    let order: Vec<usize> = acks.into_iter().chain(others.iter().copied()).collect();
    order.iter().for_each(|place| args.push_bytes(batch[*place].id.as_bytes()));
    for place in others {
        args = match &batch[place].how {
            Settle::Ack => args,
            Settle::Retry { after, note } => {
                args.text("r").duration(*after).bytes(&crate::control::to_json(note)?)
            }
            Settle::GiveBack { after, refused } => {
                args.text(if *refused { "u" } else { "b" }).duration(*after).text("")
            }
            Settle::Unstarted { kind, kept_for } => {
                let kept_for = kept_for.map(|kind| number_of_kind(kind).to_string()).unwrap_or_default();
                args.text("q").number(kind.map_or(0, number_of_kind)).text(&kept_for)
            }
            Settle::DeadLetter { reason, note } => {
                args.text("k").text(reason.as_str()).bytes(&crate::control::to_json(note)?)
            }
        };
    }
    Ok((args, order))
}
