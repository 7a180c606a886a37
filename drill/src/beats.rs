//! Three beats on one schedule and one broker: what is broken, in which order, and what is waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lovage::Client;
use lovage_core::schedule::{Entry, HistoryQuery, Misfire, Schedule, ScheduleStore};
use lovage_core::{Broker, Clock as _, EntryName, Page, QueueName, Source, TaskName, Timestamp};
use lovage_drill::beat::consumer::{Record, consume};
use lovage_drill::beat::judge::{Fault, Planned, Server, Story, judge};
use lovage_drill::beat::rounds;
use lovage_drill::judge::Line;
use lovage_sql::Database;
use lovage_system::SystemClock;

use crate::Fallible;
use crate::process::Process;
use crate::report::say;
use crate::services::{Kind, Services};

const BEATS: [&str; 3] = ["b1", "b2", "b3"];
const EVERY: Duration = Duration::from_secs(1);
/// Until the beats have started.
const HEAD_START: Duration = Duration::from_secs(4);
/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// A beat has begun its round this long after a slot, or another was faster.
const ROUND: Duration = Duration::from_millis(400);
/// How often a beat is looked for in the middle of a round.
const HUNTS: usize = 3;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Each has a slot a second.
    pub(crate) entries: usize,
    /// Slots of each.
    pub(crate) slots: u32,
    pub(crate) kill_every: Duration,
    /// How long a beat is frozen.
    pub(crate) freeze: Duration,
    /// How long a server is away.
    pub(crate) away: Duration,
}

impl Plan {
    /// For so many minutes: faults as long as in ten of them, and shorter ones in less than five.
    pub(crate) fn of(minutes: f64, entries: usize) -> Self {
        let seconds = (minutes * 60.0).max(30.0);
        let scaled = |full: f64| Duration::from_secs_f64((full * (seconds / 300.0).min(1.0)).round());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clap limits the minutes"
        )]
        let slots = seconds as u32;
        let kill_every = Duration::from_secs_f64((seconds / 30.0).clamp(5.0, 20.0).round());
        Self { entries, slots, kill_every, freeze: scaled(30.0), away: scaled(10.0) }
    }

    pub(crate) fn title(&self) -> String {
        let Self { entries, slots, .. } = self;
        format!("3 beats, {entries} entries at 1 s for {slots} s, schedule postgres, broker redis (AOF)")
    }

    /// What is done when, in the order of time.
    fn acts(&self) -> Vec<(Duration, Act)> {
        let time = EVERY * self.slots;
        let at = |share: f64| time.mul_f64(share);
        let mut acts = vec![
            (at(0.1), Act::Freeze),
            (at(0.1) + self.freeze, Act::Thaw),
            (at(0.4), Act::Stop(Server::Store)),
            (at(0.4) + self.away, Act::Resume(Server::Store)),
            // The plan that this one wakes up with is from before the broker was killed.
            (at(0.65), Act::Freeze),
            (at(0.65) + self.freeze / 3, Act::Stop(Server::Broker)),
            (at(0.65) + self.freeze / 3 + self.away, Act::Resume(Server::Broker)),
            (at(0.65) + self.freeze.max(self.freeze / 3 + self.away), Act::Thaw),
        ];
        acts.extend((0..self.kills()).map(|kill| (self.kill_every * kill + self.kill_every / 2, Act::Kill)));
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    fn kills(&self) -> u32 {
        self.slots / u32::try_from(self.kill_every.as_secs().max(1)).unwrap_or(u32::MAX)
    }

    /// Without which the drill proves nothing.
    fn asked(&self) -> Planned {
        let kills = self.kills() as usize;
        Planned { kills, under_way: kills / 3 + 1, freezes: (2, self.freeze), away: self.away }
    }
}

/// What is done to beats and servers.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// To the first, which is started again.
    Kill,
    /// The second.
    Freeze,
    Thaw,
    Stop(Server),
    Resume(Server),
}

/// Runs the whole schedule and judges it.
pub(crate) async fn run(plan: &Plan) -> Fallible<Vec<Line>> {
    let dir = tempfile::tempdir()?;
    let services = Services::start(Kind::Redis, Kind::Postgres, dir.path())?;
    let mut conductor = Conductor::new(plan, services, dir.path()).await?;
    let done = conductor.all().await;
    match done {
        Ok(lines) if lines.iter().all(|line| line.kept) => Ok(lines),
        other => {
            let kept = dir.keep();
            say(&format!("{}\nlogs and journals are in {}", conductor.last_words(), kept.display()));
            other
        }
    }
}

struct Conductor<'a> {
    plan: &'a Plan,
    services: Services,
    dir: PathBuf,
    store: Arc<dyn ScheduleStore>,
    broker: Arc<dyn Broker>,
    clock: SystemClock,
    names: Vec<EntryName>,
    beats: Vec<Process>,
    starts: usize,
    record: Record,
    frozen: Option<(Timestamp, bool)>,
    away: Option<Timestamp>,
    faults: Vec<Fault>,
}

