//! The schedule: what is broken, in which order, and what is waited for. Every wait has an end and then tells where things
//! stood.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lovage::{Client, TaskId};
use lovage_core::{Clock as _, QueueName, Timestamp};
use lovage_drill::journal::{self, Ended, Execution};
use lovage_drill::judge::{AGAIN, Fault, Line, judge};
use lovage_drill::sender::{AnyCall, Ledger, send_surely};
use lovage_drill::tasks::{block, nap, quick};
use lovage_system::SystemClock;

use crate::Fallible;
use crate::process::Process;
use crate::report::say;
use crate::services::{Kind, Services};

mod evidence;

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// The conductor's own tasks are numbered from here.
const OWN: u64 = 1_000_000_000;
/// Tasks that become due while a server is away: enough that no worker can take them all.
const DUE_MEANWHILE: u64 = 640;
/// Long tasks that a worker has to be running when it is killed.
const KILLED: usize = 20;
/// More than may end between the last look and the kill: the long tasks end as they were sent, about four at a time.
const MARGIN: usize = 4;
/// Bytes of a worker's journal that say that it is in the middle of a long queue: about 150 runs.
const FLOODED: u64 = 20_000;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) broker: Kind,
    pub(crate) results: Kind,
    pub(crate) tasks: u64,
    pub(crate) lease: Duration,
    /// See [`History::on_its_way`].
    pub(crate) on_its_way: Duration,
    /// Over how long the senders spread their tasks.
    pub(crate) sending: Duration,
}

impl Plan {
    pub(crate) fn title(&self) -> String {
        let Self { tasks, broker, results, lease, .. } = self;
        format!("{tasks} tasks, broker {broker}, results {results}, lease {} s", lease.as_secs())
    }
}

/// Runs the whole schedule and judges it.
pub(crate) async fn run(plan: &Plan) -> Fallible<Vec<Line>> {
    let dir = tempfile::tempdir()?;
    let services = Services::start(plan.broker, plan.results, dir.path())?;
    let mut conductor = Conductor::new(plan, services, dir.path()).await?;
    let done = conductor.all().await;
    match done {
        Ok(lines) if lines.iter().all(|line| line.kept) => Ok(lines),
        other => {
            let diagnosis = conductor.diagnosis().await;
            let kept = dir.keep();
            say(&format!("{diagnosis}\nlogs, journals and ledgers are in {}", kept.display()));
            other
        }
    }
}

struct Conductor<'a> {
    plan: &'a Plan,
    services: Services,
    dir: &'a Path,
    client: Client,
    ledger: Ledger,
    clock: SystemClock,
    queue: QueueName,
    number: u64,
    /// Those that run, in the order of their start.
    workers: Vec<Process>,
    /// The names of all that ever ran.
    names: Vec<String>,
    senders: Vec<Process>,
    faults: Vec<Fault>,
}

impl<'a> Conductor<'a> {
    async fn new(plan: &'a Plan, services: Services, dir: &'a Path) -> Fallible<Self> {
        let mut migrate = Process::start("drill-worker", "migrate", dir, |command| {
            command.args(["migrate", "--broker", services.broker_url(), "--results", services.results_url()]);
        })?;
        let clock = SystemClock::new();
        let code = loop {
            match migrate.ended()? {
                Some(code) => break code,
                None => clock.sleep(LOOK).await,
            }
        };
        if code != Some(0) {
            return Err(format!("the tables cannot be made:\n    {}", migrate.tail()).into());
        }
        let client = Client::builder(services.broker_url()).results(services.results_url()).connect().await?;
        Ok(Self {
            plan,
            services,
            dir,
            client,
            ledger: Ledger::open(&dir.join("conductor.ledger"))?,
            clock,
            queue: QueueName::default_queue(),
            number: OWN,
            workers: Vec::new(),
            names: Vec::new(),
            senders: Vec::new(),
            faults: Vec::new(),
        })
    }

    async fn all(&mut self) -> Fallible<Vec<Line>> {
        self.begin().await?;
        self.kill("w1", "w4").await?;
        self.stop("w2", "w5").await?;
        self.freeze("w3").await?;
        self.block().await?;
        self.results_away().await?;
        self.broker_away().await?;
        self.end().await?;
        let history = self.history().await?;
        Ok(judge(&history))
    }

