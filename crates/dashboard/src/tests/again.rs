//! The form that runs a task again: a field for each argument, JSON where that is not possible.

use axum::http::StatusCode;
use lovage_core::{
    Envelope, Message, Page, Payload, Place, QueueName, RedactedArg, ResultStore as _, TaskId, TaskState,
};
use lovage_testkit::{message, queue, record};
use serde_json::json;

use super::site::{Answer, Browser, Site};

const DIVIDE: &str = "(x: i64, y: i64, note: Option<String>) -> i64";
const PAY: &str = "(card: u64, id: i64) -> ()";

/// Workers of the queue `q` know both tasks.
async fn open() -> (Site, Browser) {
    let site = Site::new();
    site.registers(&[("divide", DIVIDE), ("pay", PAY)]).await;
    let ann = site.operator().await;
    (site, ann)
}

/// A message in the queue `q` that nobody has taken yet.
async fn waits(site: &Site, envelope: &Envelope) -> Message {
    let sent = message("q").envelope(envelope).build();
    site.broker.publish(std::slice::from_ref(&sent), None).await.unwrap();
    sent
}

/// A task of which only the results know.
async fn ended(site: &Site, task: &str, arguments: &str) -> TaskId {
    let mut row = record(message("q").build().id, (1, 1, 1), TaskState::Failure);
    (row.task, row.arguments, row.queue) = (task.to_owned(), arguments.to_owned(), queue("q"));
    row.finished_at = site.parts().clock.now();
    site.results.record(std::slice::from_ref(&row), None).await.unwrap();
    row.id
}

fn pay(card: &str) -> Envelope {
    let mut envelope = Envelope::new("pay", Payload::Json(format!("[{card}, 7]")));
    envelope.redacted = vec![RedactedArg { index: 0, name: "card".to_owned() }];
    envelope
}

async fn page(site: &Site, ann: &mut Browser, id: TaskId) -> Answer {
    ann.get(site, &format!("/task?id={id}")).await
}

/// The form as a page has it, with other texts in some of its fields.
async fn send(site: &Site, ann: &mut Browser, shown: &Answer, path: &str, texts: &[(&str, &str)]) -> Answer {
    let form = shown.form("/tasks/again");
    let others = form.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let others = others.filter(|(name, _)| texts.iter().all(|(changed, _)| changed != name));
    let fields: Vec<(&str, &str)> = others.chain(texts.iter().copied()).collect();
    ann.post(site, path, &fields).await
}

async fn run(site: &Site, ann: &mut Browser, shown: &Answer, texts: &[(&str, &str)]) -> Answer {
    send(site, ann, shown, "/tasks/again", texts).await
}

/// What was sent, by the page that the answer leads to.
async fn sent(site: &Site, answer: &Answer) -> (QueueName, Envelope) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let id = answer.location().strip_prefix("/task?id=").unwrap().parse().unwrap();
    let found = site.broker.find(id, None).await.unwrap().unwrap();
    (found.queue, Envelope::decode(&found.body).unwrap())
}

fn json_of(envelope: &Envelope) -> &str {
    let Payload::Json(json) = &envelope.payload else { panic!("{envelope:?}") };
    json
}

/// How many tasks wait in the queue `q`.
async fn waiting(site: &Site) -> usize {
    site.broker.peek(&queue("q"), Place::Ready, Page::first(9)).await.unwrap().items.len()
}

