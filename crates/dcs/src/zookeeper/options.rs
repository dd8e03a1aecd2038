//! What one must know to reach a ZooKeeper ensemble.

use patroni_config::file::dcs::zookeeper::Access;

/// The port of a ZooKeeper server when none is given.
pub const DEFAULT_PORT: u16 = 2181;

/// Where the servers are and how to enter. Source: store contract, section 12.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// `host:port` of each server; they are tried in random order.
    pub hosts: Vec<String>,
    /// The path under which all keys lie (`/pg`); created when it is missing.
    pub chroot: Option<String>,
    /// TLS, credentials, and the rights on created nodes.
    pub access: Access,
}

impl Options {
    /// These servers, in plain text, without credentials.
    pub fn new<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}
