//! Where a standby gets its WAL from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{MemberName, SlotName};

/// The server that a standby follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upstream {
    /// Nobody: archive only, or read-only without a source.
    None,
    /// A member of the cluster.
    Member {
        /// Its name.
        name: MemberName,
        /// Its published address, `postgres://host:port/database`.
        conn_url: String,
        /// The slot to use there.
        slot: Option<SlotName>,
    },
    /// The remote of a standby cluster.
    Remote {
        /// Host or comma list of hosts; without one there is only the archive.
        host: Option<String>,
        /// Port or comma list of ports.
        port: Option<String>,
        /// The slot to use there.
        slot: Option<SlotName>,
        /// Whether this node leads the standby cluster (then the delay applies, too).
        leading: bool,
    },
}

impl Upstream {
    /// The member's name, when it is a member.
    pub fn member(&self) -> Option<&MemberName> {
        match self {
            Self::Member { name, .. } => Some(name),
            Self::None | Self::Remote { .. } => None,
        }
    }
}

/// The parts of a published address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnUrl {
    /// Host without brackets.
    pub host: String,
    /// Port, 5432 when the address has none.
    pub port: u16,
    /// Database, possibly empty.
    pub database: String,
}

impl ConnUrl {
    /// Reads `postgres://[user[:password]@]host[:port][/database][?..]`.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))?;
        let rest = rest.split('?').next()?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let address = authority
            .rsplit_once('@')
            .map_or(authority, |(_, address)| address);
        let (host, port) = match address.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => match address.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = match port {
            Some(text) => text.parse().ok()?,
            None => 5432,
        };
        Some(Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
        })
    }
}

impl fmt::Display for ConnUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            database,
        } = self;
        if host.contains(':') {
            write!(f, "postgres://[{host}]:{port}/{database}")
        } else {
            write!(f, "postgres://{host}:{port}/{database}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (url, host, port, database) in [
            ("postgres://10.0.0.1:5433/app", "10.0.0.1", 5433, "app"),
            ("postgres://[::1]:5432/postgres", "::1", 5432, "postgres"),
            ("postgresql://u:p@h", "h", 5432, ""),
        ] {
            let parsed = ConnUrl::parse(url).unwrap();
            assert_eq!(
                (parsed.host.as_str(), parsed.port, parsed.database.as_str()),
                (host, port, database)
            );
        }
        assert_eq!(ConnUrl::parse("http://h:1/x"), None);
        assert_eq!(
            ConnUrl::parse("postgres://[::1]:5432/p")
                .unwrap()
                .to_string(),
            "postgres://[::1]:5432/p"
        );
    }
}
