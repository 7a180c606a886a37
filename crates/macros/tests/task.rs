//! `#[task]` as a user types it: each form compiles, stays callable and runs from a message.

extern crate lovage_client as lovage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lovage::__private::core::{
    AckMode, Arguments, Backoff, BoxFuture, CancelReason, Handler, Param, Payload, Priority, Progress,
    QueueName, RunControl, RunInfo, States, TaskDef, TaskResult, Timestamp, registered_tasks,
};
use lovage::{Context, State, TaskError, TaskId};
use serde::{Deserialize, Serialize};

#[derive(Debug)]
struct Greeting(&'static str);

/// Adds.
#[lovage::task(name = "movies.tasks.add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[lovage::task(
    queue = "math",
    priority = 9,
    retries = 5,
    retry_delay = "10s",
    soft_time_limit = "1m",
    time_limit = "1m30s",
    store_result = false,
    keep_result = "1d",
    ack = "early",
    default(y = 2),
    redact(x)
)]
fn power(x: i64, y: u32) -> i64 {
    x.pow(y)
}

#[lovage::task]
async fn greet(
    ctx: &Context,
    greeting: State<Greeting>,
    name: String,
    title: Option<String>,
) -> Result<String, std::fmt::Error> {
    Ok(format!("{} {}{name} #{}", greeting.0, title.unwrap_or_default(), ctx.attempt()))
}

#[lovage::task]
fn nothing() {}

type AppResult<T> = Result<T, TaskError>;

#[lovage::task]
async fn aliased(mut numbers: Vec<i64>) -> AppResult<i64> {
    numbers.push(1);
    Ok(numbers.iter().sum())
}

#[lovage::task(name = "videos.resize")]
async fn resize(id: u64) -> Result<String, TaskError>;

#[derive(Serialize, Deserialize, lovage::Signature, Clone, PartialEq, Debug)]
struct Point {
    x: f64,
    y: Option<f64>,
}

#[lovage::task(codec = "postcard")]
async fn norm(points: Vec<Point>) -> Result<f64, TaskError> {
    Ok(points.iter().map(|point| point.x.hypot(point.y.unwrap_or(0.0))).sum())
}

struct NoControl;

impl RunControl for NoControl {
    fn is_cancelled(&self) -> bool {
        false
    }
    fn cancelled(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn cancel_reason(&self) -> Option<CancelReason> {
        None
    }

    fn is_shutting_down(&self) -> bool {
        false
    }

    fn shutting_down(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn lease_valid_until(&self) -> Option<Timestamp> {
        None
    }
    fn report(&self, _progress: Progress) {}
}

fn context() -> Context {
    let info = RunInfo {
        id: TaskId::from_bytes([7; 16]),
        task: "t".into(),
        queue: QueueName::default(),
        attempt: 1,
        delivery: 1,
        run: 1,
        worker: "w".into(),
        published_at: Timestamp::default(),
        headers: BTreeMap::new(),
    };
    let mut states = States::default();
    states.insert(Greeting("Hello"));
    Context::new(Arc::new(info), Arc::new(states), Arc::new(NoControl))
}

async fn run(def: &TaskDef, payload: Payload) -> TaskResult {
    let args =
        Arguments::new(def.name, def.params, def.codec, payload).map_err(|error| error.into_task_error())?;
    match def.handler {
        Handler::Async(run) => run(context(), args).await,
        Handler::Blocking(run) => run(context(), args),
    }
}

async fn run_json(def: &TaskDef, json: &str) -> TaskResult {
    run(def, Payload::Json(json.into())).await
}

#[tokio::test]
async fn the_plain_function_is_still_callable() {
    assert_eq!(add(1, 3).await.unwrap(), 4);
    assert_eq!(power(2, 5), 32);
    nothing();
}

#[tokio::test]
async fn a_message_runs_the_function() {
    assert_eq!(run_json(&add::def(), "[1,3]").await.unwrap(), "4");
    assert_eq!(run_json(&add::def(), r#"{"y":3,"x":1}"#).await.unwrap(), "4");
    assert_eq!(run_json(&power::def(), "[3]").await.unwrap(), "9");
    assert_eq!(run_json(&greet::def(), r#"["Ada"]"#).await.unwrap(), "\"Hello Ada #1\"");
    assert_eq!(run_json(&nothing::def(), "[]").await.unwrap(), "null");
    assert_eq!(run_json(&aliased::def(), "[[1,2]]").await.unwrap(), "4");
}

#[tokio::test]
async fn wrong_arguments_fail_with_the_signature() {
    let error = run_json(&add::def(), "[1,2,3]").await.unwrap_err();
    assert!(error.to_string().contains("expected (x: i64, y: i64)"), "{error}");
}

#[test]
fn names_default_to_the_module_path_with_dots() {
    assert_eq!(add::NAME, "movies.tasks.add");
    assert_eq!(greet::NAME, "task.greet");
    assert_eq!(resize::NAME, "videos.resize");
}

#[test]
fn options_arrive_in_the_definition() {
    let def = power::def();
    assert_eq!(def.options.queue, Some("math"));
    assert_eq!(def.options.priority, Some(Priority::HIGHEST));
    let retry = def.options.retry.unwrap();
    assert_eq!(
        (retry.max_retries, retry.backoff, retry.jitter),
        (5, Backoff::Fixed(Duration::from_secs(10)), false)
    );
    assert_eq!(def.options.time_limit, Some(Duration::from_secs(90)));
    assert_eq!(def.options.soft_time_limit, Some(Duration::from_secs(60)));
    assert_eq!(def.options.store_result, Some(false));
    assert_eq!(def.options.ack, Some(AckMode::Early));
    assert_eq!(def.options.keep_success, Some(Duration::from_secs(86_400)));
    assert_eq!(
        def.params,
        [
            Param { name: "x", type_name: "i64", optional: false, redacted: true },
            Param { name: "y", type_name: "u32", optional: true, redacted: false },
        ]
    );
    assert_eq!(aliased::def().params[0].type_name, "Vec<i64>");
    assert_eq!(greet::def().states.len(), 1);
}

#[test]
fn tasks_register_themselves_except_declarations() {
    let names: Vec<&str> = registered_tasks().iter().map(|def| def.name).collect();
    assert!(names.contains(&"movies.tasks.add") && names.contains(&"task.norm"), "{names:?}");
    assert!(!names.contains(&"videos.resize"), "{names:?}");
}

#[test]
fn tasks_may_stand_inside_a_function_with_local_types() {
    #[derive(Serialize, Deserialize)]
    struct Local(i64);

    #[lovage::task]
    async fn inner(value: Local) -> Result<i64, TaskError> {
        Ok(value.0)
    }
    assert!(inner::NAME.ends_with("inner"));
    let _call = inner::call(Local(1));
}

#[test]
fn fingerprints_tell_structures_apart() {
    use lovage::Signature;
    #[derive(lovage::Signature)]
    #[expect(dead_code, reason = "only its structure matters")]
    struct Other {
        x: f64,
        z: Option<f64>,
    }
    #[derive(lovage::Signature)]
    #[expect(dead_code, reason = "only its structure matters")]
    enum Shape<T> {
        Dot,
        Circle(T),
    }
    assert_ne!(Point::FINGERPRINT, Other::FINGERPRINT);
    assert_ne!(Shape::<u8>::FINGERPRINT, Shape::<u16>::FINGERPRINT);
}

#[test]
fn misuse_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
