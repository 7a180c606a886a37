//! A program of somebody's own, made with `App`: this test binary, started again.

use std::process::ExitCode;
use std::time::Duration;

use lovage::schedule::every;
use lovage::{App, Context, State, TaskError};
use serde_json::json;

use crate::support::Bed;

/// The test below that is the program.
pub(crate) const PROGRAM: &str = "own::is_a_program_when_asked";
/// What it is asked to do, an argument on each line.
pub(crate) const ARGUMENTS: &str = "LOVAGE_TEST_APP";
/// Set: it forgets its state.
const FORGETFUL: &str = "LOVAGE_TEST_FORGETFUL";

/// Set: it declares an entry that is due so often.
pub(crate) const EVERY: &str = "LOVAGE_TEST_EVERY";

struct Greeting(&'static str);

#[lovage::task(name = "own.greet")]
async fn greet(name: String, greeting: State<Greeting>) -> Result<String, TaskError> {
    Ok(format!("{}, {name}!", greeting.0))
}

/// Goes on until it is told to stop, and then a little further: it must be cut off.
#[lovage::task(name = "own.endless")]
async fn endless(ctx: &Context) -> Result<(), TaskError> {
    tracing::info!("{} runs", ctx.id());
    std::future::pending().await
}

/// Never comes to an await.
#[lovage::task(name = "own.spin")]
async fn spin(ctx: &Context) -> Result<(), TaskError> {
    tracing::info!("{} spins", ctx.id());
    loop {
        std::thread::park();
    }
}

/// Logs lines of a kilobyte.
#[lovage::task(name = "own.chatter")]
async fn chatter(lines: u64) -> Result<u64, TaskError> {
    for _ in 0..lines {
        tracing::info!("{}", "x".repeat(1_000));
    }
    Ok(lines)
}

#[lovage::task(name = "own.blocked")]
fn blocked(ctx: &Context) -> Result<(), TaskError> {
    tracing::info!("{} blocks", ctx.id());
    loop {
        std::thread::park();
    }
}

#[lovage::task(name = "own.flaky", retry_delay = "1h", retry_jitter = false)]
async fn flaky() -> Result<(), TaskError> {
    Err(TaskError::new("the well is dry"))
}

#[lovage::task(name = "own.pay", redact(card))]
async fn pay(amount: i64, card: String) -> Result<bool, TaskError> {
    Ok(amount > 0 && !card.is_empty())
}

#[lovage::task(name = "own.resize", queue = "media")]
async fn resize() -> Result<(), TaskError> {
    Ok(())
}

#[lovage::task(name = "own.divide")]
async fn divide(x: i64, y: i64) -> Result<i64, TaskError> {
    let dry = || std::io::Error::other("the flux capacitor is dry");
    let quotient = x.checked_div(y).ok_or_else(dry);
    quotient.map_err(|cause| TaskError::from(NotDivided { y, cause }).into_permanent())
}

#[derive(Debug)]
struct NotDivided {
    y: i64,
    cause: std::io::Error,
}

impl std::error::Error for NotDivided {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl std::fmt::Display for NotDivided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} divides nothing", self.y)
    }
}

#[test]
fn is_a_program_when_asked() {
    let Ok(asked) = std::env::var(ARGUMENTS) else { return };
    let mut app = App::new().name("own").task_registry();
    if std::env::var_os(FORGETFUL).is_none() {
        app = app.state(Greeting("Welcome"));
    }
    if let Ok(time) = std::env::var(EVERY) {
        let call = greet::call("Ada".to_owned()).queue("doors").priority(4).expires(Duration::from_secs(600));
        app = app.schedule("greet", every(lovage_core::parse_duration(&time).unwrap()), call);
    }
    let code = app.run_with(std::iter::once("own").chain(asked.lines()));
    // An exit code does not tell its number.
    std::process::exit(i32::from(format!("{code:?}") != format!("{:?}", ExitCode::SUCCESS)));
}

#[test]
fn it_runs_its_registered_tasks_with_its_state() {
    let bed = Bed::new();
    let worker = bed.own_worker(&[]);
    assert_eq!(bed.ok(&["call", "own.greet", "Ada", "--wait"]), "\"Welcome, Ada!\"");
    let tasks = bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    assert_eq!(tasks.as_array().map(Vec::len), Some(9));
    drop(worker);
}

#[test]
fn a_missing_state_is_an_error_at_the_start() {
    let bed = Bed::new().with(FORGETFUL, "1");
    let output = bed.own(&["worker"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("own.greet needs State<") && error.contains(".state("), "{error}");
}

#[test]
fn a_second_signal_gives_back_at_once() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&[]);
    let id = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{id} runs"));
    worker.signal("TERM");
    worker.wait_for("stopping: waiting up to 25s for 1 tasks");
    worker.signal("INT");
    worker.wait_for(&format!("task own.endless[{id}] given back"));
    assert_eq!(worker.exit_code(), 0);
    assert_eq!(bed.json(&["queues"])[0]["ready"], 1);
}

#[test]
fn the_grace_period_ends_what_a_signal_does_not() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&["--grace", "0s"]);
    let id = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{id} runs"));
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
    assert_eq!(bed.json(&["queues"])[0]["ready"], 1);
}

#[test]
fn a_thread_that_never_returns_does_not_keep_the_process() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&["--grace", "0s"]);
    let id = bed.ok(&["call", "own.blocked"]);
    worker.wait_for(&format!("{id} blocks"));
    worker.signal("TERM");
    worker.wait_for("stopping");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn a_running_task_is_seen_and_revoked() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&[]);
    let id = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{id} runs"));
    let active = bed.until(&["inspect", "active"], |tasks| tasks != &json!([]));
    assert_eq!((&active[0]["id"], &active[0]["task"]), (&json!(id), &json!("own.endless")));
    assert!(bed.ok(&["control", "revoke", &id]).contains("is with a worker, which is told to stop it"));
    assert!(bed.fails(1, &["result", &id, "--wait"]).contains("ended as REVOKED"));
    drop(worker);
}

