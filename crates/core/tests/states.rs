//! The diagram of states in the docs is generated from the function that decides them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::{Directive, Event, RetryPolicy, TaskState, transition};

fn events() -> Vec<(&'static str, Event)> {
    let fail = |directive, failed| Event::Fail { directive, failed, random: 0 };
    vec![
        ("due", Event::Due),
        ("a worker starts it", Event::Start),
        ("succeeds", Event::Succeed),
        ("fails, a retry is left", fail(Directive::Policy, 1)),
        ("fails, no retry is left", fail(Directive::Policy, 99)),
        ("fails permanently", fail(Directive::Permanent, 1)),
        ("discards itself", fail(Directive::Discard, 1)),
        ("blocks beyond its limit", Event::Stick),
        ("cancelled", Event::Revoke),
        ("not started in time", Event::Expire),
        ("given back", Event::GiveBack(Duration::ZERO)),
        ("given back for later", Event::GiveBack(Duration::from_secs(1))),
        ("its worker is lost", Event::LoseLease),
        ("lost too many workers", Event::Poison),
        ("nobody can run it", Event::GiveUp),
        ("nobody can read it", Event::Unreadable),
        ("run again", Event::RunAgain),
    ]
}

#[test]
fn the_diagram_in_the_docs_is_true() {
    let mut arrows = BTreeSet::new();
    for state in TaskState::ALL {
        for (words, event) in events() {
            if let Ok(step) = transition(state, event, &RetryPolicy::default()) {
                arrows.insert((state, step.state, words));
            }
        }
    }
    let mut text = String::from(
        "# States of a task\n\nGenerated from `transition` in `crates/core/src/state.rs` by its test; do not edit.\n\n```mermaid\nstateDiagram-v2\n    [*] --> pending: sent\n    [*] --> scheduled: sent with a delay\n",
    );
    for (from, to, words) in &arrows {
        writeln!(text, "    {} --> {}: {words}", from.as_str(), to.as_str()).unwrap();
    }
    text.push_str("```\n");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        stored, text,
        "docs/states.md is out of date: UPDATE_GOLDEN=1 cargo nextest run -p lovage-core"
    );
}
