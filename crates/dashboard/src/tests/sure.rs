//! What is destructive or big is asked about first.

use std::time::Duration;

use axum::http::StatusCode;
use lovage_core::schedule::{Entry, Schedule, ScheduleStore as _};
use lovage_core::{
    Clock as _, DeadReason, Envelope, Note, Payload, Reserve, ResultStore as _, Settle, Settlement,
    SlotWants, Source, TaskId, TaskState, Token,
};
use lovage_testkit::{SeededEntropy, message, queue, record};
use serde_json::json;

use super::site::{Browser, Site};
use crate::{Access, Role, UserFile, Users};

/// Dead letters of these tasks in the queue `q`.
async fn bury(site: &Site, tasks: &[&str]) -> Vec<String> {
    let letter = |task: &&str| message("q").envelope(&Envelope::new(*task, Payload::empty())).build();
    let batch: Vec<_> = tasks.iter().map(letter).collect();
    site.broker.publish(&batch, None).await.unwrap();
    let (q, token) = (queue("q"), Token::new(&SeededEntropy::new(7)));
    let reserve = Reserve {
        queue: &q,
        want: SlotWants::any(256),
        token,
        lease: Duration::from_secs(60),
        suspects: true,
    };
    site.broker.reserve(reserve, None).await.unwrap();
    let note = Note::new(site.clock.now(), "w", "no such account");
    let how = Settle::DeadLetter { reason: DeadReason::Permanent, note };
    let ends: Vec<_> = batch.iter().map(|dead| Settlement { id: dead.id, how: how.clone() }).collect();
    site.broker.settle(&q, token, &ends, None).await.unwrap();
    batch.iter().map(|message| message.id.to_string()).collect()
}

async fn dead(site: &Site) -> u64 {
    site.broker.depth(&queue("q"), None).await.unwrap().dead
}

#[tokio::test(flavor = "current_thread")]
async fn a_question_says_what_will_happen_and_does_nothing_until_the_answer() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let ids = bury(&site, &["pay", "pay", "mail", "kept"]).await;
    let back = "/dead?queue=q&after=x";
    let mut fields: Vec<(&str, &str)> = ids[..3].iter().map(|id| ("ids", id.as_str())).collect();
    fields.extend([("queue", "q"), ("back", back)]);
    let asked = ann.act(&site, "/dead/delete", &fields).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.says("What was selected in `q`: 3 dead letters will be deleted"), "{}", asked.text);
    for (task, number) in [("pay", 2), ("mail", 1)] {
        let (_, row) =
            asked.text.split_once(&format!("<div>{task}</div>")).unwrap_or_else(|| panic!("{task}"));
        let row = row.split("</tr>").next().unwrap();
        let is_told = row.contains("<div>permanent</div>") && row.contains(&format!("<div>{number}</div>"));
        assert!(is_told, "{task}: {}", asked.text);
    }
    assert!(asked.says("href=\"/dead?queue=q&amp;after=x\">No, go back"), "{}", asked.text);
    assert_eq!(dead(&site).await, 4);
    assert_eq!(site.actions().await.len(), 0, "nothing was done, so nothing is in the audit");

    let done = ann.mean(&site, "/dead/delete", &fields).await;
    assert_eq!(done.location(), back);
    assert!(ann.get(&site, back).await.says("3 of the dead letters of `q` were deleted."));
    assert_eq!((dead(&site).await, site.actions().await.len()), (1, 1));
    // What is gone is not asked about.
    ann.act(&site, "/dead/delete", &fields).await;
    assert!(ann.get(&site, "/dead").await.says("none of these is a dead letter of `q` any more"));
}

