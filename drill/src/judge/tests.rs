//! Invented histories: the judge must find what is wrong with each.

use lovage_core::{Priority, QueueName};

use super::*;

const LEASE: Duration = Duration::from_secs(5);

/// Seconds since the beginning of a story.
fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000).plus(Duration::from_secs_f64(100.0 + seconds))
}

fn id(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

fn run(number: u8, worker: &str, delivery: u32, began: f64, ended: Option<f64>) -> Execution {
    Execution {
        id: id(number),
        run: 1,
        delivery,
        attempt: 1,
        worker: worker.to_owned(),
        began: at(began),
        ended: ended.map(|ended| (Ended::Succeeded, at(ended))),
    }
}

fn record(number: u8, delivery: u32) -> TaskRecord {
    TaskRecord {
        id: id(number),
        run: 1,
        delivery,
        attempt: 0,
        task: "drill.quick".to_owned(),
        arguments: format!("[{number}]"),
        state: TaskState::Success,
        outcome: Outcome::Result(number.to_string()),
        worker: "w1".to_owned(),
        queue: QueueName::default_queue(),
        priority: Priority::LOWEST,
        enqueued_at: at(0.0),
        started_at: None,
        finished_at: at(1.0),
        run_time: None,
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(60),
        warning: None,
    }
}

/// Two tasks, one of them killed with its worker at second 1 and run again at second 7.
fn good() -> History {
    let again = record(2, 2);
    History {
        sent: (1..=2).map(|n| (id(n), Sent { number: n.into(), accepted: true, again: false })).collect(),
        executions: vec![
            run(1, "w1", 1, 0.1, Some(0.2)),
            run(2, "w1", 1, 0.9, None),
            run(2, "w2", 2, 7.0, Some(7.1)),
        ],
        attempts: HashMap::from([(id(2), vec![AttemptRecord::from(&again)])]),
        records: vec![record(1, 1), again],
        faults: vec![Fault::Killed { worker: "w1".to_owned(), at: at(1.0), running: 1 }],
        told: HashSet::new(),
        left: 0,
        lease: LEASE,
        on_its_way: Duration::from_millis(10),
    }
}

/// What the judge finds broken.
fn broken(history: &History) -> Vec<String> {
    judge(history).into_iter().filter(|line| !line.kept).map(|line| line.what).collect()
}

fn finds(part: &str, spoil: impl FnOnce(&mut History)) {
    let mut history = good();
    spoil(&mut history);
    let found = broken(&history);
    assert!(found.iter().any(|what| what.contains(part)), "{part}: {found:?}");
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(broken(&good()), [""; 0]);
    assert_eq!(twice(&good().executions), HashSet::from([id(2)]));
}

#[test]
fn a_lost_task_is_found() {
    finds("(lost)", |history| drop(history.records.remove(0)));
    finds("(lost)", |history| history.records[0].state = TaskState::Retry);
    finds("left in the queue", |history| history.left = 1);
}

#[test]
fn a_second_end_is_found() {
    finds("ended more than once", |history| history.records.push(record(1, 1)));
}

#[test]
fn an_invented_task_is_found() {
    finds("(invented)", |history| history.records.push(record(3, 1)));
    finds("(invented)", |history| history.executions.push(run(3, "w2", 1, 2.0, Some(2.1))));
    finds("without a run", |history| drop(history.executions.remove(0)));
}

#[test]
fn a_wrong_value_is_found() {
    finds("right value", |history| history.records[0].outcome = Outcome::Result("7".to_owned()));
    finds("right value", |history| history.records[0].state = TaskState::Failure);
}

#[test]
fn an_unexplained_second_run_is_found() {
    let part = "without an explanation";
    // Nobody hurt that worker.
    finds(part, |history| history.executions[1].worker = "w3".to_owned());
    // It began after the kill.
    finds(part, |history| history.executions[1].began = at(2.0));
    // It had ended long before.
    finds(part, |history| {
        history.executions.insert(0, run(1, "w1", 1, -9.0, Some(-8.0)));
        history.executions[1].delivery = 2;
    });
    // The same hand-out twice, and its sender is sure.
    finds(part, |history| history.executions.push(run(1, "w2", 1, 2.0, Some(2.1))));
    // A freeze shorter than the lease takes nothing away.
    finds(part, |history| {
        history.faults = vec![Fault::Frozen { worker: "w1".to_owned(), at: at(1.0), until: at(4.0) }];
    });
    // An outage explains only what the worker's log tells.
    finds(part, |history| {
        history.faults = vec![Fault::BrokerAway { at: at(1.0), back: at(6.0), workers: Vec::new() }];
    });
}

#[test]
fn each_reason_explains() {
    let second_runs = |change: &dyn Fn(&mut History)| {
        let mut history = good();
        history.faults.clear();
        change(&mut history);
        broken(&history)
    };
    let frozen = Fault::Frozen { worker: "w1".to_owned(), at: at(1.0), until: at(11.0) };
    assert_eq!(second_runs(&|history| history.faults.push(frozen.clone())), [""; 0]);
    assert_eq!(
        second_runs(&|history| {
            history.faults.push(frozen.clone());
            history.executions[1] = run(2, "w1", 1, 11.01, Some(11.02));
        }),
        [""; 0]
    );
    let away = Fault::BrokerAway { at: at(1.0), back: at(6.5), workers: vec!["w2".to_owned()] };
    assert_eq!(
        second_runs(&|history| {
            history.faults.push(away.clone());
            history.told.insert(("w1".to_owned(), id(2)));
        }),
        [""; 0]
    );
    let stopped = Fault::Stopped { worker: "w1".to_owned(), at: at(1.0), gone: at(2.0), code: Some(0) };
    assert_eq!(
        second_runs(&|history| {
            history.faults.push(stopped.clone());
            history.executions[1].ended = Some((Ended::Interrupted, at(1.5)));
        }),
        [""; 0]
    );
    assert_eq!(
        second_runs(&|history| {
            history.sent.get_mut(&id(2)).unwrap().again = true;
            history.executions[1].ended = Some((Ended::Succeeded, at(0.95)));
            history.executions[2].delivery = 1;
            history.records[1].delivery = 1;
            history.attempts = HashMap::from([(id(2), vec![AttemptRecord::from(&history.records[1])])]);
        }),
        [""; 0]
    );
}

#[test]
fn missing_attempt_rows_are_found() {
    finds("attempt rows", |history| history.attempts.clear());
    finds("attempt rows", |history| history.attempts.get_mut(&id(2)).unwrap()[0].delivery = 3);
    // Its first run ended, too, but there was a second one.
    finds("attempt rows", |history| {
        history.executions[1].ended = Some((Ended::Succeeded, at(0.999)));
        history.attempts.get_mut(&id(2)).unwrap()[0].delivery = 1;
    });
}

#[test]
fn a_run_that_had_ended_before_the_kill_counts_as_too_many() {
    finds("more than 10ms before", |history| {
        history.executions[1].ended = Some((Ended::Succeeded, at(0.95)));
    });
    finds("second runs after it", |history| {
        history.executions[1].ended = Some((Ended::Succeeded, at(0.95)));
    });
}

#[test]
fn a_late_rerun_is_found() {
    finds("ran again after", |history| history.executions[2].began = at(11.1));
    finds("ran again after", |history| drop(history.executions.remove(2)));
    // Of a worker that had nothing to do nothing is learned.
    finds("tasks running", |history| drop(history.executions.remove(1)));
}

#[test]
fn a_slow_return_is_found() {
    let away = |from: f64| Fault::BrokerAway { at: at(from), back: at(6.5), workers: vec!["w2".to_owned()] };
    finds("after it answered", |history| {
        history.faults.push(away(3.0));
        history.executions[2].began = at(7.6);
    });
    let results = || Fault::ResultsAway { at: at(3.0), back: at(6.5), workers: vec!["w2".to_owned()] };
    finds("after it answered", |history| {
        history.faults.push(results());
        history.executions[2].began = at(7.6);
    });
    let mut history = good();
    history.faults.extend([away(3.0), results()]);
    assert_eq!(broken(&history), [""; 0]);
}

#[test]
fn a_bad_stop_or_block_is_found() {
    let stopped = |code| Fault::Stopped { worker: "w3".to_owned(), at: at(1.0), gone: at(2.0), code };
    finds("SIGTERM", |history| history.faults.push(stopped(None)));
    finds("SIGTERM", |history| history.faults.push(stopped(Some(1))));
    finds("kept its thread", |history| history.faults.push(Fault::Blocked { id: id(1) }));
    let mut history = good();
    history.faults.push(stopped(Some(0)));
    history.faults.push(Fault::Blocked { id: id(1) });
    history.executions[0] = run(1, "w3", 1, 0.1, Some(6.0));
    assert_eq!(broken(&history), [""; 0]);
}
