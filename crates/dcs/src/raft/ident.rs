//! Who is who: addresses, and the numbers that Raft knows members by.
//!
//! A founder's number is a hash of its address, so that all founders write the same first
//! membership without asking each other. A member that comes with an empty disk later gets a
//! number of its own from address and incarnation: the number that has voted on the lost disk is
//! never used again, and so no vote is ever forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::RaftError;

/// `host:port` as the members know each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Reads `host:port`; letters of the host compare without regard to case.
    pub(crate) fn parse(text: &str) -> Result<Self, RaftError> {
        let text = text.trim().to_ascii_lowercase();
        let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if valid {
            Ok(Self(text))
        } else {
            Err(RaftError::Address(text))
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a founder.
pub(crate) fn founder_id(address: &Address) -> u64 {
    hash(address.as_str().as_bytes())
}

/// The number of a member that joins a cluster which exists already.
pub(crate) fn joiner_id(address: &Address, incarnation: u64) -> u64 {
    hash(format!("{address}#{incarnation:016x}").as_bytes())
}

/// The founders by their numbers.
///
/// # Errors
/// When two addresses hash to one number: one of them must be written differently.
pub(crate) fn founders(addresses: &BTreeSet<Address>) -> Result<BTreeMap<u64, Address>, RaftError> {
    let mut members = BTreeMap::new();
    for address in addresses {
        if let Some(other) = members.insert(founder_id(address), address.clone()) {
            return Err(RaftError::SameId(other, address.clone()));
        }
    }
    Ok(members)
}

/// One number for a set of founders, to see whether two members were configured alike.
pub(crate) fn fingerprint(addresses: &BTreeSet<Address>) -> u64 {
    let joined: Vec<&str> = addresses.iter().map(Address::as_str).collect();
    hash(joined.join(",").as_bytes())
}

/// A number that nobody else has. Zero means "none" everywhere.
pub(crate) fn random_id() -> u64 {
    loop {
        let id = getrandom::u64().expect("the system has a source of randomness");
        if id != 0 {
            return id;
        }
    }
}

/// FNV-1a with a final mix. Part of the disk format: it must give the same for ever.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_for_ever() {
        let address = Address::parse("10.0.0.1:2222").unwrap();
        assert_eq!(founder_id(&address), founder_id(&address.clone()));
        assert_ne!(founder_id(&address), joiner_id(&address, 1));
        assert_ne!(joiner_id(&address, 2), joiner_id(&address, 1));
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for text in ["", "host", "host:", ":1", "host:0", "host:70000"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Address::parse(" HOST:1 ").unwrap().as_str(), "host:1");
        assert!(Address::parse("[::1]:5").unwrap().is_loopback());
        assert!(!Address::parse("10.1.1.1:5").unwrap().is_loopback());
    }
}
