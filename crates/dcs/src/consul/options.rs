//! What one must know to reach a Consul agent.

use std::path::PathBuf;

use patroni_config::file::HostPort;
use patroni_config::file::dcs::consul::{Consistency, Consul};
use patroni_config::file::dcs::etcd::Protocol;
use patroni_core::Secret;

/// The port of an agent when none is given.
pub const DEFAULT_PORT: u16 = 8500;

/// Where the agent is and how to talk to it. Source: store contract, section 11.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Whether the agent's certificate is verified; `cacert` forces it.
    pub verify: bool,
    /// Certificates (PEM) to verify the agent with; the system's store without it.
    pub cacert: Option<PathBuf>,
    /// Client certificate (PEM), which may hold the key too.
    pub cert: Option<PathBuf>,
    /// Key of the client certificate (PEM).
    pub key: Option<PathBuf>,
    /// Health checks of the node that the session hangs on, beside its life.
    pub checks: Vec<String>,
    /// How often the agent asks a registered member for its health, in Consul's notation.
    pub service_check_interval: String,
    /// The name that the member's certificate is verified for in that check.
    pub service_check_tls_server_name: Option<String>,
    /// What [`Store::reconfigure`](crate::Store::reconfigure) may change.
    pub changeable: Changeable,
}

/// The options that a reload of the configuration changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changeable {
    /// The ACL token.
    pub token: Option<Secret>,
    /// The datacenter; the agent's own without it.
    pub dc: Option<String>,
    /// How fresh a member's reads are. Those of the control tool are always consistent.
    pub consistency: Consistency,
    /// Whether the member is registered as a service of the agent.
    pub register_service: bool,
    /// Tags of that service beside the role.
    pub service_tags: Vec<String>,
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The environment names a socket of the file system.
    #[error("CONSUL_HTTP_ADDR names a unix socket, which is not supported: name host and port")]
    UnixSocket,
    /// The environment names no address.
    #[error("CONSUL_HTTP_ADDR is not an address of the form host:port")]
    Address,
}

impl Options {
    /// The agent at this URL, without token or certificates.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            verify: true,
            cacert: None,
            cert: None,
            key: None,
            checks: Vec::new(),
            service_check_interval: "5s".to_owned(),
            service_check_tls_server_name: None,
            changeable: Changeable::default(),
        }
    }

    /// What a section of the configuration means, together with the variables `CONSUL_HTTP_*`
    /// of the environment, which stand in for keys that are absent.
    ///
    /// # Errors
    /// A variable that is needed cannot be used.
    pub fn of(
        section: &Consul,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionsError> {
        let says_true = |name: &str| environment(name).map(|text| text == "true");
        let verify = section
            .verify
            .or_else(|| says_true("CONSUL_HTTP_SSL_VERIFY"));
        let token = || environment("CONSUL_HTTP_TOKEN").map(Secret::new);
        Ok(Self {
            url: url(section, environment)?,
            verify: verify.unwrap_or(true) || section.cacert.is_some(),
            cacert: section.cacert.clone(),
            cert: section.cert.clone(),
            key: section.key.clone(),
            checks: section.checks.clone(),
            service_check_interval: section.service_check_interval.clone(),
            service_check_tls_server_name: section.service_check_tls_server_name.clone(),
            changeable: Changeable {
                token: section.token.clone().or_else(token),
                dc: section.dc.clone(),
                consistency: section.consistency,
                register_service: section.register_service,
                service_tags: section.service_tags.clone(),
            },
        })
    }

    /// The same with the environment of this process.
    ///
    /// # Errors
    /// A variable that is needed cannot be used.
    pub fn from_environment(section: &Consul) -> Result<Self, OptionsError> {
        Self::of(section, &|name| std::env::var(name).ok())
    }
}

fn url(
    section: &Consul,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, OptionsError> {
    let (address, protocol) = match &section.address {
        Some(address) => (address.clone(), None),
        None => match environment("CONSUL_HTTP_ADDR") {
            Some(text) => variable_address(&text)?,
            None => (local(), None),
        },
    };
    let encrypted = environment("CONSUL_HTTP_SSL").is_some_and(|text| text == "true");
    let default = if encrypted {
        Protocol::Https
    } else {
        Protocol::Http
    };
    let protocol = section.protocol.or(protocol).unwrap_or(default);
    Ok(format!("{}://{address}", protocol.as_str()))
}

fn local() -> HostPort {
    HostPort {
        host: "127.0.0.1".to_owned(),
        port: DEFAULT_PORT,
    }
}

/// Reads `host:port`, also with a scheme in front, as Consul's own programs write it.
fn variable_address(text: &str) -> Result<(HostPort, Option<Protocol>), OptionsError> {
    let (protocol, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Some(Protocol::Http), rest),
        Some(("https", rest)) => (Some(Protocol::Https), rest),
        Some(("unix", _)) => return Err(OptionsError::UnixSocket),
        Some(_) => return Err(OptionsError::Address),
        None => (None, text),
    };
    let address = HostPort::parse(rest.trim_end_matches('/'), Some(DEFAULT_PORT));
    match address {
        Ok(address) if !address.host.is_empty() => Ok((address, protocol)),
        Ok(_) | Err(_) => Err(OptionsError::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(section: &Consul, variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        Options::of(section, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn section(address: Option<(&str, u16)>) -> Consul {
        Consul {
            address: address.map(|(host, port)| HostPort {
                host: host.to_owned(),
                port,
            }),
            ..Consul::default()
        }
    }

    #[test]
    fn the_environment_stands_in_for_absent_keys() {
        let all = [
            ("CONSUL_HTTP_ADDR", "e:1"),
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
            ("CONSUL_HTTP_TOKEN", "secret"),
        ];
        let bare = options(&section(None), &[]).unwrap();
        assert_eq!(bare.url, "http://127.0.0.1:8500");
        assert!(bare.verify && bare.changeable.token.is_none());

        let from_environment = options(&section(None), &all).unwrap();
        assert_eq!(from_environment.url, "https://e:1");
        assert!(!from_environment.verify);
        assert_eq!(
            from_environment.changeable.token,
            Some(Secret::new("secret"))
        );

        let mut given = section(Some(("::1", 2)));
        given.protocol = Some(Protocol::Http);
        given.verify = Some(true);
        given.token = Some(Secret::new("ours"));
        let given = options(&given, &all).unwrap();
        assert_eq!(given.url, "http://[::1]:2");
        assert!(given.verify);
        assert_eq!(given.changeable.token, Some(Secret::new("ours")));
    }

    #[test]
    fn an_authority_forces_verification() {
        let mut section = section(None);
        section.verify = Some(false);
        assert!(!options(&section, &[]).unwrap().verify);
        section.cacert = Some("ca.pem".into());
        assert!(options(&section, &[]).unwrap().verify);
    }

    #[test]
    fn addresses_of_the_environment_may_have_a_scheme() {
        let url = |text: &str| {
            let found = options(&section(None), &[("CONSUL_HTTP_ADDR", text)]);
            found.map(|options| options.url)
        };
        assert_eq!(url("https://a:1/").unwrap(), "https://a:1");
        assert_eq!(url("a").unwrap(), "http://a:8500");
        assert_eq!(
            url("unix:///run/consul.sock"),
            Err(OptionsError::UnixSocket)
        );
        for wrong in ["", "a:b", "ftp://a", "http://"] {
            assert_eq!(url(wrong), Err(OptionsError::Address), "{wrong}");
        }
    }
}
