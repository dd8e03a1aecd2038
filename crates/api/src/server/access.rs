//! Who may send guarded requests.

use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq as _;
use tokio::net::lookup_host;

use super::settings::{ServerSettings, VerifyClient};
use crate::wire::{Answer, Snapshot};

/// The rules of one configuration, names resolved.
#[derive(Debug)]
pub(super) struct Access {
    networks: Vec<Network>,
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
    /// Resolves the allowlist. Bad entries are logged and skipped.
    pub(super) async fn resolve(settings: &ServerSettings) -> Self {
        let mut networks = Vec::new();
        for entry in &settings.allowlist {
            if entry.contains('/') {
                let network = Network::parse(entry);
                if network.is_none() {
                    tracing::error!(
                        "Invalid value \"{entry}\" in the allowlist: expected ADDRESS/BITS"
                    );
                }
                networks.extend(network);
            } else {
                networks.extend(resolve(entry).await.into_iter().map(Network::single));
            }
        }
        let expected = settings.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.username, credentials.password.expose());
            STANDARD.encode(pair)
        });
        Self {
            networks,
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
        if !with_members && self.networks.is_empty() {
            return true;
        }
        self.networks.iter().any(|network| network.has(ip))
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
    for url in view.api_urls() {
        if let Some(host) = host_of(url)
            && resolve(host).await.contains(&ip)
        {
            return true;
        }
    }
    false
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

async fn resolve(host: &str) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return vec![plain(ip)];
    }
    match lookup_host((host, 0)).await {
        Ok(found) => found.map(|address| plain(address.ip())).collect(),
        Err(error) => {
            tracing::error!("Failed to resolve {host}: {error}");
            Vec::new()
        }
    }
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
    fn single(ip: IpAddr) -> Self {
        let (v4, bits) = numbers(ip);
        Self {
            v4,
            bits,
            mask: u128::MAX,
        }
    }

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

    #[test]
    fn hosts_are_cut_out_of_addresses() {
        assert_eq!(host_of("http://10.0.0.1:8008/patroni"), Some("10.0.0.1"));
        assert_eq!(host_of("https://[::1]:8008/patroni"), Some("::1"));
        assert_eq!(host_of("nonsense"), None);
    }
}
