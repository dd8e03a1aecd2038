//! Nodes that SRV records name.
//!
//! Source: store contract, section 8 (SRV).

use std::net::SocketAddr;

use super::options::{Options, Protocol};
use super::{dns, peers};

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Srv {
    /// The domain, with all its parts: no search list is applied.
    pub domain: String,
    /// What is appended to the names of the services.
    pub suffix: Option<String>,
    /// The name servers; those of `/etc/resolv.conf` when there are none.
    pub name_servers: Vec<SocketAddr>,
}

/// What the targets of a service are addresses for.
#[derive(Clone, Copy)]
enum For {
    Clients,
    Peers,
}

/// In the order of asking.
const SERVICES: [(&str, Protocol, For); 6] = [
    ("_etcd-client-ssl", Protocol::Https, For::Clients),
    ("_etcd-client", Protocol::Http, For::Clients),
    ("_etcd-ssl", Protocol::Https, For::Clients),
    ("_etcd", Protocol::Http, For::Clients),
    ("_etcd-server-ssl", Protocol::Https, For::Peers),
    ("_etcd-server", Protocol::Http, For::Peers),
];

impl Srv {
    /// The records of a domain.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            suffix: None,
            name_servers: Vec::new(),
        }
    }

    /// The URLs that the first service with records names; none, with a warning, when there is
    /// none.
    pub(super) async fn urls(&self, options: &Options) -> Vec<String> {
        let domain = &self.domain;
        match self.find(options).await {
            Ok(urls) => {
                if urls.is_empty() {
                    tracing::warn!("Can not resolve SRV for {domain}");
                }
                urls
            }
            Err(why) => {
                tracing::warn!("Can not resolve SRV for {domain}: {why}");
                Vec::new()
            }
        }
    }

    async fn find(&self, options: &Options) -> Result<Vec<String>, String> {
        let mut servers = self.name_servers.clone();
        if servers.is_empty() {
            servers = dns::of_system().await;
        }
        for (service, protocol, whom) in SERVICES {
            let found = dns::lookup(&servers, &self.name(service)).await?;
            if !found.is_empty() {
                let url =
                    |target: dns::Target| format!("{protocol}://{}:{}", target.host, target.port);
                let urls: Vec<String> = found.into_iter().map(url).collect();
                return Ok(match whom {
                    For::Clients => urls,
                    For::Peers => peers::client_urls(&urls, options).await,
                });
            }
        }
        Ok(Vec::new())
    }

    fn name(&self, service: &str) -> String {
        let domain = &self.domain;
        match self.suffix.as_deref().filter(|suffix| !suffix.is_empty()) {
            Some(suffix) => format!("{service}-{suffix}._tcp.{domain}"),
            None => format!("{service}._tcp.{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_belongs_to_the_service() {
        let mut srv = Srv::new("example.org");
        assert_eq!(srv.name("_etcd"), "_etcd._tcp.example.org");
        srv.suffix = Some("b".to_owned());
        assert_eq!(srv.name("_etcd"), "_etcd-b._tcp.example.org");
    }
}
