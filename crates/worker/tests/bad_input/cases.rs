//! Each kind of bad message: its bytes, and what becomes of it. A `…` in a text stands for what differs from case to case.

use std::time::Duration;

use lovage_core::{Backoff, DeadReason, Envelope, Outcome, Payload, RetryPolicy};

/// A message and its end.
pub(crate) struct Case {
    pub(crate) body: Vec<u8>,
    pub(crate) ends: Ends,
}

/// What becomes of a message.
#[derive(Clone)]
pub(crate) enum Ends {
    /// A failure, and a dead letter.
    Dead { reason: DeadReason, kind: &'static str, text: &'static str },
    /// Given back, and after an hour a failure and a dead letter.
    Refused { text: &'static str },
    /// A failure that is tried again, in this time.
    Retried { kind: &'static str, text: &'static str, after: Duration },
    /// It runs.
    Succeeds(Outcome),
}

pub(crate) fn garbage() -> Case {
    unreadable([0xde; 300], "the message is not readable: its first byte is 0xde, expected 1")
}

pub(crate) fn empty() -> Case {
    unreadable([], "the message is not readable: it is empty")
}

pub(crate) fn truncated() -> Case {
    let whole = envelope("add", "[1,3]").encode();
    let half = &whole[..whole.len() / 2];
    unreadable(half, "the message is not readable: Hit the end of buffer, expected more data")
}

pub(crate) fn left_over() -> Case {
    let mut body = envelope("add", "[1,3]").encode();
    body.extend(b"and more");
    unreadable(body, "the message is not readable: 8 bytes are left over after its end")
}

/// It says that more follows than any memory holds.
pub(crate) fn absurd_lengths() -> Case {
    let name_of_2_to_the_60 = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    let body = [&[1, 0][..], &name_of_2_to_the_60, b"add"].concat();
    unreadable(body, "the message is not readable: Hit the end of buffer, expected more data")
}

/// A name that no worker can have, and that no index of a database takes.
pub(crate) fn hostile_name() -> Case {
    let name = format!("a\0b\nERROR all is lost{}", "x".repeat(100_000));
    unreadable(
        envelope(&name, "[]").encode(),
        "the message is not readable: task name `…` is not valid: expected 1 to 200 bytes without white space and control characters",
    )
}

pub(crate) fn newer_version() -> Case {
    let mut body = envelope("add", "[1,3]").encode();
    body[0] = 2;
    refused(
        body,
        "the message has envelope version 2, this program reads up to 1: deploy workers before clients",
    )
}

pub(crate) fn unknown_task() -> Case {
    refused(envelope("no.such.task", "[]").encode(), "this worker has no task `no.such.task`")
}

pub(crate) fn other_signature() -> Case {
    postcard("compact")
}

pub(crate) fn signature_of_a_json_task() -> Case {
    postcard("add")
}

pub(crate) fn too_many_arguments() -> Case {
    wrong("add", "[1,2,3]", "add: found 3 arguments, expected 2; expected (x: i64, y: i64)")
}

pub(crate) fn too_few_arguments() -> Case {
    wrong("add", "[1]", "add: argument `y` (i64) is missing; expected (x: i64, y: i64)")
}

pub(crate) fn unknown_argument() -> Case {
    wrong("add", r#"{"x":1,"z":2}"#, "add: there is no argument `z`; expected (x: i64, y: i64)")
}

pub(crate) fn wrong_type() -> Case {
    wrong("add", r#"["one",2]"#, "add: argument `x` is not a valid i64: …")
}

pub(crate) fn no_list() -> Case {
    wrong("add", "7", "add: the arguments are not a JSON list or object: …; expected (x: i64, y: i64)")
}

pub(crate) fn no_json() -> Case {
    wrong("add", "{]", "add: the arguments are not valid JSON: …; expected (x: i64, y: i64)")
}

/// A recursive reader would overflow its stack.
pub(crate) fn deep_json() -> Case {
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    wrong("add", &format!("[{deep},1]"), "add: argument `x` is not a valid i64: …")
}

pub(crate) fn result_that_does_not_serialize() -> Case {
    dead("pairs", "[1]", "result", "the result cannot be stored as JSON: key must be a string")
}

pub(crate) fn result_that_is_too_large() -> Case {
    let marker = "the result has 2000002 bytes, the limit is 1048576";
    runs("large", "[2000000]", Outcome::Marker(marker.to_owned()))
}

pub(crate) fn error_that_is_too_large() -> Case {
    let message = "x".repeat(2_000_000);
    let once = Envelope { retry: Some(RetryPolicy::NEVER), ..envelope("fails", &format!("[\"{message}\"]")) };
    let ends =
        Ends::Dead { reason: DeadReason::Exhausted, kind: "TaskError", text: "…… (2000000 bytes)" };
    Case { body: once.encode(), ends }
}

pub(crate) fn text_with_nul() -> Case {
    runs("echo", r#"["a\u0000b"]"#, Outcome::Result(r#""a\u0000b""#.to_owned()))
}

/// A client of ours refuses to send it; who writes it past our clients gets it run.
pub(crate) fn fifty_megabytes_of_another_program() -> Case {
    let argument = "x".repeat(50 * 1024 * 1024);
    runs("length", &format!("[\"{argument}\"]"), Outcome::Result("52428800".to_owned()))
}

/// Longer than any clock goes.
pub(crate) fn limits_without_end() -> Case {
    let limits = Envelope {
        soft_time_limit: Some(Duration::MAX),
        time_limit: Some(Duration::MAX),
        ..envelope("add", "[1,2]")
    };
    Case { body: limits.encode(), ends: Ends::Succeeds(Outcome::Result("3".to_owned())) }
}

pub(crate) fn panic_with_nul() -> Case {
    let once = Envelope { retry: Some(RetryPolicy::NEVER), ..envelope("panics", r#"["a\u0000b"]"#) };
    let ends = Ends::Dead { reason: DeadReason::Exhausted, kind: "panic", text: "a\0b" };
    Case { body: once.encode(), ends }
}

pub(crate) fn retry_in_the_far_future() -> Case {
    let retry = RetryPolicy { max_retries: 1, backoff: Backoff::Fixed(Duration::MAX), jitter: false };
    let body = Envelope { retry: Some(retry), ..envelope("fails", r#"["later"]"#) }.encode();
    let century = Duration::from_secs(60 * 365 * 86_400);
    Case { body, ends: Ends::Retried { kind: "TaskError", text: "later", after: century } }
}

fn envelope(task: &str, arguments: &str) -> Envelope {
    Envelope::new(task, Payload::Json(arguments.to_owned()))
}

fn unreadable(body: impl Into<Vec<u8>>, text: &'static str) -> Case {
    let ends = Ends::Dead { reason: DeadReason::Unreadable, kind: "unreadable", text };
    Case { body: body.into(), ends }
}

fn refused(body: Vec<u8>, text: &'static str) -> Case {
    Case { body, ends: Ends::Refused { text } }
}

fn postcard(task: &str) -> Case {
    let payload = Payload::Postcard { fingerprint: 7, bytes: vec![2] };
    refused(
        Envelope::new(task, payload).encode(),
        "the arguments were encoded from other types (fingerprint 0000000000000007) than this worker's (…): deploy the worker and its clients from the same task declarations",
    )
}

fn wrong(task: &str, arguments: &str, text: &'static str) -> Case {
    dead(task, arguments, "arguments", text)
}

fn dead(task: &str, arguments: &str, kind: &'static str, text: &'static str) -> Case {
    let ends = Ends::Dead { reason: DeadReason::Permanent, kind, text };
    Case { body: envelope(task, arguments).encode(), ends }
}

fn runs(task: &str, arguments: &str, outcome: Outcome) -> Case {
    Case { body: envelope(task, arguments).encode(), ends: Ends::Succeeds(outcome) }
}
