//! What somebody does on an open page outlives its updates, which change what has changed and nothing else.

use serde_json::{Value, json};

use super::driver::Screen;
use super::jobs::Site;

/// So that tables are wider than the screen.
const SCREEN: Screen = Screen { width: 800, ..Screen::WIDE };

/// The row of a queue that nobody reads, and its number of tasks that wait.
const UNREAD: &str = "document.querySelector('tr[data-key=unread]')";
const WAITING: &str = "document.querySelector('tr[data-key=unread] [data-label=Waiting]')";

/// One more task for a queue that nobody reads.
fn send(site: &Site) {
    site.bed.ok(&["call", "own.greet", "Ada", "--queue", "unread"]);
}

#[test]
fn a_selection_the_sideways_scroll_and_what_is_hovered_stay_while_numbers_change() {
    let site = Site::open(SCREEN);
    send(&site);
    site.go("/queues");
    let browser = &site.browser;
    browser.ask(&format!(
        "document.querySelector('.scroll').scrollLeft = 60;
         window.row = {UNREAD};
         getSelection().selectAllChildren(row.querySelector('a'));"
    ));
    send(&site);
    browser.finds(&format!("{WAITING}.innerText === '2'"));
    let left = browser.ask(&format!(
        "return [getSelection().toString(), document.querySelector('.scroll').scrollLeft, window.row === {UNREAD}]"
    ));
    assert_eq!(left, json!(["unread", 60, true]));
}

#[test]
fn what_is_selected_does_not_change_until_it_is_selected_no_more() {
    let site = Site::open(SCREEN);
    send(&site);
    site.go("/queues");
    let browser = &site.browser;
    browser.ask(&format!("getSelection().selectAllChildren({WAITING});"));
    send(&site);
    browser.sees("Waits while you select");
    assert_eq!(browser.ask("return getSelection().toString()"), json!("1"));
    browser.ask("getSelection().removeAllRanges();");
    browser.finds(&format!("{WAITING}.innerText === '2'"));
    browser.sees_no_more("Waits while you select");
}

#[test]
fn boxes_stay_checked_and_the_one_for_all_of_them_knows_those_that_come() {
    let site = Site::open(Screen::WIDE);
    let ids = ["1", "2", "3"].map(|divisor| site.ended("failure", &["own.divide", divisor, "0"]));
    site.go("/dead");
    let browser = &site.browser;
    let middle = format!("document.querySelector('[value=\"{}\"]')", ids[1]);
    browser.ask(&format!("{middle}.click();"));
    let state = "const all = document.querySelector('[data-all]'); return [all.checked, all.indeterminate];";
    assert_eq!(browser.ask(state), json!([false, true]));
    let checked = "document.querySelectorAll('[name=ids]:checked').length";
    for (divisor, present) in [("4", 4), ("5", 5)] {
        site.ended("failure", &["own.divide", divisor, "0"]);
        browser.finds(&format!("document.querySelectorAll('[name=ids]').length === {present}"));
        assert_eq!(browser.ask(&format!("return [{checked}, {middle}.checked]")), json!([1, true]));
    }
    browser.ask("document.querySelector('[data-all]').click();");
    assert_eq!(browser.ask(&format!("return {checked}")), json!(5));
    site.ended("failure", &["own.divide", "6", "0"]);
    browser.finds("document.querySelectorAll('[name=ids]').length === 6");
    assert_eq!(browser.ask(state), json!([false, true]), "one that came is not checked");
}

#[test]
fn a_row_that_goes_takes_the_focus_with_it_and_others_keep_it() {
    let site = Site::open(Screen::WIDE);
    let first = site.ended("failure", &["own.divide", "8", "0"]);
    let second = site.ended("failure", &["own.greet", "[1]"]);
    let third = site.ended("failure", &["own.pay", "much", "card"]);
    site.go("/dead");
    let browser = &site.browser;
    let focused =
        "return document.activeElement.closest('tr')?.dataset.key ?? document.activeElement.tagName";
    let group = |task: &str| format!("document.querySelector('tr[data-key=\"permanent {task}\"]')");
    let focus = |task: &str| browser.ask(&format!("{}.querySelector('[data-key]').focus();", group(task)));
    let goes = |id: &str, task: &str| {
        site.bed.ok(&["dead", "delete", id]);
        browser.finds(&format!("!{}", group(task)));
    };
    focus("own.pay");
    goes(&first, "own.divide");
    assert_eq!(browser.ask(focused), json!("permanent own.pay"));
    focus("own.greet");
    goes(&second, "own.greet");
    assert_eq!(browser.ask(focused), json!("BODY"), "it is on no other row's button");
    goes(&third, "own.pay");
    browser.sees("has no dead letters");
}

#[test]
fn an_update_touches_what_differs_only_and_what_is_open_stays_open() {
    let site = Site::open(Screen::WIDE);
    site.go("/workers");
    let browser = &site.browser;
    browser.finds("document.querySelector('main details[id^=tasks-]')");
    browser.ask(
        "const details = document.querySelector('main details[id^=tasks-]');
         details.open = true;
         window.seen = [];
         new MutationObserver((records) => records.forEach(({type, target}) => {
           const one = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
           seen.push(type + ' ' + one.tagName);
         })).observe(document.getElementById('live'), {subtree: true, childList: true, characterData: true, attributes: true});",
    );
    site.ended("success", &["own.divide", "8", "4"]);
    browser.sees("1 succeeded");
    let seen = browser.ask("return [...new Set(seen)].sort()");
    let seen: Vec<&str> = seen.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // Ages, what the worker says of itself, and what it could not measure at first.
    let meant = ["characterData TIME", "attributes TIME", "characterData DD", "childList DL"];
    assert!(seen.iter().all(|change| meant.contains(change)), "{seen:?}");
    assert_eq!(browser.ask("return document.querySelector('main details[id^=tasks-]').open"), json!(true));
}
