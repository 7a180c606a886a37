//! What a process does with signals, and without a log that can be written.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, pipe};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_system::SystemClock;
use serde_json::json;

use crate::dashboard::get;
use crate::support::{Bed, Running};

/// The processes that run until they are stopped.
const PROCESSES: [&[&str]; 5] =
    [&["worker"], &["beat"], &["dashboard", "--listen", "127.0.0.1:0"], &["dev"], &["relay"]];

/// With an outbox, so that a relay has something to do.
fn bed() -> Bed {
    let bed = Bed::new().with("LOVAGE_DASHBOARD_LISTEN", "127.0.0.1:0");
    let shop = bed.path().join("shop.db");
    File::create(&shop).unwrap();
    bed.with("LOVAGE_OUTBOX_URL", &format!("sqlite://{}", shop.display()))
}

fn started(bed: &Bed, args: &[&str]) -> Running {
    let mut running = bed.start(args);
    running.wait_for(" ready");
    running
}

#[test]
fn full_disk_for_the_log_ends_no_process() {
    let bed = bed();
    for args in PROCESSES {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let running = Running::with_stderr(bed.command(args), full);
        running.until_it_handles_signals();
        if args == ["worker"] {
            for _ in 0..3 {
                assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
            }
        }
        running.signal("TERM");
        assert_eq!(running.exit_code(), 0, "{args:?}");
    }
    // The banner is lost as well.
    let mut command = bed.command(&["worker", "--burst"]);
    command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
}

#[test]
fn stopped_reader_of_the_log_blocks_no_task() {
    let bed = Bed::new();
    let (reader, writer) = pipe().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = Running::with_stderr(bed.own(&["worker", "--metrics", &address]), writer);
    // More than the pipe and the buffer hold.
    assert_eq!(bed.ok(&["call", "own.chatter", "4000", "--wait"]), "4000");
    assert_eq!(bed.ok(&["call", "own.greet", "Ada", "--wait"]), "\"Welcome, Ada!\"");
    let (_, metrics) = get(&address, "/metrics", "");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("lovage_log_lines_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 2_000, "{metrics}");

    let lines = BufReader::new(reader).lines().map_while(Result::ok);
    let report = lines.filter(|line| !line.contains("xxxx")).find(|line| line.contains("were dropped"));
    assert!(report.unwrap().contains("the standard error could not be written"));
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn process_ends_although_its_log_is_not_read() {
    let bed = Bed::new();
    let (reader, writer) = pipe().unwrap();
    let worker = Running::with_stderr(bed.own(&["worker"]), writer);
    assert_eq!(bed.ok(&["call", "own.chatter", "200", "--wait"]), "200");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
    drop(reader);
}

#[test]
fn closed_pipe_for_the_log_ends_no_process() {
    let bed = Bed::new();
    let (reader, writer) = pipe().unwrap();
    let worker = Running::with_stderr(bed.command(&["worker"]), writer);
    drop(reader);
    for _ in 0..3 {
        assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
    }
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn hangup_stops_gracefully_and_user_signals_do_nothing() {
    let bed = bed();
    for args in PROCESSES {
        let running = started(&bed, args);
        running.signal("USR1");
        running.signal("USR2");
        if args == ["worker"] {
            assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
        }
        running.signal("HUP");
        let (code, log) = running.end();
        assert_eq!(code, 0, "{args:?}: {log}");
        assert!(log.contains("stopped"), "{args:?}: {log}");
    }
}

#[test]
fn hangup_stays_ignored_under_nohup() {
    let bed = Bed::new();
    for args in [&["worker"][..], &["beat"], &["dashboard", "--listen", "127.0.0.1:0"]] {
        let stock = bed.command(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(stock.get_program()).args(args);
        shell.current_dir(bed.path()).stdin(Stdio::null());
        let mut running = Running::of(shell);
        running.wait_for(" ready");
        running.signal("HUP");
        // A handled signal would end it before a command of several processes has ended.
        for _ in 0..3 {
            bed.ok(&["queues"]);
        }
        assert!(running.is_alive(), "{args:?}");
        running.signal("TERM");
        assert_eq!(running.exit_code(), 0, "{args:?}");
    }
}

#[test]
fn quit_gives_everything_back_at_once() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&[]);
    let id = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{id} runs"));
    worker.signal("QUIT");
    worker.wait_for(&format!("task own.endless[{id}] given back"));
    assert_eq!(worker.exit_code(), 0);
    assert_eq!(bed.json(&["queues"])[0]["ready"], json!(1));
    for args in [&["beat"][..], &["dashboard", "--listen", "127.0.0.1:0"]] {
        let running = started(&bed, args);
        running.signal("QUIT");
        assert_eq!(running.exit_code(), 0, "{args:?}");
    }
}

/// A worker whose threads are all blocked by async tasks.
fn blocked_worker(bed: &Bed, args: &[&str]) -> Running {
    let mut command = bed.own(&[&["worker"], args].concat());
    command.env("TOKIO_WORKER_THREADS", "2");
    let mut worker = Running::of(command);
    worker.wait_for(" ready");
    for _ in 0..2 {
        let id = bed.ok(&["call", "own.spin"]);
        worker.wait_for(&format!("{id} spins"));
    }
    worker
}

#[test]
fn one_signal_ends_a_worker_whose_threads_are_all_blocked() {
    let bed = Bed::new();
    let worker = blocked_worker(&bed, &["--grace", "0s"]);
    worker.signal("TERM");
    let (code, log) = worker.end();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("tasks block every thread of this worker"), "{log}");
}

#[test]
fn second_signal_ends_a_blocked_worker_at_once() {
    let bed = Bed::new();
    let mut worker = blocked_worker(&bed, &["--grace", "1h"]);
    worker.wait_for("loop does not answer");
    worker.signal("TERM");
    worker.signal("INT");
    let (code, log) = worker.end();
    assert_eq!(code, 1, "{log}");
}

#[test]
fn killed_worker_with_a_short_lease_is_replaced_soon() {
    let bed = Bed::new();
    let mut killed = bed.own_worker(&["--lease", "3s"]);
    let id = bed.ok(&["call", "own.endless"]);
    killed.wait_for(&format!("{id} runs"));
    let mut other = bed.own_worker(&["--lease", "3s"]);
    bed.until(&["status"], |workers| workers.as_array().is_some_and(|workers| workers.len() == 2));
    let clock = SystemClock::new();
    killed.signal("KILL");
    other.wait_for(&format!("{id} runs"));
    // A second more than promised, for a machine that is busy.
    assert!(clock.monotonic() < Duration::from_secs(5), "{:?}", clock.monotonic());
}
