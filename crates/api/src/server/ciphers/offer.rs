//! What of a list this server can speak.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as ring;

use super::list::Selection;
use crate::error::CipherListError;

/// Suites of TLS 1.2 by the names that lists have for them.
const TLS12: [(&str, SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
];

/// Suites of TLS 1.3 in OpenSSL's order, with the bits of their keys.
const TLS13: [(u16, SupportedCipherSuite); 3] = [
    (256, ring::TLS13_AES_256_GCM_SHA384),
    (256, ring::TLS13_CHACHA20_POLY1305_SHA256),
    (128, ring::TLS13_AES_128_GCM_SHA256),
];

/// What the server offers by a list, in the order of preference.
#[derive(Debug)]
pub(in crate::server) struct Offer {
    /// Those of TLS 1.3 first.
    pub(in crate::server) suites: Vec<SupportedCipherSuite>,
    /// What an operator should hear of it.
    pub(in crate::server) remarks: Vec<String>,
}

impl Offer {
    /// What a list leaves.
    ///
    /// # Errors
    /// OpenSSL refuses the list, too. A list of suites that only OpenSSL has is none of these:
    /// it leaves TLS 1.3.
    pub(in crate::server) fn of(list: &str) -> Result<Self, CipherListError> {
        let selection = Selection::of(list)?;
        if selection.suites.is_empty() {
            let offer = on_offer();
            return Err(CipherListError::Nothing { offer });
        }
        let strong = |bits| bits >= least_bits(selection.level);
        let mut suites: Vec<_> = TLS13
            .iter()
            .filter(|(bits, _)| strong(*bits))
            .map(|(_, suite)| *suite)
            .collect();
        let tls13 = suites.len();
        let chosen = selection.suites.iter().filter(|suite| strong(suite.bits()));
        suites.extend(chosen.filter_map(|suite| spoken(suite.name)));
        let has_tls12 = suites.len() > tls13;
        Ok(Self {
            suites,
            remarks: remarks(&selection, has_tls12),
        })
    }
}

/// The security levels that are about the strength of suites: 4 wants 192 bits, 5 wants 256.
/// The lower ones ask for no more than each suite here has.
fn least_bits(level: Option<u8>) -> u16 {
    if level >= Some(4) { 256 } else { 0 }
}

fn spoken(name: &str) -> Option<SupportedCipherSuite> {
    let found = TLS12.iter().find(|(spoken, _)| *spoken == name);
    found.map(|(_, suite)| *suite)
}

#[cfg(test)]
pub(super) fn is_spoken(name: &str) -> bool {
    spoken(name).is_some()
}

fn on_offer() -> String {
    TLS12.map(|(name, _)| name).join(", ")
}

fn remarks(selection: &Selection, has_tls12: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if !selection.unknown.is_empty() {
        remarks.push(format!(
            "restapi.ciphers: {} have no effect, as OpenSSL does not know them",
            selection.unknown.join(", ")
        ));
    }
    if !has_tls12 {
        remarks.push(format!(
            "restapi.ciphers selects no cipher suite that there is for TLS 1.2 ({}): clients need TLS 1.3",
            on_offer()
        ));
    }
    remarks
}