impl<'a> Conductor<'a> {
    async fn new(plan: &'a Plan, services: Services, dir: &Path) -> Fallible<Self> {
        let database = Database::connect(services.results_url()).await?;
        lovage_sql::migrate(&database, &lovage_schedules_sql::MIGRATIONS).await?;
        let client = Client::connect(services.broker_url()).await?;
        let names = (1..=plan.entries).map(|number| EntryName::new(format!("entry-{number:05}")));
        Ok(Self {
            plan,
            dir: dir.to_path_buf(),
            store: lovage_schedules_sql::open(database).await?,
            broker: Arc::clone(client.broker()),
            clock: SystemClock::new(),
            names: names.collect::<Result<_, _>>()?,
            beats: Vec::new(),
            starts: 0,
            record: Record::default(),
            frozen: None,
            away: None,
            faults: Vec::new(),
            services,
        })
    }

    async fn all(&mut self) -> Fallible<Vec<Line>> {
        let consumer = Client::connect(self.services.broker_url()).await?;
        let consumer = Arc::clone(consumer.broker());
        let consuming = tokio::spawn(consume(consumer, QueueName::default_queue(), self.record.clone()));
        let first = self.declare().await?;
        for name in BEATS {
            let beat = self.start(name)?;
            self.beats.push(beat);
        }
        let start = self.clock.monotonic() + first.since(self.clock.now());
        for (at, act) in self.plan.acts() {
            self.clock.sleep_until(start + at).await;
            self.act(act).await?;
        }
        self.clock.sleep_until(start + EVERY * self.plan.slots).await;
        let left = self.end().await?;
        consuming.abort();
        say("judging");
        Ok(judge(&self.story(first, left).await?))
    }

    /// Writes the entries, and answers their first slot.
    async fn declare(&self) -> Fallible<Timestamp> {
        let soon = self.clock.now().plus(HEAD_START).as_micros() / 1_000_000;
        let first = Timestamp::from_micros(soon * 1_000_000);
        let task = TaskName::new("drill.slot")?;
        let every = Schedule::every(EVERY)?;
        let entry = |name: &EntryName| Entry {
            misfire: Misfire::All(600),
            start_time: Some(first),
            end_time: Some(first.plus(EVERY * (self.plan.slots - 1))),
            ..Entry::new(name.clone(), task.clone(), every.clone())
        };
        let entries: Vec<Entry> = self.names.iter().map(entry).collect();
        self.store.merge(&Source::new("drill")?, &entries, None).await?;
        Ok(first)
    }

    async fn act(&mut self, act: Act) -> Fallible<()> {
        match act {
            Act::Kill => {
                let under_way = self.catch(0).await?;
                self.beats[0].kill()?;
                self.faults.push(Fault::Killed { under_way });
                self.beats[0] = self.start(BEATS[0])?;
            }
            Act::Freeze => {
                say("SIGSTOP to a beat");
                let under_way = self.catch(1).await?;
                self.beats[1].signal("STOP")?;
                self.frozen = Some((self.clock.now(), under_way));
            }
            Act::Thaw => {
                let (at, under_way) = self.frozen.take().ok_or("no beat is frozen")?;
                // It was caught later than it was looked for.
                self.clock.sleep(self.plan.freeze.saturating_sub(self.clock.now().since(at))).await;
                self.beats[1].signal("CONT")?;
                self.faults.push(Fault::Frozen { at, until: self.clock.now(), under_way });
            }
            Act::Stop(which) => {
                say(&format!("the server of the {} is killed", which.in_words()));
                self.away = Some(self.clock.now());
                self.server(which)?.stop()?;
            }
            Act::Resume(server) => {
                let at = self.away.take().ok_or("no server is away")?;
                self.clock.sleep(self.plan.away.saturating_sub(self.clock.now().since(at))).await;
                self.server(server)?.resume()?;
                self.faults.push(Fault::Away { server, at, back: self.clock.now() });
            }
        }
        Ok(())
    }

