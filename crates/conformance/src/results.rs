//! The contract of result stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendErrorKind, Clock as _, ErrorReport, Lineage, Outcome, Page, Priority, QueueName, Recorded,
    ResultFilter, ResultStore, ScheduledSlot, TaskId, TaskRecord, TaskState, Timestamp,
};
use lovage_system::SystemClock;
use lovage_testkit::record;

/// A fresh, isolated store.
#[async_trait]
pub trait StoreBed: Send + Sync {
    /// A connection to it; all connections of a bed share the store.
    async fn store(&self) -> Arc<dyn ResultStore>;
    /// Whether it offers `list`; where not, the suite asserts the refusal.
    fn lists(&self) -> bool;
}

/// Makes one test for each case of the contract of result stores. Takes the path of an async function that makes a
/// `Box<dyn StoreBed>`.
#[macro_export]
macro_rules! store_suite {
    ($bed:path) => {
        $crate::__store_cases! { $bed =>
            a_row_comes_back_as_it_was
            warnings_are_kept
            an_error_comes_back_with_its_chain_and_backtrace
            a_newer_attempt_replaces_an_older_one
            an_older_record_is_superseded
            the_end_of_an_attempt_replaces_its_start
            a_terminal_row_stands_within_its_run
            a_higher_run_replaces_a_terminal_row
            history_tells_of_each_attempt_in_order
            history_is_bounded
            history_is_bounded_over_runs_too
            history_tells_of_an_attempt_once
            history_is_in_the_order_of_attempts
            history_tells_of_a_superseded_end
            history_begins_anew_after_the_time_to_live
            rows_are_answered_in_order_with_gaps
            rows_end_after_their_time_to_live
            expiry_removes_ended_rows_only
            deleted_rows_are_gone
            empty_batches_do_nothing
            one_id_twice_in_a_batch_is_handled_in_order
            a_record_that_is_too_large_is_refused_alone
            full_batches_are_taken
            any_text_survives
            concurrent_records_leave_the_newest
            lists_are_filtered
            errors_are_searched_by_what_they_say
            a_bounded_search_goes_on_where_it_stopped
            ended_rows_are_not_listed
            pages_have_no_gaps_and_no_doubles
            a_nonsense_page_is_an_error
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ($bed:path => $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run(async {
                    let bed = $bed().await;
                    $crate::results::$case(&*bed).await;
                });
            }
        )*
    };
}

fn id(n: u8) -> TaskId {
    TaskId::from_bytes([n; 16])
}

/// `list` has no clock of its own to travel in, so rows begin now.
fn start() -> Timestamp {
    SystemClock::new().now()
}

fn full(n: u8) -> TaskRecord {
    TaskRecord {
        outcome: Outcome::Result("{\"sum\":4}".into()),
        priority: Priority::HIGHEST,
        started_at: Some(Timestamp::from_micros(1_500)),
        run_time: Some(Duration::from_micros(456)),
        schedule: Some(ScheduledSlot { name: "nightly".into(), slot: Timestamp::from_micros(900) }),
        lineage: Some(Lineage { root: id(200), parent: Some(id(201)), group: None, index: 3 }),
        headers: BTreeMap::from([("traceparent".into(), "00-1-2-01".into())]),
        ..record(id(n), (1, 1, 0), TaskState::Success)
    }
}

async fn put(store: &dyn ResultStore, record: &TaskRecord) -> Recorded {
    store.record(std::slice::from_ref(record), None).await.expect("the store records").remove(0)
}

async fn read(store: &dyn ResultStore, n: u8) -> Option<TaskRecord> {
    store.get(&[id(n)], None).await.expect("the store reads").remove(0)
}

async fn versions(store: &dyn ResultStore, n: u8) -> Vec<(u32, u32, u32)> {
    let history = store.history(id(n)).await.expect("history");
    history.iter().map(|attempt| (attempt.run, attempt.delivery, attempt.attempt)).collect()
}

