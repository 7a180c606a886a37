//! Schedules whose rows somebody else writes, and what an audit makes of a history that is not complete.

use serde_json::Value;

use crate::support::{Bed, on_each_broker};

const OFTEN: [&str; 8] = ["schedule", "add", "often", "--task", "movies.tasks.add", "--every", "1s", "20"];

/// The words of an audit, with its reasons.
fn outcomes(audit: &Value) -> Vec<(&str, &str)> {
    audit["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["outcome"].as_str().unwrap(), line["why"].as_str().unwrap()))
        .collect()
}

/// Each entry fires, is spoilt, and says what is wrong with it; the one beside them goes on.
fn a_row_that_an_update_spoils_disables_itself_and_stops_no_other(bed: &Bed) {
    let spoilt = [
        (
            "crontab",
            r#"schedule = '{"kind":"crontab","expression":"0 0 30 2 *"}'"#,
            "crontab `0 0 30 2 *` is not valid: expected a day that some month has",
        ),
        (
            "zone",
            r#"schedule = '{"kind":"crontab","expression":"* * * * *","zone":"Europe/Belin"}'"#,
            "zone `Europe/Belin` is not valid: expected a name of the IANA time zone database",
        ),
        (
            "often",
            r#"schedule = '{"kind":"interval","every":"10ms"}'"#,
            "every `10ms` is not valid: expected 100ms",
        ),
        (
            "sun",
            r#"schedule = '{"kind":"solar","event":"sunset","latitude":91,"longitude":0}'"#,
            "latitude `91` is not valid: expected -90 to 90 degrees",
        ),
        ("args", "args = '[1'", "args `[1` is not valid: expected a JSON list"),
        (
            "ends",
            "start_time = '2027-01-01T00:00:00Z', end_time = '2026-01-01T00:00:00Z'",
            "end_time `2026-01-01T00:00:00Z` is not valid: expected no earlier than start_time",
        ),
    ];
    let add = ["--task", "movies.tasks.add", "--every", "1s"];
    let mut worker = bed.worker(&["-B"]);
    bed.ok(&[&["schedule", "add", "good"], &add[..], &["1", "2"]].concat());
    for (number, (name, _, _)) in (0..).zip(&spoilt) {
        let sum = format!(": {}", 100 + number);
        let first = number.to_string();
        bed.ok(&[&["schedule", "add", name], &add[..], &[&first, "100"]].concat());
        worker.wait_for(&sum);
    }
    for (name, what, _) in &spoilt {
        bed.sql(&format!("UPDATE lovage_schedule SET {what} WHERE name = '{name}'"));
    }
    for (name, _, reason) in &spoilt {
        let bad = bed.until(&["schedule", "show", name], |bad| bad["enabled"] == false);
        assert!(bad["error"].as_str().unwrap().contains(reason), "{bad}");
        let list = bed.ok(&["schedule", "list", name]);
        assert!(list.contains("cannot be read: ") && list.contains(reason), "{list}");
    }
    let runs = |good: &Value| good["total_run_count"].as_i64().unwrap();
    let before = runs(&bed.json(&["schedule", "show", "good"]));
    bed.until(&["schedule", "show", "good"], |good| runs(good) > before);

    // Who spoilt it can repair it.
    bed.sql("UPDATE lovage_schedule SET args = '[200, 22]', enabled = true WHERE name = 'args'");
    worker.wait_for(": 222");
    assert_eq!(bed.json(&["schedule", "show", "args"])["last_error"], Value::Null);
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

/// The beat may have died before it told of a slot: then the task that ran tells.
fn an_audit_finds_what_fired_by_its_task(bed: &Bed) {
    let mut worker = bed.worker(&["-B"]);
    bed.ok(&[&OFTEN[..], &["22"]].concat());
    worker.wait_for(": 42");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
    bed.ok(&["schedule", "disable", "often"]);
    let audit = ["schedule", "audit", "often", "--from", "1m"];
    let told = bed.json(&audit);
    let fired: Vec<_> = outcomes(&told).into_iter().filter(|(word, _)| *word == "fired").collect();
    assert!(!fired.is_empty(), "{told}");

    bed.sql("DELETE FROM lovage_firing");
    let untold = bed.run(&[&audit[..], &["--json"]].concat());
    let found: Value = serde_json::from_str(&untold.stdout).unwrap();
    for line in fired {
        assert!(outcomes(&found).contains(&line), "{line:?}: {found}");
    }
    assert!(untold.stderr.contains("known from the results of their tasks"), "{}", untold.stderr);

    // Without the results it says what it knows.
    let alone = bed.run(&[&audit[..], &["--json", "--results", "postgres://u:p@127.0.0.1:1/none"]].concat());
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    let found: Value = serde_json::from_str(&alone.stdout).unwrap();
    assert!(outcomes(&found).iter().all(|(word, _)| *word != "fired"), "{found}");
    assert!(alone.stderr.contains("the results were not asked"), "{}", alone.stderr);
}

on_each_broker!(
    a_row_that_an_update_spoils_disables_itself_and_stops_no_other,
    an_audit_finds_what_fired_by_its_task,
);

/// As if no beat had run for half a minute, and no worker runs.
#[test]
fn audit_says_why_slots_did_not_fire() {
    let bed = Bed::new();
    bed.ok(&[&OFTEN[..], &["22", "--misfire", "skip"]].concat());
    let alone = ["schedule", "add", "alone", "--task", "t", "--every", "1s", "--overlap", "skip"];
    bed.ok(&alone);
    bed.sql("UPDATE lovage_schedule SET done_until = done_until - 30000000 WHERE name = 'often'");
    let mut beat = bed.start(&["beat"]);
    beat.wait_for("beat ready");
    let audit = |name| ["schedule", "audit", name, "--from", "20s"];
    let has = |audit: &Value, word: &str| outcomes(audit).iter().any(|(found, _)| *found == word);
    let overlap = bed.until(&audit("alone"), |audit| has(audit, "overlap"));
    let fired: Vec<_> = outcomes(&overlap).into_iter().filter(|(word, _)| *word == "fired").collect();
    assert_eq!(fired.len(), 1, "{overlap}");
    let (_, why) = outcomes(&overlap).into_iter().find(|(word, _)| *word == "overlap").unwrap();
    assert_eq!(why, format!("{} of an earlier slot still waited or ran", fired[0].1));
    beat.signal("TERM");
    assert_eq!(beat.exit_code(), 0);

    bed.ok(&["schedule", "disable", "often"]);
    let told = bed.until(&audit("often"), |audit| has(audit, "disabled"));
    for line in [
        ("misfire", "missed while no beat ran; the misfire policy passes it over"),
        ("disabled", "the entry is disabled"),
    ] {
        assert!(outcomes(&told).contains(&line), "{told}");
    }
    assert!(has(&told, "fired"), "{told}");
    let due = bed.until(&audit("alone"), |audit| has(audit, "due"));
    assert!(outcomes(&due).contains(&("due", "no beat has decided yet: does one run?")), "{due}");
    let misfires =
        told["slots"].as_array().unwrap().iter().find(|line| line["outcome"] == "misfire").unwrap();
    assert!(misfires["slots"].as_i64().unwrap() > 5, "{misfires}");
}
