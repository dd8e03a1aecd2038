//! Requests, and what the reference answered to each: recorded on a cluster, and asked of ours in
//! the same order.
//!
//! `recorded/access.json` has 100 of 107 about passwords, the allowlist and headers, in groups with
//! the lines of the section `restapi` that the node had. Left out is what is guarded here and not
//! there: an allowlist that is a text ends a start (5), and `POST /mpp` is an action like others
//! (2). Of those with unusual or wrong input
//! `recorded/requests.json` has 199 of 225. Left out is what the layer below answers otherwise
//! (15 texts that are no request, 8 with a length that is no number, one where the reference only
//! closes the connection) and what would end the node (`POST /sigterm`, 2). Not compared: the
//! header `Content-Length`, which ours has always, and documents of the dynamic configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};
use serde_json::Value;

const RECORDED: &str = include_str!("recorded/requests.json");
const ACCESS: &str = include_str!("recorded/access.json");

#[test]
fn odd_requests_are_answered_as_by_the_reference() -> Result<()> {
    let zone = |index: usize| match index {
        0 => "tags:\n  zone: a\n",
        1 => "tags:\n  zone: b\n",
        _ => "",
    };
    let mut cluster =
        Cluster::prepare_with(StoreKind::Etcd3, 3, "", |index| zone(index).to_owned())?;
    cluster.nodes[0].start()?;
    cluster.wait_leader(SOON)?;
    cluster.nodes[1].start()?;
    cluster.nodes[2].start()?;
    ensure!(cluster.wait_healthy(SOON)? == 0);
    // Steady: the position in the store is that of the standby.
    wait::until("the position in the store", SOON, || {
        ensure!(cluster.nodes[1].health("/replica?lag=-1")? == 503);
        Ok(())
    })?;
    let recorded: Vec<Value> = serde_json::from_str(RECORDED)?;
    ensure!(recorded.len() == 199);
    let mut wrong = Vec::new();
    for case in &recorded {
        let index = usize::from(case["node"] == "node2");
        let answer = ask(cluster.nodes[index].ports.rest, case)?;
        if let Some(difference) = answer.differs(case) {
            let what = format!("{} {} {}", case["method"], case["path"], case["body"]);
            wrong.push(format!("node{} {what}: {difference}", index + 1));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn access_rules_and_headers_are_those_of_the_reference() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 1)?;
    let groups: Vec<Value> = serde_json::from_str(ACCESS)?;
    let file = std::fs::read_to_string(cluster.nodes[0].config_path())?;
    let (mut asked, mut wrong) = (0, Vec::new());
    for group in &groups {
        let lines = group["restapi"].as_array().context("lines")?;
        let lines = lines.iter().filter_map(Value::as_str);
        let lines = lines.fold(String::new(), |text, line| text + "  " + line + "\n");
        let node = &mut cluster.nodes[0];
        node.terminate()?;
        node.write_config(&file.replacen("restapi:\n", &format!("restapi:\n{lines}"), 1))?;
        node.start()?;
        cluster.wait_healthy(SOON)?;
        for case in group["requests"].as_array().context("requests")? {
            asked += 1;
            let answer = ask(cluster.nodes[0].ports.rest, case)?;
            if let Some(difference) = answer.differs(case) {
                let what = format!("{} {} {}", case["method"], case["path"], case["headers"]);
                wrong.push(format!("{lines}{what}: {difference}"));
            }
        }
    }
    ensure!(asked == 100);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

struct Answer {
    status: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn ask(port: u16, case: &Value) -> Result<Answer> {
    let limit = Duration::from_secs(20);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let text = |key: &str| case[key].as_str();
    let (method, path) = text("method").zip(text("path")).context("a request")?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        write!(
            request,
            "{name}: {}\r\n",
            value.as_str().unwrap_or_default()
        )?;
    }
    if let Some(body) = text("body") {
        write!(request, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    } else {
        request += "\r\n";
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let headers = headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Ok(Answer {
        status: status
            .strip_prefix("HTTP/1.0 ")
            .unwrap_or(status)
            .to_owned(),
        headers: headers.collect(),
        body: body.to_owned(),
    })
}

impl Answer {
    fn differs(&self, case: &Value) -> Option<String> {
        let status = format!("{} {}", case["status"], case["reason"].as_str()?);
        if self.status != status {
            return Some(format!("{:?} for {status:?}", self.status));
        }
        let mut wanted = case["extra_headers"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (key, name) in [("content_type", "Content-Type"), ("server", "Server")] {
            let value = case.get(key).filter(|value| *value != "<server-default>");
            wanted.extend(value.map(|value| (name.to_owned(), value.clone())));
        }
        for (name, value) in &wanted {
            let got = self.headers.get(&name.to_lowercase());
            if got.map(String::as_str) != value.as_str() {
                return Some(format!("{name}: {got:?} for {value}"));
            }
        }
        let is_more =
            |name: &&String| name.starts_with("x-") && !wanted.contains_key(&name.to_uppercase());
        if let Some(name) = self.headers.keys().find(is_more) {
            return Some(format!("{name} is one too many"));
        }
        if let Some(text) = case["text"].as_str() {
            return (self.body != text).then(|| format!("{:?} for {text:?}", self.body));
        }
        if let Some(message) = case["page"]["message"].as_str() {
            let page = self.body.replace("&#x27;", "'");
            return (!page.contains(message)).then(|| format!("{page:?} for {message:?}"));
        }
        let document = case.get("json")?;
        match serde_json::from_str(&self.body) {
            Ok(answer) => unlike(document, &answer, ""),
            Err(_) => Some(format!("{:?} is no document", self.body)),
        }
    }
}

/// Where a document is not of the recorded form: its keys in their order, and the values. A
/// placeholder stands for a value of its kind.
fn unlike(form: &Value, value: &Value, place: &str) -> Option<String> {
    match (form, value) {
        (Value::Object(form), Value::Object(value)) => {
            if !form.keys().eq(value.keys()) {
                let keys: Vec<_> = value.keys().collect();
                return Some(format!("{place}: {keys:?}"));
            }
            let mut pairs = form.iter().zip(value.values());
            pairs.find_map(|((key, form), value)| unlike(form, value, &format!("{place}/{key}")))
        }
        (Value::Array(form), Value::Array(value)) if form.len() == value.len() => {
            // Rows of a view, in no order.
            let (form, value) = (by_name(form), by_name(value));
            let mut pairs = form.iter().zip(&value);
            pairs.find_map(|(form, value)| unlike(form, value, place))
        }
        (Value::String(form), value) if is_like(form, value) => None,
        (form, value) if form == value => None,
        _ => Some(format!("{place}: {value} for {form}")),
    }
}

fn by_name(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row["application_name"].as_str().map(str::to_owned));
    rows
}

fn is_like(form: &str, value: &Value) -> bool {
    if form.starts_with("<int:") {
        return value.is_i64() || value.is_u64();
    }
    let Some(text) = value.as_str() else {
        // Nothing was replayed that has a time.
        return value.is_null() && form.starts_with("YYYY");
    };
    // A masked port has another number of digits.
    form.contains(":API0")
        || form.contains(":PGP0")
        || form.len() == text.len() && form.bytes().zip(text.bytes()).all(is_like_letter(form))
}

fn is_like_letter(form: &str) -> impl Fn((u8, u8)) -> bool {
    let is_position = form == "L/LLLLLLL";
    let is_masked = is_position || form.starts_with("YYYY") || form.starts_with("SYSTEMID");
    move |(form, letter)| {
        let hides = is_masked && form.is_ascii_alphabetic();
        form == letter
            || hides && (letter.is_ascii_digit() || is_position && letter.is_ascii_hexdigit())
    }
}