/// Every field survives.
pub async fn a_row_comes_back_as_it_was(bed: &dyn StoreBed) {
    let store = bed.store().await;
    assert_eq!(put(&*store, &full(1)).await, Recorded::Stored);
    assert_eq!(read(&*bed.store().await, 1).await, Some(full(1)));
}

/// A warning survives with the result.
pub async fn warnings_are_kept(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let row = TaskRecord { warning: Some("it ran for 40s".into()), ..full(1) };
    assert_eq!(put(&*store, &row).await, Recorded::Stored);
    assert_eq!(read(&*bed.store().await, 1).await, Some(row));
}

/// A failure survives with all that helps to explain it.
pub async fn an_error_comes_back_with_its_chain_and_backtrace(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let report = ErrorReport {
        chain: vec!["a".into(), "b".into()],
        backtrace: Some("at x\nat y".into()),
        ..ErrorReport::new("io", "no")
    };
    let row = TaskRecord { outcome: Outcome::Error(report), ..record(id(1), (1, 1, 1), TaskState::Failure) };
    put(&*store, &row).await;
    assert_eq!(read(&*store, 1).await, Some(row));
}

/// Newer by run, delivery, attempt.
pub async fn a_newer_attempt_replaces_an_older_one(bed: &dyn StoreBed) {
    let store = bed.store().await;
    put(&*store, &record(id(1), (1, 1, 1), TaskState::Retry)).await;
    let newer = record(id(1), (1, 2, 1), TaskState::Success);
    assert_eq!(put(&*store, &newer).await, Recorded::Stored);
    assert_eq!(read(&*store, 1).await, Some(newer));
}

/// A late record of an earlier delivery changes nothing.
pub async fn an_older_record_is_superseded(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let newer = record(id(1), (1, 3, 2), TaskState::Retry);
    put(&*store, &newer).await;
    for older in [(1, 2, 2), (1, 3, 1), (1, 3, 2)] {
        assert_eq!(
            put(&*store, &record(id(1), older, TaskState::Retry)).await,
            Recorded::Superseded,
            "{older:?}"
        );
    }
    assert_eq!(read(&*store, 1).await, Some(newer));
}

/// Start and end of one attempt have the same version.
pub async fn the_end_of_an_attempt_replaces_its_start(bed: &dyn StoreBed) {
    let store = bed.store().await;
    put(&*store, &record(id(1), (1, 1, 0), TaskState::Started)).await;
    let end = record(id(1), (1, 1, 0), TaskState::Success);
    assert_eq!(put(&*store, &end).await, Recorded::Stored);
    assert_eq!(put(&*store, &record(id(1), (1, 1, 0), TaskState::Started)).await, Recorded::Superseded);
    assert_eq!(read(&*store, 1).await, Some(end));
}

/// A second run of what ended does not undo its end.
pub async fn a_terminal_row_stands_within_its_run(bed: &dyn StoreBed) {
    let store = bed.store().await;
    put(&*store, &full(1)).await;
    assert_eq!(put(&*store, &record(id(1), (1, 5, 3), TaskState::Failure)).await, Recorded::Superseded);
    assert_eq!(read(&*store, 1).await, Some(full(1)));
}

/// Run again.
pub async fn a_higher_run_replaces_a_terminal_row(bed: &dyn StoreBed) {
    let store = bed.store().await;
    put(&*store, &full(1)).await;
    let again = record(id(1), (2, 1, 0), TaskState::Started);
    assert_eq!(put(&*store, &again).await, Recorded::Stored);
    assert_eq!(read(&*store, 1).await, Some(again));
}

