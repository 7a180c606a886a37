//! What nobody may read: hidden arguments, passwords, links, ids of sessions, tokens of programs.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use futures_util::StreamExt as _;
use lovage_core::schedule::{Entry, Expected, Schedule, ScheduleStore as _};
use lovage_core::{
    Clock as _, DeadReason, Envelope, Note, Payload, RedactedArg, Reserve, ResultStore as _, Settle,
    Settlement, SlotWants, TaskId, TaskState, Token, WorkerId, WorkerInfo, render_arguments,
};
use lovage_testkit::{SeededEntropy, message, queue, record};
use serde_json::json;

use super::log::Log;
use super::site::{Browser, PASSWORD, Site};
use crate::pages::Url;
use crate::routes::{Handler, table};
use crate::{Access, Role, UserFile, Users};

const SECRET: &str = "4111222233334444";

fn envelope() -> Envelope {
    let mut envelope = Envelope::new("pay", Payload::Json(format!("{{\"card\":\"{SECRET}\",\"id\":7}}")));
    envelope.redacted = vec![RedactedArg { index: 0, name: "card".into() }];
    envelope
}

/// Messages in every place of a queue: dead, leased, ready, delayed.
async fn in_every_place(site: &Site, envelope: &Envelope) -> [TaskId; 4] {
    let (now, q) = (site.clock.now(), queue("q"));
    let build = |priority, delay| {
        message("q").envelope(envelope).priority(priority).delay(Duration::from_secs(delay)).build()
    };
    let (dead, leased, ready, delayed) = (build(9, 0), build(8, 0), build(1, 0), build(1, 600));
    let batch = [dead, leased, ready, delayed];
    site.broker.publish(&batch, None).await.unwrap();
    for token in [Token::from_bytes([1; 16]), Token::from_bytes([2; 16])] {
        let reserve = Reserve {
            queue: &q,
            want: SlotWants::any(1),
            token,
            lease: Duration::from_secs(600),
            suspects: true,
        };
        site.broker.reserve(reserve, None).await.unwrap();
    }
    let how = Settle::DeadLetter { reason: DeadReason::Exhausted, note: Note::new(now, "w", "no money") };
    let settled = [Settlement { id: batch[0].id, how }];
    site.broker.settle(&q, Token::from_bytes([1; 16]), &settled, None).await.unwrap();
    batch.map(|message| message.id)
}

