//! What a form shows for arguments, and what is saved of it.

use super::*;

fn registered(name: &str, signatures: &[&str]) -> Registered {
    let signatures = signatures.iter().map(|signature| (*signature).to_owned()).collect();
    Registered { name: name.to_owned(), signatures, queue: None, workers: Vec::new(), running: 0 }
}

fn tasks() -> Vec<Registered> {
    vec![
        registered("greet", &["(name: String) -> String"]),
        registered("divide", &["(x: i64, y: i64) -> i64"]),
        registered(
            "send",
            &["(to: String, copies: u8 = …, subject: Option<String>, when: Option<u64>) -> ()"],
        ),
        registered("torn", &["(x: i64) -> i64", "(x: String) -> i64"]),
        registered("old", &["x, y"]),
    ]
}

fn input(fields: &[(&str, &str)]) -> Input {
    Input::new(fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

/// What is shown, as `name=text` or as JSON.
fn shown(fields: &[(&str, &str)]) -> (String, Option<String>) {
    let Arguments { shape, note } = Arguments::of(&input(fields), &tasks(), Unseen::default());
    let shown = match shape {
        Shape::Fields(typed) => {
            let fields = typed.fields.iter().map(|field| format!("{}={}", field.param.name, field.text));
            fields.collect::<Vec<_>>().join(" ")
        }
        Shape::Json { json, .. } => format!("{} {}", json.args, json.kwargs),
    };
    (shown, note)
}

/// What is saved after the form of an entry was opened, with other texts in some fields.
fn saved(task: &str, json: (&str, &str), texts: &[(&str, &str)]) -> Result<(String, String), String> {
    let opened = Arguments::of(
        &input(&[("task", task), ("args", json.0), ("kwargs", json.1)]),
        &tasks(),
        Unseen::default(),
    );
    let Shape::Fields(typed) = opened.shape else { return Err(format!("JSON: {:?}", opened.note)) };
    let mut sent: Vec<(String, String)> =
        texts.iter().map(|(name, text)| (format!("{ARGUMENT}{name}"), (*text).to_owned())).collect();
    // Of a field that is there twice the first counts, but an empty one does not count as one.
    let changed: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
    let others = typed.fields.iter().filter(|field| !changed.contains(&field.param.name.as_str()));
    sent.extend(others.map(|field| (format!("{ARGUMENT}{}", field.param.name), field.text.clone())));
    sent.extend(
        [("task", task), (OF, task), (SIGNATURE, &typed.signature)]
            .map(|(name, text)| (name.to_owned(), text.to_owned())),
    );
    sent.extend(typed.by_name.then(|| (BY_NAME.to_owned(), "yes".to_owned())));
    Arguments::settled(&Input::new(sent), &tasks(), Unseen::default()).map(|json| (json.args, json.kwargs))
}

#[test]
fn a_known_task_has_a_field_for_each_argument() {
    assert_eq!(shown(&[("task", "divide")]), ("x= y=".to_owned(), None));
    assert_eq!(shown(&[("task", "divide"), ("args", "[8, 4]")]), ("x=8 y=4".to_owned(), None));
    assert_eq!(shown(&[("task", "divide"), ("kwargs", r#"{"y": 4}"#)]), ("x= y=4".to_owned(), None));
}

#[test]
fn json_stays_where_fields_cannot_be_and_says_why() {
    for (fields, json, why) in [
        (&[("args", "[1]")][..], "[1] {}", "With a task that live workers know"),
        (&[("task", "divid"), ("args", "[1]")], "[1] {}", "did you mean `divide`?"),
        (&[("task", "torn"), ("args", "[1]")], "[1] {}", "disagree on what `torn` takes"),
        (&[("task", "old"), ("args", "[1]")], "[1] {}", "not understood here: `x, y`"),
        (&[("task", "divide"), ("args", r#"["a", 1]"#)], r#"["a", 1] {}"#, "`x` is not a valid i64"),
        (&[("task", "divide"), ("args", "[1, 2, 3]")], "[1, 2, 3] {}", "too many arguments"),
        (&[("task", "divide"), ("args", "[1, 2")], "[1, 2 {}", "neither a JSON list"),
    ] {
        let (shown, note) = shown(fields);
        assert_eq!(shown, json);
        assert!(note.as_ref().is_some_and(|note| note.contains(why)), "{fields:?}: {note:?}");
    }
    assert!(
        Arguments::of(&input(&[("task", "x")]), &[], Unseen::default())
            .note
            .unwrap()
            .contains("No worker is alive")
    );
    assert_eq!(
        shown(&[("task", "divide"), (WRITE_AS, "json"), ("args", "[1, 2]")]),
        ("[1, 2] {}".to_owned(), None)
    );
}

#[test]
fn what_was_opened_and_not_changed_is_saved_as_it_was() {
    for (task, args, kwargs) in [
        ("divide", "[8, 4]", "{}"),
        ("divide", "[]", r#"{"x": 8, "y": 4}"#),
        ("greet", r#"[" Ada\n"]"#, "{}"),
        ("send", r#"["a"]"#, "{}"),
        ("send", r#"["a", 2, null, 5]"#, "{}"),
        ("send", "[]", r#"{"to": "a", "when": 5}"#),
    ] {
        assert_eq!(saved(task, (args, kwargs), &[]), Ok((args.to_owned(), kwargs.to_owned())), "{task}");
    }
}

#[test]
fn what_is_left_out_has_no_place_by_position() {
    let filled = |texts| saved("send", ("[]", "{}"), texts);
    assert_eq!(filled(&[("to", "a")]), Ok((r#"["a"]"#.to_owned(), "{}".to_owned())));
    assert_eq!(
        filled(&[("to", "a"), ("copies", "2"), ("when", "5")]),
        Ok((r#"["a", 2, null, 5]"#.to_owned(), "{}".to_owned()))
    );
    let gap = filled(&[("to", "a"), ("when", "5")]);
    assert_eq!(gap, Ok(("[]".to_owned(), r#"{"to": "a", "when": 5}"#.to_owned())));
}

#[test]
fn what_is_wrong_is_not_saved_and_not_lost() {
    let wrong = saved("divide", ("[8, 4]", "{}"), &[("y", "four")]).unwrap_err();
    assert_eq!(wrong, "not valid is `y`");
    let fields = [
        ("task", "divide"),
        (OF, "divide"),
        (SIGNATURE, "(x: i64, y: i64) -> i64"),
        ("arg:x", "8"),
        ("arg:y", "four"),
    ];
    assert_eq!(shown(&fields).0, "x=8 y=four");
    let as_json = [&fields[..], &[(WRITE_AS, "json")]].concat();
    assert_eq!(shown(&as_json).0, r#"[8, "four"] {}"#);
}

#[test]
fn another_task_takes_over_what_has_the_same_name() {
    let fields = [(OF, "divide"), (SIGNATURE, "(x: i64, y: i64) -> i64"), ("arg:x", "8"), ("arg:y", "4")];
    let to = |task| [&fields[..], &[("task", task)]].concat();
    let (shown_fields, note) = shown(&to("greet"));
    assert_eq!(shown_fields, "name=");
    assert_eq!(note.unwrap(), "greet does not take `x`, which was `8` and `y`, which was `4`.");
    assert_eq!(shown(&to("gree")).0, "[8, 4] {}");
    let refused = Arguments::settled(&input(&to("greet")), &tasks(), Unseen::default()).unwrap_err();
    assert!(refused.contains("were written for `divide`"), "{refused}");
}

#[test]
fn workers_that_go_or_change_meanwhile_are_noticed() {
    let fields = [("task", "divide"), (OF, "divide"), (SIGNATURE, "(x: u8) -> u8"), ("arg:x", "8")];
    let changed = Arguments::settled(&input(&fields), &tasks(), Unseen::default()).unwrap_err();
    assert!(changed.contains("takes other arguments meanwhile"), "{changed}");
    let gone = Arguments::settled(&input(&fields), &[], Unseen::default()).unwrap();
    assert_eq!(gone, Json { args: "[8]".to_owned(), kwargs: "{}".to_owned() });
    assert!(matches!(Arguments::of(&input(&fields), &[], Unseen::default()).shape, Shape::Fields(_)));
}
