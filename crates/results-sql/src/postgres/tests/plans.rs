//! Each statement has its index, although nobody ever analyzed the tables: plans are made while they are empty.

use super::*;
use crate::postgres::audit::actions_sql;
use crate::postgres::list::{BY_TEXT, PREPARE, end_sql, list_sql};

/// As it is made once and kept, whatever the values.
async fn plan(fixture: &Fixture, prepare: &'static str, statement: &str) -> Vec<String> {
    let mut tx = fixture.db.begin("plan").await.unwrap();
    let connection = tx.connection();
    sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    let highest = (1..=40).rev().find(|n| statement.contains(&format!("${n}"))).unwrap();
    let nulls = vec!["NULL"; highest].join(", ");
    let prepare = format!("SET LOCAL plan_cache_mode = force_generic_plan; PREPARE planned AS {statement}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE planned ({nulls})");
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0).trim().to_owned()).collect()
}

fn is_step(line: &str, step: &str) -> bool {
    line.trim_start_matches("->").trim_start().starts_with(step)
}

#[tokio::test]
async fn lists_walk_their_index_and_need_no_sorting() {
    let fixture = fixture().await;
    let range = "(finished_at >= $1) AND (ROW(finished_at, id) < ROW($2, $3))";
    for (statement, index, condition) in [
        (list_sql!("range_all"), "finished", format!("({range})")),
        (list_sql!("range_task"), "task", format!("((task = $5) AND {range})")),
        (list_sql!("range_state"), "state", format!("((state = $5) AND {range})")),
        (list_sql!("range_error"), "error", format!("({range})")),
        (end_sql!("range_all"), "finished", format!("({range})")),
        (end_sql!("range_task"), "task", format!("((task = $5) AND {range})")),
        (end_sql!("range_state"), "state", format!("((state = $5) AND {range})")),
        (end_sql!("range_error"), "error", format!("({range})")),
    ] {
        let steps = plan(&fixture, PREPARE, statement).await;
        let scan = format!("Index Scan Backward using lovage_result_{index} on lovage_result");
        let only = format!("Index Only Scan Backward using lovage_result_{index} on lovage_result");
        let at = steps.iter().position(|step| is_step(step, &scan) || is_step(step, &only));
        let at = at.unwrap_or_else(|| panic!("{scan} is missing:\n{steps:#?}"));
        assert!(steps[at + 1] == format!("Index Cond: {condition}"), "{condition}\n{steps:#?}");
        let sorts = steps.iter().any(|step| is_step(step, "Sort") || is_step(step, "Incremental"));
        assert!(!sorts, "{steps:#?}");
        assert!(!steps.iter().any(|step| is_step(step, "Seq Scan")), "{steps:#?}");
    }
}

/// Nothing but the text may choose the index: a range of time would read all failures within.
#[tokio::test]
async fn a_text_is_found_by_its_trigrams() {
    let fixture = fixture().await;
    for (statement, text) in [(sql!("said"), "$1"), (list_sql!("range_said"), "$5")] {
        let steps = plan(&fixture, BY_TEXT, statement).await;
        let condition = format!(
            "Index Cond: (lovage_trigrams(lovage_said(error, error_chain)) @> lovage_trigrams({text}))"
        );
        let scans: Vec<&String> =
            steps.iter().filter(|step| step.contains("Scan on lovage_result_")).collect();
        assert!(matches!(scans.as_slice(), [one] if one.contains("lovage_result_said")), "{steps:#?}");
        assert!(steps.contains(&condition), "{steps:#?}");
    }
}

/// Of the table of counts each window is read by its key.
#[tokio::test]
async fn counts_are_read_and_written_by_their_key() {
    let fixture = fixture().await;
    for (statement, index) in [
        (sql!("stats_read"), "lovage_stat_pkey"),
        (sql!("stats_depths"), "lovage_stat_depth_pkey"),
        (sql!("stats_trim"), "lovage_stat_pkey"),
        (sql!("stats_depth_trim"), "lovage_stat_depth_pkey"),
        (sql!("stats_sampled"), "lovage_stat_depth_pkey"),
    ] {
        let steps = plan(&fixture, "", statement).await;
        assert!(steps.iter().any(|step| step.contains(index)), "{index}\n{steps:#?}");
        assert!(!steps.iter().any(|step| is_step(step, "Seq Scan")), "{statement}\n{steps:#?}");
    }
}

/// Each filter has an index in the order of the list.
#[tokio::test]
async fn actions_are_listed_and_trimmed_by_their_index() {
    let fixture = fixture().await;
    let range = "(at >= $1) AND (ROW(at, id) < ROW($2, $3))";
    for (statement, index, condition) in [
        (actions_sql!("audit_all"), "at", format!("({range})")),
        (actions_sql!("audit_who"), "who", format!("((who = $5) AND {range})")),
        (actions_sql!("audit_what"), "what", format!("((what = $6) AND {range})")),
        (actions_sql!("audit_both"), "both", format!("((who = $5) AND (what = $6) AND {range})")),
        (sql!("audit_trim"), "at", "(at < $1)".to_owned()),
    ] {
        let steps = plan(&fixture, "", statement).await;
        let is_scan = |step: &String| step.contains(&format!("using lovage_audit_{index} on lovage_audit"));
        let at = steps.iter().position(is_scan);
        let at = at.unwrap_or_else(|| panic!("lovage_audit_{index} is not used:\n{steps:#?}"));
        assert_eq!(steps[at + 1], format!("Index Cond: {condition}"), "{steps:#?}");
        assert!(!steps.iter().any(|step| is_step(step, "Sort") || is_step(step, "Seq Scan")), "{steps:#?}");
    }
}

#[tokio::test]
async fn what_goes_by_id_or_time_reads_no_whole_table() {
    let fixture = fixture().await;
    for (statement, index) in [
        (rows_sql!("get"), "lovage_result_pkey"),
        (sql!("delete"), "lovage_result_pkey"),
        (sql!("history"), "lovage_result_pkey"),
        (sql!("record"), "lovage_result_pkey"),
        (sql!("expire"), "lovage_result_until"),
    ] {
        let steps = plan(&fixture, "", statement).await;
        assert!(steps.iter().any(|step| step.contains(&format!("on {index}")) || step.contains(&format!("using {index}"))), "{index}\n{steps:#?}");
        assert!(!steps.iter().any(|step| is_step(step, "Seq Scan")), "{steps:#?}");
        // That of another index would read most rows.
        for other in ["state", "finished", "task", "error"] {
            assert!(!steps.iter().any(|step| step.contains(&format!("lovage_result_{other}"))), "{steps:#?}");
        }
    }
}