/// A worker that runs nothing but this task.
async fn worker(site: &Site, task: serde_json::Value, active: &[serde_json::Value]) -> WorkerId {
    let info: WorkerInfo = serde_json::from_value(json!({
        "id": WorkerId::new(&SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1, "version": "1",
        "started_at": site.clock.now(), "mode": "running", "queues": ["q"], "concurrency": 1, "blocking": 1,
        "tasks": [task], "active": active, "reserved": 0, "succeeded": 0, "failed": 0,
    }))
    .unwrap();
    site.broker.heartbeat(&info, Duration::from_secs(600), None).await.unwrap();
    info.id
}

/// A task with a hidden argument in every place where a task can be; their ids.
async fn everywhere(site: &Site) -> Vec<String> {
    let now = site.clock.now();
    let live = in_every_place(site, &envelope()).await;
    let active = json!({ "id": live[1], "task": "pay", "queue": "q", "started_at": now });
    worker(site, json!({ "name": "pay", "signature": "(card: String, id: i64) -> ()" }), &[active]).await;
    let ended = [TaskState::Success, TaskState::Failure, TaskState::Retry].map(|state| {
        let mut ended = record(message("q").build().id, (1, 1, 1), state);
        ended.task = "pay".into();
        ended.arguments = render_arguments(&envelope().payload, &envelope().redacted);
        ended.finished_at = now;
        ended
    });
    site.results.record(&ended, None).await.unwrap();
    let ids = live.into_iter().chain(ended.iter().map(|one| one.id));
    ids.map(|id| id.to_string()).collect()
}

/// The same of a task that was sent by its name alone, so that only workers know what it hides, and those are gone; with a
/// row of a worker that did not know the task, and an entry of the schedule.
async fn by_name_alone(site: &Site, arguments: &str) -> Vec<String> {
    let task = json!({
        "name": "wire", "signature": "(id: i64, pin: String) -> ()", "redacted": [{ "index": 1, "name": "pin" }],
    });
    let gone = worker(site, task, &[]).await;
    site.broker.sign_off(gone).await.unwrap();
    let envelope = Envelope::new("wire", Payload::Json(arguments.to_owned()));
    let live = in_every_place(site, &envelope).await;
    let mut given_up = record(message("q").build().id, (1, 1, 1), TaskState::Failure);
    given_up.task = "wire".into();
    arguments.clone_into(&mut given_up.arguments);
    given_up.finished_at = site.clock.now();
    site.results.record(&[given_up.clone()], None).await.unwrap();
    let hour = Schedule::every(Duration::from_secs(3_600)).unwrap();
    let mut entry = Entry::new("q".parse().unwrap(), "wire".parse().unwrap(), hour);
    let field = if arguments.starts_with('[') { &mut entry.args } else { &mut entry.kwargs };
    arguments.clone_into(field);
    site.schedules.put(&entry, Expected::New, None).await.unwrap();
    live.into_iter().chain([given_up.id]).map(|id| id.to_string()).collect()
}

async fn scheduled(site: &Site) -> (String, String, i64) {
    let stored = site.schedules.get(&["q"]).await.unwrap().pop().unwrap().unwrap().unwrap();
    (stored.entry.args, stored.entry.kwargs, stored.revision)
}

/// Every page, every answer of the API, and every stream, for each of the tasks.
async fn read_everything(site: &Site, browser: &mut Browser, ids: &[String]) -> Vec<(String, String)> {
    let mut read = Vec::new();
    for route in table().iter().filter(|route| route.method == Method::GET && route.path != "/live") {
        let path = route.path.replace("{file}", "none.css");
        for id in ids {
            for place in ["ready", "delayed", "leased", "dead"] {
                let path = format!("{path}?id={id}&queue=q&name=q&place={place}");
                let answer = browser.get(site, &path).await;
                read.push((path.clone(), format!("{:?} {}", answer.headers, answer.text)));
                if matches!(route.handler, Handler::Page(_)) && place == "ready" {
                    let of = crate::pages::Url::new("", "/live").with("of", &path).to_string();
                    let stream = browser.open(site, Method::GET, &of, None, Body::empty()).await;
                    let first = stream.into_body().into_data_stream().next().await.unwrap().unwrap();
                    read.push((of, String::from_utf8(first.to_vec()).unwrap()));
                }
            }
        }
    }
    read
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_hidden_stays_hidden_on_every_page_in_the_api_and_in_the_log() {
    let site = Site::with_users();
    let (log, _guard) = Log::of_this_thread();
    let mut ids = everywhere(&site).await;
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let (mut vic, _) = site.log_in("vic", PASSWORD).await;
    // Copies of it: as it is, with another argument beside it, and with the secret typed again where it was not kept.
    for (id, card, other) in
        [(0, "[redacted]", "7"), (1, "[redacted]", "8"), (2, SECRET, "9"), (4, SECRET, "9"), (5, SECRET, "9")]
    {
        let page = ann.get(&site, &format!("/task?id={}", ids[id])).await;
        let mut fields = page.form("/tasks/again");
        for (name, text) in &mut fields {
            match name.as_str() {
                "arg:card" => card.clone_into(text),
                "arg:id" => other.clone_into(text),
                _ => {}
            }
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (&**name, &**text)).collect();
        // Neither where it comes back because something else is wrong, nor while it is typed.
        let bad = [&[("queue", "two words")][..], &fields].concat();
        for path in ["/tasks/again", "/tasks/again/form", "/tasks/again/preview"] {
            for write_as in ["fields", "json"] {
                let back = ann.act(&site, path, &[&[("write_as", write_as)][..], &bad].concat()).await;
                assert!(!back.text.contains(SECRET), "{path} as {write_as}: {}", back.text);
            }
        }
        let again = ann.post(&site, "/tasks/again", &fields).await;
        let new =
            again.location().strip_prefix("/task?id=").unwrap_or_else(|| panic!("{again:?}")).to_owned();
        ids.push(new);
    }
    for (path, id) in
        [("/tasks/promote", 3), ("/tasks/cancel", 2), ("/dead/retry", 0), ("/finished/again", 4)]
    {
        ann.act(&site, path, &[("id", &ids[id]), ("ids", &ids[id]), ("queue", "q")]).await;
    }
    let mut hidden = 0;
    for browser in [&mut ann, &mut vic] {
        for (path, text) in read_everything(&site, browser, &ids).await {
            assert!(!text.contains(SECRET), "{path}: {text}");
            hidden += usize::from(text.contains("[redacted]"));
        }
    }
    assert!(hidden > 100, "it is on {hidden} answers");
    assert!(!log.text().contains(SECRET), "{}", log.text());
}

#[tokio::test(flavor = "current_thread")]
async fn what_only_workers_that_are_gone_knew_to_be_hidden_stays_hidden() {
    for (arguments, field, shown) in [
        (format!("[7,\"{SECRET}\"]"), "args", r#"[8,"[redacted]"]"#),
        (format!("{{\"id\":7,\"pin\":\"{SECRET}\"}}"), "kwargs", r#"{"id":8,"pin":"[redacted]"}"#),
    ] {
        let site = Site::new();
        let (log, _guard) = Log::of_this_thread();
        let mut ids = by_name_alone(&site, &arguments).await;
        let mut ann = site.operator().await;
        // Copies of it have the marks themselves.
        for id in [0, 2] {
            let again = ann.act(&site, "/tasks/again", &[("id", &ids[id]), (field, shown)]).await;
            let new = again.location().strip_prefix("/task?id=").unwrap_or_else(|| panic!("{again:?}"));
            ids.push(new.to_owned());
            let copy = site.broker.find(new.parse().unwrap(), None).await.unwrap().unwrap();
            let copy = Envelope::decode(&copy.body).unwrap();
            assert_eq!(copy.payload, Payload::Json(shown.replace("[redacted]", SECRET)));
            assert_eq!(copy.shown(&[]), shown);
        }
        let mut hidden = 0;
        for (path, text) in read_everything(&site, &mut ann, &ids).await {
            assert!(!text.contains(SECRET), "{path}: {text}");
            hidden += usize::from(text.contains("[redacted]"));
        }
        assert!(hidden > 50, "it is on {hidden} answers");
        for path in ["/schedule", "/schedule/edit", "/api/v1/schedule"] {
            let answer = ann.get(&site, &format!("{path}?name=q")).await;
            assert!(answer.text.contains("[redacted]"), "{path}: {}", answer.text);
        }
        let search = Url::new("", "/api/v1/finished").with("arguments", &arguments).to_string();
        let found: serde_json::Value = serde_json::from_str(&ann.get(&site, &search).await.text).unwrap();
        assert_eq!(found["items"], json!([]), "a guess is not confirmed");
        assert!(!log.text().contains(SECRET), "{}", log.text());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_an_entry_hides_stays_as_it_was_where_it_is_sent_back_hidden() {
    let site = Site::new();
    by_name_alone(&site, &format!("[7,\"{SECRET}\"]")).await;
    let mut ann = site.operator().await;
    let revision = scheduled(&site).await.2.to_string();
    let form =
        [("form", "yes"), ("name", "q"), ("kind", "interval"), ("every", "2h"), ("revision", &revision)];
    let mut save =
        async |more: &[(&str, &str)]| ann.act(&site, "/schedules/save", &[&form, more].concat()).await;
    for (task, args) in [("wire", r#"["[redacted]",1]"#), ("show", r#"[7,"[redacted]"]"#)] {
        let refused = save(&[("task", task), ("args", args)]).await;
        assert!(refused.says("write it again") && !refused.text.contains(SECRET), "{}", refused.text);
    }
    let saved = save(&[("task", "wire"), ("args", r#"[8, "[redacted]"]"#)]).await;
    assert_eq!(saved.location(), "/schedule?name=q", "{}", saved.text);
    assert_eq!(scheduled(&site).await.0, format!("[8,\"{SECRET}\"]"));
    // By the field of its argument, while a worker lives.
    let signature = "(id: i64, pin: String) -> ()";
    site.registers(&[("wire", signature)]).await;
    let edit = ann.get(&site, "/schedule/edit?name=q").await;
    assert!(
        edit.says("name=\"arg:pin\" value=\"[redacted]\"") && !edit.text.contains(SECRET),
        "{}",
        edit.text
    );
    let revision = edit.field("revision");
    let form =
        [("form", "yes"), ("name", "q"), ("kind", "interval"), ("every", "3h"), ("revision", &revision)];
    let fields = [("task", "wire"), ("signature_of", "wire"), ("signature", signature)];
    let typed = [("arg:id", "9"), ("arg:pin", "[redacted]")];
    let saved = ann.act(&site, "/schedules/save", &[&form[..], &fields, &typed].concat()).await;
    assert_eq!(saved.location(), "/schedule?name=q", "{}", saved.text);
    let (args, kwargs, _) = scheduled(&site).await;
    assert_eq!((args.as_str(), kwargs.as_str()), (&*format!("[9,\"{SECRET}\"]"), "{}"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_typed_into_the_form_of_a_schedule_does_not_come_back_where_it_is_hidden() {
    let site = Site::new();
    let (log, _guard) = Log::of_this_thread();
    by_name_alone(&site, &format!("[7,\"{SECRET}\"]")).await;
    let signature = "(id: i64, pin: String) -> ()";
    site.registers(&[
        ("wire", signature),
        ("other", "(id: i64, pin: String) -> ()"),
        ("less", "(id: i64) -> ()"),
    ])
    .await;
    let mut ann = site.operator().await;
    let form = [("form", "yes"), ("name", "n"), ("kind", "interval"), ("every", "2h")];
    let of_wire = [("signature_of", "wire"), ("signature", signature), ("arg:id", "7"), ("arg:pin", SECRET)];
    let (list, map) = (format!("[\"{SECRET}\", oops"), format!("{{\"pin\":\"{SECRET}\"}}"));
    let twice = format!("{{\"id\":7,\"pin\":\"{SECRET}\",\"pin\":\"[redacted]\"}}");
    let sent: [&[(&str, &str)]; 6] = [
        // The fields of one task, and the name of another.
        &[&[("task", "wir")][..], &of_wire].concat(),
        &[&[("task", "other")][..], &of_wire].concat(),
        &[&[("task", "less")][..], &of_wire].concat(),
        &[("task", "wire"), ("args", &list)],
        &[("task", "wire"), ("args", "[1]"), ("kwargs", &map)],
        &[("task", "wire"), ("kwargs", &twice)],
    ];
    for fields in sent {
        for path in ["/schedules/save", "/schedule/form", "/schedule/preview"] {
            let answer = ann.act(&site, path, &[&form[..], fields].concat()).await;
            assert!(!answer.text.contains(SECRET), "{path} {fields:?}: {}", answer.text);
        }
    }
    // What is kept is too long where it takes the place of what was shown.
    let revision = scheduled(&site).await.2.to_string();
    let long = "x".repeat(lovage_core::limits::MESSAGE_DEFAULT - 20);
    let args = format!("[\"{long}\",\"[redacted]\"]");
    let fields = [("form", "yes"), ("name", "q"), ("task", "wire"), ("kind", "interval"), ("every", "2h")];
    let kept = [("revision", &*revision), ("args", &args)];
    let refused = ann.act(&site, "/schedules/save", &[&fields[..], &kept].concat()).await;
    assert!(refused.says("args is not valid: expected at most") && !refused.text.contains(SECRET));
    assert!(!log.text().contains(SECRET), "{}", log.text());
}

#[tokio::test(flavor = "current_thread")]
async fn a_guess_of_what_is_hidden_is_not_confirmed_by_what_is_done_to_all_that_match() {
    let site = Site::new();
    let arguments = format!("[7,\"{SECRET}\"]");
    by_name_alone(&site, &arguments).await;
    let mut ann = site.operator().await;
    for (path, confirm) in [("/finished/again", "yes"), ("/finished/delete", "delete")] {
        for more in [&[][..], &[("confirm", confirm)]] {
            let fields = [&[("all", "yes"), ("arguments", &*arguments)][..], more].concat();
            let answer = ann.act(&site, path, &fields).await;
            assert!(answer.status.is_redirection(), "{path} {more:?}: {}", answer.text);
            assert!(ann.get(&site, "/").await.says("no task that ended matches"), "{path} {more:?}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn while_nobody_can_say_what_is_hidden_all_is() {
    let site = Site::new();
    by_name_alone(&site, &format!("[7,\"{SECRET}\"]")).await;
    let mut ann = site.operator().await;
    site.faults.go_down();
    let entry = ann.get(&site, "/api/v1/schedule?name=q").await;
    assert!(entry.text.contains("[redacted]") && !entry.text.contains("[7"), "{}", entry.text);
    site.faults.come_back();
    assert!(ann.get(&site, "/api/v1/schedule?name=q").await.text.contains(r#"[7,"[redacted]"]"#));
    site.faults.go_down();
    assert!(ann.get(&site, "/api/v1/schedule?name=q").await.text.contains(r#"[7,"[redacted]"]"#));
}

#[tokio::test(flavor = "current_thread")]
async fn a_link_and_the_id_of_a_session_are_on_no_page_and_in_no_log() {
    let site = Site::new();
    let (log, _guard) = Log::of_this_thread();
    let ids = everywhere(&site).await;
    let link = site.links.link(([127, 0, 0, 1], 8410).into());
    let path = link.strip_prefix("http://127.0.0.1:8410").unwrap().to_owned();
    let token = path.split("token=").nth(1).unwrap().to_owned();
    let mut ann = Browser::default();
    let welcome = ann.get(&site, &path).await;
    assert_eq!((welcome.status, welcome.location()), (StatusCode::SEE_OTHER, "/"));
    let session = ann.cookies["lovage_session"].clone();
    let mut late = Browser::default();
    let mut read = read_everything(&site, &mut ann, &ids[..1]).await;
    read.push((path.clone(), late.get(&site, &path).await.text));
    for (path, text) in &read {
        assert!(!text.contains(&token) && !text.contains(&session), "{path}: {text}");
    }
    assert!(!log.text().contains(&token) && !log.text().contains(&session), "{}", log.text());
    let audit = format!("{:?}", site.audit().await);
    assert!(!audit.contains(&token) && !audit.contains(&session), "{audit}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_password_and_the_token_of_a_program_are_on_no_page_and_in_no_log() {
    let (mut users, entropy) = (Users::new(), SeededEntropy::new(5));
    let token = users.add_token("ci", Role::Operator, &entropy).unwrap();
    users.set_password("ann", Role::Operator, PASSWORD, &entropy).unwrap();
    let hash = users.to_string().lines().find(|line| line.starts_with("user ann")).unwrap().to_owned();
    let hash = hash.rsplit('$').next().unwrap().to_owned();
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    let (log, _guard) = Log::of_this_thread();
    let ids = everywhere(&site).await;
    let mut ci = Browser::program(&token);
    ci.json(&site, "/api/v1/queues/pause", &json!({ "queue": "q" })).await;
    let (_, wrong) = site.log_in("ann", "another wrong one").await;
    let (mut ann, welcome) = site.log_in("ann", PASSWORD).await;
    let mut read = read_everything(&site, &mut ci, &ids[..1]).await;
    read.extend(read_everything(&site, &mut ann, &ids[..1]).await);
    read.push(("a wrong password".into(), format!("{wrong:?}")));
    read.push(("a right one".into(), format!("{welcome:?}")));
    read.push(("the log".into(), log.text()));
    read.push(("the audit".into(), format!("{:?}", site.audit().await)));
    for (path, text) in &read {
        for secret in [token.as_str(), &token[7..], PASSWORD, "another wrong one", &hash] {
            assert!(!text.contains(secret), "{path} has {secret}: {text}");
        }
    }
}
