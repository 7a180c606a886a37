//! Troubles that are made for real: the overview says each of them in words within half a minute.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_system::SystemClock;
use serde_json::Value;

use crate::dashboard::{enter, get};
use crate::own::EVERY;
use crate::support::{Bed, Running, on_each_broker, on_redis};

const SOON: Duration = Duration::from_secs(30);

/// A dashboard that is open.
struct Site {
    place: String,
    cookie: String,
    _dashboard: Running,
}

impl Site {
    fn of(bed: &Bed) -> Self {
        let mut dashboard = bed.start(&["dashboard", "--listen", "127.0.0.1:0"]);
        dashboard.wait_for("dashboard ready");
        let (place, cookie) = enter(&mut dashboard);
        Self { place, cookie, _dashboard: dashboard }
    }

    fn overview(&self) -> Value {
        let (status, answer) = get(&self.place, "/api/v1/overview", &self.cookie);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn says(&self, part: &str) -> bool {
        let overview = self.overview();
        let findings = overview["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["sentence"].as_str().unwrap().contains(part))
    }

    /// Looks again until a sentence is there, which must be within half a minute.
    #[track_caller]
    fn soon(&self, part: &str, mut meanwhile: impl FnMut()) {
        let clock = SystemClock::new();
        while !self.says(part) {
            assert!(clock.monotonic() < SOON, "not within 30 s: {part}: {:#}", self.overview()["findings"]);
            meanwhile();
        }
    }
}

/// A worker of one thread, which a task takes: nothing else goes on there, and it does not vanish.
fn a_task_blocks_the_only_thread_of_a_worker(bed: &Bed) {
    let site = Site::of(bed);
    let mut worker = Running::of({
        let mut command = bed.own(&["worker", "-n", "w1"]);
        command.env("TOKIO_WORKER_THREADS", "1");
        command
    });
    worker.wait_for(" ready");
    bed.until(&["status"], |workers| !workers.as_array().unwrap().is_empty());
    let id = bed.ok(&["call", "own.spin"]);
    worker.wait_for(&format!("{id} spins"));
    site.soon("The worker `w1` is stuck since ", || {});
    site.soon(": `own.spin` blocks its threads, and nothing else goes on there.", || {});
    let clock = SystemClock::new();
    // Longer than a registration lives without a word.
    while clock.monotonic() < Duration::from_secs(20) {
        let told = bed.json(&["inspect", "active"]);
        assert!(told[0]["task"] == "own.spin" && site.says("The worker `w1` is stuck"), "{told}");
    }
}

/// Not on SQLite: there the only thread may be taken between the begin and the end of a transaction, which then locks out
/// everybody, the one who would speak for it, too.
#[test]
fn on_redis_the_only_thread_of_a_worker_is_blocked() {
    on_redis(a_task_blocks_the_only_thread_of_a_worker);
}

#[test]
fn on_postgres_the_only_thread_of_a_worker_is_blocked() {
    a_task_blocks_the_only_thread_of_a_worker(&Bed::on_postgres());
}

/// As in a container that has one core.
#[test]
fn on_one_core_a_task_that_blocks_its_thread_does_not_hold_up_the_others() {
    let bed = Bed::new();
    let mut worker = Running::of({
        let worker = bed.own(&["worker", "-n", "w1"]);
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &a_core()]).arg(worker.get_program()).args(worker.get_args());
        worker.get_envs().for_each(|(name, value)| {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        });
        command.current_dir(bed.path()).stdin(Stdio::null());
        command
    });
    worker.wait_for(" ready");
    let id = bed.ok(&["call", "own.spin"]);
    worker.wait_for(&format!("{id} spins"));
    for name in ["Ada", "Grace"] {
        assert!(bed.ok(&["call", "own.greet", name, "--wait"]).contains(name));
    }
}

/// The first core that this process may use.
fn a_core() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    cores.trim().split([',', '-']).next().unwrap().to_owned()
}

