//! A real browser without a window: pages are loaded, asked, used by keyboard and photographed.
//!
//! It is driven over the pipe of its debugging protocol, so it needs no port and no driver:
//! <https://chromedevtools.github.io/devtools-protocol/>.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{proc, wait};

/// The names under which it is installed.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The pipe of the protocol is expected as descriptors 3 and 4; the shell moves ours there.
const ON_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

const FLAGS: [&str; 12] = [
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "about:blank",
];

/// How long the browser may take to answer: seconds of work when it starts, minutes on a machine that
/// has other work to do.
const LIMIT: Duration = Duration::from_mins(4);

/// A browser with one page. It ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: ChildStdin,
    heard: Receiver<Value>,
    asked: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _profile: TempDir,
}

/// What a page is looked at with.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// It is a telephone.
    pub phone: bool,
    /// The person prefers dark colours.
    pub dark: bool,
}

impl Browser {
    /// Starts the browser of this machine; `None` when there is none. Then one line says which test
    /// is skipped; it goes past the test runner's capture, because a skipped test must not look like
    /// a passed one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(test: &str) -> Result<Option<Self>> {
        let Some(program) = PROGRAMS.iter().find(|name| proc::is_on_path(name)) else {
            let names = PROGRAMS.join(", ");
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {test}: no {names} is installed"
            );
            return Ok(None);
        };
        let profile = tempfile::Builder::new().prefix("browser-").tempdir()?;
        let mut child = Command::new("sh")
            .args(["-c", ON_PIPE, program])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(FLAGS)
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let input = child.stdin.take().context("no pipe to the browser")?;
        let output = child.stdout.take().context("no pipe from the browser")?;
        let mut browser = Self {
            child,
            input,
            heard: listen(output),
            asked: 0,
            session: None,
            complaints: Vec::new(),
            _profile: profile,
        };
        browser.open_page()?;
        Ok(Some(browser))
    }

    fn open_page(&mut self) -> Result<()> {
        let page = self.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", &attach)?;
        let session = session["sessionId"].as_str().context("no session")?;
        self.session = Some(session.to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, &json!({}))?;
        }
        // Without it the page of a browser without a window has no keyboard.
        self.call(
            "Emulation.setFocusEmulationEnabled",
            &json!({"enabled": true}),
        )?;
        Ok(())
    }

    /// Looks through this window from now on.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn look_through(&mut self, window: Window) -> Result<()> {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": window.width,
                "height": window.height,
                "deviceScaleFactor": if window.phone { 2 } else { 1 },
                "mobile": window.phone,
            }),
        )?;
        let scheme = if window.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))?;
        Ok(())
    }

    /// Goes to an address. What is on the page is waited for with [`Browser::wait_for`].
    ///
    /// # Errors
    /// There is nobody at the address.
    pub fn go(&mut self, url: &str) -> Result<()> {
        let gone = self.call("Page.navigate", &json!({"url": url}))?;
        ensure!(gone["errorText"].is_null(), "{url}: {}", gone["errorText"]);
        Ok(())
    }

    /// The value of a JavaScript expression on the page; promises are waited for.
    ///
    /// # Errors
    /// It throws, or the browser does not answer.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", &asked)?;
        ensure!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        Ok(answer["result"]["value"].take())
    }

    /// What a person reads on the page.
    ///
    /// # Errors
    /// As [`Browser::value`].
    pub fn text(&mut self) -> Result<String> {
        let text = self.value("document.body ? document.body.innerText : ''")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a person reads this on the page.
    ///
    /// # Errors
    /// It does not come; the text says what is there instead.
    pub fn wait_for(&mut self, part: &str, at_most: Duration) -> Result<()> {
        wait::until(&format!("{part:?} on the page"), at_most, || {
            let text = self.text()?;
            ensure!(text.contains(part), "{text}");
            Ok(())
        })
    }

    /// Presses and releases a key, such as `Tab` or `Enter`.
    ///
    /// # Errors
    /// The browser does not answer, or the key is not known here.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => bail!("{other}: no such key"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Writes a picture of the whole page as PNG.
    ///
    /// # Errors
    /// There is none, or the file cannot be written.
    pub fn photograph(&mut self, file: &Path) -> Result<()> {
        let sizes = self.call("Page.getLayoutMetrics", &json!({}))?;
        let page = &sizes["cssContentSize"];
        let clip =
            json!({"x": 0, "y": 0, "width": page["width"], "height": page["height"], "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.call("Page.captureScreenshot", &asked)?;
        let data = picture["data"].as_str().context("no picture")?;
        std::fs::write(file, STANDARD.decode(data)?)
            .with_context(|| format!("write {}", file.display()))
    }

    /// What the page was blamed for so far: exceptions, refusals by its policy, errors it logged.
    /// Answers that say no are not among them.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.input.write_all(&bytes).context("the browser ended")?;
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut message = match self.heard.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => bail!("{method}: no answer in {LIMIT:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("{method}: the browser ended"),
            };
            if message["id"] != self.asked {
                self.note(&message);
                continue;
            }
            ensure!(
                message["error"].is_null(),
                "{method}: {}",
                message["error"]["message"]
            );
            return Ok(message["result"].take());
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        let complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => &parameters["exceptionDetails"],
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => parameters,
            Some("Log.entryAdded")
                if parameters["entry"]["level"] == "error"
                    && parameters["entry"]["source"] != "network" =>
            {
                &parameters["entry"]
            }
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let closed = self
            .call("Browser.close", &json!({}))
            .is_ok_and(|_| wait_end(&mut self.child).is_ok());
        if !closed {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wait_end(child: &mut Child) -> Result<()> {
    wait::until("the end of the browser", Duration::from_secs(10), || {
        child.try_wait()?.context("it still runs").map(|_| ())
    })
}

/// Hands on what the browser says until it ends. Messages end with a zero byte.
fn listen(output: ChildStdout) -> Receiver<Value> {
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut message = Vec::new();
        while output
            .read_until(0, &mut message)
            .is_ok_and(|count| count > 0)
        {
            message.pop();
            if let Ok(value) = serde_json::from_slice(&message)
                && sender.send(value).is_err()
            {
                return;
            }
            message.clear();
        }
    });
    heard
}
