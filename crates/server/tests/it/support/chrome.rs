//! Support for tests in a real browser, in which JavaScript is disabled.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use serde_json::{Value, json};
use url::Url;

/// Chromium, controlled through its driver. Screenshots are stored in the folder `BOWLINE_TEST_SHOTS` if it is set.
pub(crate) struct Chrome {
    pub(crate) client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

const ELEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A command of the driver that reads the browser's console.
#[derive(Debug)]
struct ReadConsole;

impl WebDriverCompatibleCommand for ReadConsole {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// A command of the `DevTools` protocol, sent through the driver.
#[derive(Debug)]
struct DevToolsCommand {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevToolsCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({"cmd": self.method, "params": self.parameters});
        (Method::POST, Some(body.to_string()))
    }
}

fn read_program_path(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names a program: run `cargo xtask test`"))
}

/// Starts a driver and returns its port. The driver chooses a free IPv4 port and needs the same IPv6 port; if another
/// process has it, the driver ends and is started again.
fn start_driver() -> (Child, String) {
    for _ in 0..5 {
        let mut driver = Command::new(read_program_path("BOWLINE_TEST_CHROMEDRIVER"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output_lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = output_lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
        if let Some(port) = port {
            return (driver, port.trim_end_matches('.').to_owned());
        }
        driver.wait().unwrap();
    }
    panic!("chromedriver found no free port");
}

impl Chrome {
    /// Opens a window of this width in pixels.
    pub(crate) async fn new(width: u32) -> Self {
        let (driver, port) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ];
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({
            "binary": read_program_path("BOWLINE_TEST_CHROMIUM"),
            "args": arguments,
            "prefs": {"profile.managed_default_content_settings.javascript": 2},
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 2400, "pixelRatio": 1.0, "mobile": false}},
        });
        let capabilities = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self { client, driver, _profile: profile }
    }

    pub(crate) async fn navigate(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Fills the empty form field with this name.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        self.click(&format!(r#"input[name="{name}"]"#)).await;
        self.send_input("Input.insertText", json!({ "text": text })).await;
    }

    /// Clicks the first element that a selector matches, with the mouse: the driver's own click runs a script in the next
    /// page, which never ends without JavaScript.
    pub(crate) async fn click(&self, selector: &str) {
        let element =
            self.client.wait().at_most(ELEMENT_TIMEOUT).for_element(Locator::Css(selector)).await.unwrap();
        let (x, y, width, height) = element.rectangle().await.unwrap();
        for kind in ["mousePressed", "mouseReleased"] {
            let (x, y) = (x + width / 2.0, y + height / 2.0);
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.send_input("Input.dispatchMouseEvent", event).await;
        }
    }

    async fn send_input(&self, method: &'static str, parameters: Value) {
        self.client.issue_cmd(DevToolsCommand { method, parameters }).await.unwrap();
    }

    /// Waits until the page shows all of these texts, and returns its text.
    pub(crate) async fn wait_for_text(&self, words: &[&str]) -> String {
        let patience = ConstantBuilder::default().with_delay(Duration::from_millis(50)).with_max_times(200);
        let read_page = || async {
            let shown = self.text().await.unwrap_or_default();
            if words.iter().all(|word| shown.contains(word)) { Ok(shown) } else { Err(shown) }
        };
        read_page.retry(patience).await.unwrap_or_else(|shown| panic!("{words:?} is not in {shown}"))
    }

    async fn text(&self) -> Result<String, fantoccini::error::CmdError> {
        self.client.find(Locator::Css("body")).await?.text().await
    }

    /// Returns the new lines of the browser's console, which report blocked actions and missing resources of the page.
    pub(crate) async fn read_console(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(ReadConsole).await.unwrap();
        entries.as_array().unwrap().iter().map(|line| line["message"].to_string()).collect()
    }

    /// Returns a style property of the first element that a selector matches.
    pub(crate) async fn read_css_property(&self, selector: &str, property: &str) -> String {
        let element = self.client.find(Locator::Css(selector)).await.unwrap();
        element.css_value(property).await.unwrap()
    }

    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    /// Stores a screenshot if the folder `BOWLINE_TEST_SHOTS` is set.
    pub(crate) async fn take_screenshot(&self, name: &str) {
        if let Some(folder) = std::env::var_os("BOWLINE_TEST_SHOTS") {
            let picture = self.client.screenshot().await.unwrap();
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
        }
    }

    pub(crate) async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
