//! The sections `etcd` and `etcd3`, which have the same keys.

use std::path::PathBuf;

use patroni_core::Secret;

use crate::error::ConfigError;
use crate::file::address::HostPort;
use crate::section::Section;

/// etcd, by either protocol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Etcd {
    /// Where the servers are; the first given of `proxy`, `url`, `hosts`, `host`. `None` when
    /// only [`Self::srv`] says it.
    pub servers: Option<Servers>,
    /// `srv` (also `discovery_srv`, `srv_domain`): domain of SRV records, asked before hosts.
    pub srv: Option<String>,
    /// `srv_suffix`.
    pub srv_suffix: Option<String>,
    /// `protocol`, or that of the URL.
    pub protocol: Protocol,
    /// `use_proxies`: the addresses are used as given, members are not discovered. Implied by
    /// `proxy`.
    pub use_proxies: bool,
    /// `username`; that in a URL wins.
    pub username: Option<String>,
    /// `password`; that in a URL wins.
    pub password: Option<Secret>,
    /// `cacert`.
    pub cacert: Option<PathBuf>,
    /// `cert`: client certificate, may hold its key too.
    pub cert: Option<PathBuf>,
    /// `key`.
    pub key: Option<PathBuf>,
    /// `version_prefix` of the paths.
    pub version_prefix: Option<String>,
}

/// Addresses of etcd servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// From `proxy`; its name is never expanded.
    Proxy(HostPort),
    /// From `url`.
    Url(HostPort),
    /// From `hosts`.
    Hosts(Vec<HostPort>),
    /// From `host`; with plain HTTP it stands for all its addresses.
    Host(HostPort),
}

/// Plain or encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Plain.
    #[default]
    Http,
    /// Encrypted.
    Https,
}

impl Protocol {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) fn read(section: &Section<'_>, key: &str) -> Result<Self, ConfigError> {
        match section.text_or(key, "http")?.to_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            other => Err(section.fail(key, format!("{other} is neither http nor https"))),
        }
    }
}

/// The parts of `scheme://[user[:password]@]host[:port]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServerUrl {
    pub(super) protocol: Protocol,
    pub(super) address: HostPort,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

impl ServerUrl {
    pub(super) fn read(
        section: &Section<'_>,
        key: &str,
        default_port: u16,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(text) = section.text(key)? else {
            return Ok(None);
        };
        // The text may hold a password, so messages leave it out.
        Self::parse(&text, default_port)
            .map(Some)
            .ok_or_else(|| section.fail(key, "is not a URL of the form http[s]://host[:port]"))
    }

    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let address = match address
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, "")) => HostPort {
                host: host.to_owned(),
                port: default_port,
            },
            _ => HostPort::parse(address, Some(default_port)).ok()?,
        };
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            Some((username, password)) => (decoded(username), decoded(password)),
            None => (String::new(), String::new()),
        };
        (!address.host.is_empty()).then_some(Self {
            protocol,
            address,
            username: (!username.is_empty()).then_some(username),
            password: (!password.is_empty()).then(|| Secret::new(password)),
        })
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = &after[if code.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Etcd {
    pub(crate) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let mut etcd = Self {
            servers: None,
            srv: srv(section)?,
            srv_suffix: section.text("srv_suffix")?,
            protocol: Protocol::read(section, "protocol")?,
            use_proxies: section.flag("use_proxies", false),
            username: section.text("username")?,
            password: section.secret("password")?,
            cacert: section.path("cacert")?,
            cert: section.path("cert")?,
            key: section.path("key")?,
            version_prefix: section.text("version_prefix")?,
        };
        etcd.read_servers(section)?;
        if etcd.servers.is_none() && etcd.srv.is_none() {
            return Err(section.fail("", "needs one of host, hosts, url, proxy, srv"));
        }
        Ok(etcd)
    }

    fn read_servers(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        let port = section.number::<u16>("port")?;
        let default_port = port.unwrap_or(2379);
        if let Some(url) = ServerUrl::read(section, "proxy", 2379)? {
            self.use_proxies = true;
            self.servers = Some(Servers::Proxy(self.take(url)));
        } else if let Some(url) = ServerUrl::read(section, "url", 2379)? {
            self.servers = Some(Servers::Url(self.take(url)));
        } else if section.filled("hosts").is_some() {
            let hosts = section.list_or_commas("hosts")?;
            let hosts = hosts.iter().map(|host| {
                HostPort::parse(host, Some(default_port))
                    .map_err(|problem| section.fail("hosts", format!("{host} {problem}")))
            });
            self.servers = Some(Servers::Hosts(hosts.collect::<Result<_, _>>()?));
        } else if let Some(mut host) = section.address("host", Some(default_port))? {
            host.port = port.unwrap_or(host.port);
            self.servers = Some(Servers::Host(host));
        }
        Ok(())
    }

    /// What a URL says about protocol and user replaces the keys, also where it says nothing.
    fn take(&mut self, url: ServerUrl) -> HostPort {
        self.protocol = url.protocol;
        self.username = url.username;
        self.password = url.password;
        url.address
    }
}

fn srv(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    for key in ["srv", "discovery_srv", "srv_domain"] {
        if let Some(domain) = section.text(key)? {
            return Ok(Some(domain));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    fn host(host: &str, port: u16) -> HostPort {
        HostPort {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn the_most_special_address_wins() {
        for (given, servers) in [
            (json!({"host": "h"}), Servers::Host(host("h", 2379))),
            (
                json!({"host": "h:1", "port": 2}),
                Servers::Host(host("h", 2)),
            ),
            (
                json!({"hosts": "a, b:1", "port": 2}),
                Servers::Hosts(vec![host("a", 2), host("b", 1)]),
            ),
            (
                json!({"hosts": ["a"], "host": "h"}),
                Servers::Hosts(vec![host("a", 2379)]),
            ),
            (
                json!({"url": "https://u:p%40@h:4001/x", "hosts": "a"}),
                Servers::Url(host("h", 4001)),
            ),
            (
                json!({"proxy": "http://[::1]", "url": "http://h"}),
                Servers::Proxy(host("::1", 2379)),
            ),
        ] {
            let etcd = read_with(&given, Etcd::read).unwrap();
            assert_eq!(etcd.servers, Some(servers), "{given}");
        }
    }

    #[test]
    fn a_url_brings_protocol_and_user() {
        let given = json!({"url": "https://u:p%40@h", "username": "x", "protocol": "http"});
        let etcd = read_with(&given, Etcd::read).unwrap();
        assert_eq!(etcd.protocol, Protocol::Https);
        assert_eq!(etcd.username.as_deref(), Some("u"));
        assert_eq!(etcd.password, Some(Secret::new("p@")));
        let bare = json!({"url": "http://h", "username": "x"});
        assert_eq!(read_with(&bare, Etcd::read).unwrap().username, None);
        let proxy = json!({"proxy": "http://h"});
        assert!(read_with(&proxy, Etcd::read).unwrap().use_proxies);
    }

    #[test]
    fn something_must_say_where_etcd_is() {
        assert!(read_with(&json!({"protocol": "https"}), Etcd::read).is_err());
        let srv = read_with(&json!({"discovery_srv": "d"}), Etcd::read).unwrap();
        assert_eq!(srv.srv.as_deref(), Some("d"));
        assert_eq!(srv.servers, None);
        assert!(read_with(&json!({"url": "h:1"}), Etcd::read).is_err());
    }
}
