//! The cipher suites that OpenSSL 3 has up to TLS 1.2.

/// A suite, with the properties by which the words of a list choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// The first protocol that has it: `SSLv3`, `TLSv1` or `TLSv1.2`.
    pub(super) protocol: &'static str,
    pub(super) key_exchange: &'static str,
    pub(super) authentication: &'static str,
    /// As `AESGCM(256)`; `None` without encryption.
    pub(super) encryption: &'static str,
    pub(super) mac: &'static str,
}

impl Suite {
    /// All of them, in the order in which a list that says no other has them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        include_str!("suites.txt").lines().filter_map(Self::read)
    }

    fn read(line: &'static str) -> Option<Self> {
        let mut fields = line.split(' ');
        Some(Self {
            name: fields.next()?,
            protocol: fields.next()?,
            key_exchange: fields.next()?,
            authentication: fields.next()?,
            encryption: fields.next()?,
            mac: fields.next()?,
        })
    }

    /// The bits of its key; 0 without encryption.
    pub(super) fn bits(&self) -> u16 {
        let bits = self.encryption.split_once('(');
        bits.and_then(|(_, bits)| bits.trim_end_matches(')').parse().ok())
            .unwrap_or(0)
    }
}