#[test]
fn a_failed_attempt_is_listed_until_its_retry() {
    let bed = Bed::new();
    let mut worker = bed.own_worker(&[]);
    let id = bed.ok(&["call", "own.flaky"]);
    worker.wait_for(&format!("task own.flaky[{id}] retry in 3600.0s: the well is dry"));
    let retries = bed.until(&["inspect", "retry"], |tasks| tasks != &json!([]));
    assert_eq!((&retries[0]["id"], &retries[0]["attempt"]), (&json!(id), &json!(1)));
    assert!(bed.ok(&["inspect", "retry"]).contains("the well is dry"));
    assert_eq!(bed.json(&["inspect", "scheduled"]), json!([]));
    let not_ended = bed.fails(1, &["result", &id]);
    assert!(not_ended.contains("it is RETRY"), "{not_ended}");
    drop(worker);
}

#[test]
fn a_call_of_a_known_task_hides_what_the_task_hides() {
    let bed = Bed::new();
    let sent = bed.own(&["call", "own.pay", "7", "4111", "--countdown", "1h"]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let waits = bed.json(&["inspect", "scheduled"]);
    assert_eq!(waits[0]["arguments"], json!([7, "[redacted]"]));
}

/// Who sends it may know nothing of the task but its name.
#[test]
fn a_worker_hides_what_the_task_hides_whoever_sent_it() {
    let bed = Bed::new();
    let worker = bed.own_worker(&[]);
    for (arguments, shown) in [
        (&["7", "\"4111\""][..], json!([7, "[redacted]"])),
        (&["--kwargs", r#"{"card":"4111","amount":7}"#], json!({ "amount": 7, "card": "[redacted]" })),
    ] {
        let id = bed.run(&[&["call", "own.pay", "--wait"], arguments].concat()).stderr;
        let row = bed.json(&["result", id.lines().next_back().unwrap()]);
        assert_eq!((&row["result"], &row["arguments"]), (&json!(true), &shown));
    }
    worker.signal("TERM");
    assert!(!worker.end().1.contains("4111"));
}

/// What was sent by its name alone is hidden while it waits, also when the workers that know it are gone.
#[test]
fn what_a_task_hides_stays_hidden_without_its_worker() {
    let bed = Bed::new();
    let before = bed.ok(&["call", "own.pay", "7", "\"4111\"", "--countdown", "1h"]);
    let seen = || bed.json(&["inspect", "scheduled"])[0]["arguments"].clone();
    assert_eq!(seen(), json!([7, "4111"]), "nobody has ever said what it hides");
    let worker = bed.own_worker(&[]);
    bed.until(&["inspect", "scheduled"], |waits| waits[0]["arguments"] == json!([7, "[redacted]"]));
    worker.signal("TERM");
    worker.end();
    assert_eq!(bed.json(&["inspect", "registered"]), json!([]));
    assert_eq!(seen(), json!([7, "[redacted]"]));
    let row = bed.run(&["result", &before, "--json"]);
    let row = row.stdout;
    assert!(row.contains("[redacted]") && !row.contains("4111"), "{row}");

    bed.ok(&["schedule", "add", "pays", "--task", "own.pay", "--every", "1h", "--args", "[7, \"4111\"]"]);
    assert_eq!(bed.json(&["schedule", "show", "pays"])["args"], json!([7, "[redacted]"]));
    assert_eq!(bed.json(&["schedule", "list"])[0]["args"], json!([7, "[redacted]"]));
    let shown = bed.ok(&["schedule", "show", "pays"]);
    assert!(shown.contains("[7,\"[redacted]\"]") && !shown.contains("4111"), "{shown}");
}

#[test]
fn where_nobody_says_what_is_hidden_all_is_and_no_broker_is_made() {
    let bed = Bed::new().with("LOVAGE_SCHEDULES_URL", "sqlite://apart.db");
    bed.ok(&["schedule", "add", "adds", "--task", "demo.add", "--every", "1h", "--args", "[1, 2]"]);
    // Makes the broker's file.
    bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    assert_eq!(bed.json(&["schedule", "show", "adds"])["args"], json!([1, 2]));
    let broker = bed.path().join("lovage.db");
    std::fs::remove_file(&broker).unwrap();
    let shown = bed.run(&["schedule", "show", "adds", "--json"]);
    assert!(shown.stdout.contains("\"args\": \"[redacted]\""), "{}", shown.stdout);
    assert!(shown.stderr.contains("lovage.db does not exist"), "{}", shown.stderr);
    assert!(!broker.exists());
}

#[test]
fn a_hidden_result_is_told_where_nobody_says_what_is_hidden() {
    let bed = Bed::new();
    let _worker = bed.own_worker(&[]);
    let id = bed.run(&["call", "own.pay", "7", "\"4111\"", "--wait"]).stderr;
    let id = id.lines().next_back().unwrap();
    bed.sql("ALTER TABLE lovage_hidden RENAME TO gone");
    let row = bed.run(&["result", id, "--json"]);
    assert_eq!(row.code, 0, "{}", row.stderr);
    assert!(row.stderr.contains("no arguments are shown"), "{}", row.stderr);
    assert!(row.stdout.contains("\"result\": true") && !row.stdout.contains("4111"), "{}", row.stdout);
}
