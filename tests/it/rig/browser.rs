//! A real browser without a window: Chromium, driven through chromedriver by the W3C `WebDriver` protocol.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::Log;
use super::{PATIENCE, client};

/// How `WebDriver` names a reference to an element (W3C `WebDriver` §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Everywhere else than on this machine is nowhere: what a page would load from outside fails at once.
const NOWHERE: &str = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost";

/// How often chromedriver is started: the port that it finds free may be taken by another test before it listens there.
const STARTS: usize = 10;

/// Starts chromedriver with this home, so that nothing of the user's is read or changed. Answers where it listens, too.
fn start_driver(chromedriver: &Path, home: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..STARTS {
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver was there a moment ago");
        let lines = Log::default();
        let (copy, out) = (lines.clone(), driver.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                copy.push(line);
            }
        });
        let port = lines.try_wait(PATIENCE, |lines: &[String]| {
            if lines.iter().any(|line| line.contains("Exiting")) {
                return Some(None);
            }
            let line = lines.iter().find(|line| line.contains("started successfully on port"))?;
            line.rsplit(' ').next()?.trim_end_matches('.').parse::<u16>().ok().map(Some)
        });
        if let Some(Some(port)) = port {
            return (driver, port);
        }
        said = lines.all().join("\n");
        let _ = driver.kill();
        let _ = driver.wait();
    }
    panic!("chromedriver does not start: {said}");
}