/// Each attempt is explained, the start of one is not an attempt.
pub async fn history_tells_of_each_attempt_in_order(bed: &dyn StoreBed) {
    let store = bed.store().await;
    for (version, state) in
        [((1, 1, 0), TaskState::Started), ((1, 1, 1), TaskState::Retry), ((1, 2, 2), TaskState::Retry)]
    {
        let outcome = Outcome::Error(ErrorReport::new("e", format!("attempt {}", version.2)));
        put(&*store, &TaskRecord { outcome, ..record(id(1), version, state) }).await;
    }
    put(&*store, &record(id(1), (1, 3, 2), TaskState::Success)).await;
    let history = store.history(id(1)).await.expect("history");
    let told: Vec<_> =
        history.iter().map(|attempt| (attempt.delivery, attempt.state, attempt.error.as_deref())).collect();
    let expected = [
        (1, TaskState::Retry, Some("attempt 1")),
        (2, TaskState::Retry, Some("attempt 2")),
        (3, TaskState::Success, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(store.history(id(9)).await.expect("history"), []);
}

/// At most 20 attempts, the newest.
pub async fn history_is_bounded(bed: &dyn StoreBed) {
    let store = bed.store().await;
    for n in 1..=30 {
        put(&*store, &record(id(1), (1, n, n), TaskState::Retry)).await;
    }
    let history = store.history(id(1)).await.expect("history");
    assert_eq!(
        (history.len(), history.first().map(|a| a.delivery), history.last().map(|a| a.delivery)),
        (20, Some(11), Some(30))
    );
}

/// Deliveries are counted anew in each run.
pub async fn history_is_bounded_over_runs_too(bed: &dyn StoreBed) {
    let store = bed.store().await;
    for run in 1..=3 {
        for n in 1..=9 {
            put(&*store, &record(id(1), (run, n, n), TaskState::Retry)).await;
        }
    }
    let told = versions(&*store, 1).await;
    assert_eq!((told.len(), told.first(), told.last()), (20, Some(&(1, 8, 8)), Some(&(3, 9, 9))));
}

/// A worker that got no answer records again, perhaps with another instant.
pub async fn history_tells_of_an_attempt_once(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let first = record(id(1), (1, 1, 1), TaskState::Retry);
    let again = TaskRecord { finished_at: Timestamp::from_micros(3_000), ..first.clone() };
    put(&*store, &first).await;
    store.record(&[again.clone(), again], None).await.expect("recorded");
    assert_eq!(versions(&*store, 1).await, [(1, 1, 1)]);
}

/// Not of their arrival.
pub async fn history_is_in_the_order_of_attempts(bed: &dyn StoreBed) {
    let store = bed.store().await;
    for version in [(2, 1, 1), (1, 10, 3), (1, 9, 2), (1, 9, 1)] {
        put(&*store, &record(id(1), version, TaskState::Retry)).await;
    }
    assert_eq!(versions(&*store, 1).await, [(1, 9, 1), (1, 9, 2), (1, 10, 3), (2, 1, 1)]);
}

/// A second run of what ended explains itself, although its row is not taken.
pub async fn history_tells_of_a_superseded_end(bed: &dyn StoreBed) {
    let store = bed.store().await;
    put(&*store, &full(1)).await;
    let second = record(id(1), (1, 2, 1), TaskState::Failure);
    assert_eq!(put(&*store, &second).await, Recorded::Superseded);
    assert_eq!(versions(&*store, 1).await, [(1, 1, 0), (1, 2, 1)]);
}

/// The attempts end with their row.
pub async fn history_begins_anew_after_the_time_to_live(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let now = start();
    let old = [record(id(1), (1, 1, 1), TaskState::Retry), record(id(1), (1, 2, 2), TaskState::Retry)];
    store.record(&old, Some(now)).await.expect("recorded");
    let new = TaskRecord { worker: "later@host".into(), ..record(id(1), (1, 1, 1), TaskState::Retry) };
    store.record(&[new], Some(now.plus(Duration::from_secs(3_600)))).await.expect("recorded");
    let history = store.history(id(1)).await.expect("history");
    let told: Vec<_> = history.iter().map(|attempt| (attempt.delivery, attempt.worker.as_str())).collect();
    assert_eq!(told, [(1, "later@host")]);
}

/// One answer per id asked for.
pub async fn rows_are_answered_in_order_with_gaps(bed: &dyn StoreBed) {
    let store = bed.store().await;
    store.record(&[full(1), full(2)], None).await.expect("recorded");
    let rows = store.get(&[id(2), id(9), id(1), id(2)], None).await.expect("read");
    assert_eq!(rows, [Some(full(2)), None, Some(full(1)), Some(full(2))]);
}

/// By the store's clock from the record.
pub async fn rows_end_after_their_time_to_live(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let now = start();
    store.record(&[full(1)], Some(now)).await.expect("recorded");
    let at = |seconds| Some(now.plus(Duration::from_secs(seconds)));
    assert!(store.get(&[id(1)], at(3_599)).await.expect("read")[0].is_some());
    assert!(store.get(&[id(1)], at(3_600)).await.expect("read")[0].is_none());
    let again = record(id(1), (1, 1, 0), TaskState::Retry);
    let answers = store.record(std::slice::from_ref(&again), at(3_700)).await.expect("recorded");
    assert_eq!(answers, [Recorded::Stored], "an ended row stands in nobody's way");
    assert_eq!(store.get(&[id(1)], at(3_701)).await.expect("read"), [Some(again)]);
}

/// In chunks, and never what still lives.
pub async fn expiry_removes_ended_rows_only(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let now = start();
    let short: Vec<TaskRecord> = (1..=5)
        .map(|n| TaskRecord { keep_for: Duration::from_secs(60), ..full(n) })
        .chain([full(9)])
        .collect();
    store.record(&short, Some(now)).await.expect("recorded");
    let later = Some(now.plus(Duration::from_secs(61)));
    let mut removed = 0;
    loop {
        let count = store.expire(2, later).await.expect("expired");
        assert!(count <= 2);
        removed += count;
        if count == 0 {
            break;
        }
    }
    // A store that ends rows by itself has nothing to remove.
    assert!(removed == 5 || removed == 0, "removed {removed}");
    let ids: Vec<TaskId> = (1..=9).map(id).collect();
    let left = store.get(&ids, later).await.expect("read").into_iter().flatten().count();
    assert_eq!(left, 1);
}

/// Deleting tells how many there were.
pub async fn deleted_rows_are_gone(bed: &dyn StoreBed) {
    let store = bed.store().await;
    store.record(&[full(1), full(2)], None).await.expect("recorded");
    assert_eq!(store.delete(&[id(1), id(9)]).await.expect("deleted"), 1);
    assert_eq!((read(&*store, 1).await, read(&*store, 2).await.is_some()), (None, true));
    assert_eq!(store.history(id(1)).await.expect("history"), []);
}

/// Nothing in, nothing out.
pub async fn empty_batches_do_nothing(bed: &dyn StoreBed) {
    let store = bed.store().await;
    assert_eq!(store.record(&[], None).await.expect("recorded"), []);
    assert_eq!(store.get(&[], None).await.expect("read"), []);
    assert_eq!(store.delete(&[]).await.expect("deleted"), 0);
}

/// In the order of the batch.
pub async fn one_id_twice_in_a_batch_is_handled_in_order(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let (first, second) =
        (record(id(1), (1, 1, 1), TaskState::Retry), record(id(1), (1, 2, 1), TaskState::Success));
    let batch = [first.clone(), second.clone(), first];
    let answers = store.record(&batch, None).await.expect("recorded");
    assert_eq!(answers, [Recorded::Stored, Recorded::Stored, Recorded::Superseded]);
    assert_eq!(read(&*store, 1).await, Some(second));
}

/// More than 16 MiB does not go in, and its neighbours do.
pub async fn a_record_that_is_too_large_is_refused_alone(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let huge =
        TaskRecord { outcome: Outcome::Result(format!("\"{}\"", "x".repeat(17 * 1024 * 1024))), ..full(1) };
    let answers = store.record(&[full(2), huge, full(3)], None).await.expect("recorded");
    assert!(
        matches!(answers.as_slice(), [Recorded::Stored, Recorded::Refused(_), Recorded::Stored]),
        "{answers:?}"
    );
    assert!(read(&*store, 1).await.is_none() && read(&*store, 3).await.is_some());
}

/// As many as a worker settles at once, and all of them again.
pub async fn full_batches_are_taken(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let numbered = |n: u16| {
        let mut bytes = [7; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        TaskRecord { id: TaskId::from_bytes(bytes), ..full(1) }
    };
    let batch: Vec<TaskRecord> = (0..1_000).map(numbered).collect();
    let ids: Vec<TaskId> = batch.iter().map(|row| row.id).collect();
    let answers = store.record(&batch, None).await.expect("recorded");
    assert_eq!(answers, vec![Recorded::Stored; batch.len()]);
    let again = store.record(&batch, None).await.expect("recorded");
    assert_eq!(again, vec![Recorded::Superseded; batch.len()]);
    let rows: Vec<TaskRecord> = store.get(&ids, None).await.expect("read").into_iter().flatten().collect();
    assert_eq!(rows, batch);
    assert_eq!(store.delete(&ids).await.expect("deleted"), batch.len());
}

/// Quotes, other scripts, NUL.
pub async fn any_text_survives(bed: &dyn StoreBed) {
    let store = bed.store().await;
    let odd = "'; DROP TABLE x; -- \"quoted\" \\ \u{0} \u{7f} žluťoučký 日本 🦀\n\t";
    let row = TaskRecord {
        task: odd.into(),
        worker: odd.into(),
        arguments: serde_json::json!([odd]).to_string(),
        outcome: Outcome::Error(ErrorReport::new(odd, odd)),
        headers: BTreeMap::from([(odd.into(), odd.into())]),
        ..record(id(1), (1, 1, 1), TaskState::Failure)
    };
    put(&*store, &row).await;
    assert_eq!(read(&*store, 1).await, Some(row));
}

/// Whatever the order of arrival.
pub async fn concurrent_records_leave_the_newest(bed: &dyn StoreBed) {
    let mut writers = tokio::task::JoinSet::new();
    for n in 1..=16_u32 {
        let store = bed.store().await;
        writers.spawn(async move {
            let row = record(id(1), (1, n, n), TaskState::Retry);
            store.record(&[row], None).await.expect("recorded");
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("a writer ends");
    }
    assert_eq!(read(&*bed.store().await, 1).await.map(|row| row.delivery), Some(16));
}

/// Each filter alone, and two together; a store that does not list says so.
pub async fn lists_are_filtered(bed: &dyn StoreBed) {
    let store = bed.store().await;
    if !bed.lists() {
        let error = store.list(&ResultFilter::default(), Page::first(10)).await.expect_err("a refusal");
        assert_eq!(error.kind(), BackendErrorKind::Unsupported);
        assert!(error.to_string().contains("sqlite://"), "{error}");
        return;
    }
    let at = |n: i64| Timestamp::from_micros(n);
    let error = ErrorReport { chain: vec!["disk full".into()], ..ErrorReport::new("io", "cannot write") };
    let rows = [
        TaskRecord { finished_at: at(10), ..full(1) },
        TaskRecord {
            finished_at: at(20),
            task: "other".into(),
            worker: "w2".into(),
            arguments: "[2,3]".into(),
            ..full(2)
        },
        TaskRecord {
            finished_at: at(30),
            queue: QueueName::new("math").expect("a name"),
            outcome: Outcome::Error(error),
            ..record(id(3), (1, 1, 1), TaskState::Failure)
        },
    ];
    store.record(&rows, None).await.expect("recorded");
    let any = ResultFilter::default;
    for (filter, expected) in [
        (any(), vec![3, 2, 1]),
        (ResultFilter { task: Some("other".into()), ..any() }, vec![2]),
        (ResultFilter { states: vec![TaskState::Success], ..any() }, vec![2, 1]),
        (ResultFilter { states: vec![TaskState::Success, TaskState::Failure], ..any() }, vec![3, 2, 1]),
        (ResultFilter { worker: Some("w2".into()), ..any() }, vec![2]),
        (ResultFilter { queue: QueueName::new("math").ok(), ..any() }, vec![3]),
        (ResultFilter { since: Some(at(20)), ..any() }, vec![3, 2]),
        (ResultFilter { until: Some(at(20)), ..any() }, vec![1]),
        (ResultFilter { since: Some(at(20)), until: Some(at(30)), ..any() }, vec![2]),
        (ResultFilter { since: Some(at(11)), until: Some(at(20)), ..any() }, vec![]),
        (ResultFilter { states: vec![TaskState::Failure], since: Some(at(31)), ..any() }, vec![]),
        (ResultFilter { states: vec![TaskState::Failure], until: Some(at(31)), ..any() }, vec![3]),
        (ResultFilter { task: Some("other".into()), until: Some(at(20)), ..any() }, vec![]),
        (ResultFilter { error_contains: Some("disk".into()), until: Some(at(30)), ..any() }, vec![]),
        (ResultFilter { error_contains: Some("disk".into()), worker: Some("w2".into()), ..any() }, vec![]),
        (ResultFilter { error_contains: Some("disk".into()), ..any() }, vec![3]),
        (ResultFilter { error_contains: Some("write".into()), ..any() }, vec![3]),
        (ResultFilter { error_contains: Some("%".into()), ..any() }, vec![]),
        (ResultFilter { task: Some("other".into()), states: vec![TaskState::Failure], ..any() }, vec![]),
        (ResultFilter { arguments: Some("[1,3]".into()), ..any() }, vec![3, 1]),
        (ResultFilter { arguments: Some("[1,3]".into()), since: Some(at(11)), ..any() }, vec![3]),
        (ResultFilter { arguments: Some("[1,3]".into()), task: Some("other".into()), ..any() }, vec![]),
        (ResultFilter { arguments: Some("[2,3]".into()), until: Some(at(30)), ..any() }, vec![2]),
        (ResultFilter { arguments: Some("[1,".into()), ..any() }, vec![]),
    ] {
        let found = store.list(&filter, Page::first(10)).await.expect("a list");
        let ids: Vec<u8> = found.items.iter().map(|row| row.id.as_bytes()[0]).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
}

/// In the message and in its causes, whatever is around the text, with capital letters or without.
pub async fn errors_are_searched_by_what_they_say(bed: &dyn StoreBed) {
    if !bed.lists() {
        return;
    }
    let store = bed.store().await;
    let said = |n: u8, message: &str, chain: &[&str]| {
        let chain = chain.iter().map(|cause| (*cause).to_owned()).collect();
        let outcome = Outcome::Error(ErrorReport { chain, ..ErrorReport::new("io", message) });
        let finished_at = Timestamp::from_micros(i64::from(n));
        TaskRecord { outcome, finished_at, ..record(id(n), (1, 1, 1), TaskState::Failure) }
    };
    let long = "x".repeat(ErrorReport::SEARCHED - 3);
    let rows = [
        said(1, "Connection to DB-7 timed out", &["os error 110", "100% \\ lost_it"]),
        said(2, "wildfire", &[]),
        said(3, "žluťoučký kůň 日本語", &["it's \"quoted\""]),
        said(4, &format!("{long}abcdef"), &["behind"]),
        TaskRecord { finished_at: Timestamp::from_micros(5), ..full(5) },
        said(6, "no", &["timed", "out"]),
    ];
    store.record(&rows, None).await.expect("recorded");
    for (text, expected) in [
        ("timed out", vec![1]),
        ("TIMED OUT", vec![1]),
        ("db-7", vec![1]),
        ("os error", vec![1]),
        ("fire", vec![2]),
        ("r", vec![2, 1]),
        ("no", vec![6]),
        ("%", vec![1]),
        ("t_it", vec![1]),
        ("\\", vec![1]),
        ("ťouč", vec![3]),
        ("日本", vec![3]),
        ("\"quoted\"", vec![3]),
        ("it's", vec![3]),
        ("xabc", vec![4]),
        ("xabcd", vec![]),
        ("behind", vec![]),
        ("nothing of it", vec![]),
        ("out ", vec![]),
    ] {
        let filter = ResultFilter { error_contains: Some(text.into()), ..ResultFilter::default() };
        let found = store.list(&filter, Page::first(10)).await.expect("a list");
        let ids: Vec<u8> = found.items.iter().map(|row| row.id.as_bytes()[0]).collect();
        assert_eq!(ids, expected, "{text}");
    }
}

/// Whatever a page leaves out comes with the next ones, and a store that stopped says where.
pub async fn a_bounded_search_goes_on_where_it_stopped(bed: &dyn StoreBed) {
    if !bed.lists() {
        return;
    }
    let store = bed.store().await;
    let (rows, rare) = (25_000_u32, [40_u32, 12_345, 24_990]);
    let numbered = |n: u32| {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let queue = QueueName::new(if rare.contains(&n) { "rare" } else { "common" }).expect("a name");
        let finished_at = Timestamp::from_micros(i64::from(n));
        TaskRecord { queue, finished_at, ..record(TaskId::from_bytes(bytes), (1, 1, 0), TaskState::Success) }
    };
    let all: Vec<TaskRecord> = (0..rows).map(numbered).collect();
    for part in all.chunks(1_000) {
        store.record(part, None).await.expect("recorded");
    }
    let filter = ResultFilter { queue: QueueName::new("rare").ok(), ..ResultFilter::default() };
    let (mut found, mut page) = (Vec::new(), Page::first(10));
    loop {
        let part = store.list(&filter, page.clone()).await.expect("a part");
        found.extend(part.items.iter().map(|row| row.finished_at.as_micros()));
        let Some(next) = part.next else {
            assert_eq!(part.searched_back_to, None, "at the end everything was looked at");
            break;
        };
        let back_to = part.searched_back_to.expect("a part that is not full says why").as_micros();
        assert!(found.iter().all(|at| *at >= back_to) && page.after != Some(next.clone()));
        page.after = Some(next);
    }
    assert_eq!(found, [24_990, 12_345, 40]);
    let full = store.list(&ResultFilter::default(), Page::first(10)).await.expect("a part");
    assert_eq!((full.items.len(), full.searched_back_to), (10, None), "a full part has nothing to say");
}

/// Whether or not somebody removed them yet.
pub async fn ended_rows_are_not_listed(bed: &dyn StoreBed) {
    if !bed.lists() {
        return;
    }
    let store = bed.store().await;
    let long_ago = start().minus(Duration::from_secs(3_601));
    store.record(&[full(1)], Some(long_ago)).await.expect("recorded");
    store.record(&[full(2)], None).await.expect("recorded");
    let found = store.list(&ResultFilter::default(), Page::first(10)).await.expect("a list");
    assert_eq!(found.items, [full(2)]);
}

/// The newest first, also where many ended at the same instant.
pub async fn pages_have_no_gaps_and_no_doubles(bed: &dyn StoreBed) {
    if !bed.lists() {
        return;
    }
    let store = bed.store().await;
    let rows: Vec<TaskRecord> = (1..=25)
        .map(|n| TaskRecord { finished_at: Timestamp::from_micros(i64::from(n / 10)), ..full(n) })
        .collect();
    store.record(&rows, None).await.expect("recorded");
    let (mut seen, mut page) = (Vec::new(), Page::first(7));
    loop {
        let part = store.list(&ResultFilter::default(), page.clone()).await.expect("a page");
        assert!(part.items.len() <= 7);
        seen.extend(part.items.iter().map(|row| (row.finished_at, row.id)));
        match part.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<_> = rows.iter().map(|row| (row.finished_at, row.id)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(seen, expected);
}

/// It says so instead of beginning anew.
pub async fn a_nonsense_page_is_an_error(bed: &dyn StoreBed) {
    if !bed.lists() {
        return;
    }
    let page = Page { after: Some("'; nonsense".into()), limit: 5 };
    let error = bed.store().await.list(&ResultFilter::default(), page).await.expect_err("a refusal");
    assert_eq!(error.kind(), BackendErrorKind::Config);
}
