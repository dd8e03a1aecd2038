//! Who may send guarded requests.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq as _;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::settings::{ServerSettings, VerifyClient};
use crate::wire::{Answer, Snapshot};

/// The time for all names together. A reload is part of a cycle, which must not wait for a name
/// server that is away.
const RESOLVE_TIME: Duration = Duration::from_secs(2);

/// The rules of one configuration, names resolved.
#[derive(Debug)]
pub(super) struct Access {
    networks: Vec<Network>,
    /// The addresses of the names in the allowlist.
    names: HashMap<String, Vec<IpAddr>>,
    include_members: bool,
    needs_certificate: bool,
    expected: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Its address; IPv4 in IPv6 clothes is undressed.
    pub ip: IpAddr,
    /// It has shown a client certificate that was verified.
    pub has_certificate: bool,
}

/// Whether addresses of members count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberRule {
    /// If the configuration says so.
    Applies,
    /// Never, and then the setting alone does not close the door either.
    Ignored,
}

impl Access {
    /// Resolves the allowlist. Bad entries are logged and skipped; a name that cannot be resolved
    /// now keeps the addresses that it had `before`.
    pub(super) async fn resolve(settings: &ServerSettings, before: Option<&Self>) -> Self {
        let entries = settings.allowlist.iter().map(String::as_str);
        let (networks, hosts): (Vec<&str>, Vec<&str>) =
            entries.partition(|entry| entry.contains('/'));
        let mut names = resolve_all(hosts.iter().copied()).await;
        for host in hosts {
            let had = before.and_then(|before| before.names.get(host));
            if let (None, Some(had)) = (names.get(host), had) {
                names.insert(host.to_owned(), had.clone());
            }
        }
        let expected = settings.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.username, credentials.password.expose());
            STANDARD.encode(pair)
        });
        Self {
            networks: networks.into_iter().filter_map(network).collect(),
            names,
            include_members: settings.allowlist_include_members,
            needs_certificate: settings
                .tls
                .as_ref()
                .is_some_and(|tls| tls.verify_client != VerifyClient::None),
            expected,
        }
    }

    /// Lets a guarded request pass, or says what to answer.
    pub(super) async fn check(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        snapshot: &Snapshot,
        members: MemberRule,
    ) -> Result<(), Answer> {
        if !self.is_allowed(peer.ip, snapshot, members).await {
            return Err(Answer::text(StatusCode::FORBIDDEN, "Access is denied"));
        }
        if self.needs_certificate && !peer.has_certificate {
            return Err(Answer::text(
                StatusCode::FORBIDDEN,
                "client certificate required",
            ));
        }
        self.check_password(headers)
    }

    async fn is_allowed(&self, ip: IpAddr, snapshot: &Snapshot, members: MemberRule) -> bool {
        let with_members = self.include_members && members == MemberRule::Applies;
        if !with_members && self.networks.is_empty() && self.names.is_empty() {
            return true;
        }
        self.networks.iter().any(|network| network.has(ip))
            || self.names.values().any(|addresses| addresses.contains(&ip))
            || (with_members && is_member(ip, snapshot).await)
    }

    fn check_password(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        let refusal = match headers.get(AUTHORIZATION) {
            None => "no auth header received",
            Some(given) => {
                let given = given.as_bytes().strip_prefix(b"Basic ").unwrap_or_default();
                if bool::from(given.ct_eq(expected.as_bytes())) {
                    return Ok(());
                }
                "not authenticated"
            }
        };
        Err(Answer::text(StatusCode::UNAUTHORIZED, refusal)
            .with_header("www-authenticate", "Basic realm=\"Patroni\""))
    }
}

async fn is_member(ip: IpAddr, snapshot: &Snapshot) -> bool {
    let Some(view) = snapshot.view_at(std::time::Instant::now()) else {
        return false;
    };
    let hosts = view.api_urls().filter_map(host_of);
    let members = resolve_all(hosts).await;
    members.values().any(|addresses| addresses.contains(&ip))
}

/// A network of the allowlist.
fn network(entry: &str) -> Option<Network> {
    let network = Network::parse(entry);
    if network.is_none() {
        tracing::error!("Invalid value \"{entry}\" in the allowlist: expected ADDRESS/BITS");
    }
    network
}

/// The host part of an address such as `https://[::1]:8008/patroni`.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

