//! Where each object of a cluster lives: leaf names, and the keys made of them.
//!
//! Source: store contract, section 1.

use patroni_core::MemberName;
use serde::{Deserialize, Serialize};

/// One object of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Leaf {
    /// `initialize`: empty during bootstrap, then the system identifier.
    Initialize,
    /// `config`: the dynamic configuration.
    Config,
    /// `leader`: the lock.
    Leader,
    /// `members/<name>`: what one member publishes.
    Member(MemberName),
    /// `status`: how far the leader is.
    Status,
    /// `optime/leader`: the position alone, for members older than 2.1.0.
    OptimeLeader,
    /// `failover`: a requested switchover or failover.
    Failover,
    /// `sync`: who may be elected in synchronous mode.
    Sync,
    /// `history`: the timeline switches.
    History,
    /// `failsafe`: the members that must agree when the store is down.
    Failsafe,
}

const MEMBERS: &str = "members/";

impl Leaf {
    /// Reads a name relative to the cluster's base path; `None` for what we do not know, which
    /// readers ignore.
    pub fn parse(relative: &str) -> Option<Self> {
        Some(match relative {
            "initialize" => Self::Initialize,
            "config" => Self::Config,
            "leader" => Self::Leader,
            "status" => Self::Status,
            "optime/leader" => Self::OptimeLeader,
            "failover" => Self::Failover,
            "sync" => Self::Sync,
            "history" => Self::History,
            "failsafe" => Self::Failsafe,
            other => {
                let name = other.strip_prefix(MEMBERS)?;
                if name.is_empty() || name.contains('/') {
                    return None;
                }
                Self::Member(MemberName::new(name))
            }
        })
    }

    /// The name relative to the cluster's base path.
    pub fn relative(&self) -> String {
        match self {
            Self::Initialize => "initialize".to_owned(),
            Self::Config => "config".to_owned(),
            Self::Leader => "leader".to_owned(),
            Self::Member(name) => format!("{MEMBERS}{name}"),
            Self::Status => "status".to_owned(),
            Self::OptimeLeader => "optime/leader".to_owned(),
            Self::Failover => "failover".to_owned(),
            Self::Sync => "sync".to_owned(),
            Self::History => "history".to_owned(),
            Self::Failsafe => "failsafe".to_owned(),
        }
    }
}

/// The keys of one cluster, in the stores whose keys are paths with a leading slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpace {
    prefix: String,
}

impl KeySpace {
    /// The keys below a base path (`/service/demo`).
    pub fn new(base_path: &str) -> Self {
        Self {
            prefix: format!("{}/", base_path.trim_end_matches('/')),
        }
    }

    /// What all keys of the cluster begin with (`/service/demo/`).
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The first key after the prefix, where a range over it ends: the last byte plus one.
    pub fn range_end(&self) -> Vec<u8> {
        let mut end = self.prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1; // it is a slash by construction
        }
        end
    }

    /// The key of an object.
    pub fn key(&self, leaf: &Leaf) -> String {
        format!("{}{}", self.prefix, leaf.relative())
    }

    /// The object of a key; `None` for keys of others and unknown objects.
    pub fn leaf(&self, key: &str) -> Option<Leaf> {
        Leaf::parse(self.relative(key)?)
    }

    /// The name of a key relative to the base path; `None` for keys of others.
    pub fn relative<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.prefix)
    }
}

/// The MPP group that a name relative to the base path of the whole cluster belongs to (store
/// contract, section 2.10): a number without leading zeros, and something below it.
pub fn group(relative: &str) -> Option<u32> {
    let (name, below) = relative.split_once('/')?;
    let plain = name.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (name == "0" || !name.starts_with('0'));
    (plain && !below.is_empty()).then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_leaves_are_one_to_one() {
        for name in [
            "initialize",
            "config",
            "leader",
            "members/n1",
            "members/käse 数据",
            "status",
            "optime/leader",
            "failover",
            "sync",
            "history",
            "failsafe",
        ] {
            assert_eq!(Leaf::parse(name).expect(name).relative(), name);
        }
        for name in [
            "",
            "members/",
            "members/a/b",
            "0/leader",
            "Leader",
            "optime",
        ] {
            assert_eq!(Leaf::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn groups_are_plain_numbers() {
        for (name, expected) in [
            ("0/leader", Some(0)),
            ("12/members/a", Some(12)),
            ("01/leader", None),
            ("+1/leader", None),
            ("1", None),
            ("1/", None),
            ("/leader", None),
            ("members/1", None),
        ] {
            assert_eq!(group(name), expected, "{name}");
        }
    }

    #[test]
    fn a_prefix_ends_before_the_next_cluster() {
        let keys = KeySpace::new("/service/demo");
        assert_eq!(keys.range_end(), b"/service/demo0");
        assert_eq!(keys.key(&Leaf::Leader), "/service/demo/leader");
        assert_eq!(keys.leaf("/service/demo/leader"), Some(Leaf::Leader));
        assert_eq!(keys.leaf("/service/demo-standby/leader"), None);
    }
}
