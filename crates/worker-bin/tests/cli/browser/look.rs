//! How every page looks, in light and dark, wide and narrow; who can use it without a mouse or without seeing it.
//!
//! Pictures of all pages go to `target/tmp/screenshots`, for people.

use std::collections::BTreeSet;
use std::path::Path;

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::driver::Screen;
use super::jobs::Site;
use crate::own::EVERY;
use crate::support::Bed;

/// What somebody hostile, or just unlucky, writes wherever text can be written.
const HOSTILE: &str = "<img/src=x/onerror=window.owned=1><script>window.owned=1</script>";

#[test]
fn wide_and_light() {
    look(Screen::WIDE);
}

#[test]
fn wide_and_dark() {
    look(Screen { dark: true, ..Screen::WIDE });
}

#[test]
fn narrow_and_light() {
    look(Screen::NARROW);
}

#[test]
fn narrow_and_dark() {
    look(Screen { dark: true, ..Screen::NARROW });
}

#[test]
fn everything_is_reached_by_the_keyboard_and_the_focus_is_seen() {
    let (site, pages) = filled(Screen::WIDE);
    for (name, path) in &pages {
        site.go(path);
        let wanted = site.browser.ask(FOCUSABLE);
        let wanted: BTreeSet<&str> = wanted.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let mut reached = BTreeSet::new();
        // Once around, and some more for what a live page brings meanwhile.
        for _ in 0..wanted.len() * 2 + 40 {
            site.browser.press(Key::Tab);
            let at = site.browser.ask(FOCUSED);
            let Some(element) = at["element"].as_str() else { continue };
            assert_eq!(at["seen"], json!(true), "{name}: the focus on {element} cannot be seen");
            reached.insert(element.to_owned());
            if wanted.iter().all(|wanted| reached.contains(*wanted)) {
                break;
            }
        }
        // What a live page took away meanwhile is not there to be reached.
        let left = site.browser.ask(FOCUSABLE);
        let is_left = |wanted: &str| left.as_array().unwrap().iter().any(|one| one == wanted);
        let missed: Vec<_> =
            wanted.iter().filter(|wanted| !reached.contains(**wanted) && is_left(wanted)).collect();
        assert!(missed.is_empty(), "{name}: the keyboard does not reach {missed:#?}\nbut {reached:#?}");
    }
    // And one thing is done by it.
    site.go("/queues");
    let mut at = Value::Null;
    while at != json!("Pause") {
        site.browser.press(Key::Tab);
        at = site.browser.ask("return document.activeElement.innerText");
    }
    site.browser.press(Key::Enter);
    site.browser.sees("paused");
}

#[test]
fn without_scripts_a_queue_is_paused_a_task_run_again_and_an_entry_made_by_fields() {
    let site = Site::open(Screen { scripts: false, ..Screen::WIDE });
    let failed = site.ended("failure", &["own.divide", "8", "0"]);
    let browser = &site.browser;
    browser.click("Queues");
    browser.click("Pause");
    browser.sees("paused");
    browser.click("Resume");
    browser.sees("Pause");
    site.go(&format!("/task?id={failed}"));
    browser.click("Delete");
    browser.sees("1 dead letter will be deleted");
    browser.click("No, go back");
    browser.sees("0 divides nothing");
    browser.click("Run it again, with these arguments or others");
    browser.write("y", "2");
    browser.write("Queue", "two words");
    browser.click("Run it again");
    browser.sees("queue name two words is not valid");
    browser.write("Queue", "default");
    browser.click("Run it again");
    browser.sees_at_last("SUCCESS");

    site.go("/schedule/new");
    browser.write("Name", "nightly");
    browser.write("Task", "own.divide");
    browser.click("Show the fields of this task");
    browser.write("x", "8");
    browser.write("y", "4");
    browser.write("Crontab", "30 2 * * *");
    browser.click("Save");
    browser.sees("every day at 02:30");
    assert_eq!(site.bed.json(&["schedule", "show", "nightly"])["args"], json!([8, 4]));
}

#[test]
fn on_a_phone_the_menu_is_a_button_and_what_is_done_to_a_selection_stays_on_the_screen() {
    let (site, _) = filled(Screen { height: 500, ..Screen::NARROW });
    let browser = &site.browser;
    for (path, button) in
        [("/finished", "delete-selected"), ("/dead", "retry-selected"), ("/schedules", "run-selected")]
    {
        site.go(path);
        let at_hand = format!(
            "const button = document.querySelector('[data-key={button}]'), {{left, right, top, bottom}} = button.getBoundingClientRect();
             return bottom <= innerHeight && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === button;"
        );
        assert_eq!(browser.ask(&at_hand), json!(false), "{path}: the list is longer than the screen");
        browser.ask("document.querySelector('td > [type=checkbox]').click(); scrollTo(0, 0);");
        browser.ask("document.querySelector('tbody tr').scrollIntoView();");
        assert_eq!(browser.ask(&at_hand), json!(true), "{path}");
    }
    site.go("/");
    let header = browser.ask("return document.querySelector('header').offsetHeight < 64");
    assert_eq!(header, json!(true), "the menu is one line");
    browser.ask("document.querySelector('.menu').focus();");
    browser.press(Key::Enter);
    browser.sees("Live tasks");
    browser.ask(&axe());
    assert_eq!(browser.ask_later(AXE), json!([]));
    while browser.ask("return document.activeElement.innerText") != json!("Queues") {
        browser.press(Key::Tab);
    }
    browser.press(Key::Escape);
    browser.finds("!document.querySelector('nav.main').checkVisibility() && document.activeElement.innerText === 'Menu'");

    // A click on an emulated phone needs scripts; this is as narrow as a window can be.
    let site = Site::open(Screen { width: 600, scripts: false, ..Screen::WIDE });
    site.browser.click("Menu");
    site.browser.click("Queues");
    site.browser.finds("location.pathname.endsWith('/queues')");
}

