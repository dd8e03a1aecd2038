//! The common key of a cluster.

use std::fmt;

use patroni_core::Secret;
use snow::params::HashChoice;
use snow::resolvers::{CryptoResolver as _, DefaultResolver};

/// Makes guessing passwords from a recorded handshake slow; done once per process.
const ROUNDS: u32 = 20_000;
const SALT: &[u8] = b"patroni-rs raft transport 1\0\0\0\x01";

/// A key made from the password (PBKDF2 with HMAC-SHA-256, as in RFC 8018).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Stretches a password; an empty one is none.
    pub(crate) fn derive(password: &Secret) -> Option<Self> {
        if password.is_empty() {
            return None;
        }
        let mut hash = DefaultResolver.resolve_hash(&HashChoice::SHA256)?;
        let mut short = [0; 32];
        hash.input(password.expose().as_bytes());
        hash.result(&mut short);
        let mut round = [0; 32];
        hash.hmac(&short, SALT, &mut round);
        let mut key = round;
        for _ in 1..ROUNDS {
            let last = round;
            hash.hmac(&short, &last, &mut round);
            key.iter_mut().zip(round).for_each(|(k, r)| *k ^= r);
        }
        Some(Self(key))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}