/// The addresses of hosts, all asked for at once. Those without an answer in time are left out.
async fn resolve_all<'h>(hosts: impl Iterator<Item = &'h str>) -> HashMap<String, Vec<IpAddr>> {
    let mut found = HashMap::new();
    let mut lookups = JoinSet::new();
    for host in hosts.map(str::to_owned) {
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                found.insert(host, vec![plain(ip)]);
            }
            Err(_) => {
                lookups.spawn(async move {
                    let answer = timeout(RESOLVE_TIME, lookup_host((host.as_str(), 0))).await;
                    let answer = answer.map(|found| found.map(Vec::from_iter));
                    (host, answer)
                });
            }
        }
    }
    while let Some(done) = lookups.join_next().await {
        match done {
            Ok((host, Ok(Ok(addresses)))) => {
                let addresses = addresses.iter().map(|address| plain(address.ip()));
                found.insert(host, addresses.collect());
            }
            Ok((host, Ok(Err(error)))) => tracing::error!("Failed to resolve {host}: {error}"),
            Ok((host, Err(_))) => tracing::error!("Failed to resolve {host}: no answer in 2 s"),
            Err(panic) => tracing::error!("Failed to resolve a host: {panic}"),
        }
    }
    found
}

/// IPv4 addresses seen through an IPv6 socket are IPv4 addresses.
pub(super) fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// A network; host bits may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    v4: bool,
    bits: u128,
    mask: u128,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.trim().split_once('/')?;
        let (v4, bits) = numbers(address.parse().ok()?);
        let width: u32 = if v4 { 32 } else { 128 };
        let length = match length.parse::<u32>() {
            Ok(length) => length,
            Err(_) => netmask_length(length)?,
        };
        let free = width.checked_sub(length)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Some(Self {
            v4,
            bits: bits & mask,
            mask,
        })
    }

    fn has(self, ip: IpAddr) -> bool {
        let (v4, bits) = numbers(ip);
        v4 == self.v4 && bits & self.mask == self.bits
    }
}

/// `255.255.255.0` as a number of bits.
fn netmask_length(text: &str) -> Option<u32> {
    let mask: std::net::Ipv4Addr = text.parse().ok()?;
    let mask = mask.to_bits();
    (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones())
}

fn numbers(ip: IpAddr) -> (bool, u128) {
    match plain(ip) {
        IpAddr::V4(ip) => (true, u128::from(ip.to_bits())),
        IpAddr::V6(ip) => (false, Ipv6Addr::to_bits(ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Listen;

    #[test]
    fn networks_hold_their_addresses() {
        let has =
            |network: &str, ip: &str| Network::parse(network).unwrap().has(ip.parse().unwrap());
        assert!(has("10.0.0.7/8", "10.255.0.1"));
        assert!(has("10.0.0.7/8", "::ffff:10.255.0.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "1.2.3.4"));
        assert!(!has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fd12::1"));
        assert!(has("192.168.1.0/255.255.255.0", "192.168.1.9"));
        for bad in [
            "10.0.0.0/33",
            "x/8",
            "10.0.0.0/",
            "10.0.0.0/255.0.255.0",
            "10.0.0.0/-1",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_keeps_its_addresses_while_it_cannot_be_resolved() {
        let mut settings = ServerSettings::new(Listen::parse("127.0.0.1:0").unwrap());
        settings.allowlist = vec!["gone.invalid".to_owned(), "localhost".to_owned()];
        let fresh = Access::resolve(&settings, None).await;
        assert!(!fresh.names.contains_key("gone.invalid"));
        assert!(fresh.names.contains_key("localhost"));
        let had = vec![IpAddr::from([10, 0, 0, 1])];
        let before = Access {
            names: HashMap::from([("gone.invalid".to_owned(), had.clone())]),
            ..fresh
        };
        let after = Access::resolve(&settings, Some(&before)).await;
        assert_eq!(after.names.get("gone.invalid"), Some(&had));
        settings.allowlist.clear();
        assert!(
            Access::resolve(&settings, Some(&before))
                .await
                .names
                .is_empty()
        );
    }

    #[test]
    fn hosts_are_cut_out_of_addresses() {
        assert_eq!(host_of("http://10.0.0.1:8008/patroni"), Some("10.0.0.1"));
        assert_eq!(host_of("https://[::1]:8008/patroni"), Some("::1"));
        assert_eq!(host_of("nonsense"), None);
    }
}