/// Goes through all pages.
fn look(screen: Screen) {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&pictures).unwrap();
    let axe = axe();
    let (site, pages) = filled(screen);
    let browser = &site.browser;
    let scheme = if screen.dark { "dark" } else { "light" };
    let mut faults = Vec::new();
    let mut see = |name: &str| {
        // What is folded is looked at, too.
        browser.ask("document.querySelectorAll('main details').forEach((part) => { part.open = true; })");
        browser.picture(&pictures.join(format!("{name}-{scheme}-{}.png", screen.width)));
        let mut found: Vec<Value> = browser.ask(LAYOUT).as_array().unwrap().clone();
        browser.ask(&axe);
        found.extend(browser.ask_later(AXE).as_array().unwrap().iter().cloned());
        if browser.ask("return window.owned ?? null") != Value::Null {
            found.push(json!("a script in a text ran"));
        }
        let is_dark = browser.ask("return matchMedia('(prefers-color-scheme: dark)').matches");
        assert_eq!(is_dark, json!(screen.dark), "the browser likes what it should like");
        faults.extend(found.iter().map(|fault| format!("{name}: {}", fault.as_str().unwrap_or_default())));
    };
    for (name, path) in &pages {
        site.go(path);
        see(name);
    }
    // What no address leads to.
    for (path, name) in [("/dead", "sure-dead"), ("/schedules", "sure-schedules")] {
        site.go(path);
        browser.ask(
            "document.querySelectorAll('td > [type=checkbox]').forEach((box) => { box.checked = true; })",
        );
        see(&format!("{name}-selected"));
        browser.click("Delete selected");
        browser.sees("No, go back");
        see(name);
    }
    site.go("/queue?name=default");
    browser.ask(
        "document.getElementById('purge').open = true; document.getElementById('place').value = 'delayed'",
    );
    browser.click("Remove them");
    browser.sees("To confirm, type: default");
    see("sure-purge");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// A site where something is on every page, and the pages with their names.
