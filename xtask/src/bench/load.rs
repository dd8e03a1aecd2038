//! The REST interface under load, with and without TLS, and the list of a large cluster.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, Node, http, proc, wait};
use serde_json::{Map, Value, json};

use super::{median_ms, ms, process};

/// Clients that keep their connection and ask without a pause.
const CLIENTS: usize = 256;
/// Clients that send one byte a second.
const SLOW_CLIENTS: usize = 50;
/// Members of the large cluster.
const MEMBERS: usize = 100;
/// Where their keys are.
const PREFIX: &str = "/service/demo/members/";

/// What `wrk` saw.
struct Seen {
    per_second: f64,
    p99: Duration,
}

/// Health checks from all sides while others hold connections and say next to nothing.
///
/// # Errors
/// An answer is missing or is not the expected one.
pub(super) fn health_checks(cluster: &mut Cluster, length: Duration) -> Result<Map<String, Value>> {
    let leader = cluster.wait_healthy(SOON)?;
    let pid = cluster.nodes[leader].daemon().pid().as_raw();
    let node = &cluster.nodes[leader];
    let idle = cycle_time(node, || {
        wait::pause(length);
        Ok(())
    })?;
    let memory = process::pss_kb(pid)?;
    let slow = SlowClients::start(node.ports.rest, SLOW_CLIENTS);
    let url = format!("http://127.0.0.1:{}/primary", node.ports.rest);
    let mut seen = None;
    let loaded = cycle_time(node, || {
        seen = Some(wrk(&url, CLIENTS, length)?);
        Ok(())
    })?;
    let sent = slow.stop()?;
    let seen = seen.context("wrk has run")?;
    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| figures.insert(format!("load_{name}"), value);
    put("requests_per_second", json!(seen.per_second.round()));
    put("p99_us", json!(seen.p99.as_micros()));
    put("slow_bytes_sent", json!(sent));
    put("cycle_ms_idle", ms(idle));
    put("cycle_ms_loaded", ms(loaded));
    put("pss_kb_before", json!(memory));
    put("pss_kb_after", json!(process::pss_kb(pid)?));
    put("peak_rss_kb", json!(process::peak_rss_kb(pid)?));
    Ok(figures)
}

/// The same over TLS, which the node takes up by a reload and gives up again.
///
/// # Errors
/// An answer is missing or is not the expected one.
pub(super) fn over_tls(cluster: &mut Cluster, length: Duration) -> Result<Map<String, Value>> {
    let leader = cluster.wait_healthy(SOON)?;
    let node = &mut cluster.nodes[leader];
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let file = node.dir.join("rest.pem");
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    std::fs::write(&file, pem)?;
    proc::give_to_runner(&file)?;
    let plain = std::fs::read_to_string(node.config_path())?;
    let certfile = format!("restapi:\n  certfile: {}\n", file.display());
    node.write_config(&plain.replacen("restapi:\n", &certfile, 1))?;
    node.signal(Signal::SIGHUP);
    let port = node.ports.rest;
    wait::until("the REST interface speaks TLS", SOON, || {
        let answer = http::request(port, "GET", "/primary", None, Duration::from_secs(2));
        ensure!(answer.is_err(), "it still answers without");
        Ok(())
    })?;
    let seen = wrk(
        &format!("https://127.0.0.1:{port}/primary"),
        CLIENTS,
        length,
    )?;
    node.write_config(&plain)?;
    node.signal(Signal::SIGHUP);
    cluster.wait_healthy(SOON)?;
    let mut figures = Map::new();
    figures.insert(
        "tls_requests_per_second".to_owned(),
        json!(seen.per_second.round()),
    );
    figures.insert("tls_p99_us".to_owned(), json!(seen.p99.as_micros()));
    Ok(figures)
}

/// `patronictl list` of a cluster with many members: those that are not there have keys only.
///
/// # Errors
/// The list does not show them.
pub(super) fn large_list(cluster: &Cluster, rounds: usize) -> Result<Map<String, Value>> {
    let store = cluster
        .store
        .as_ref()
        .context("no store of its own")?
        .etcd()?;
    let keys = store.keys(PREFIX)?;
    let (key, data) = keys.iter().next_back().context("no member")?;
    let known = key.strip_prefix(PREFIX).context("not a member's key")?;
    for number in cluster.nodes.len()..MEMBERS {
        let name = format!("absent{number:03}");
        store.put(&format!("{PREFIX}{name}"), &data.replace(known, &name))?;
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let list = cluster.ctl_ok(&["list"])?;
        times.push(begun.elapsed());
        ensure!(
            list.matches("absent").count() == MEMBERS - cluster.nodes.len(),
            "{list}"
        );
    }
    let mut figures = Map::new();
    figures.insert("list_of_100_ms".to_owned(), median_ms(&times));
    Ok(figures)
}

/// The mean time of a cycle of the HA loop while something happens.
fn cycle_time(node: &Node, meanwhile: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let before = cycles(node)?;
    meanwhile()?;
    let after = cycles(node)?;
    ensure!(after.1 > before.1, "no cycle has ended meanwhile");
    Ok(Duration::from_secs_f64(
        (after.0 - before.0) / (after.1 - before.1),
    ))
}

/// The time of all cycles so far in seconds, and their number.
fn cycles(node: &Node) -> Result<(f64, f64)> {
    let page = node.rest("GET", "/metrics", None)?.body;
    let value = |name: &str| -> Result<f64> {
        let line = page.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value.with_context(|| format!("no {name}"))?.parse()?)
    };
    Ok((
        value("patroni_ha_cycle_seconds_sum")?,
        value("patroni_ha_cycle_seconds_count")?,
    ))
}

fn wrk(url: &str, connections: usize, length: Duration) -> Result<Seen> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--latency", "--timeout", "10s"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", length.as_secs().max(1))])
        .arg(url)
        .output()
        .context("start wrk")?;
    let text = String::from_utf8(output.stdout)?;
    let flawless = !text.contains("Socket errors") && !text.contains("Non-2xx");
    ensure!(output.status.success() && flawless, "wrk {url}: {text}");
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.map(str::trim)
            .with_context(|| format!("no {label} in {text}"))
    };
    Ok(Seen {
        per_second: after("Requests/sec:")?.parse()?,
        p99: time(after("99%")?)?,
    })
}

/// A time as `wrk` writes it: `812.00us`, `8.21ms`, `1.02s`.
fn time(text: &str) -> Result<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit.with_context(|| format!("no unit: {text}"))?);
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err(anyhow!("an unknown unit: {text}")),
    };
    Ok(Duration::from_secs_f64(number.parse::<f64>()? * factor))
}

/// Clients that never come to the end of a request.
struct SlowClients {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl SlowClients {
    fn start(port: u16, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = thread::spawn(move || {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
            let mut sent = 0;
            while !ends.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    // The server ends them after a time, and they come back.
                    let open = stream.take().or_else(|| TcpStream::connect(address).ok());
                    *stream = open.filter(|mut open| open.write_all(b"G").is_ok());
                    sent += u64::from(stream.is_some());
                }
                wait::pause(Duration::from_secs(1));
            }
            sent
        });
        Self { over, thread }
    }

    /// Ends them, and tells how many bytes they sent.
    fn stop(self) -> Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a client panicked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("812.00us").unwrap(), Duration::from_micros(812));
        assert_eq!(time("8.5ms").unwrap(), Duration::from_micros(8500));
        assert_eq!(time("1.02s").unwrap(), Duration::from_millis(1020));
        assert!(time("1.02h").is_err() && time("12").is_err());
    }
}
