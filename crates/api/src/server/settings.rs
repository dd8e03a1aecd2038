//! What an operator can set.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use patroni_core::Secret;

use crate::tls::IdentityFiles;

/// The settings of the server; all of them can be changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: Listen,
    /// Length of the system's queue of connections that wait to be accepted.
    pub backlog: u32,
    /// How many connections are served at once.
    pub max_connections: usize,
    /// Name and password for guarded requests.
    pub credentials: Option<Credentials>,
    /// TLS; without it plain HTTP is spoken.
    pub tls: Option<TlsSettings>,
    /// Who may send guarded requests: addresses, networks, host names. Empty: everybody.
    pub allowlist: Vec<String>,
    /// Members of the cluster may, too; then nobody else but the allowlist.
    pub allowlist_include_members: bool,
    /// Headers for every normal answer.
    pub http_headers: Vec<(String, String)>,
    /// Headers for every normal answer over TLS; these win.
    pub https_headers: Vec<(String, String)>,
    /// The header `Server`.
    pub server_tokens: ServerTokens,
    /// Whether `GET /ui` is a page for people; without it the path is a health check like any
    /// other.
    pub ui: bool,
    /// The most that a request which waits for an action may take. The HA loop's own limits
    /// come first; this one only guards against the forgotten.
    pub action_deadline: Duration,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address; `None` for all addresses.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password; may hold colons.
    pub password: Secret,
}

/// TLS of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate.
    pub identity: IdentityFiles,
    /// Trust for client certificates; without it none is trusted.
    pub cafile: Option<PathBuf>,
    /// Whether clients show one.
    pub verify_client: VerifyClient,
    /// A cipher list in OpenSSL's notation, for TLS 1.2; its order counts.
    pub ciphers: Option<String>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyClient {
    /// They are not asked.
    #[default]
    None,
    /// Guarded requests need one.
    Optional,
    /// There is no handshake without one.
    Required,
}

/// What the header `Server` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTokens {
    /// The name and version of this software.
    #[default]
    Original,
    /// `Patroni`.
    ProductOnly,
    /// `Patroni/<version>`.
    Minimal,
}

impl ServerSettings {
    /// Settings with the defaults for an address.
    pub fn new(listen: Listen) -> Self {
        Self {
            listen,
            backlog: 128,
            max_connections: 512,
            credentials: None,
            tls: None,
            allowlist: Vec::new(),
            allowlist_include_members: false,
            http_headers: Vec::new(),
            https_headers: Vec::new(),
            server_tokens: ServerTokens::Original,
            ui: true,
            action_deadline: Duration::from_hours(1),
        }
    }

    /// Guarded requests are open to whoever can reach the address.
    pub fn is_open(&self) -> bool {
        let loopback = self.listen.host.as_deref().is_some_and(|host| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        let certificates = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.verify_client != VerifyClient::None);
        !loopback
            && !certificates
            && self.credentials.is_none()
            && self.allowlist.is_empty()
            && !self.allowlist_include_members
    }
}

impl Listen {
    /// Reads `HOST:PORT`; an empty host and `*` are all addresses. `None` without a usable port.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: Some(host)
                .filter(|host| !host.is_empty() && *host != "*")
                .map(str::to_owned),
            port: port.parse().ok()?,
        })
    }
}

/// The form in log sentences: the host is `None` for all addresses.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.host.as_deref().unwrap_or("None"),
            self.port
        )
    }
}

impl VerifyClient {
    /// Reads the setting, letters in any case; other text is an error for the log and `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "none" => Some(Self::None),
            "optional" => Some(Self::Optional),
            "required" => Some(Self::Required),
            _ => None,
        }
    }
}

impl ServerTokens {
    /// Reads the setting, letters in any case; other text is a warning for the log and
    /// `original`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "original" => Some(Self::Original),
            "productonly" => Some(Self::ProductOnly),
            "minimal" => Some(Self::Minimal),
            _ => None,
        }
    }

    /// The header's value.
    pub fn header(self) -> String {
        match self {
            Self::Original => concat!("patroni-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            Self::ProductOnly => "Patroni".to_owned(),
            Self::Minimal => format!("Patroni/{}", patroni_core::version::COMPATIBLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("127.0.0.1:8008", "127.0.0.1:8008"),
            ("*:8008", "None:8008"),
            (":8008", "None:8008"),
            ("[::1]:8008", "::1:8008"),
        ] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Listen::parse("127.0.0.1"), None);
        assert_eq!(Listen::parse("h:port"), None);
    }

    #[test]
    fn only_unguarded_servers_beyond_loopback_are_open() {
        let settings = |listen: &str| ServerSettings::new(Listen::parse(listen).unwrap());
        assert!(settings("*:8008").is_open());
        assert!(!settings("127.0.0.1:8008").is_open());
        let mut guarded = settings("10.0.0.1:8008");
        guarded.allowlist_include_members = true;
        assert!(!guarded.is_open());
    }
}
