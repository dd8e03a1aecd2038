//! The section `consul`.

use std::path::PathBuf;

use patroni_core::Secret;
use patroni_core::value;

use super::etcd::{Protocol, ServerUrl};
use crate::error::ConfigError;
use crate::file::address::HostPort;
use crate::section::Section;

/// A Consul agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consul {
    /// From `url`, else `host` and `port`; `None` leaves it to `CONSUL_HTTP_ADDR`, then to
    /// 127.0.0.1:8500.
    pub address: Option<HostPort>,
    /// That of the URL, or `scheme`; `None` leaves it to `CONSUL_HTTP_SSL`.
    pub protocol: Option<Protocol>,
    /// `token`; `None` leaves it to `CONSUL_HTTP_TOKEN`.
    pub token: Option<Secret>,
    /// `verify`; `None` leaves it to `CONSUL_HTTP_SSL_VERIFY`. A `cacert` forces it.
    pub verify: Option<bool>,
    /// `cacert`.
    pub cacert: Option<PathBuf>,
    /// `cert`: client certificate, may hold its key too.
    pub cert: Option<PathBuf>,
    /// `key`.
    pub key: Option<PathBuf>,
    /// `dc`.
    pub dc: Option<String>,
    /// `consistency` of reads.
    pub consistency: Consistency,
    /// `checks` that the session hangs on.
    pub checks: Vec<String>,
    /// `register_service`.
    pub register_service: bool,
    /// `service_tags`.
    pub service_tags: Vec<String>,
    /// `service_check_interval`, in Consul's notation.
    pub service_check_interval: String,
    /// `service_check_tls_server_name`.
    pub service_check_tls_server_name: Option<String>,
}

/// How fresh reads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// From the leader, mostly fresh.
    #[default]
    Default,
    /// From the leader, confirmed by a quorum.
    Consistent,
    /// From any server.
    Stale,
}

impl Consul {
    pub(crate) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let (address, protocol) = address(section)?;
        Ok(Self {
            address,
            protocol,
            token: section.secret("token")?,
            verify: section.get("verify").and_then(value::parse_bool),
            cacert: section.path("cacert")?,
            cert: section.path("cert")?,
            key: section.path("key")?,
            dc: section.text("dc")?,
            consistency: consistency(section)?,
            checks: section.list("checks")?,
            register_service: section.flag("register_service", false),
            service_tags: section.list("service_tags")?,
            service_check_interval: section.text_or("service_check_interval", "5s")?,
            service_check_tls_server_name: section.text("service_check_tls_server_name")?,
        })
    }
}

fn address(section: &Section<'_>) -> Result<(Option<HostPort>, Option<Protocol>), ConfigError> {
    const PORT: u16 = 8500;
    if let Some(url) = ServerUrl::read(section, "url", PORT)? {
        return Ok((Some(url.address), Some(url.protocol)));
    }
    let protocol = match section.text("scheme")? {
        Some(_) => Some(Protocol::read(section, "scheme")?),
        None => None,
    };
    let port = section.number::<u16>("port")?;
    let address = match section.address("host", Some(PORT))? {
        Some(mut host) => {
            host.port = port.unwrap_or(host.port);
            Some(host)
        }
        None => port.map(|port| HostPort {
            host: "127.0.0.1".to_owned(),
            port,
        }),
    };
    Ok((address, protocol))
}

fn consistency(section: &Section<'_>) -> Result<Consistency, ConfigError> {
    match section.text_or("consistency", "default")?.as_str() {
        "default" => Ok(Consistency::Default),
        "consistent" => Ok(Consistency::Consistent),
        "stale" => Ok(Consistency::Stale),
        other => Err(section.fail(
            "consistency",
            format!("{other} is not one of default, consistent, stale"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    #[test]
    fn the_url_wins_over_host_and_port() {
        for (given, address, protocol) in [
            (json!({}), None, None),
            (json!({"host": "h:1", "port": 2}), Some("h:2"), None),
            (json!({"port": 2}), Some("127.0.0.1:2"), None),
            (
                json!({"host": "h", "scheme": "https"}),
                Some("h:8500"),
                Some(Protocol::Https),
            ),
            (
                json!({"url": "https://u", "host": "h"}),
                Some("u:8500"),
                Some(Protocol::Https),
            ),
        ] {
            let consul = read_with(&given, Consul::read).unwrap();
            assert_eq!(consul.address.map(|a| a.to_string()).as_deref(), address);
            assert_eq!(consul.protocol, protocol);
        }
        assert!(read_with(&json!({"consistency": "weird"}), Consul::read).is_err());
        let strict = json!({"verify": "off", "consistency": "stale"});
        let strict = read_with(&strict, Consul::read).unwrap();
        assert_eq!(
            (strict.verify, strict.consistency),
            (Some(false), Consistency::Stale)
        );
    }
}
