//! The registry of workers, and what they are told.

use lovage_core::{
    Heartbeat, Hidden, Hint, RedactedArg, TaskInfo, Timestamp, WorkerCommand, WorkerId, WorkerInfo,
    WorkerMode,
};
use lovage_system::SystemEntropy;

use super::BrokerBed;
use super::support::{Queue, at, instant, next_hint, secs};

fn worker(name: &str) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId::new(&SystemEntropy),
        name: name.to_owned(),
        host: "host “ü”".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        started_at: instant(0),
        seen_at: Timestamp::default(),
        mode: WorkerMode::Running,
        queues: vec![lovage_testkit::queue("q"), lovage_testkit::queue("other")],
        concurrency: 64,
        blocking: 2,
        tasks: vec![TaskInfo {
            name: "add".to_owned(),
            signature: "(x: i64) -> i64".to_owned(),
            redacted: Some(vec![mark(0, "x “ü”")]),
            queue: Some(lovage_testkit::queue("sums")),
        }],
        active: vec![lovage_core::ActiveTask {
            id: lovage_testkit::message("q").build().id,
            task: "add".to_owned(),
            queue: lovage_testkit::queue("q"),
            started_at: instant(1),
            progress: Some(lovage_core::Progress { done: 1, total: 3, message: "“one”".to_owned() }),
            blocks_since: Some(instant(2)),
        }],
        reserved: 3,
        succeeded: 5,
        failed: 1,
        schedule: None,
        schedule_store: None,
        memory: Some(1 << 33),
        cpu: Some(1_500),
        refused: Some("no".to_owned()),
        stuck_since: Some(instant(3)),
        unrunnable: vec![lovage_core::Unrunnable {
            queue: lovage_testkit::queue("q"),
            task: "“ädd”".to_owned(),
            why: lovage_core::Misfit::Unregistered,
            tasks: 7,
        }],
        abandoned: vec![lovage_core::AbandonedThread {
            id: lovage_testkit::message("q").build().id,
            task: "“spin”".to_owned(),
            queue: lovage_testkit::queue("q"),
            started_at: instant(1),
            abandoned_at: instant(2),
        }],
    }
}

async fn beat(queue: &Queue, info: &WorkerInfo, second: u64) -> Heartbeat {
    queue.broker.heartbeat(info, secs(30), at(second)).await.expect("heartbeat")
}

async fn names(queue: &Queue, second: u64) -> Vec<String> {
    let workers = queue.broker.workers(at(second)).await.expect("workers");
    workers.into_iter().map(|info| info.name).collect()
}

/// A heartbeat registers all that a worker says of itself, and the broker adds when.
pub async fn heartbeat_registers_a_worker(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let info = worker("one");
    assert_eq!(beat(&queue, &info, 5).await, Heartbeat { live_workers: 1, commands: vec![] });
    let expected = WorkerInfo { seen_at: instant(5), ..info.clone() };
    assert_eq!(queue.broker.workers(at(6)).await.expect("workers"), [expected]);
    let later = WorkerInfo { mode: WorkerMode::Quiet, succeeded: 6, active: vec![], ..info };
    beat(&queue, &later, 15).await;
    let expected = WorkerInfo { seen_at: instant(15), ..later };
    assert_eq!(queue.broker.workers(at(16)).await.expect("workers"), [expected]);
}

/// Workers are listed by name, and a name may be shared.
pub async fn workers_are_listed_by_name(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for (count, name) in ["b", "c", "a", "b"].into_iter().enumerate() {
        let other = Queue::join(bed).await;
        assert_eq!(beat(&other, &worker(name), 0).await.live_workers, count + 1);
    }
    assert_eq!(names(&queue, 1).await, ["a", "b", "b", "c"]);
}

/// A worker that no longer says anything is forgotten.
pub async fn registration_ends_with_its_time_to_live(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let (silent, live) = (worker("silent"), worker("live"));
    beat(&queue, &silent, 0).await;
    beat(&queue, &live, 20).await;
    assert_eq!(names(&queue, 29).await, ["live", "silent"]);
    assert_eq!(names(&queue, 31).await, ["live"]);
    assert_eq!(beat(&queue, &live, 31).await.live_workers, 1);
    let told = queue.broker.tell(silent.id, &WorkerCommand::Quiet, at(31)).await.expect("tell");
    assert!(!told, "nobody is there to be told");
}

/// A worker that was killed is forgotten after its time to live, also when the clock is set back by an hour meanwhile.
pub async fn clock_set_back_does_not_stretch_registrations(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let (silent, live) = (worker("silent"), worker("live"));
    beat(&queue, &silent, 3_610).await;
    beat(&queue, &live, 10).await;
    beat(&queue, &live, 30).await;
    assert_eq!(names(&queue, 39).await, ["live", "silent"]);
    assert_eq!(names(&queue, 41).await, ["live"]);
}

/// A worker that signs off is gone at once.
pub async fn signed_off_worker_is_gone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let (leaving, staying) = (worker("leaving"), worker("staying"));
    beat(&queue, &leaving, 0).await;
    beat(&queue, &staying, 0).await;
    queue.broker.sign_off(leaving.id).await.expect("sign_off");
    assert_eq!(names(&queue, 1).await, ["staying"]);
    queue.broker.sign_off(leaving.id).await.expect("twice is once");
    assert_eq!(beat(&queue, &staying, 1).await.live_workers, 1);
}