/// A browser with a fresh profile. Dropped, it is ended.
pub struct Browser {
    driver: Child,
    /// URL of the session; empty before there is one.
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts one. `None`: there is none here, which one loud line says; with `POLLINATOR_REQUIRE_BROWSER=1` that fails the test.
    /// `scripts`: whether pages may run any.
    pub fn start(scripts: bool) -> Option<Self> {
        let found = (program("chromium"), program("chromedriver"));
        let (Some(chromium), Some(chromedriver)) = found else {
            let line = "skipped: browser tests: they need chromium and chromedriver on the path";
            assert!(!env::var("POLLINATOR_REQUIRE_BROWSER").is_ok_and(|value| value == "1"), "{line}");
            let _ = writeln!(io::stderr(), "{line}");
            return None;
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(folder).expect("the target folder");
        let profile = tempfile::Builder::new().prefix("browser-").tempdir_in(folder).expect("a temporary folder");
        let (driver, port) = start_driver(&chromedriver, profile.path());
        let mut browser = Self { driver, session: String::new(), profile };
        let base = format!("http://127.0.0.1:{port}/session");
        let own = format!("--user-data-dir={}", browser.profile.path().join("profile").display());
        let mut arguments = vec![
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            NOWHERE,
            &own,
        ];
        if !scripts {
            arguments.push("--blink-settings=scriptEnabled=false");
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "pageLoadStrategy": "normal",
        }}});
        let session = Self::send("POST", &base, Some(&wanted));
        browser.session = format!("{base}/{}", session["sessionId"].as_str().expect("a session has an id"));
        Some(browser)
    }

    /// Goes to an address and waits until it is loaded.
    pub fn visit(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// The address that is shown.
    pub fn url(&self) -> String {
        self.get("/url")
    }

    pub fn title(&self) -> String {
        self.get("/title")
    }

    pub fn source(&self) -> String {
        self.get("/source")
    }

    /// Waits until the one heading of the first level begins so.
    pub fn wait_heading(&self, beginning: &str) {
        let deadline = Instant::now() + PATIENCE;
        let start = format!("<h1>{beginning}");
        while !self.source().contains(&start) {
            assert!(Instant::now() < deadline, "{beginning} is not shown in time at {}: {}", self.url(), self.source());
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Waits until the address contains this: the page that a click leads to may have the heading of the one before.
    pub fn wait_url(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.url().contains(part) {
            assert!(Instant::now() < deadline, "{part} is not in {}", self.url());
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Waits until what a CSS selector finds first contains a text.
    pub fn wait_text(&self, selector: &str, part: &str) {
        let script = format!("return (document.querySelector(\"{selector}\") || {{}}).textContent || ''");
        let deadline = Instant::now() + PATIENCE;
        while !self.run(&script).as_str().is_some_and(|text| text.contains(part)) {
            assert!(Instant::now() < deadline, "{part} is not in {selector} in time at {}: {}", self.url(), self.source());
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Whether there is one.
    pub fn has(&self, selector: &str) -> bool {
        !self.all(selector).is_empty()
    }

    /// All elements that a CSS selector finds.
    pub fn all(&self, selector: &str) -> Vec<Element<'_>> {
        let found = self.command("POST", "/elements", &json!({"using": "css selector", "value": selector}));
        let reference = |value: &Value| value[ELEMENT].as_str().expect("a reference to an element").to_owned();
        let found = found.as_array().into_iter().flatten().enumerate();
        found
            .map(|(index, value)| Element { browser: self, selector: selector.to_owned(), index, id: reference(value) })
            .collect()
    }

    /// The one element that a CSS selector finds.
    pub fn one(&self, selector: &str) -> Element<'_> {
        let mut all = self.all(selector);
        assert_eq!(all.len(), 1, "{selector} at {}: {}", self.url(), self.source());
        all.remove(0)
    }

    /// The text of the one element that a CSS selector finds, once there is one: a click may just lead to its page, and a live page may
    /// replace it between two looks.
    pub fn text(&self, selector: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let [found] = &self.all(selector)[..]
                && let Some(text) = found.ask("GET", "/text", None)
            {
                return text.as_str().unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < deadline, "{selector} is not there once at {}: {}", self.url(), self.source());
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What a script on the page returns; it may run whatever the page forbids itself.
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What a script passes to its last argument.
    pub fn run_async(&self, script: &str) -> Value {
        self.command("POST", "/execute/async", &json!({"script": script, "args": []}))
    }

    /// Makes what is shown so wide and high, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Prefers dark or light colours.
    pub fn prefer(&self, is_dark: bool) {
        let scheme = json!({"name": "prefers-color-scheme", "value": if is_dark { "dark" } else { "light" }});
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": [scheme]}));
    }

    /// All of the page as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let taken = self.devtools("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("Base64")
    }

    fn devtools(&self, command: &str, params: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": params}))
    }

    fn get(&self, path: &str) -> String {
        let value = Self::send("GET", &format!("{}{path}", self.session), None);
        value.as_str().unwrap_or_default().to_owned()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        Self::send(method, &format!("{}{path}", self.session), Some(body))
    }

    fn send(method: &str, url: &str, body: Option<&Value>) -> Value {
        Self::ask(method, url, body).unwrap_or_else(|answer| panic!("{method} {url} {body:?}: {answer:#}"))
    }

    /// The value of an answer, or what the driver refuses it with.
    fn ask(method: &str, url: &str, body: Option<&Value>) -> Result<Value, Value> {
        let headers = [("Content-Type", "application/json")];
        let reply = client::exchange(method, url, &headers, body.map(Value::to_string));
        let reply = reply.unwrap_or_else(|error| panic!("chromedriver {method} {url}: {error}"));
        let mut answer: Value = serde_json::from_str(&reply.body).expect("WebDriver answers JSON");
        if reply.status == 200 { Ok(answer["value"].take()) } else { Err(answer) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // ends the browser, too
            let _ = client::exchange("DELETE", &self.session, &[], None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Something on a page. A live page may replace it between two looks: then it is what the selector finds in its place.
pub struct Element<'b> {
    browser: &'b Browser,
    selector: String,
    index: usize,
    id: String,
}

impl Element<'_> {
    pub fn click(&self) {
        self.command("POST", "/click", Some(&json!({})));
    }

    pub fn type_in(&self, text: &str) {
        self.command("POST", "/value", Some(&json!({"text": text})));
    }

    pub fn text(&self) -> String {
        self.get("/text")
    }

    /// Its name as assistive technology reads it (accname 1.2).
    pub fn label(&self) -> String {
        self.get("/computedlabel")
    }

    /// Its role as assistive technology knows it.
    pub fn role(&self) -> String {
        self.get("/computedrole")
    }

    pub fn attribute(&self, name: &str) -> String {
        self.get(&format!("/attribute/{name}"))
    }

    /// A value of its style as it is shown.
    pub fn style(&self, property: &str) -> String {
        self.get(&format!("/css/{property}"))
    }

    fn get(&self, path: &str) -> String {
        self.command("GET", path, None).as_str().unwrap_or_default().to_owned()
    }

    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut answer = self.ask(method, path, body);
        while answer.is_none() {
            assert!(Instant::now() < deadline, "{} is not there at {}", self.selector, self.browser.url());
            thread::park_timeout(Duration::from_millis(50));
            let there = self.browser.all(&self.selector).into_iter().nth(self.index);
            answer = there.and_then(|there| there.ask(method, path, body));
        }
        answer.unwrap_or_default()
    }

    /// `None`: it is not on the page any more.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let url = format!("{}/element/{}{path}", self.browser.session, self.id);
        match Browser::ask(method, &url, body) {
            Ok(value) => Some(value),
            Err(answer) if answer["value"]["error"] == "stale element reference" => None,
            Err(answer) => panic!("{} {method} {path}: {answer:#}", self.selector),
        }
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|folder| folder.join(name)).find(|file| file.is_file())
}
