//! The eleven jobs.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::driver::{Browser, Screen};
use crate::own::EVERY;
use crate::support::{Bed, Running};

/// A worker with the tasks of `own.rs` that is a beat and serves the dashboard, and a browser that is logged in.
pub(super) struct Site {
    pub(super) bed: Bed,
    pub(super) worker: Running,
    pub(super) browser: Browser,
    pub(super) base: String,
}

impl Site {
    pub(super) fn open(screen: Screen) -> Self {
        Self::of(Bed::new(), screen)
    }

    pub(super) fn of(bed: Bed, screen: Screen) -> Self {
        let mut worker = bed.own_worker(&["--beat", "--dashboard", "127.0.0.1:0"]);
        let line = worker.wait_for("  dashboard ");
        let link = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        let base = link.split("/login").next().unwrap().to_owned();
        bed.until(&["status"], |workers| workers.as_array().is_some_and(|workers| workers.len() == 2));
        let browser = Browser::start(screen);
        browser.open(&link);
        browser.sees("Overview");
        Self { bed, worker, browser, base }
    }

    pub(super) fn go(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.base));
    }

    /// Sends a task of that program, and waits until it has ended in this state.
    pub(super) fn ended(&self, state: &str, args: &[&str]) -> String {
        let sent = self.bed.own(&[&["call"], args].concat()).output().unwrap();
        // The program is a test of this binary, which says something around it.
        let said = String::from_utf8(sent.stdout).unwrap();
        let id = said.split_whitespace().find(|word| word.len() == 36).unwrap_or_else(|| panic!("{said}"));
        self.bed.until(&["explain", id], |answer| answer["state"] == json!(state));
        id.to_owned()
    }
}

#[test]
fn log_in_by_the_link() {
    let site = Site::open(Screen::WIDE);
    assert!(!site.browser.url().contains("token="), "the secret does not stay in the address bar");
    site.browser.click("Log out");
    site.browser.sees("Open the link that the program printed");
    site.go("/queues");
    site.browser.sees_no_more("Queues");
}

#[test]
fn log_in_by_name_and_password() {
    let bed = Bed::new();
    let mut add = bed.command(&["dashboard", "user", "add", "ann", "--role", "viewer"]);
    let mut add = add.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(add.stdin.take().unwrap(), "correct horse").unwrap();
    assert!(add.wait().unwrap().success());
    let mut dashboard = bed.start(&["dashboard", "--listen", "127.0.0.1:0"]);
    let line = dashboard.wait_for("  dashboard ");
    let base = line.split_whitespace().last().unwrap();
    let browser = Browser::start(Screen::WIDE);
    browser.open(&format!("{base}/queues"));
    browser.write("Name", "ann");
    browser.write("Password", "wrong horse");
    browser.click("Log in");
    browser.sees("wrong");
    browser.write("Name", "ann");
    browser.write("Password", "correct horse");
    browser.click("Log in");
    browser.sees("ann · viewer");
    assert!(browser.url().ends_with("/queues"), "it goes on to what was asked for: {}", browser.url());
}

#[test]
fn find_a_failed_task_by_its_error_read_its_trace_and_run_it_again_with_other_arguments() {
    let site = Site::open(Screen::WIDE);
    let failed = site.ended("failure", &["own.divide", "8", "0"]);
    let other = site.ended("success", &["own.divide", "8", "4"]);
    let browser = &site.browser;
    browser.click("Finished tasks");
    browser.write("Error has", "divides nothing");
    browser.click("Search");
    browser.sees("divides nothing");
    let listed = browser.ask("return document.querySelector('main').innerHTML");
    let listed = listed.as_str().unwrap();
    assert!(listed.contains(&failed) && !listed.contains(&other), "only what failed so: {listed}");

    browser.click("own.divide");
    browser.sees("0 divides nothing");
    browser.sees("Caused by");
    browser.sees("the flux capacitor is dry");
    browser.sees("Attempt 1");
    browser.sees(&failed);

    browser.click("Run it again, with these arguments or others");
    // There is a field for each of its arguments, which says while somebody types what is wrong.
    browser.write("y", "9223372036854775808");
    browser.sees("expected a whole number from -9223372036854775808 to 9223372036854775807");
    browser.write("y", "2");
    browser.sees_no_more("expected a whole number");
    let fields =
        "return [...document.querySelectorAll('#again input[type=number]')].map((field) => field.value)";
    assert_eq!(browser.ask(fields), json!(["8", "2"]));
    browser.click("Run it again");
    browser.sees_at_last("SUCCESS");
    assert!(!browser.url().contains(&failed), "the page is that of the new task: {}", browser.url());
    assert_eq!(browser.ask("return [...document.querySelectorAll('pre')].at(-1).innerText"), json!("4"));
}

#[test]
fn retry_all_of_one_kind() {
    let site = Site::open(Screen::WIDE);
    for divisor in ["1", "2", "3"] {
        site.ended("failure", &["own.divide", divisor, "0"]);
    }
    let browser = &site.browser;
    browser.click("Dead letters");
    browser.sees("By reason and task");
    browser.click("Retry all of these");
    browser.sees("3 tasks will be made ready again");
    browser.click("Retry all of them");
    browser.sees("3 dead letters were made ready again.");
    // They fail again, as the second run.
    site.bed.until(&["dead", "list"], |dead| {
        let dead = dead.as_array().unwrap();
        dead.len() == 3 && dead.iter().all(|message| message["run"] == json!(2))
    });
}