    async fn begin(&mut self) -> Fallible<()> {
        say("three workers, two senders");
        for name in ["w1", "w2", "w3"] {
            self.start_worker(name)?;
        }
        let half = self.plan.tasks / 2;
        for (name, first, count) in [("s1", 1, half), ("s2", half + 1, self.plan.tasks - half)] {
            let (broker, dir) = (self.services.broker_url().to_owned(), self.dir);
            let seconds = self.plan.sending.as_secs();
            self.senders.push(Process::start("drill-sender", name, dir, |command| {
                command.args(["--broker", &broker]).arg("--ledger").arg(ledger_of(dir, name));
                command.args(
                    [("--first", first), ("--count", count), ("--seconds", seconds)]
                        .map(|(flag, value)| format!("{flag}={value}")),
                );
            })?);
        }
        let names = self.names.clone();
        self.until("every worker works", PATIENCE, |drill| {
            let runs = drill.executions(&names)?;
            Ok(names.iter().all(|name| runs.iter().any(|run| run.worker == *name)))
        })
        .await?;
        self.clock.sleep(self.plan.lease).await;
        Ok(())
    }

    async fn kill(&mut self, victim: &str, heir: &str) -> Fallible<()> {
        say(&format!("SIGKILL to {victim} while it drains a long queue"));
        self.load_and_flood(victim).await?;
        let at = self.clock.now();
        self.take(victim)?.kill()?;
        self.faults.push(Fault::Killed { worker: victim.to_owned(), at, running: KILLED });
        self.start_worker(heir)?;
        let cut: HashSet<TaskId> = self
            .executions(&[victim.to_owned()])?
            .iter()
            .filter(|run| run.ended.is_none())
            .map(|run| run.id)
            .collect();
        // Whether that was in time is for the judge to say.
        let patience = self.plan.lease + AGAIN * 4;
        let others: Vec<String> = self.names.iter().filter(|name| *name != victim).cloned().collect();
        self.until("what was killed runs again", patience, |drill| {
            let again: HashSet<TaskId> =
                drill.executions(&others)?.iter().filter(|run| run.began > at).map(|run| run.id).collect();
            Ok(cut.is_subset(&again))
        })
        .await
    }

    async fn stop(&mut self, victim: &str, heir: &str) -> Fallible<()> {
        say(&format!("SIGTERM to {victim}"));
        self.load(victim, 3, Duration::from_millis(500)).await?;
        let at = self.clock.now();
        let mut process = self.take(victim)?;
        process.signal("TERM")?;
        let code = self.exit_of(&mut process).await?;
        let gone = self.clock.now();
        self.faults.push(Fault::Stopped { worker: victim.to_owned(), at, gone, code });
        self.start_worker(heir)
    }

    async fn freeze(&mut self, victim: &str) -> Fallible<()> {
        say(&format!("SIGSTOP to {victim} for twice its lease"));
        self.load(victim, 3, Duration::from_millis(500)).await?;
        let at = self.clock.now();
        self.signal(victim, "STOP")?;
        self.clock.sleep(self.plan.lease * 2).await;
        self.signal(victim, "CONT")?;
        let until = self.clock.now();
        self.faults.push(Fault::Frozen { worker: victim.to_owned(), at, until });
        self.clock.sleep(self.plan.lease).await;
        Ok(())
    }

    async fn block(&mut self) -> Fallible<()> {
        say("a task keeps its thread for twice the lease");
        let millis = u64::try_from(self.plan.lease.as_millis())? * 2;
        let id = self.send(1, |number| block::call(number, millis)).await?[0];
        self.faults.push(Fault::Blocked { id });
        let names = self.names.clone();
        self.until("the blocking task ends", self.plan.lease * 2 + PATIENCE, |drill| {
            let runs = drill.executions(&names)?;
            Ok(runs.iter().any(|run| run.id == id && matches!(run.ended, Some((Ended::Succeeded, _)))))
        })
        .await
    }