#[tokio::test(flavor = "current_thread")]
async fn the_form_of_a_question_has_all_that_was_asked_for_and_leads_nowhere_else() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let rows = [7, 8].map(|byte| {
        let mut row = record(TaskId::from_bytes([byte; 16]), (1, 1, 1), TaskState::Failure);
        row.finished_at = site.clock.now();
        row
    });
    site.results.record(&rows, None).await.unwrap();
    site.clock.advance(Duration::from_secs(1));
    let fields = [
        ("all", "yes"),
        ("state", "failure"),
        ("state", "success"),
        ("worker", rows[0].worker.as_str()),
        ("since", "2h"),
        ("task", ""),
        ("back", "//evil.example"),
    ];
    let asked = ann.act(&site, "/finished/again", &fields).await;
    for field in [
        "name=\"state\" value=\"failure\"",
        "name=\"state\" value=\"success\"",
        "name=\"since\" value=\"2h\"",
        "name=\"all\" value=\"yes\"",
        "2 tasks will be sent again",
        "href=\"/\">No, go back",
    ] {
        assert!(asked.says(field), "{field}: {}", asked.text);
    }
    assert_eq!(asked.text.matches("name=\"csrf\"").count(), 2, "the form's, and that of the logout");
    assert!(!asked.says("href=\"//evil"), "{}", asked.text);
    assert!(ann.mean(&site, "/finished/again", &fields).await.location().starts_with("/job?id="));
}

#[tokio::test(flavor = "current_thread")]
async fn of_very_many_it_is_said_how_many_there_are_at_least() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let rows: Vec<_> = (0..1_300_u16)
        .map(|number| {
            let mut bytes = [1; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            let mut row = record(TaskId::from_bytes(bytes), (1, 1, 1), TaskState::Failure);
            row.finished_at = site.clock.now();
            row
        })
        .collect();
    site.results.record(&rows, None).await.unwrap();
    site.clock.advance(Duration::from_secs(1));
    let asked = ann.act(&site, "/finished/delete", &[("all", "yes")]).await;
    assert!(asked.says("All finished tasks: at least 1,000 results will be deleted"), "{}", asked.text);
    assert!(asked.says("Of the newest") && asked.says("<div>1,000</div>"), "{}", asked.text);
}

#[tokio::test(flavor = "current_thread")]
async fn an_entry_that_a_program_makes_again_is_said_to_be_one() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.add_entry("mine", "0 3 * * *").await;
    let entry = Entry::new(
        "theirs".parse().unwrap(),
        "test.task".parse().unwrap(),
        Schedule::every(Duration::from_secs(60)).unwrap(),
    );
    site.schedules.merge(&Source::new("shop").unwrap(), &[entry], None).await.unwrap();
    let asked = ann.act(&site, "/schedules/delete", &[("name", "mine")]).await;
    assert!(asked.says("1 schedule will be deleted") && !asked.says("makes those again"), "{}", asked.text);
    let asked = ann.act(&site, "/schedules/delete", &[("name", "mine"), ("name", "theirs")]).await;
    assert!(asked.says("2 schedules will be deleted") && asked.says("makes those again"), "{}", asked.text);
    assert_eq!(ann.act(&site, "/schedules/delete", &[("name", "none")]).await.location(), "/");
    assert_eq!(site.schedules.get(&["mine", "theirs"]).await.unwrap().iter().flatten().count(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_named_is_retried_without_a_question_and_programs_are_asked_nothing() {
    let (mut users, entropy) = (Users::new(), SeededEntropy::new(5));
    let token = users.add_token("ci", Role::Operator, &entropy).unwrap();
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    let ids = bury(&site, &["pay", "mail"]).await;
    let mut program = Browser::program(&token);
    let body = json!({ "queue": "q", "ids": [ids[0]] });
    for path in ["/api/v1/dead/retry", "/api/v1/dead/delete"] {
        let body =
            if path.ends_with("retry") { body.clone() } else { json!({ "queue": "q", "ids": [ids[1]] }) };
        let answer = program.json(&site, path, &body).await;
        assert!(answer.status == StatusCode::OK && answer.text.contains("\"count\":1"), "{}", answer.text);
    }
    let site = Site::new();
    let mut ann = site.operator().await;
    let ids = bury(&site, &["pay"]).await;
    let fields = [("queue", "q"), ("ids", ids[0].as_str()), ("back", "/dead")];
    assert_eq!(ann.act(&site, "/dead/retry", &fields).await.location(), "/dead");
    assert_eq!(dead(&site).await, 0);
}