fn filled(screen: Screen) -> (Site, Vec<(&'static str, String)>) {
    let mut site = Site::of(Bed::new().with(EVERY, "2s"), screen);
    let failed = site.ended("failure", &["own.divide", "8", "0"]);
    site.ended("failure", &["own.greet", &format!("[\"{HOSTILE}\"]")]);
    site.ended("success", &["own.greet", HOSTILE]);
    let long = "long ".repeat(400);
    site.ended("success", &["own.greet", &long]);
    site.bed.ok(&["call", "own.flaky"]);
    site.bed.ok(&["call", "own.greet", HOSTILE, "--countdown", "1h"]);
    site.bed.ok(&["call", HOSTILE, HOSTILE, "--queue", "nobody-reads-this-queue-with-a-long-name"]);
    let running = site.bed.ok(&["call", "own.endless"]);
    site.worker.wait_for(&format!("{running} runs"));
    let add = ["schedule", "add", "nightly", "--task", "movies.tasks.add", "--crontab", "30 2 * * *"];
    site.bed.ok(&[&add[..], &["--zone", "Europe/Berlin", "--description", HOSTILE]].concat());
    let fired = |answer: &Value| {
        answer["slots"].as_array().unwrap().iter().any(|slot| slot["outcome"] == json!("fired"))
    };
    site.bed.until(&["schedule", "audit", "greet"], fired);
    let job = job(&site);
    let pages = [
        ("overview", "/".to_owned()),
        ("overview-week", "/?range=7d".to_owned()),
        ("queues", "/queues".to_owned()),
        ("queue", "/queue?name=default".to_owned()),
        ("tasks-delayed", "/tasks?place=delayed".to_owned()),
        ("tasks-leased", "/tasks?place=leased".to_owned()),
        ("task-running", format!("/task?id={running}")),
        ("task-failed", format!("/task?id={failed}")),
        ("finished", "/finished".to_owned()),
        ("finished-nothing", "/finished?error=nothing+has+this".to_owned()),
        ("dead", "/dead".to_owned()),
        ("jobs", "/jobs".to_owned()),
        ("job", job),
        ("workers", "/workers".to_owned()),
        ("registered", "/registered".to_owned()),
        ("registered-task", "/registered/task?name=own.divide".to_owned()),
        ("registered-unknown", "/registered/task?name=nobody.knows&range=7d".to_owned()),
        ("schedules", "/schedules".to_owned()),
        ("schedule", "/schedule?name=greet".to_owned()),
        ("audit", "/audit".to_owned()),
        ("audit-nothing", "/audit?who=nobody".to_owned()),
        ("schedule-new", "/schedule/new".to_owned()),
        ("schedule-new-fields", "/schedule/new?task=own.divide&args=[8,4]".to_owned()),
        ("schedule-new-unknown", "/schedule/new?task=own.divid".to_owned()),
        ("schedule-edit", "/schedule/edit?name=nightly".to_owned()),
        ("problem", "/queue?name=there-is-no-such-queue".to_owned()),
    ];
    (site, pages.to_vec())
}

/// The page of a job that met what it could not do: what was hidden from the results is not sent again.
fn job(site: &Site) -> String {
    site.ended("success", &["own.pay", "7", "a-card"]);
    site.go("/finished?task=own.pay");
    site.browser.click("Do something to all that match");
    site.browser.click("Run all that match again");
    site.browser.click("Run all of them again");
    site.browser.sees("1 could not be: an argument is [redacted]");
    site.browser.url().replace(&site.base, "")
}

/// The checker of accessibility, from npm.
fn axe() -> String {
    let path = std::env::var("LOVAGE_TEST_AXE")
        .expect("LOVAGE_TEST_AXE names axe.min.js: `cargo xtask test` sets it");
    std::fs::read_to_string(path).unwrap()
}

/// Serious faults that axe-core finds.
const AXE: &str = "
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then(
  (found) => done(found.violations
    .filter((fault) => ['serious', 'critical'].includes(fault.impact))
    .flatMap((fault) => fault.nodes.map((node) => `${fault.id}: ${fault.help}: ${node.html.slice(0, 200)} ${node.failureSummary}`))),
  (error) => done(['axe failed: ' + error]));
";

/// What overlaps, is cut, or does not fit on the screen; charts that say nothing.
const LAYOUT: &str = r#"
const faults = [];
const name = (element) => element.outerHTML.slice(0, 160);
const shown = (element) => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && element.getClientRects().length > 0;
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} wide on a screen of ${root.clientWidth}`);
for (const element of document.querySelectorAll('body *')) {
  if (!shown(element) || element.closest('svg, .away, .skip, caption')) continue;
  // What only screen readers are to find.
  if (element.clientWidth <= 1 && getComputedStyle(element).clipPath !== 'none') continue;
  const style = getComputedStyle(element);
  const cuts = ['hidden', 'clip'].includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
  if (cuts && style.textOverflow !== 'ellipsis') faults.push(`text is cut: ${name(element)}`);
  const box = element.getBoundingClientRect();
  if (box.right > root.clientWidth + 1 && !element.closest('.scroll, pre')) faults.push(`reaches out of the screen: ${name(element)}`);
}
const targets = [...document.querySelectorAll('main a, main button, main input, main select, main textarea, main summary, nav a, h1, h2, h3, main label')]
  .filter((element) => shown(element) && !element.closest('.away, .skip'));
for (let one = 0; one < targets.length; one++) for (let two = one + 1; two < targets.length; two++) {
  const [a, b] = [targets[one], targets[two]];
  if (a.contains(b) || b.contains(a)) continue;
  const hits = [...a.getClientRects()].some((x) => [...b.getClientRects()].some((y) =>
    Math.min(x.right, y.right) - Math.max(x.left, y.left) > 2 && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 2));
  if (hits) faults.push(`overlap: ${name(a)} and ${name(b)}`);
}
for (const chart of document.querySelectorAll('figure')) {
  const marks = chart.querySelectorAll('svg path, svg rect, svg polyline, svg circle').length;
  if (marks === 0 && !/[a-z]+ [a-z]+ [a-z]+/i.test(chart.innerText)) faults.push(`an empty chart says nothing: ${name(chart)}`);
}
return faults;
"#;

/// Everything that should be reached by the keyboard.
const FOCUSABLE: &str = r#"
const name = (element) => [element.tagName, element.id, element.name, element.getAttribute('href'), element.getAttribute('aria-label'), element.dataset.key, element.innerText].filter(Boolean).join(' ').slice(0, 120);
return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
  .filter((element) => !element.disabled && element.checkVisibility({checkVisibilityCSS: true}) && element.getClientRects().length > 0 && !element.closest('time'))
  .map(name);
"#;

/// Where the focus is, and whether somebody sees it.
const FOCUSED: &str = r#"
const name = (element) => [element.tagName, element.id, element.name, element.getAttribute('href'), element.getAttribute('aria-label'), element.dataset.key, element.innerText].filter(Boolean).join(' ').slice(0, 120);
const element = document.activeElement;
if (!element || element === document.body || element === document.documentElement) return {element: null};
const style = getComputedStyle(element);
const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
return {element: name(element), seen: outlined || style.boxShadow !== 'none'};
"#;