    async fn results_away(&mut self) -> Fallible<()> {
        if self.services.results().is_none() {
            say("the results have no server of their own to stop");
            return Ok(());
        }
        say("the results' server is stopped for half a lease");
        let workers = self.send_for_later(self.plan.lease / 4).await?;
        let Some(mut server) = self.services.results() else { return Ok(()) };
        let at = self.clock.now();
        server.stop()?;
        self.clock.sleep(self.plan.lease / 2).await;
        server.resume()?;
        let back = self.clock.now();
        self.faults.push(Fault::ResultsAway { at, back, workers: workers.clone() });
        self.work_again(workers, back).await
    }

    async fn broker_away(&mut self) -> Fallible<()> {
        if self.services.broker().is_none() {
            say("the broker has no server to stop");
            return Ok(());
        }
        say("the broker's server is killed and away for twice the lease");
        let workers = self.send_for_later(self.plan.lease).await?;
        let Some(mut server) = self.services.broker() else { return Ok(()) };
        let at = self.clock.now();
        server.stop()?;
        self.clock.sleep(self.plan.lease * 2).await;
        server.resume()?;
        let back = self.clock.now();
        self.faults.push(Fault::BrokerAway { at, back, workers: workers.clone() });
        self.work_again(workers, back).await
    }

    /// Sends what becomes due while a server is away, so that afterwards there is work for each of the workers, which it names.
    async fn send_for_later(&mut self, due: Duration) -> Fallible<Vec<String>> {
        self.send(DUE_MEANWHILE, |number| nap::call(number, 150).countdown(due)).await?;
        Ok(self.workers.iter().map(|worker| worker.name.clone()).collect())
    }

    /// Whether that was in time is for the judge to say.
    async fn work_again(&self, workers: Vec<String>, back: Timestamp) -> Fallible<()> {
        self.until("every worker works again", PATIENCE, |drill| {
            let runs = drill.executions(&workers)?;
            Ok(workers.iter().all(|name| runs.iter().any(|run| run.worker == *name && run.began >= back)))
        })
        .await
    }