#[test]
fn a_task_that_blocks_one_thread_of_many_is_named_with_memory_and_processor() {
    let bed = Bed::new();
    let site = Site::of(&bed);
    let mut worker = Running::of({
        let mut command = bed.own(&["worker", "-n", "w4"]);
        command.env("TOKIO_WORKER_THREADS", "4");
        command
    });
    worker.wait_for(" ready");
    let id = bed.ok(&["call", "own.spin"]);
    worker.wait_for(&format!("{id} spins"));
    worker.wait_for(&format!("task own.spin[{id}] blocks its thread"));
    site.soon("`own.spin` blocks ", || {});
    let overview = site.overview();
    let (memory, cpu) = (&overview["workers"][0]["memory"], &overview["workers"][0]["cpu"]);
    assert!(memory.as_u64().unwrap() > 1_000_000 && cpu.as_f64().unwrap() < 5.0, "{memory} {cpu}");
}

/// Two workers with other tasks, and what was sent is none of them: until a worker that has it is there.
fn a_deploy_renames_a_task(bed: &Bed) {
    let site = Site::of(bed);
    let _workers = [bed.worker(&["-n", "a"]), bed.worker(&["-n", "b"])];
    bed.until(&["status"], |workers| workers.as_array().unwrap().len() == 2);
    let id = bed.ok(&["call", "own.greet", "Ada"]);
    site.soon("`default` holds ", || {});
    site.soon(
        " that no live worker of it knows: `own.greet`. Start a worker that has it, or cancel it",
        || {},
    );
    let explained = bed.ok(&["explain", &id]);
    assert!(
        explained.contains("No live worker of this queue registers the task (a, b do not)"),
        "{explained}"
    );
    let _next = bed.own_worker(&["-n", "c"]);
    let clock = SystemClock::new();
    while site.says("no live worker of it knows") {
        assert!(clock.monotonic() < SOON, "{:#}", site.overview()["findings"]);
    }
}

on_each_broker!(a_deploy_renames_a_task);

#[test]
fn a_queue_grows_while_a_worker_reads_it() {
    let bed = Bed::new();
    let site = Site::of(&bed);
    let mut worker = bed.own_worker(&["-c", "1"]);
    let held = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{held} runs"));
    assert!(!site.says("`default` grows"));
    site.soon("`default` grows while 1 worker reads it: ", || drop(bed.ok(&["call", "own.greet", "Ada"])));
}

#[test]
fn a_beat_is_killed_long_before_the_next_slot() {
    let bed = Bed::new();
    bed.ok(&["schedule", "add", "rare", "--task", "movies.tasks.add", "--every", "23h", "1", "2"]);
    let mut beat = bed.start(&["beat"]);
    beat.wait_for("beat ready");
    let site = Site::of(&bed);
    assert!(!site.says("No beat is alive"));
    beat.signal("KILL");
    site.soon("No beat is alive: no schedule fires. Start one with `lovage beat`.", || {});
}

#[test]
fn a_deploy_breaks_schedules() {
    let bed = Bed::new();
    bed.ok(&["schedule", "add", "lost", "--task", "own.greet", "--every", "23h", "Ada"]);
    bed.ok(&["schedule", "add", "wrong", "--task", "movies.tasks.add", "--every", "23h", "1", "s3cret"]);
    bed.ok(&["schedule", "add", "odd", "--task", "movies.tasks.add", "--every", "23h", "1", "2"]);
    let mut declaring = Running::of({
        let mut command = bed.own(&["beat"]);
        command.env(EVERY, "23h");
        command
    });
    declaring.wait_for("beat ready");
    drop(declaring);
    let site = Site::of(&bed);
    assert!(!site.says("no live worker of that queue knows") && !site.says("do not fit"));
    // The next release: no `own.greet` in the worker, no `greet` in the program, and somebody wrote to the table.
    let _worker = bed.worker(&[]);
    let mut beat = Running::of(bed.own(&["beat"]));
    beat.wait_for("beat ready");
    bed.sql(
        r#"UPDATE lovage_schedule SET schedule = '{"kind":"interval","every":"10ms"}' WHERE name = 'odd'"#,
    );
    for part in [
        "The schedule `lost` sends `own.greet` to `default`, and no live worker of that queue knows this task",
        "The arguments of the schedule `wrong` do not fit its task: expected what movies.tasks.add takes",
        "The schedule `greet` is disabled: the program that declared it no longer does.",
        "The schedule `odd` cannot be read and does not fire: ",
    ] {
        site.soon(part, || {});
    }
    assert!(!site.overview()["findings"].to_string().contains("s3cret"), "arguments stay where they are");
}
