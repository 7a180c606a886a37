//! A Chromium without a window, driven by what a person sees: labels, the names of buttons, text.

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use lovage_core::Clock as _;
use lovage_system::SystemClock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::PATIENCE;

/// How large the screen is, and what its owner likes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) dark: bool,
    pub(super) scripts: bool,
}

impl Screen {
    pub(super) const WIDE: Self = Self { width: 1_400, height: 1_800, dark: false, scripts: true };
    pub(super) const NARROW: Self = Self { width: 390, height: 3_000, ..Self::WIDE };
}

/// One window of a browser of its own; everything ends with it.
pub(super) struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    pub(super) fn start(screen: Screen) -> Self {
        let (driver, place) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities(screen, profile.path()));
            builder.connect(&place).await.unwrap()
        });
        Self { runtime, client, driver, _profile: profile }
    }

    pub(super) fn open(&self, url: &str) {
        self.run(self.client.goto(url)).unwrap();
    }

    pub(super) fn url(&self) -> String {
        self.run(self.client.current_url()).unwrap().to_string()
    }

    /// Waits until a text is on the page.
    pub(super) fn sees(&self, text: &str) {
        self.until(&format!("`{text}` is not on the page"), || {
            self.run(self.text()).map(|page| page.contains(text))
        });
    }

    /// Waits until a text is no longer on the page.
    pub(super) fn sees_no_more(&self, text: &str) {
        self.until(&format!("`{text}` is still on the page"), || {
            self.run(self.text()).map(|page| !page.contains(text))
        });
    }

    /// Loads the page again until a text is there: for what becomes of something a while later.
    pub(super) fn sees_at_last(&self, text: &str) {
        self.until(&format!("`{text}` does not come"), || {
            self.run(async {
                self.client.refresh().await?;
                Ok(self.text().await?.contains(text))
            })
        });
    }

    /// Waits until the page itself says that something is so.
    pub(super) fn finds(&self, what: &str) {
        let script = format!("return Boolean({what})");
        self.until(&format!("it is not so: {what}"), || {
            self.run(self.client.execute(&script, Vec::new())).map(|answer| answer == json!(true))
        });
    }

    /// Clicks what bears this name: a button, a link, a summary; the first one that is visible.
    pub(super) fn click(&self, name: &str) {
        let name = quoted(name);
        let path = format!(
            "//*[self::button or self::a or self::summary][normalize-space()={name} or @aria-label={name}]"
        );
        self.until(&format!("nothing to click is called {name}"), || {
            self.run(async {
                for element in self.client.find_all(Locator::XPath(&path)).await? {
                    if element.is_displayed().await? {
                        element.click().await?;
                        return Ok(true);
                    }
                }
                Ok(false)
            })
        });
    }

    /// Writes into the field with this label, instead of what stands there.
    pub(super) fn write(&self, label: &str, text: &str) {
        self.with_field(label, async |field| {
            field.clear().await?;
            field.send_keys(text).await
        });
    }

    /// Asks the page itself.
    pub(super) fn ask(&self, script: &str) -> Value {
        self.run(self.client.execute(script, Vec::new())).unwrap()
    }

    /// The same of a promise.
    pub(super) fn ask_later(&self, script: &str) -> Value {
        self.run(self.client.execute_async(script, Vec::new())).unwrap()
    }

    /// Presses a key where the focus is.
    pub(super) fn press(&self, key: fantoccini::key::Key) {
        let text = char::from(key).to_string();
        // A live page may take the element away before the key reaches it.
        self.until("no key can be pressed", || {
            self.run(async { self.client.active_element().await?.send_keys(&text).await.map(|()| true) })
        });
    }

    /// The whole page as a PNG.
    pub(super) fn picture(&self, path: &Path) {
        std::fs::write(path, self.run(self.client.screenshot()).unwrap()).unwrap();
    }

    fn with_field(&self, label: &str, act: impl AsyncFn(&Element) -> Result<(), CmdError>) {
        let label = quoted(label);
        let path = format!("//*[@id=//label[normalize-space()={label}]/@for]");
        self.until(&format!("no field is called {label}"), || {
            self.run(async {
                for element in self.client.find_all(Locator::XPath(&path)).await? {
                    if element.is_displayed().await? {
                        act(&element).await?;
                        return Ok(true);
                    }
                }
                Ok(false)
            })
        });
    }

    async fn text(&self) -> Result<String, CmdError> {
        let text = self.client.execute("return document.body.innerText", Vec::new()).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Each try is a journey to the browser and paces itself. Errors pass: a live page takes elements away.
    fn until(&self, what: &str, mut is_so: impl FnMut() -> Result<bool, CmdError>) {
        let clock = SystemClock::new();
        let mut last = None;
        while clock.monotonic() < PATIENCE {
            match is_so() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => last = Some(error),
            }
        }
        let page = self.run(self.text()).unwrap_or_default();
        panic!("{what} ({}; {last:?}):\n{page}", self.url());
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when the session is closed; what is left ends with its profile.
        let closed = self.client.clone().close();
        drop(self.runtime.block_on(closed));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// On a port that it chooses and tells.
fn start_driver() -> (Child, String) {
    let driver =
        Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut driver =
        driver.expect("the tests need Chromium and its driver: `cargo xtask test` installs them");
    let output = BufReader::new(driver.stdout.take().unwrap());
    let (sender, ports) = mpsc::channel();
    // Its output is read to its end, so that it never waits for a reader.
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let port = line.split_once("started successfully on port ").map(|(_, port)| port.to_owned());
            if let Some(port) = port {
                drop(sender.send(port.trim_end_matches('.').to_owned()));
            }
        }
    });
    let port = ports.recv_timeout(PATIENCE).expect("chromedriver says on which port it listens");
    (driver, format!("http://127.0.0.1:{port}"))
}

fn capabilities(screen: Screen, profile: &Path) -> fantoccini::wd::Capabilities {
    let Screen { width, height, dark, scripts } = screen;
    let mut args = vec![
        "--headless=new".to_owned(),
        // Chromium's own sandbox does not work as root, which CI is.
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--no-first-run".to_owned(),
        format!("--window-size={width},{height}"),
        format!("--user-data-dir={}", profile.display()),
    ];
    if dark {
        args.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let mut options = json!({ "args": args });
    // A window is never narrower than 500.
    if width < 500 {
        options["mobileEmulation"] =
            json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1}});
    }
    if !scripts {
        options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
    }
    let logs = json!({"browser": "ALL"});
    let all = json!({"goog:chromeOptions": options, "goog:loggingPrefs": logs});
    all.as_object().unwrap().clone()
}

/// As XPath has a text.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "a name in the page without quotes");
    format!("\"{text}\"")
}