    /// Waits until everything sent has run, then stops the workers.
    async fn end(&mut self) -> Fallible<()> {
        say("waiting for the senders and the queue");
        for mut sender in std::mem::take(&mut self.senders) {
            let code = self.exit_of(&mut sender).await;
            let well = matches!(code, Ok(Some(0)));
            let tail = sender.tail();
            self.senders.push(sender);
            if !well {
                return Err(format!("a sender ended with {code:?}:\n    {tail}").into());
            }
        }
        let deadline = self.clock.monotonic() + PATIENCE * 2;
        loop {
            match self.client.broker().depth(&self.queue, None).await {
                Ok(depth) if depth.ready + depth.delayed + depth.leased == 0 => break,
                Ok(_) => {}
                // The first question after the server was away, on a connection from before.
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if self.clock.monotonic() > deadline {
                return Err("the queue is not drained".into());
            }
            self.clock.sleep(LOOK * 10).await;
        }
        for worker in &self.workers {
            worker.signal("TERM")?;
        }
        for mut worker in std::mem::take(&mut self.workers) {
            let code = self.exit_of(&mut worker).await;
            let name = worker.name.clone();
            self.workers.push(worker);
            if code? != Some(0) {
                return Err(format!("{name} did not end well after its last SIGTERM").into());
            }
        }
        Ok(())
    }

    // --- small things

    fn start_worker(&mut self, name: &str) -> Fallible<()> {
        let (broker, results) = (self.services.broker_url(), self.services.results_url());
        let lease = format!("{}s", self.plan.lease.as_secs());
        let grace = format!("{}s", GRACE.as_secs());
        let process = Process::start("drill-worker", name, self.dir, |command| {
            command.env(journal::VARIABLE, journal_of(self.dir, name));
            command.args(["worker", "--broker", broker, "--results", results, "--name", name]);
            command.args(["--lease", &lease, "--grace", &grace, "--concurrency", "32", "--blocking", "4"]);
            command.args(["--log-level", "warn"]);
        })?;
        self.workers.push(process);
        self.names.push(name.to_owned());
        Ok(())
    }

    fn take(&mut self, name: &str) -> Fallible<Process> {
        let at = self.workers.iter().position(|worker| worker.name == name).ok_or("no such worker")?;
        Ok(self.workers.remove(at))
    }

    fn signal(&self, name: &str, signal: &str) -> Fallible<()> {
        self.workers.iter().find(|worker| worker.name == name).ok_or("no such worker")?.signal(signal)
    }

    /// Sends tasks of the conductor's own.
    async fn send(&mut self, count: u64, call: impl Fn(u64) -> AnyCall) -> Fallible<Vec<TaskId>> {
        let numbers: Vec<u64> = (self.number..self.number + count).collect();
        self.number += count;
        send_surely(&self.client, &mut self.ledger, &numbers, call).await
    }

    /// Puts a worker in the middle of a long queue with enough long tasks under way. On a slow machine the first of these
    /// may end before the queue is filled: then it is done once more.
    async fn load_and_flood(&mut self, worker: &str) -> Fallible<()> {
        let deadline = self.clock.monotonic() + PATIENCE;
        while self.clock.monotonic() < deadline {
            self.load(worker, KILLED + MARGIN, self.plan.lease * 2).await?;
            self.flood(worker).await?;
            if self.under_way(worker)? >= KILLED + MARGIN {
                return Ok(());
            }
            say("too few of its long tasks are left: once more");
        }
        Err(format!("{worker} never has {KILLED} tasks under way in a long queue").into())
    }

    fn under_way(&self, worker: &str) -> Fallible<usize> {
        Ok(self.executions(&[worker.to_owned()])?.iter().filter(|run| run.ended.is_none()).count())
    }

    /// Makes sure that a worker has so many tasks under way.
    async fn load(&mut self, worker: &str, tasks: usize, length: Duration) -> Fallible<()> {
        let millis = u64::try_from(length.as_millis())?;
        let deadline = self.clock.monotonic() + PATIENCE;
        while self.clock.monotonic() < deadline {
            self.send(12, |number| nap::call(number, millis)).await?;
            self.clock.sleep(LOOK * 5).await;
            if self.under_way(worker)? >= tasks {
                return Ok(());
            }
        }
        Err(format!("{worker} does not take tasks").into())
    }

    /// Fills the queue while it is paused, and returns when a worker is in the middle of it.
    async fn flood(&mut self, worker: &str) -> Fallible<()> {
        let broker = std::sync::Arc::clone(self.client.broker());
        broker.pause(&self.queue).await?;
        for _ in 0..(self.plan.tasks / 10_000).max(1) {
            self.send(1_000, quick::call).await?;
        }
        let journal = journal_of(self.dir, worker);
        let before = std::fs::metadata(&journal)?.len();
        broker.resume(&self.queue).await?;
        let deadline = self.clock.monotonic() + PATIENCE;
        while std::fs::metadata(&journal)?.len() < before + FLOODED {
            if self.clock.monotonic() > deadline {
                return Err(format!("{worker} does not take what was waiting").into());
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn until(
        &self,
        what: &str,
        patience: Duration,
        is: impl Fn(&Self) -> Fallible<bool>,
    ) -> Fallible<()> {
        let deadline = self.clock.monotonic() + patience;
        while !is(self)? {
            if self.clock.monotonic() > deadline {
                return Err(format!("waited {} s in vain until {what}", patience.as_secs()).into());
            }
            self.clock.sleep(LOOK * 5).await;
        }
        Ok(())
    }

    async fn exit_of(&self, process: &mut Process) -> Fallible<Option<i32>> {
        let deadline = self.clock.monotonic() + self.plan.sending + PATIENCE;
        loop {
            if let Some(code) = process.ended()? {
                return Ok(code);
            }
            if self.clock.monotonic() > deadline {
                return Err(format!("{} does not end:\n    {}", process.name, process.tail()).into());
            }
            self.clock.sleep(LOOK).await;
        }
    }

    fn executions(&self, workers: &[String]) -> Fallible<Vec<Execution>> {
        let mut all = Vec::new();
        for worker in workers {
            all.extend(journal::read(&journal_of(self.dir, worker), worker)?);
        }
        Ok(all)
    }
}

fn journal_of(dir: &Path, worker: &str) -> PathBuf {
    dir.join(format!("{worker}.journal"))
}

fn ledger_of(dir: &Path, sender: &str) -> PathBuf {
    dir.join(format!("{sender}.ledger"))
}
