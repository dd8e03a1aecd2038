//! A real etcd of a test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::place::Place;
use crate::proc::{self, Proc};
use crate::tap::Requests;
use crate::{http, wait};

/// One etcd server.
#[derive(Debug)]
pub struct Etcd {
    /// Where clients connect.
    pub port: u16,
    /// The process.
    pub process: Proc,
}

impl Etcd {
    /// Whether there is a program to start.
    pub fn is_installed() -> bool {
        proc::is_on_path("etcd")
    }

    /// Whether the program still has the API of version 2: etcd before 3.6.
    pub fn has_old_api() -> bool {
        let help = std::process::Command::new("etcd").arg("--help").output();
        help.is_ok_and(|help| {
            let text = [help.stdout, help.stderr].concat();
            String::from_utf8_lossy(&text).contains("--enable-v2")
        })
    }

    /// Starts a server on loopback and waits until it answers.
    ///
    /// # Errors
    /// `etcd` is not installed or does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_with(dir, &[])
    }

    /// The same with the API of version 2 beside the other one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_old_api(dir: &Path) -> Result<Self> {
        Self::start_with(dir, &["--enable-v2"])
    }

    /// The same where clients are told another port, on which something stands between.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_old_api_behind(dir: &Path, advertised: u16) -> Result<Self> {
        let place = Place {
            advertised,
            ..Place::on_loopback()
        };
        Self::start_at(dir, &place, &["--enable-v2"])
    }

    /// The same where clients come by TLS on this port, with the files that `more` names; the usual
    /// port stays open for tests.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_secured(dir: &Path, port: u16, more: &[&str]) -> Result<Self> {
        let place = Place::on_loopback();
        let plain = url(&place, place.port);
        let secured = format!("https://{}:{port}", place.host);
        let both = format!("{plain},{secured}");
        let urls = [
            "--enable-v2",
            "--listen-client-urls",
            &both,
            "--advertise-client-urls",
            &secured,
        ];
        Self::start_at(dir, &place, &[&urls, more].concat())
    }

    fn start_with(dir: &Path, more: &[&str]) -> Result<Self> {
        Self::start_at(dir, &Place::on_loopback(), more)
    }

    fn start_at(dir: &Path, place: &Place, more: &[&str]) -> Result<Self> {
        let server = Self::launch(dir, "etcd", 0, std::slice::from_ref(place), more)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts a cluster on these places; [`Etcd::wait_ready`] tells when it answers.
    ///
    /// # Errors
    /// `etcd` is not installed.
    pub fn cluster(dir: &Path, places: &[Place]) -> Result<Vec<Self>> {
        let servers = 0..places.len();
        servers
            .map(|index| Self::launch(dir, &format!("etcd{index}"), index, places, &[]))
            .collect()
    }

    fn launch(
        dir: &Path,
        folder: &str,
        index: usize,
        places: &[Place],
        more: &[&str],
    ) -> Result<Self> {
        let place = &places[index];
        let name = |index: usize| format!("test{index}");
        let listen = place.listens_on();
        let all: Vec<String> = places
            .iter()
            .enumerate()
            .map(|(index, place)| format!("{}={}", name(index), url(place, place.peer)))
            .collect();
        let mut command = proc::command_in(place.namespace.as_deref(), "etcd");
        command
            .args(["--name", &name(index), "--log-level", "error"])
            .arg("--data-dir")
            .arg(dir.join(folder))
            .args([
                "--listen-client-urls",
                &format!("http://{listen}:{}", place.port),
            ])
            .args(["--advertise-client-urls", &url(place, place.advertised)])
            .args(["--listen-peer-urls", &url(place, place.peer)])
            .args(["--initial-advertise-peer-urls", &url(place, place.peer)])
            .args(["--initial-cluster", &all.join(",")])
            .args(more);
        let process = Proc::start("etcd", command, &dir.join(format!("{folder}.log")))?;
        Ok(Self {
            port: place.port,
            process,
        })
    }

    /// Waits until it answers on the loopback of the calling thread.
    ///
    /// # Errors
    /// It does not come up.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("etcd answers", Duration::from_secs(20), || {
            let answer = http::request(self.port, "GET", "/health", None, Duration::from_secs(2))?;
            ensure!(answer.body.contains("true"), "{}", answer.body);
            Ok(())
        })
    }

    /// How many messages clients have sent, by the method of the version 3 API: calls, and what
    /// is said on open streams. Those that came through the gateway for JSON are among them.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn requests(&self) -> Result<Requests> {
        let limit = Duration::from_secs(5);
        let answer = http::request(self.port, "GET", "/metrics", None, limit)?;
        Ok(answer.body.lines().filter_map(received).collect())
    }

    /// Writes one key.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn put(&self, key: &str, value: &str) -> Result<()> {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.gateway("/v3/kv/put", &body).map(drop)
    }

    /// Whether it leads the servers of its cluster.
    ///
    /// # Errors
    /// It does not answer.
    pub fn leads(&self) -> Result<bool> {
        let status = self.gateway("/v3/maintenance/status", &json!({}))?;
        Ok(status["leader"] == status["header"]["member_id"])
    }

    /// Raises the alarm of a database that has reached its quota, or takes it back. Meanwhile the
    /// server takes no data, but keeps leases alive.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn set_no_space(&self, raised: bool) -> Result<()> {
        let action = if raised { "ACTIVATE" } else { "DEACTIVATE" };
        let body = json!({"action": action, "memberID": 0, "alarm": "NOSPACE"});
        self.gateway("/v3/maintenance/alarm", &body).map(drop)
    }

    /// Revokes the lease that a key hangs on.
    ///
    /// # Errors
    /// It hangs on none, or the server refuses.
    pub fn revoke_lease_of(&self, key: &str) -> Result<()> {
        let answer = self.gateway("/v3/kv/range", &json!({"key": STANDARD.encode(key)}))?;
        let lease = answer["kvs"][0]["lease"].as_str().context("no lease")?;
        self.gateway("/v3/lease/revoke", &json!({"ID": lease}))
            .map(drop)
    }

    /// Deletes a key by the API of version 2.
    ///
    /// # Errors
    /// There is none, or the server refuses.
    pub fn delete_by_old_api(&self, key: &str) -> Result<()> {
        let path = format!("/v2/keys{key}");
        let answer = http::request(self.port, "DELETE", &path, None, Duration::from_secs(5))?;
        ensure!(answer.status == 200, "{path}: {}", answer.body);
        Ok(())
    }

    fn gateway(&self, path: &str, body: &Value) -> Result<Value> {
        let at_most = Duration::from_secs(5);
        let answer = http::request(self.port, "POST", path, Some(&body.to_string()), at_most)?;
        ensure!(answer.status == 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Every key below a prefix that ends in a slash, with its value.
    ///
    /// # Errors
    /// The server does not answer, or not in the form of its JSON gateway.
    pub fn keys(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        // The slash's successor ends the range.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let body = json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end)});
        let answer = self.gateway("/v3/kv/range", &body)?;
        let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
        let text = |pair: &Value, field: &str| -> Result<String> {
            // An empty value is left out by the gateway.
            let bytes = STANDARD.decode(pair[field].as_str().unwrap_or_default())?;
            String::from_utf8(bytes).context("not UTF-8")
        };
        pairs
            .iter()
            .map(|pair| Ok((text(pair, "key")?, text(pair, "value")?)))
            .collect()
    }
}

fn url(place: &Place, port: u16) -> String {
    format!("http://{}:{port}", place.host)
}

/// The method and the count of one line of the metrics.
fn received(line: &str) -> Option<(String, u64)> {
    let labels = line.strip_prefix("grpc_server_msg_received_total{grpc_method=\"")?;
    let (method, rest) = labels.split_once('"')?;
    let count: f64 = rest.rsplit_once(' ')?.1.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, which the server prints in the form of other figures"
    )]
    let count = count as u64;
    (count > 0).then(|| (method.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_the_metrics() {
        let line = "grpc_server_msg_received_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1.5e+06";
        assert_eq!(received(line), Some(("Put".to_owned(), 1_500_000)));
        assert_eq!(
            received("grpc_server_started_total{grpc_method=\"Put\"} 3"),
            None
        );
    }
}