#[test]
fn delete_all_that_match() {
    let site = Site::open(Screen::WIDE);
    let kept = site.ended("success", &["own.divide", "8", "4"]);
    for divisor in ["1", "2", "3"] {
        site.ended("failure", &["own.divide", divisor, "0"]);
    }
    let browser = &site.browser;
    browser.click("Finished tasks");
    browser.write("Error has", "divides nothing");
    browser.click("Search");
    browser.sees("divides nothing");
    browser.click("Do something to all that match");
    browser.sees("This means all finished tasks whose error has divides nothing");
    browser.click("Delete all that match");
    browser.sees("3 results will be deleted, and nobody gets them back");
    browser.write("To confirm, type: delete", "delete");
    browser.click("Delete these results");
    browser.sees("3 tasks were deleted from the results.");
    browser.sees("Begun by");
    browser.click("Recent jobs");
    browser.click("Delete finished tasks");
    browser.click("Finished tasks");
    browser.sees("own.divide");
    assert_eq!(newest(&site), kept);
    browser.sees_no_more("divides nothing");
}

#[test]
fn pause_and_resume_a_queue() {
    let site = Site::open(Screen::WIDE);
    site.ended("success", &["own.divide", "8", "4"]);
    let browser = &site.browser;
    browser.click("Queues");
    browser.click("Pause");
    browser.sees("paused");
    assert_eq!(site.bed.json(&["queues"])[0]["paused"], json!(true));
    browser.click("Resume");
    browser.sees("Pause");
    assert_eq!(site.bed.json(&["queues"])[0]["paused"], json!(false));
}

#[test]
fn create_a_crontab_entry_and_watch_it_fire() {
    let site = Site::open(Screen::WIDE);
    let browser = &site.browser;
    browser.click("Schedules");
    browser.click("New schedule");
    browser.write("Name", "every-second");
    browser.write("Task", "own.divide");
    // The fields of its arguments come while typing, and so does what is wrong in them.
    browser.write("x", "8");
    browser.write("y", "9223372036854775808");
    browser.sees("expected a whole number from -9223372036854775808 to 9223372036854775807");
    browser.write("y", "4");
    browser.sees_no_more("expected a whole number");
    browser.write("Crontab", "* * * * * *");
    browser.sees("every second");
    // Where nobody answers what it would do, it says so.
    let token = browser.ask("return document.querySelector('form[data-preview] [name=csrf]').value");
    browser.ask("document.querySelector('form[data-preview] [name=csrf]').value = 'of another session'");
    browser.write("Queue", "defaul");
    browser.sees("cannot be checked while you type: this form is from another session");
    browser.ask(&format!("document.querySelector('form[data-preview] [name=csrf]').value = {token}"));
    browser.write("Queue", "default");
    browser.sees_no_more("cannot be checked while you type");
    browser.click("Save");
    browser.sees("every-second");
    site.go("/schedule?name=every-second");
    browser.sees("fired");
    site.bed.until(&["explain", &newest(&site)], |answer| answer["state"] == json!("success"));
}

#[test]
fn edit_an_entry_made_in_code() {
    let site = Site::of(Bed::new().with(EVERY, "1h"), Screen::WIDE);
    let browser = &site.browser;
    browser.click("Schedules");
    browser.click("greet");
    browser.click("Edit");
    browser.write("Every", "2h");
    browser.click("Save");
    browser.sees("every 2 hours");
    let entry = site.bed.json(&["schedule", "show", "greet"]);
    assert!(entry.to_string().contains("2h"), "{entry}");
    browser.click("Give back to the code");
    site.bed.until(&["schedule", "show", "greet"], |entry| entry.to_string().contains("1h"));
}

#[test]
fn run_an_entry_now() {
    let site = Site::of(Bed::new().with(EVERY, "1h"), Screen::WIDE);
    let browser = &site.browser;
    browser.click("Schedules");
    browser.click("greet");
    browser.click("Run now");
    // Nobody serves that queue: it waits there.
    let doors = |queue: &Value| queue["queue"] == json!("doors") && queue["ready"] == json!(1);
    site.bed.until(&["queues"], |queues| queues.as_array().unwrap().iter().any(doors));
}

#[test]
fn cancel_a_running_task() {
    let mut site = Site::open(Screen::WIDE);
    let id = site.bed.ok(&["call", "own.endless"]);
    site.worker.wait_for(&format!("{id} runs"));
    let browser = &site.browser;
    browser.click("Live tasks");
    site.go("/tasks?place=leased");
    browser.click("own.endless");
    browser.click(&format!("Cancel {id}"));
    browser.sees_at_last("REVOKED");
}

/// The id of the newest task that ended.
fn newest(site: &Site) -> String {
    site.browser.click("Finished tasks");
    site.browser.sees("own.divide");
    let link = site.browser.ask("return document.querySelector('main td a').href");
    link.as_str().unwrap().rsplit_once("id=").unwrap().1.to_owned()
}
