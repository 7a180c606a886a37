//! The form of a schedule: a field for each argument of its task.

use axum::http::StatusCode;
use lovage_core::schedule::ScheduleStore as _;
use serde_json::json;

use super::site::{Answer, Browser, Site};

/// A parameter of each type that has a field of its own, and some that have not.
const SIGNATURE: &str = "(small: i8, big: u64, ratio: f64, on: bool, name: String, maybe: Option<i64>, list: Vec<u8>, \
                         order: shop::Order, copies: u8 = …) -> ()";
const VALUES: [(&str, &str); 9] = [
    ("arg:small", "-128"),
    ("arg:big", "18446744073709551615"),
    ("arg:ratio", "2.50"),
    ("arg:on", "false"),
    ("arg:name", " Ada \"<b>\" "),
    ("arg:maybe", ""),
    ("arg:list", "[1, 255]"),
    ("arg:order", r#"{"id": 7}"#),
    ("arg:copies", ""),
];
const SAVED: &str =
    r#"[-128, 18446744073709551615, 2.50, false, " Ada \"<b>\" ", null, [1, 255], {"id": 7}]"#;
const ENTRY: [(&str, &str); 6] = [
    ("form", "yes"),
    ("name", "nightly"),
    ("task", "all"),
    ("kind", "crontab"),
    ("expression", "0 3 * * *"),
    ("enabled", "on"),
];

async fn open() -> (Site, Browser) {
    let site = Site::new();
    site.registers(&[("all", SIGNATURE), ("greet", "(name: String) -> String")]).await;
    let ann = site.operator().await;
    (site, ann)
}

/// A form with these values; later ones come before `VALUES`.
async fn save(site: &Site, ann: &mut Browser, more: &[(&str, &str)]) -> Answer {
    let shown = [("signature", SIGNATURE), ("signature_of", "all")];
    let is_changed = |name: &str| more.iter().any(|(changed, _)| *changed == name);
    let usual = [&ENTRY[..], &shown, &VALUES].concat();
    let usual = usual.into_iter().filter(|(name, _)| !is_changed(name));
    let fields: Vec<(&str, &str)> = more.iter().copied().chain(usual).collect();
    ann.act(site, "/schedules/save", &fields).await
}

async fn arguments(site: &Site) -> (String, String) {
    let stored = site.schedules.get(&["nightly"]).await.unwrap().pop().unwrap().unwrap().unwrap();
    (stored.entry.args, stored.entry.kwargs)
}

#[tokio::test(flavor = "current_thread")]
async fn a_task_has_a_field_of_the_type_of_each_argument() {
    let (site, mut ann) = open().await;
    let empty = ann.get(&site, "/schedule/new").await;
    assert!(empty.says("<option value=\"greet\">") && empty.says("name=\"args\""), "{}", empty.text);
    let page = ann.get(&site, "/schedule/new?task=all").await;
    for part in [
        r#"name="arg:small" type="number" inputmode="numeric" step="1" min="-128" max="127" value="" required"#,
        r#"min="0" max="18446744073709551615""#,
        r#"name="arg:ratio" type="number" inputmode="decimal" step="any""#,
        r#"<select id="arg-3" name="arg:on" required"#,
        r#"<input id="arg-4" name="arg:name" value="""#,
        r#"<textarea id="arg-6" name="arg:list""#,
        "`i8`, -128 to 127",
        "`Option&lt;i64&gt;`; may be left empty<",
        "`u8`, 0 to 255; may be left empty, then the task's own default is taken",
        "`shop::Order`, as JSON",
    ] {
        assert!(page.says(part), "{part}: {}", page.text);
    }
    assert!(!page.says("name=\"args\""), "{}", page.text);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_written_into_the_fields_is_saved_and_comes_back() {
    let (site, mut ann) = open().await;
    let saved = save(&site, &mut ann, &[]).await;
    assert_eq!(saved.location(), "/schedule?name=nightly", "{}", saved.text);
    assert_eq!(arguments(&site).await, (SAVED.to_owned(), "{}".to_owned()));

    let edit = ann.get(&site, "/schedule/edit?name=nightly").await;
    for part in
        ["value=\"-128\"", "value=\"18446744073709551615\"", "value=\"2.50\"", "value=\"false\" selected"]
    {
        assert!(edit.says(part), "{part}: {}", edit.text);
    }
    assert!(
        edit.says("value=\" Ada &quot;&lt;b&gt;&quot; \"") && edit.says("\n[1, 255]</textarea>"),
        "{}",
        edit.text
    );

    let revision = edit.field("revision");
    let edited =
        save(&site, &mut ann, &[("revision", &revision), ("arg:maybe", "5"), ("arg:copies", "2")]).await;
    assert_eq!(edited.status, StatusCode::SEE_OTHER, "{}", edited.text);
    assert_eq!(arguments(&site).await.0, SAVED.replace("null", "5").replace("7}]", "7}, 2]"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_field_does_not_take_is_said_there_and_stays_in_it() {
    let (site, mut ann) = open().await;
    for (name, text, error) in [
        ("arg:small", "128", "expected a whole number from -128 to 127, found `128`"),
        ("arg:big", "-1", "expected a whole number from 0 to 18446744073709551615, found `-1`"),
        ("arg:small", "<b>", "found `&lt;b&gt;`"),
        ("arg:small", "", "expected a whole number from -128 to 127, found nothing"),
        ("arg:ratio", "much", "expected a number such as 2.5, found `much`"),
        ("arg:on", "perhaps", "expected true or false, found `perhaps`"),
        ("arg:maybe", "some", "found `some`"),
        ("arg:list", "[256]", "expected JSON for Vec&lt;u8&gt;, found `[256]`"),
        ("arg:order", "{", "expected JSON for shop::Order, found `{`"),
        ("arg:copies", "300", "expected a whole number from 0 to 255, found `300`"),
    ] {
        let answer = save(&site, &mut ann, &[(name, text)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {text}");
        let label = name.trim_start_matches("arg:");
        assert!(
            answer.says(error) && answer.says(&format!("not valid is `{label}`")),
            "{error}: {}",
            answer.text
        );
        let shown = text.replace('<', "&lt;").replace('>', "&gt;");
        let is_there = answer.text.contains(&format!("value=\"{shown}\""))
            || answer.text.contains(&format!("\n{shown}</textarea>"));
        assert!(is_there && answer.says("aria-invalid=\"true\""), "{name} {text}: {}", answer.text);
        assert!(answer.says("value=\"18446744073709551615\"") || name == "arg:big", "the others stay, too");
    }
    assert!(site.schedules.get(&["nightly"]).await.unwrap()[0].is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn json_that_the_task_does_not_take_is_refused_and_for_an_unknown_task_is_not_judged() {
    let (site, mut ann) = open().await;
    let with = |task, args| [&[("task", task), ("args", args), ("write_as", "json")][..], &ENTRY].concat();
    let refused = ann.act(&site, "/schedules/save", &with("greet", "[5]")).await;
    assert!(
        refused.says("`name` is not a valid String") && refused.says(">[5]</textarea>"),
        "{}",
        refused.text
    );
    let saved = ann.act(&site, "/schedules/save", &with("nobody.knows", "[5]")).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let edit = ann.get(&site, "/schedule/edit?name=nightly").await;
    assert!(
        edit.says("No live worker knows `nobody.knows`.") && edit.says(">[5]</textarea>"),
        "{}",
        edit.text
    );
    let csrf = ann.get(&site, "/").await.field("csrf");
    let mut program = ann.clone().with_header("x-csrf-token", &csrf);
    let entry = json!({ "name": "x", "task": "greet", "args": [5], "schedule": { "kind": "interval", "every": "1h" } });
    let refused = program.json(&site, "/api/v1/schedules/put", &entry).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("`name` is not a valid String"), "{}", refused.text);
}

#[tokio::test(flavor = "current_thread")]
async fn without_scripts_a_button_brings_the_fields_and_keeps_what_was_written() {
    let (site, mut ann) = open().await;
    let new = ann.get(&site, "/schedule/new").await;
    assert!(
        new.says("<noscript><button type=\"submit\" formaction=\"/schedule/form\" formnovalidate>"),
        "{}",
        new.text
    );
    let fields =
        [&[("task", "greet"), ("args", r#"["Ada"]"#), ("description", "for her")][..], &ENTRY].concat();
    let form = ann.act(&site, "/schedule/form", &fields).await;
    assert_eq!(form.status, StatusCode::OK);
    for part in ["name=\"arg:name\" value=\"Ada\"", "value=\"nightly\"", "for her", "value=\"0 3 * * *\""] {
        assert!(form.says(part), "{part}: {}", form.text);
    }
    let other = [
        ("task", "all"),
        ("signature", "(name: String) -> String"),
        ("signature_of", "greet"),
        ("arg:name", "Ada"),
    ];
    let saved = ann.act(&site, "/schedules/save", &[&other[..], &ENTRY].concat()).await;
    assert_eq!(saved.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        saved.says("were written for `greet`") && saved.says("name=\"arg:name\" value=\"Ada\""),
        "{}",
        saved.text
    );
}

#[tokio::test(flavor = "current_thread")]
async fn while_typing_fields_their_errors_and_the_next_runs_come() {
    let (site, mut ann) = open().await;
    let shown = [("signature", "(name: String) -> String"), ("signature_of", "greet"), ("arg:name", "Ada")];
    let every = [("task", "greet"), ("kind", "interval"), ("every", "1h")];
    let answer = ann.act(&site, "/schedule/preview", &[&shown[..], &every].concat()).await;
    assert!(answer.says("every hour") && answer.text.matches("<li><time").count() == 20, "{}", answer.text);
    assert!(
        answer.says("data-into=\"arguments\" data-look=\"greet (name: String) -&gt; String \""),
        "{}",
        answer.text
    );
    assert!(
        answer.says("value=\"Ada\"") && answer.says("<div data-into=\"arg-0-error\"></div>"),
        "{}",
        answer.text
    );
    let wrong = [("signature", "(small: i8) -> ()"), ("signature_of", "gone"), ("arg:small", "500")];
    let answer = ann.act(&site, "/schedule/preview", &[&wrong[..], &[("task", "gone")]].concat()).await;
    assert!(
        answer.says(
            "<div data-into=\"arg-0-error\">expected a whole number from -128 to 127, found `500`</div>"
        )
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_hostile_worker_says_of_itself_is_text() {
    let site = Site::new();
    let evil = "\"'><script>alert(1)</script>";
    site.registers(&[("evil", &format!("({evil}: {evil}, b: i64) -> ()")), (evil, "(x: i64) -> ()")]).await;
    let mut ann = site.operator().await;
    let is_text = |page: Answer| {
        assert!(!page.text.contains("<script>alert") && !page.text.contains("\"'>"), "{}", page.text);
        assert!(page.text.contains("&lt;script&gt;alert(1)"), "{}", page.text);
    };
    for path in ["/schedule/new?task=evil", "/schedule/new?task=x"] {
        is_text(ann.get(&site, path).await);
    }
    is_text(ann.act(&site, "/schedule/preview", &[("task", "evil"), ("arg:b", evil)]).await);
}