    /// Stops a beat in the middle of a round, if it can be met there: other beats may be faster.
    async fn catch(&self, beat: usize) -> Fallible<bool> {
        if self.away.is_some() {
            return Ok(false);
        }
        let (process, journal) = (&self.beats[beat], self.journal(BEATS[beat]));
        for _ in 0..HUNTS {
            let now = self.clock.now().as_micros();
            let slot = Timestamp::from_micros((now / 1_000_000 + 1) * 1_000_000);
            self.clock.sleep(slot.since(self.clock.now())).await;
            while self.clock.now().since(slot) < ROUND {
                if rounds::read(&journal)?.under_way {
                    process.signal("STOP")?;
                    if rounds::read(&journal)?.under_way {
                        return Ok(true);
                    }
                    process.signal("CONT")?;
                }
                self.clock.sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(false)
    }

    /// Waits until beats and consumer have nothing more to do, and stops the beats. Answers what the queue still has.
    async fn end(&mut self) -> Fallible<u64> {
        say("waiting for the beats and the queue");
        let deadline = self.clock.monotonic() + PATIENCE;
        loop {
            let due = self.store.due(Duration::ZERO, 1, None).await;
            // What is not done by then the judge tells.
            if due.is_ok_and(|due| due.entries.is_empty() && due.next_at.is_none())
                || self.clock.monotonic() > deadline
            {
                break;
            }
            self.clock.sleep(LOOK).await;
        }
        for beat in &self.beats {
            beat.signal("TERM")?;
        }
        for at in 0..self.beats.len() {
            let code = loop {
                match self.beats[at].ended()? {
                    Some(code) => break code,
                    None if self.clock.monotonic() > deadline + PATIENCE => {
                        return Err(format!("{} does not end", self.beats[at].name).into());
                    }
                    None => self.clock.sleep(LOOK).await,
                }
            };
            if code != Some(0) {
                return Err(format!("{} ended with {code:?} after SIGTERM", self.beats[at].name).into());
            }
        }
        loop {
            let depth = self.broker.depth(&QueueName::default_queue(), None).await?;
            let open = depth.ready + depth.delayed + depth.leased;
            if open == 0 || self.clock.monotonic() > deadline + PATIENCE {
                return Ok(open + depth.dead);
            }
            self.clock.sleep(LOOK).await;
        }
    }

    async fn story(&self, first: Timestamp, left: u64) -> Fallible<Story> {
        let mut history = Vec::new();
        let mut counts = Vec::new();
        for name in &self.names {
            let mut after = None;
            loop {
                let page = Page { after, limit: 1_000 };
                let firings = self.store.history(&HistoryQuery::of(name.as_str()), page).await?;
                history.extend(firings.items);
                after = firings.next;
                if after.is_none() {
                    break;
                }
            }
            if let Some(Some(Ok(stored))) = self.store.get(&[name.as_str()]).await?.first() {
                counts.push((name.to_string(), stored.total_run_count));
            }
        }
        let rounds = BEATS.iter().map(|name| Ok(((*name).to_owned(), rounds::read(&self.journal(name))?)));
        Ok(Story {
            entries: self.names.iter().map(ToString::to_string).collect(),
            first,
            every: EVERY,
            slots: self.plan.slots,
            seen: self.record.all(),
            history,
            counts,
            left,
            rounds: rounds.collect::<Fallible<_>>()?,
            faults: self.faults.clone(),
            plan: self.plan.asked(),
        })
    }

    // --- small things

    fn server(&mut self, which: Server) -> Fallible<crate::services::Breakable<'_>> {
        let server = match which {
            Server::Store => self.services.results(),
            Server::Broker => self.services.broker(),
        };
        server.ok_or_else(|| "there is no server to stop".into())
    }

    /// Each process has a log of its own, and those of one name one journal.
    fn start(&mut self, name: &str) -> Fallible<Process> {
        self.starts += 1;
        let (broker, schedules) = (self.services.broker_url(), self.services.results_url());
        Process::start("drill-beat", &format!("{name}-{}", self.starts), &self.dir, |command| {
            command.args(["--broker", broker, "--schedules", schedules]);
            command.arg("--journal").arg(self.journal(name));
        })
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.journal"))
    }

    fn last_words(&self) -> String {
        let words: Vec<String> = self
            .beats
            .iter()
            .map(|beat| format!("{} says at last:\n    {}", beat.name, beat.tail()))
            .collect();
        format!("{} messages came out\n{}", self.record.count(), words.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_minutes_have_each_fault_in_full_and_one_has_each_of_them() {
        let full = Plan::of(10.0, 500);
        assert_eq!(
            (full.slots, full.kill_every, full.freeze),
            (600, Duration::from_secs(20), Duration::from_secs(30))
        );
        assert_eq!((full.asked().kills, full.away), (30, Duration::from_secs(10)));
        let short = Plan::of(0.75, 500);
        assert_eq!(
            (short.slots, short.kill_every, short.freeze),
            (45, Duration::from_secs(5), Duration::from_secs(5))
        );
        for plan in [full, short] {
            let acts = plan.acts();
            assert!(acts.last().is_some_and(|(at, _)| *at < EVERY * plan.slots), "{acts:?}");
            let count = |is: fn(&Act) -> bool| acts.iter().filter(|(_, act)| is(act)).count();
            assert_eq!(count(|act| matches!(act, Act::Freeze)), 2);
            assert_eq!(count(|act| matches!(act, Act::Stop(_))), 2);
        }
    }
}
