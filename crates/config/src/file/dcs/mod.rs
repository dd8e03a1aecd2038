//! The sections of the stores, and which of them is used.

pub mod consul;
pub mod etcd;
pub mod exhibitor;
pub mod kubernetes;
pub mod raft;
pub mod zookeeper;

pub use consul::Consul;
pub use etcd::Etcd;
pub use exhibitor::Exhibitor;
pub use kubernetes::Kubernetes;
pub use raft::Raft;
pub use zookeeper::ZooKeeper;

use crate::error::ConfigError;
use crate::section::Section;

/// The names of the sections, in the order of choice.
pub const STORES: [&str; 7] = [
    "consul",
    "etcd",
    "etcd3",
    "exhibitor",
    "kubernetes",
    "raft",
    "zookeeper",
];

/// The store of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Dcs {
    /// Consul.
    Consul(Consul),
    /// etcd by its old protocol.
    Etcd(Etcd),
    /// etcd by its present protocol.
    Etcd3(Etcd),
    /// ZooKeeper, found through Exhibitor.
    Exhibitor(Exhibitor),
    /// Kubernetes objects.
    Kubernetes(Kubernetes),
    /// The built-in replicated log.
    Raft(Raft),
    /// ZooKeeper.
    ZooKeeper(ZooKeeper),
}

impl Dcs {
    /// Reads the first section there is, by alphabet; `None` without any.
    pub(crate) fn read(
        root: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(name) = STORES.iter().find(|name| root.has(name)) else {
            return Ok(None);
        };
        let section = &root.section(name)?;
        Ok(Some(match *name {
            "consul" => Self::Consul(Consul::read(section)?),
            "etcd" => Self::Etcd(Etcd::read(section)?),
            "etcd3" => Self::Etcd3(Etcd::read(section)?),
            "exhibitor" => Self::Exhibitor(Exhibitor::read(section)?),
            "kubernetes" => Self::Kubernetes(Kubernetes::read(section, warnings)?),
            "raft" => Self::Raft(Raft::read(section)?),
            _ => Self::ZooKeeper(ZooKeeper::read(section)?),
        }))
    }

    /// The name of its section.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Consul(_) => "consul",
            Self::Etcd(_) => "etcd",
            Self::Etcd3(_) => "etcd3",
            Self::Exhibitor(_) => "exhibitor",
            Self::Kubernetes(_) => "kubernetes",
            Self::Raft(_) => "raft",
            Self::ZooKeeper(_) => "zookeeper",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::origin::Origins;
    use serde_json::{Value, json};

    /// Reads one section from a value.
    pub(crate) fn read_with<T>(
        given: &Value,
        read: fn(&Section<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let map = given.as_object().unwrap();
        read(&Section::root(map, &Origins::default()))
    }

    #[test]
    fn the_first_section_by_alphabet_is_the_store() {
        for (given, expected) in [
            (
                json!({"zookeeper": {"hosts": "a"}, "etcd3": {"host": "b"}}),
                Some("etcd3"),
            ),
            (json!({"raft": {}, "consul": {}}), Some("consul")),
            (json!({"name": 1}), None),
        ] {
            let dcs = read_with(&given, |root| Dcs::read(root, &mut Vec::new())).unwrap();
            assert_eq!(dcs.as_ref().map(Dcs::name), expected);
        }
    }
}