/// What tasks hide is kept when the workers that registered them are gone.
pub async fn what_tasks_hide_is_kept(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert_eq!(queue.broker.hidden().await.expect("hidden"), Hidden::default());
    let marks = vec![mark(1, "card"), mark(255, "a “ü” / \\ name")];
    let info = hiding(&[("pay", Some(marks.clone())), ("add", Some(vec![])), ("old", None)]);
    beat(&queue, &info, 0).await;
    let known: Hidden = [("pay", marks.clone())].into_iter().collect();
    assert_eq!(queue.broker.hidden().await.expect("hidden"), known);
    queue.broker.sign_off(info.id).await.expect("sign_off");
    let other = Queue::join(bed).await;
    assert_eq!(other.broker.hidden().await.expect("hidden"), known);
    beat(&other, &worker("much later"), 3_600).await;
    let both: Hidden = [("pay", marks), ("add", vec![mark(0, "x “ü”")])].into_iter().collect();
    assert_eq!(other.broker.hidden().await.expect("hidden"), both);
}

/// Of a task the worker that registered last says what it hides; an older program, which does not say, changes nothing.
pub async fn who_registers_last_says_what_tasks_hide(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let card = |index| vec![mark(index, "card")];
    let kept = async |expected: Option<u8>| {
        let expected: Hidden = expected.map(|index| ("pay", card(index))).into_iter().collect();
        assert_eq!(queue.broker.hidden().await.expect("hidden"), expected);
    };
    let first = hiding(&[("pay", Some(card(1)))]);
    beat(&queue, &first, 0).await;
    kept(Some(1)).await;
    beat(&queue, &hiding(&[("pay", None)]), 1).await;
    kept(Some(1)).await;
    beat(&queue, &hiding(&[("pay", Some(card(0)))]), 2).await;
    kept(Some(0)).await;
    // It is registered already.
    beat(&queue, &first, 3).await;
    kept(Some(0)).await;
    beat(&queue, &hiding(&[("pay", Some(vec![]))]), 4).await;
    kept(None).await;
}

fn hiding(tasks: &[(&str, Option<Vec<RedactedArg>>)]) -> WorkerInfo {
    let task = |(name, redacted): &(&str, Option<Vec<RedactedArg>>)| TaskInfo {
        name: (*name).to_owned(),
        signature: "()".to_owned(),
        redacted: redacted.clone(),
        queue: None,
    };
    WorkerInfo { tasks: tasks.iter().map(task).collect(), ..worker("hides") }
}

fn mark(index: u8, name: &str) -> RedactedArg {
    RedactedArg { index, name: name.to_owned() }
}

/// Whoever speaks for a worker renews its registration and says what it is, and what it was told waits for itself.
pub async fn who_speaks_for_a_worker_keeps_it_registered(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    let info = worker("stuck");
    beat(&queue, &info, 0).await;
    assert!(queue.broker.tell(info.id, &WorkerCommand::Quiet, at(1)).await.expect("tell"));
    assert_eq!(next_hint(&*queue.broker, "the command").await, Hint::Command);
    let said = WorkerInfo { stuck_since: Some(instant(20)), active: vec![], ..info.clone() };
    assert!(leases.speak_for(&said, secs(30), at(25)).await.expect("speak_for"));
    let expected = WorkerInfo { seen_at: instant(25), ..said };
    assert_eq!(queue.broker.workers(at(54)).await.expect("workers"), [expected]);
    assert!(queue.broker.tell(info.id, &WorkerCommand::Quiet, at(54)).await.expect("tell"));
    assert_eq!(next_hint(&*queue.broker, "it is still this handle that is told").await, Hint::Command);
    let answer = beat(&queue, &info, 54).await;
    assert_eq!(answer.commands, [WorkerCommand::Quiet, WorkerCommand::Quiet]);
}

/// Nobody speaks for a worker that signed off, was forgotten, or never was.
pub async fn nobody_speaks_for_who_is_not_registered(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    let (left, forgotten, unknown) = (worker("left"), worker("forgotten"), worker("unknown"));
    beat(&queue, &left, 0).await;
    beat(&queue, &forgotten, 0).await;
    queue.broker.sign_off(left.id).await.expect("sign_off");
    for (info, second) in [(&left, 1), (&unknown, 1), (&forgotten, 31)] {
        assert!(!leases.speak_for(info, secs(30), at(second)).await.expect("speak_for"), "{}", info.name);
        assert_eq!(names(&queue, 31).await, [""; 0]);
    }
}

/// What a worker is told it takes once, in order.
pub async fn commands_are_taken_once_and_in_order(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let operator = Queue::join(bed).await;
    let (told, other) = (worker("told"), worker("other"));
    beat(&queue, &told, 0).await;
    beat(&queue, &other, 0).await;
    let commands = [
        WorkerCommand::Quiet,
        WorkerCommand::Shutdown { grace: Some(secs(3)) },
        WorkerCommand::Shutdown { grace: None },
    ];
    for command in &commands {
        assert!(operator.broker.tell(told.id, command, at(1)).await.expect("tell"));
    }
    assert_eq!(beat(&queue, &other, 2).await.commands, []);
    assert_eq!(beat(&queue, &told, 2).await.commands, commands);
    assert_eq!(beat(&queue, &told, 3).await.commands, []);
}

/// A worker hears at once that it was told something.
pub async fn told_worker_is_hinted(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let operator = Queue::join(bed).await;
    let told = worker("told");
    beat(&queue, &told, 0).await;
    operator.broker.tell(told.id, &WorkerCommand::Quiet, at(1)).await.expect("tell");
    assert_eq!(next_hint(&*queue.broker, "the command").await, Hint::Command);
    assert_eq!(beat(&queue, &told, 1).await.commands, [WorkerCommand::Quiet]);
}

/// A worker that is not registered cannot be told anything.
pub async fn unknown_worker_is_not_told(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let unknown = worker("unknown");
    let told = queue.broker.tell(unknown.id, &WorkerCommand::Quiet, at(0)).await.expect("tell");
    assert!(!told);
    assert_eq!(beat(&queue, &unknown, 1).await.commands, []);
}
