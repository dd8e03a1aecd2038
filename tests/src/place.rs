//! Where a server of a store is.

use crate::netns::Network;
use crate::node::LOOPBACK;
use crate::ports;

/// The ports of a machine of its own: for clients, and two for the other servers.
const OWN: [u16; 3] = [2379, 2380, 2381];

/// A place for a server.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address.
    pub host: String,
    /// The network namespace that it runs in, if it has one of its own.
    pub namespace: Option<String>,
    /// The port for clients.
    pub port: u16,
    /// The port for the data of the other servers.
    pub peer: u16,
    /// The port where servers find each other, and a leader, if that is another one.
    pub meeting: u16,
    /// The port that clients are told, when something stands between.
    pub advertised: u16,
}

impl Place {
    /// A place on loopback.
    pub fn on_loopback() -> Self {
        Self::with(LOOPBACK.to_owned(), None, [(); 3].map(|()| ports::free()))
    }

    /// A place on a machine, with the same ports on each.
    pub fn on_machine(network: &Network, host: usize) -> Self {
        Self::with(network.address(host), Some(network.space(host)), OWN)
    }

    fn with(host: String, namespace: Option<String>, ports: [u16; 3]) -> Self {
        let [port, peer, meeting] = ports;
        Self {
            host,
            namespace,
            port,
            peer,
            meeting,
            advertised: port,
        }
    }

    /// The address that a server listens on for clients: those of the same machine call it by
    /// loopback.
    pub fn listens_on(&self) -> &str {
        match self.namespace {
            Some(_) => "0.0.0.0",
            None => &self.host,
        }
    }
}
