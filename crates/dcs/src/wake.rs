//! Which changes in a store are worth a cycle at once.
//!
//! Source: store contract, section 10 (wake-ups from the stream) and 15.

#[cfg(any(feature = "etcd3", feature = "kubernetes", feature = "zookeeper"))]
use std::time::Duration;

use patroni_core::MemberName;

use crate::key::Leaf;

/// Followers give the leader this much longer to write first (store contract, section 15).
#[cfg(any(feature = "etcd3", feature = "kubernetes", feature = "zookeeper"))]
pub(crate) const FOLLOWER_DELAY: Duration = Duration::from_millis(500);

/// One object before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which object.
    pub leaf: Leaf,
    /// Its text before, `None` when it was absent.
    pub old: Option<String>,
    /// Its text after, `None` when it was removed.
    pub new: Option<String>,
}

impl Change {
    /// Whether member `me` should run now, when `leader` holds the lock: the lock changed hands
    /// (or came or went), the configuration has another text, somebody else, who leads, published
    /// a new position, or a member has come, for which the leader has to make a slot. A refreshed
    /// lease is no change.
    pub fn wakes(&self, me: Option<&MemberName>, leader: Option<&str>) -> bool {
        if self.old == self.new {
            return false;
        }
        match self.leaf {
            Leaf::Leader => true,
            Leaf::Config => self.old.is_some() && self.new.is_some(),
            Leaf::Status | Leaf::OptimeLeader => leader != me.map(MemberName::as_str),
            Leaf::Member(ref name) => {
                let leads = me.is_some_and(|me| leader == Some(me.as_str()) && me != name);
                leads && self.old.is_none()
            }
            Leaf::Initialize | Leaf::Failover | Leaf::Sync | Leaf::History | Leaf::Failsafe => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_wakes() {
        let me = MemberName::new("me");
        let wakes = |leaf: Leaf, old: Option<&str>, new: Option<&str>, leader: &str| {
            let change = Change {
                leaf,
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
            };
            change.wakes(Some(&me), Some(leader))
        };
        assert!(wakes(Leaf::Leader, None, Some("a"), "a"));
        assert!(wakes(Leaf::Leader, Some("a"), None, "a"));
        assert!(!wakes(Leaf::Leader, Some("a"), Some("a"), "a"));
        assert!(wakes(Leaf::Config, Some("{}"), Some("{ }"), "a"));
        assert!(!wakes(Leaf::Config, None, Some("{}"), "a"));
        assert!(wakes(Leaf::Status, None, Some("1"), "a"));
        assert!(!wakes(Leaf::Status, Some("1"), Some("2"), "me"));
        assert!(!wakes(Leaf::Sync, Some("1"), Some("2"), "a"));
        let member = |name: &str| Leaf::Member(MemberName::new(name));
        assert!(!wakes(member("a"), Some("1"), None, "me"));
        assert!(!wakes(member("a"), Some("1"), Some("2"), "me"));
        assert!(wakes(member("a"), None, Some("1"), "me"));
        assert!(!wakes(member("a"), None, Some("1"), "b"));
        assert!(!wakes(member("me"), None, Some("1"), "me"));
    }
}