#[tokio::test(flavor = "current_thread")]
async fn the_fields_have_what_the_task_was_sent_with_and_send_what_is_written() {
    let (site, mut ann) = open().await;
    for arguments in ["[8, 0]", r#"{"x": 8, "y": 0}"#] {
        let id = ended(&site, "divide", arguments).await;
        let shown = page(&site, &mut ann, id).await;
        for part in [
            r#"name="arg:x" type="number""#,
            r#"value="8" required"#,
            "`Option&lt;String&gt;`; may be left empty",
        ] {
            assert!(shown.says(part), "{part}: {}", shown.text);
        }
        assert!(!shown.says("name=\"args\"") && !shown.says("name=\"arguments\""), "{}", shown.text);
        let answer = run(&site, &mut ann, &shown, &[("arg:y", "2"), ("arg:note", "a \"b\"")]).await;
        let (into, envelope) = sent(&site, &answer).await;
        let json: serde_json::Value = serde_json::from_str(json_of(&envelope)).unwrap();
        let by_name = arguments.starts_with('{');
        let expected =
            if by_name { json!({ "x": 8, "y": 2, "note": "a \"b\"" }) } else { json!([8, 2, "a \"b\""]) };
        assert_eq!((into, json, envelope.task.as_str()), (queue("q"), expected, "divide"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_wrong_is_said_beside_its_field_and_nothing_that_was_typed_is_lost() {
    let (site, mut ann) = open().await;
    let id = ended(&site, "divide", "[8, 0]").await;
    let shown = page(&site, &mut ann, id).await;
    let texts = [("arg:x", "<eight>"), ("arg:y", "7"), ("arg:note", "for her"), ("queue", "other")];
    let mut back = run(&site, &mut ann, &shown, &texts).await;
    assert_eq!((back.status, waiting(&site).await), (StatusCode::UNPROCESSABLE_ENTITY, 0));
    assert!(back.says("not valid is `x`") && back.says("found `&lt;eight&gt;`</small>"), "{}", back.text);
    assert!(back.says("aria-invalid=\"true\""), "{}", back.text);
    let form = back.form("/tasks/again");
    for (name, text) in texts {
        assert!(form.contains(&(name.to_owned(), text.to_owned())), "{name}: {form:?}");
    }
    // From there it leads back to the task, and goes on.
    assert!(form.contains(&("back".to_owned(), format!("/task?id={id}"))), "{form:?}");
    for (name, wrong, why) in [
        ("queue", "two words", "queue name `two words` is not valid"),
        (
            "queue",
            "qq",
            "no live worker reads the queue `qq`, and nobody ever used it: start a worker of it first. Did you mean `q`?",
        ),
    ] {
        back = run(&site, &mut ann, &back, &[("arg:x", "8"), (name, wrong)]).await;
        assert_eq!((back.status, waiting(&site).await), (StatusCode::UNPROCESSABLE_ENTITY, 0));
        assert!(back.says(why) && back.says("not valid is the queue"), "{}", back.text);
        assert!(back.form("/tasks/again").contains(&(name.to_owned(), wrong.to_owned())));
    }
    let (_, envelope) = sent(&site, &run(&site, &mut ann, &back, &[("queue", "q")]).await).await;
    assert_eq!(json_of(&envelope), r#"[8,7,"for her"]"#);
    let kept = site.actions().await;
    assert_eq!(kept.len(), 1, "a form that comes back is no action yet: {kept:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_that_nobody_reads_is_told_of() {
    let (site, mut ann) = open().await;
    site.broker.publish(&[message("idle").build()], None).await.unwrap();
    let id = ended(&site, "divide", "[8, 2]").await;
    let shown = page(&site, &mut ann, id).await;
    let answer = run(&site, &mut ann, &shown, &[("queue", "idle")]).await;
    assert_eq!(sent(&site, &answer).await.0, queue("idle"));
    let page = ann.get(&site, answer.location()).await;
    assert!(page.says("in `idle`, which no live worker reads."), "{}", page.text);
}

#[tokio::test(flavor = "current_thread")]
async fn where_there_are_no_fields_json_comes_back_with_what_is_wrong() {
    let (site, mut ann) = open().await;
    let unknown = ended(&site, "nobody.knows", "[1]").await;
    let misfit = ended(&site, "divide", r#"["eight", 2]"#).await;
    for (id, note) in [(unknown, "No live worker knows `nobody.knows`"), (misfit, "`x` is not a valid i64")] {
        let shown = page(&site, &mut ann, id).await;
        assert!(shown.says(note) && shown.says("name=\"args\""), "{}", shown.text);
        for (args, kwargs, why) in [
            ("[1, <", "{}", "expected a JSON list, such as [16, 16]"),
            ("[]", "[3]", "expected a JSON object, such as {&quot;x&quot;: 16}"),
            ("[1]", r#"{"x": 2}"#, "some are by position and some by name"),
        ] {
            let back = run(&site, &mut ann, &shown, &[("args", args), ("kwargs", kwargs)]).await;
            assert_eq!(back.status, StatusCode::UNPROCESSABLE_ENTITY, "{args} {kwargs}");
            assert!(
                back.says(&format!("{why}</small>")) && back.says("aria-invalid"),
                "{why}: {}",
                back.text
            );
            let form = back.form("/tasks/again");
            assert!(form.contains(&("args".to_owned(), args.to_owned())), "{form:?}");
            assert!(form.contains(&("kwargs".to_owned(), kwargs.to_owned())), "{form:?}");
        }
    }
    let shown = page(&site, &mut ann, misfit).await;
    let back = run(&site, &mut ann, &shown, &[("args", "[8, true]")]).await;
    assert!(
        back.says("`divide` does not take these arguments") && back.says("`y` is not a valid i64</small>")
    );
    let emptied = page(&site, &mut ann, unknown).await;
    let answer = run(&site, &mut ann, &emptied, &[("args", ""), ("kwargs", "")]).await;
    assert_eq!(json_of(&sent(&site, &answer).await.1), "[]", "not those that it had");
}

#[tokio::test(flavor = "current_thread")]
async fn a_hidden_argument_stays_as_it_was_where_the_broker_has_it() {
    let (site, mut ann) = open().await;
    let waits = waits(&site, &pay("4111222233334444")).await;
    let shown = page(&site, &mut ann, waits.id).await;
    assert!(shown.form("/tasks/again").contains(&("arg:card".to_owned(), "[redacted]".to_owned())));
    let answer = run(&site, &mut ann, &shown, &[("arg:id", "8")]).await;
    let (_, envelope) = sent(&site, &answer).await;
    assert_eq!(json_of(&envelope), "[4111222233334444,8]");
    assert_eq!(envelope.redacted, pay("1").redacted);
    // Another one is taken, and never shown; where it cannot be taken, neither.
    let back = run(&site, &mut ann, &shown, &[("arg:card", "5105-1051"), ("arg:id", "9")]).await;
    assert!(!back.text.contains("5105") && back.says("found something else"), "{}", back.text);
    let back = run(&site, &mut ann, &back, &[("arg:card", "5105105105105100"), ("arg:id", "x")]).await;
    assert!(!back.text.contains("5105"), "{}", back.text);
    assert!(back.says("what was written is hidden and not shown again: write it again"), "{}", back.text);
    let form = back.form("/tasks/again");
    assert!(form.contains(&("arg:card".to_owned(), String::new())), "not the one before it: {form:?}");
    let empty = run(&site, &mut ann, &back, &[("arg:id", "9")]).await;
    assert!(empty.says("found nothing"), "{}", empty.text);
    let answer = run(&site, &mut ann, &back, &[("arg:card", "5105105105105100"), ("arg:id", "9")]).await;
    assert_eq!(json_of(&sent(&site, &answer).await.1), "[5105105105105100,9]");
}

#[tokio::test(flavor = "current_thread")]
async fn a_hidden_argument_that_was_not_kept_must_be_written_again_and_stays_hidden() {
    let (site, mut ann) = open().await;
    for arguments in [r#"["[redacted]", 7]"#, r#"{"card": "[redacted]", "id": 7}"#] {
        let id = ended(&site, "pay", arguments).await;
        let shown = page(&site, &mut ann, id).await;
        assert!(shown.form("/tasks/again").contains(&("arg:card".to_owned(), "[redacted]".to_owned())));
        let back = run(&site, &mut ann, &shown, &[]).await;
        assert_eq!(back.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(back.says("what stood here was not kept: write it again</small>"), "{}", back.text);
        let answer = run(&site, &mut ann, &back, &[("arg:card", "4111")]).await;
        let (_, envelope) = sent(&site, &answer).await;
        assert!(json_of(&envelope).contains("4111"));
        let page = ann.get(&site, answer.location()).await;
        assert!(!page.text.contains("4111") && page.says("[redacted]"), "{}", page.text);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn json_with_a_hidden_argument_comes_back_without_it() {
    let (site, mut ann) = open().await;
    let id = waits(&site, &pay("4111222233334444")).await.id;
    let shown = page(&site, &mut ann, id).await;
    let shown = send(&site, &mut ann, &shown, "/tasks/again/form", &[("write_as", "json")]).await;
    assert!(shown.form("/tasks/again").contains(&("args".to_owned(), r#"["[redacted]", 7]"#.to_owned())));
    for args in ["[5105, true]", "[5105, 7", r#"{"card": 5105}"#] {
        let back = run(&site, &mut ann, &shown, &[("args", args)]).await;
        assert_eq!(back.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!back.text.contains("5105") && !back.text.contains("4111"), "{args}: {}", back.text);
        assert!(back.says("What was written is not shown again"), "{args}: {}", back.text);
    }
    let back = run(&site, &mut ann, &shown, &[("args", r#"["[redacted]", "eight"]"#)]).await;
    assert!(
        back.form("/tasks/again").contains(&("args".to_owned(), r#"["[redacted]", "eight"]"#.to_owned()))
    );
    assert!(back.says("`id` is not a valid i64</small>"), "{}", back.text);
    let answer = run(&site, &mut ann, &back, &[("args", r#"["[redacted]", 8]"#)]).await;
    assert_eq!(json_of(&sent(&site, &answer).await.1), "[4111222233334444,8]");
}

#[tokio::test(flavor = "current_thread")]
async fn without_scripts_a_button_and_with_them_a_preview_bring_what_is_chosen() {
    let (site, mut ann) = open().await;
    let id = ended(&site, "divide", "[8, 0]").await;
    let shown = page(&site, &mut ann, id).await;
    assert!(shown.says("<noscript><button type=\"submit\" formaction=\"/tasks/again/form\" formnovalidate>"));
    let texts = [("write_as", "json"), ("arg:y", "3"), ("queue", "two words")];
    let form = send(&site, &mut ann, &shown, "/tasks/again/form", &texts).await;
    assert_eq!(form.status, StatusCode::OK);
    assert!(form.form("/tasks/again").contains(&("args".to_owned(), "[8, 3]".to_owned())), "{}", form.text);
    let fields = send(&site, &mut ann, &form, "/tasks/again/form", &[("write_as", "fields")]).await;
    assert!(fields.form("/tasks/again").contains(&("arg:y".to_owned(), "3".to_owned())), "{}", fields.text);

    let told = send(&site, &mut ann, &shown, "/tasks/again/preview", &texts).await;
    assert!(told.says("data-into=\"arguments\"") && told.says(">[8, 3]</textarea>"), "{}", told.text);
    assert!(told.says("queue name `two words` is not valid"), "{}", told.text);
    let told = send(&site, &mut ann, &shown, "/tasks/again/preview", &[("arg:y", "two")]).await;
    assert!(told.says("<div data-into=\"arg-1-error\">expected a whole number"), "{}", told.text);
    assert!(told.says("<div data-into=\"again-queue-error\"></div>"), "{}", told.text);
    assert_eq!(waiting(&site).await, 0);
    assert!(site.actions().await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn programs_are_told_the_same() {
    let (site, mut ann) = open().await;
    let id = ended(&site, "divide", "[8, 0]").await.to_string();
    let csrf = ann.get(&site, "/").await.field("csrf");
    let mut program = ann.clone().with_header("x-csrf-token", &csrf);
    let path = "/api/v1/tasks/again";
    for (body, why) in [
        (json!({ "id": id, "arguments": "[8" }), "write them as [16, 16]"),
        (json!({ "id": id, "arguments": [8, "two"] }), "`y` is not a valid i64"),
        (json!({ "id": id, "arguments": { "x": 8 } }), "`y` is missing"),
        (json!({ "id": id, "queue": "qq" }), "Did you mean `q`?"),
    ] {
        let refused = program.json(&site, path, &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        assert!(refused.text.contains(why), "{why}: {}", refused.text);
    }
    assert_eq!(waiting(&site).await, 0);
    let done = program.json(&site, path, &json!({ "id": id, "arguments": [8, 2] })).await;
    assert_eq!((done.status, waiting(&site).await), (StatusCode::OK, 1), "{}", done.text);
}

#[tokio::test(flavor = "current_thread")]
async fn arguments_that_are_not_json_are_sent_as_they_were() {
    let (site, mut ann) = open().await;
    let payload = Payload::Postcard { fingerprint: 7, bytes: vec![1, 2, 3] };
    let id = waits(&site, &Envelope::new("divide", payload.clone())).await.id;
    let shown = page(&site, &mut ann, id).await;
    assert!(shown.says("Its arguments are not JSON") && !shown.says("name=\"args\""), "{}", shown.text);
    assert_eq!(sent(&site, &run(&site, &mut ann, &shown, &[]).await).await.1.payload, payload);
}
