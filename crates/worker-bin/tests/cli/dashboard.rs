//! The dashboard as it is started: alone, with a worker, in `dev`; and who may use it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Bed, PATIENCE, Running};

/// The status, and head and body, of an answer.
pub(crate) fn get(place: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// Place and path of the address that a banner shows.
fn shown(running: &mut Running) -> (String, String) {
    let line = running.wait_for("  dashboard ");
    let link = line.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let (place, path) = link.split_once('/').unwrap_or((&link, ""));
    (place.to_owned(), format!("/{path}"))
}

/// Logs in by the link of a banner and answers the overview.
fn log_in(running: &mut Running) -> String {
    let (place, cookie) = enter(running);
    let (status, page) = get(&place, "/", &cookie);
    assert_eq!(status, 200, "{page}");
    page
}

/// Logs in by the link of a banner; answers the place and the header that proves it.
pub(crate) fn enter(running: &mut Running) -> (String, String) {
    let (place, path) = shown(running);
    assert_eq!(get(&place, "/", "").0, 303, "nobody sees anything without the link");
    let (status, answer) = get(&place, &path, "");
    assert_eq!(status, 303, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_ne!(get(&place, &path, "").0, 303, "a link logs in once");
    (place, cookie)
}

#[test]
fn alone_it_opens_by_a_link_that_works_once_and_ends_by_a_signal() {
    let bed = Bed::new();
    let mut running = bed.start(&["dashboard", "--listen", "127.0.0.1:0"]);
    running.wait_for("dashboard ready");
    assert!(log_in(&mut running).contains("Overview"));
    let (_, path) = shown(&mut running);
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("did not exist: it is new, and has nothing to show yet."), "{said}");
    assert!(said.contains("Name it by --broker, LOVAGE_BROKER_URL or lovage.toml."), "{said}");
    let mut again = bed.start(&["dashboard", "--listen", "127.0.0.1:0"]);
    again.wait_for("dashboard ready");
    again.signal("TERM");
    let (_, said_again) = again.end();
    assert!(!said_again.contains("did not exist"), "{said_again}");
    let secret = path.split_once("token=").unwrap().1;
    assert_eq!(said.matches(secret).count(), 1, "the secret is in the banner and nowhere else: {said}");
}

#[test]
fn a_worker_serves_it_when_asked() {
    let bed = Bed::new();
    let mut worker = bed.worker(&["--dashboard", "127.0.0.1:0"]);
    bed.until(&["status"], |workers| workers.as_array().is_some_and(|workers| !workers.is_empty()));
    let page = log_in(&mut worker);
    assert!(page.contains("worker@"), "{page}");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn two_devs_do_not_get_into_each_others_way() {
    let (one, two) = (Bed::new(), Bed::new());
    let own = [&one, &two].map(|bed| bed.start(&["dev"]));
    let places = own.map(|mut dev| {
        dev.wait_for(" ready");
        let place = shown(&mut dev).0;
        assert!(log_in(&mut dev).contains("Overview"));
        (place, dev)
    });
    assert_ne!(places[0].0, places[1].0);
}

#[test]
fn an_address_of_others_needs_users_or_a_proxy() {
    let bed = Bed::new();
    let told = bed.fails(2, &["dashboard", "--listen", "0.0.0.0:0"]);
    assert!(told.contains("can be reached by others") && told.contains("dashboard user add"), "{told}");
    let told = bed.fails(2, &["worker", "--dashboard", "0.0.0.0:0"]);
    assert!(told.contains("can be reached by others"), "{told}");
    let told = bed.fails(2, &["dashboard", "--user-header", "x-user"]);
    assert!(told.contains("`dashboard.user_header` has no effect without `dashboard.proxies`"), "{told}");
    let told = bed.fails(2, &["dashboard", "--listen", "everywhere"]);
    assert!(told.contains("127.0.0.1:8410") && told.contains("`everywhere`"), "{told}");
    let told = bed.fails(2, &["dashboard", "--users", "nobody", "--listen", "127.0.0.1:0"]);
    assert!(
        told.contains("the file nobody does not exist: add one first (lovage dashboard user add"),
        "{told}"
    );

    let mut proxied = bed.start(&[
        "dashboard",
        "--listen",
        "0.0.0.0:0",
        "--proxies",
        "127.0.0.1",
        "--user-header",
        "X-User",
    ]);
    proxied.wait_for("dashboard ready");
    let place = shown(&mut proxied).0.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(get(&place, "/api/v1/overview", "x-user: ann\r\n").0, 200);
    assert_eq!(get(&place, "/api/v1/overview", "").0, 401);
}

#[test]
fn users_are_added_listed_and_removed_and_nothing_keeps_their_secrets() {
    let bed = Bed::new();
    let told = bed.ok(&["dashboard", "user", "list"]);
    assert!(told.contains("has no users"), "{told}");
    let add = |password: &str, args: &[&str]| {
        let mut command = bed.command(&[&["dashboard", "user", "add"], args].concat());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains(password), "{said}");
        (output.status.code().unwrap(), said)
    };
    let (code, said) = add("short", &["ann"]);
    assert!(code == 2 && said.contains("expected 10 characters"), "{said}");
    let (code, said) = add("correct horse", &["ann", "--role", "operator"]);
    assert!(code == 0 && said.contains("added ann, an operator"), "{said}");
    let token = bed.ok(&["dashboard", "user", "token", "ci"]);
    assert!(bed.fails(2, &["dashboard", "user", "token", "ci"]).contains("`ci` exists"));
    let listed = bed.json(&["dashboard", "user", "list"]);
    assert_eq!(listed, json!([{"name": "ann", "role": "operator"}, {"name": "ci", "role": "viewer"}]));
    let file = fs::read_to_string(bed.path().join("lovage-users")).unwrap();
    assert!(
        file.contains("$argon2id$") && !file.contains("correct horse") && !file.contains(&token),
        "{file}"
    );

    let mut running = bed.start(&["dashboard", "--listen", "0.0.0.0:0"]);
    running.wait_for("dashboard ready");
    let place = shown(&mut running).0.replace("0.0.0.0", "127.0.0.1");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(get(&place, "/api/v1/overview", &bearer).0, 200);
    assert_eq!(get(&place, "/api/v1/overview", "").0, 401);
    assert!(get(&place, "/login", "").1.contains("name=\"password\""));

    assert!(bed.fails(1, &["dashboard", "user", "remove", "bob"]).contains("ann, ci"));
    bed.ok(&["dashboard", "user", "remove", "ci"]);
    let mut tries = 0..;
    while get(&place, "/api/v1/overview", &bearer).0 != 401 {
        // Each try is a connection: the file is looked at every two seconds.
        assert!(tries.next().unwrap() < 100_000, "a removed program is still let in");
    }
}

#[test]
fn its_settings_come_from_the_file_and_mistakes_are_told() {
    let bed = Bed::new();
    let conf = |text: &str| fs::write(bed.path().join("lovage.toml"), text).unwrap();
    conf(
        "[dashboard]\nlisten = \"127.0.0.1:0\"\nbase = \"/ops\"\nproxies = [\"10.0.0.1\"]\nsecure_cookies = true\n",
    );
    let mut running = bed.start(&["dashboard"]);
    running.wait_for("dashboard ready");
    let (place, path) = shown(&mut running);
    assert!(path.starts_with("/ops/login?token="), "{path}");
    assert!(get(&place, &path, "").1.contains("Secure"));
    let told = bed.ok(&["inspect", "conf"]);
    assert!(told.contains("dashboard.base") && told.contains("/ops"), "{told}");
    for (text, part) in [
        ("[dashboard]\nlisen = \"x\"\n", "did you mean `dashboard.listen`?"),
        ("[dashboard]\nlisten = \"x\"\n", "setting `dashboard.listen` from lovage.toml line 2"),
        ("[dashboard]\nlisten = \"127.0.0.1:0\"\nbase = \"a b\"\n", "expected a path such as /lovage"),
        ("[dashboard]\nproxies = [\"host\"]\n", "expected addresses of proxies"),
        ("dashboard = 1\n", "`dashboard`"),
    ] {
        conf(text);
        let told = bed.fails(2, &["dashboard"]);
        assert!(told.contains(part), "{text}: {told}");
    }
}
