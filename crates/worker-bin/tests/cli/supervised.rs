//! What supervisors are told: systemd by its socket, Prometheus and probes by HTTP.

use std::os::unix::net::UnixDatagram;

use crate::dashboard::get;
use crate::support::{Bed, PATIENCE, Running};

/// The address in a line such as `metrics at http://127.0.0.1:9464/metrics`.
fn metrics_of(running: &mut Running) -> String {
    let line = running.wait_for("metrics at http://");
    let (_, place) = line.split_once("http://").unwrap();
    place.split('/').next().unwrap().to_owned()
}

#[test]
fn systemd_hears_that_it_is_ready_that_it_moves_and_that_it_stops() {
    let bed = Bed::new();
    let path = bed.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = |part: &str| {
        let mut buffer = [0; 4_096];
        loop {
            let count = systemd.recv(&mut buffer).unwrap_or_else(|error| panic!("no {part}: {error}"));
            let told = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if told.contains(part) {
                return told;
            }
        }
    };
    for command in [&["worker"][..], &["beat"], &["dashboard", "--listen", "127.0.0.1:0"]] {
        let mut started = bed.command(command);
        started.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        let running = Running::of(started);
        hears("READY=1");
        // Again and again.
        assert!(hears("WATCHDOG=1").contains("STATUS=it moves"));
        hears("WATCHDOG=1");
        running.signal("TERM");
        hears("STOPPING=1");
        assert_eq!(running.exit_code(), 0, "{command:?}");
    }
}

#[test]
fn metrics_and_health_are_served_by_each_process_that_goes_on() {
    let bed = Bed::new();
    let mut worker = bed.worker(&["--metrics", "127.0.0.1:0"]);
    let place = metrics_of(&mut worker);
    bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]);
    let (status, metrics) = get(&place, "/metrics", "");
    assert_eq!(status, 200);
    assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
    for line in [
        r#"lovage_tasks_total{task="movies.tasks.add",queue="default",state="success"} 1"#,
        r#"lovage_task_run_seconds_count{task="movies.tasks.add",queue="default"} 1"#,
        r#"lovage_queue_ready{queue="default"} 0"#,
        "lovage_workers 1",
        "lovage_broker_up 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}:\n{metrics}");
    }
    for path in ["/health/live", "/health/ready", "/health/progress"] {
        assert_eq!(get(&place, path, "").0, 200, "{path}");
    }

    let told = bed.fails(1, &["beat", "--metrics", &place]);
    assert!(told.contains(&place) && told.contains("each process needs its own"), "{told}");
    let mut beat = bed.start(&["beat", "--metrics", "127.0.0.1:0"]);
    let place = metrics_of(&mut beat);
    assert!(get(&place, "/metrics", "").1.contains("lovage_schedule_slots_total 0"));
    assert_eq!(get(&place, "/health/progress", "").0, 200);
    let mut dashboard = bed.start(&["dashboard", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let place = metrics_of(&mut dashboard);
    // It reads no queue itself, so it tells of all of them.
    assert!(get(&place, "/metrics", "").1.contains(r#"lovage_queue_ready{queue="default"} 0"#));
}

#[test]
fn logs_are_json_where_that_is_asked_for() {
    let bed = Bed::new();
    let worker = bed.worker(&["--log-format", "json"]);
    bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]);
    worker.signal("TERM");
    let (code, said) = worker.end();
    assert_eq!(code, 0);
    let logs: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(logs.len() > 3, "{said}");
    for log in &logs {
        assert!(
            log["timestamp"].is_string() && log["level"].is_string() && log["target"].is_string(),
            "{log}"
        );
    }
    assert!(said.contains("succeeded in"), "{said}");
}
