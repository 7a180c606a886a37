//! A broker that is away or refuses: what waiting cures is waited for, everything else is said at once, and never a password.

use std::cell::RefCell;

use lovage_conformance::documented;
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing::PgServer;

use crate::support::{Bed, Running};

const AWAY: &str = "waiting for broker and results, trying again: ";

/// What a worker says of a server that is away, from there on.
fn says_that_it_waits(worker: &mut Running, text: &str) {
    let line = worker.wait_for(AWAY);
    documented(text, &line[line.find(AWAY).unwrap()..]);
}

#[test]
fn burst_ends_when_its_broker_stays_away() {
    let mut redis = RedisServer::start_own(&[]).unwrap();
    redis.stop().unwrap();
    let bed = Bed::new().with("LOVAGE_BROKER_URL", redis.url());
    let error = bed.fails(1, &["worker", "--burst", "--burst-timeout", "1s"]);
    assert!(
        error.contains("broker and results could not be reached within 1s: connect to redis://"),
        "{error}"
    );
    assert_eq!(error.matches("waiting for broker and results").count(), 1, "{error}");
}

fn adds(bed: &Bed, mut worker: Running) -> String {
    worker.wait_for(" ready");
    assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
    worker.signal("TERM");
    let (code, said) = worker.end();
    assert_eq!(code, 0, "{said}");
    said
}

#[test]
fn a_worker_waits_for_its_redis() {
    let mut redis = RedisServer::start_own(&[]).unwrap();
    redis.stop().unwrap();
    let bed = Bed::new().with("LOVAGE_BROKER_URL", redis.url());
    let mut worker = bed.start(&["worker"]);
    says_that_it_waits(
        &mut worker,
        "waiting for broker and results, trying again: connect to redis://…: Connection refused; is it running, and are host and port right?; the broker is redis://… (from …)",
    );
    redis.restart().unwrap();
    adds(&bed, worker);
}

#[test]
fn a_worker_waits_for_its_postgres_and_makes_the_tables_then() {
    let postgres = PgServer::start().unwrap();
    postgres.stop().unwrap();
    let bed = Bed::new().with("LOVAGE_BROKER_URL", postgres.url());
    let mut worker = bed.start(&["worker", "--migrate"]);
    says_that_it_waits(
        &mut worker,
        "waiting for broker and results, trying again: connect to PostgreSQL: PostgreSQL cannot be reached (…): is it running, and are host and port right?; the broker is postgres://… (from …)",
    );
    postgres.resume().unwrap();
    adds(&bed, worker);
}

#[test]
fn a_worker_waits_for_its_results() {
    let mut redis = RedisServer::start_own(&[]).unwrap();
    redis.stop().unwrap();
    let bed = Bed::new().with("LOVAGE_RESULTS_URL", redis.url());
    let mut worker = bed.start(&["worker"]);
    worker.wait_for(AWAY);
    redis.restart().unwrap();
    adds(&bed, worker);
}

#[test]
fn a_worker_that_waits_ends_by_a_signal() {
    for signal in ["TERM", "INT"] {
        let bed = Bed::new().with("LOVAGE_BROKER_URL", "redis://127.0.0.1:1");
        let mut worker = bed.start(&["worker"]);
        worker.wait_for(AWAY);
        worker.signal(signal);
        let (code, said) = worker.end();
        assert!(code == 0 && said.contains("stopped before there was a broker"), "{said}");
    }
}

#[test]
fn what_waiting_does_not_cure_is_said_at_once() {
    let locked = RedisServer::start_own(&["--requirepass", "sesame"]).unwrap();
    let evicting = RedisServer::start_own(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
    let locked = locked.url().strip_prefix("redis://").unwrap();
    for (url, code, text) in [
        (
            format!("redis://:hunter2@{locked}"),
            1,
            "connect to redis://…: Authentication Error: WRONGPASS invalid username-password pair or user is disabled.; check the user and password of the Redis URL",
        ),
        (
            format!("redis://{locked}"),
            1,
            "…: Authentication Error: NOAUTH Authentication required.; check the user and password of the Redis URL",
        ),
        (
            evicting.url().to_owned(),
            1,
            "redis://… has maxmemory-policy …, which throws tasks away when memory is short: set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)",
        ),
        (
            format!("redi://:hunter2@{locked}"),
            2,
            "setting `broker` from …: `redi://***@…` is not a URL that Lovage knows: expected sqlite://path.db, redis://host:port or postgres://user:password@host/database",
        ),
    ] {
        let bed = Bed::new().with("LOVAGE_BROKER_URL", &url);
        for args in [&["worker"][..], &["call", "movies.tasks.add", "1", "3"], &["status"]] {
            let said = bed.fails(code, args);
            let first = said.lines().next().unwrap();
            documented(text, first.strip_prefix("error: ").unwrap());
            assert!(!said.contains("hunter2") && !said.contains("sesame"), "{said}");
        }
    }
}

/// Whatever happens to the broker, and at the finest level of the worker's log.
fn says_no_password(url: &str, shown: &str, mut stop: impl FnMut(), mut start: impl FnMut()) {
    let bed = Bed::new().with("LOVAGE_BROKER_URL", url);
    stop();
    let mut worker = bed.start(&["worker", "--migrate", "--loglevel", "TRACE"]);
    worker.wait_for(AWAY);
    start();
    worker.wait_for(" ready");
    stop();
    worker.wait_for("the broker cannot be asked for work");
    let call = bed.fails(1, &["call", "movies.tasks.add", "1", "3"]);
    start();
    worker.wait_for(": the broker cannot be asked for work (");
    let said = adds(&bed, worker) + &call;
    for command in [&["report"][..], &["inspect", "conf"], &["status"]] {
        let done = bed.run(command);
        assert!(!(done.stdout + &done.stderr).contains("sesame"), "{command:?}");
    }
    assert!(said.contains(shown), "{said}");
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn no_password_of_redis_is_ever_said() {
    let redis = RefCell::new(RedisServer::start_own(&["--requirepass", "sesame"]).unwrap());
    let url = redis.borrow().url().replace("redis://", "redis://:sesame@");
    says_no_password(
        &url,
        "redis://***@127.0.0.1",
        || redis.borrow_mut().stop().unwrap(),
        || redis.borrow_mut().restart().unwrap(),
    );
}

#[test]
fn no_password_of_postgres_is_ever_said() {
    // It trusts everybody, and gets a password all the same.
    let postgres = PgServer::start().unwrap();
    let url = postgres.url().replace("lovage@", "lovage:sesame@");
    says_no_password(
        &url,
        "postgres://***@127.0.0.1",
        || postgres.stop().unwrap(),
        || postgres.resume().unwrap(),
    );
}
