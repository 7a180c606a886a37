//! What must not change unseen: the description of the API, and who may what.

use std::fmt::Write as _;
use std::path::Path;

use crate::api::openapi::describe;
use crate::routes::table;

fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        same(&kept, found),
        "{name} changed: if that is meant, run the test with UPDATE_GOLDEN=1 and look at the diff"
    );
}

/// JSON is compared as such: another crate may ask `serde_json` to keep the order of fields.
fn same(kept: &str, found: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    kept == found || (value(kept).is_some() && value(kept) == value(found))
}

#[test]
fn the_description_of_the_api_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&describe("")).unwrap();
    let text = text.replace(concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\""), "\"version\": \"\"");
    check("openapi.json", &(text + "\n"));
}

#[test]
fn who_may_what_is_the_golden_list() {
    let mut text = String::new();
    for route in table() {
        let _infallible =
            writeln!(text, "{:8} {:4} {}", format!("{:?}", route.permission), route.method, route.path);
    }
    check("routes.txt", &text);
}

#[test]
fn paths_are_plain_and_stand_once() {
    let mut seen = std::collections::BTreeSet::new();
    for route in table() {
        assert!(seen.insert((route.path.clone(), route.method.as_str())), "{route:?} stands twice");
        assert!(route.what.ends_with('.'), "{route:?} says what it is in a sentence");
    }
}
