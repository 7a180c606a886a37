//! What columns tell, and what becomes of what they cannot hold.

use lovage_core::{Clock as _, Lineage, Page, Recorded, ResultFilter, ScheduledSlot};
use lovage_system::SystemClock;

use super::*;

/// What other programs join with.
#[tokio::test]
async fn columns_tell_what_the_record_says() {
    let fixture = fixture().await;
    let report = ErrorReport { chain: vec!["disk full".into()], ..ErrorReport::new("io", "no") };
    let row = TaskRecord {
        outcome: Outcome::Error(report),
        schedule: Some(ScheduledSlot { name: "nightly".into(), slot: Timestamp::from_micros(3) }),
        lineage: Some(Lineage { root: id(7), parent: None, group: Some(id(8)), index: 4 }),
        headers: BTreeMap::from([("tenant".to_owned(), "a".to_owned())]),
        ..failure(1, "")
    };
    fixture.store.record(&[row], None).await.unwrap();
    let told: String = fixture
        .one(
            "SELECT concat_ws(' ', id, run, delivery, attempt, task, state, terminal, worker, queue, priority, arguments, error_kind,
            error, error_chain ->> 0, headers ->> 'tenant', schedule, root, group_id, group_index,
            extract(epoch FROM enqueued_at), extract(epoch FROM slot), extract(epoch FROM finished_at),
            extract(epoch FROM run_time), extract(epoch FROM until - recorded_at))
            FROM lovage_result WHERE result IS NULL AND parent IS NULL AND document IS NULL AND recorded_at <= now()",
        )
        .await;
    let expected = "01010101-0101-0101-0101-010101010101 1 1 1 add failure t w default 0 [1] io no disk full a nightly \
        07070707-0707-0707-0707-070707070707 08080808-0808-0808-0808-080808080808 4 \
        0.000001 0.000003 0.000001 1.000456 3600.000000";
    assert_eq!(told, expected);
    let history: String = fixture.one("SELECT state || ' ' || error FROM lovage_history").await;
    assert_eq!(history, "failure no: disk full");
}

/// NUL in every text, names that no index takes, instants before and after all that the server knows: all come back as they
/// were, and their neighbours are not disturbed.
#[tokio::test]
async fn what_no_column_holds_comes_back_as_it_was() {
    let fixture = fixture().await;
    let nul = "a\0b \\u0000".to_owned();
    let report = ErrorReport {
        kind: nul.clone(),
        message: nul.clone(),
        chain: vec![nul.clone()],
        backtrace: Some(nul.clone()),
    };
    let texts = TaskRecord {
        task: nul.clone(),
        worker: nul.clone(),
        arguments: nul.clone(),
        outcome: Outcome::Error(report),
        schedule: Some(ScheduledSlot { name: nul.clone(), slot: Timestamp::from_micros(1) }),
        headers: BTreeMap::from([(nul.clone(), nul.clone())]),
        ..failure(1, "")
    };
    let long =
        (0..4_000_u32).map(|n| char::from_u32(0x4e00 + n * 7_919 % 20_000).unwrap()).collect::<String>();
    let rows = [
        texts,
        TaskRecord { outcome: Outcome::Marker(nul), ..record(2, (1, 1, 0), TaskState::Success) },
        TaskRecord { task: long.clone(), ..record(3, (1, 1, 0), TaskState::Success) },
        TaskRecord {
            enqueued_at: Timestamp::from_micros(i64::MIN),
            started_at: Some(Timestamp::from_micros(i64::MIN + 1)),
            finished_at: Timestamp::from_micros(i64::MAX),
            ..record(4, (u32::MAX, u32::MAX, u32::MAX), TaskState::Success)
        },
        TaskRecord { keep_for: Duration::MAX, ..record(5, (1, 1, 0), TaskState::Success) },
        record(6, (1, 1, 0), TaskState::Success),
    ];
    assert_eq!(fixture.store.record(&rows, None).await.unwrap(), vec![Recorded::Stored; rows.len()]);
    let ids: Vec<TaskId> = rows.iter().map(|row| row.id).collect();
    let read: Vec<TaskRecord> = fixture.store.get(&ids, None).await.unwrap().into_iter().flatten().collect();
    assert_eq!(read, rows);
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_result WHERE document IS NULL").await, 1);
    let filter = ResultFilter { task: Some(long), ..ResultFilter::default() };
    assert_eq!(fixture.store.list(&filter, Page::first(5)).await.unwrap().items, [rows[2].clone()]);
    assert_eq!(
        fixture.store.list(&ResultFilter::default(), Page::first(9)).await.unwrap().items.len(),
        rows.len()
    );
}

#[tokio::test]
async fn columns_of_somebody_else_are_corrupt() {
    let fixture = fixture().await;
    fixture.store.record(&[failure(1, "no")], None).await.unwrap();
    fixture.db.rows("test", sqlx::query("UPDATE lovage_result SET state = 'nonsense'")).await.unwrap();
    let error = fixture.store.get(&[id(1)], None).await.unwrap_err();
    assert_eq!(error.kind(), lovage_core::BackendErrorKind::Corrupt, "{error}");
}

/// Also where the test's host and its server are one: the answer comes from the column that the server filled.
#[tokio::test]
async fn without_an_instant_the_server_tells_the_time() {
    let fixture = fixture().await;
    let before = SystemClock::new().now();
    fixture.store.record(&[failure(1, "no")], None).await.unwrap();
    let recorded: i64 =
        fixture.one("SELECT (extract(epoch FROM recorded_at) * 1000000)::bigint FROM lovage_result").await;
    assert!((recorded - before.as_micros()).abs() < 60_000_000, "{recorded} {before:?}");
}
