//! What one must know to reach an etcd cluster, by either protocol.

use std::fmt;
use std::path::PathBuf;

use patroni_core::Secret;

use super::srv::Srv;

/// The port of an etcd node when none is given.
pub const DEFAULT_PORT: u16 = 2379;

/// Where the nodes are and how to talk to them. Source: store contract, section 8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// `host`, `host:port` or whole URLs; the first reachable one tells the others, unless
    /// [`use_proxies`](Self::use_proxies) is set.
    pub hosts: Vec<String>,
    /// The hosts were given as a list: the log tells at the start which node is in use, also when
    /// there is but one.
    pub is_list: bool,
    /// Records that name the nodes; only when they name none, [`hosts`](Self::hosts) count.
    pub srv: Option<Srv>,
    /// For hosts without a scheme.
    pub protocol: Protocol,
    /// User for etcd's own authentication; without a password it is not used.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Certificates (PEM) to verify servers with; the system's store without it.
    pub cacert: Option<PathBuf>,
    /// Client certificate (PEM), which may hold the key too.
    pub cert: Option<PathBuf>,
    /// Key of the client certificate (PEM).
    pub key: Option<PathBuf>,
    /// The hosts are proxies: do not look for the members behind them.
    pub use_proxies: bool,
    /// Path before those of the version 2 API, `/v2` without it.
    pub version_prefix: Option<String>,
}

/// User and password.
pub(super) type Credentials = Option<(String, Secret)>;

/// The scheme of hosts that are given without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Plain text.
    #[default]
    Http,
    /// TLS.
    Https,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl Options {
    /// Plain HTTP to these hosts, without user or certificates.
    pub fn new<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The URLs of the configured hosts.
    pub fn urls(&self) -> Vec<String> {
        self.hosts.iter().map(|host| self.url(host)).collect()
    }

    fn url(&self, host: &str) -> String {
        let host = host.trim().trim_end_matches('/');
        if host.contains("://") {
            return host.to_owned();
        }
        let (name, port) = split_port(host);
        let port = port.unwrap_or(DEFAULT_PORT);
        if name.contains(':') && !name.starts_with('[') {
            return format!("{}://[{name}]:{port}", self.protocol);
        }
        format!("{}://{name}:{port}", self.protocol)
    }

    /// User and password, when both are there.
    pub(super) fn credentials(&self) -> Credentials {
        let user = self.username.as_ref().filter(|user| !user.is_empty())?;
        let password = self.password.as_ref().filter(|secret| !secret.is_empty())?;
        Some((user.clone(), password.clone()))
    }
}

/// Splits `host:port`, `[::1]:port`, and leaves a bare IPv6 address whole.
fn split_port(host: &str) -> (&str, Option<u16>) {
    if !host.starts_with('[') && host.matches(':').count() > 1 {
        return (host, None);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        Some(_) | None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_urls() {
        let mut options = Options::new(["a", "b:1", "[::1]:2", "::1", "https://c:3/"]);
        assert_eq!(
            options.urls(),
            [
                "http://a:2379",
                "http://b:1",
                "http://[::1]:2",
                "http://[::1]:2379",
                "https://c:3"
            ]
        );
        options.protocol = Protocol::Https;
        assert_eq!(options.urls()[0], "https://a:2379");
    }
}
