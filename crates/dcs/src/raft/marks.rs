//! What a watcher has seen: enough to tell whether something of note has changed since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Item;

/// The lock's holder, and the revisions of the other keys that wake somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    leader: Option<String>,
    config: Option<u64>,
    failover: Option<u64>,
    sync: Option<u64>,
    status: Option<u64>,
}

impl Marks {
    /// Looks at the keys below `base`. A renewal of the lock is no change.
    pub(crate) fn of(items: &BTreeMap<String, Item>, base: &str) -> Self {
        let item = |leaf: &str| items.get(&format!("{base}/{leaf}"));
        let index = |leaf: &str| item(leaf).map(|item| item.index);
        Self {
            leader: item("leader").map(|item| item.value.clone()),
            config: index("config"),
            failover: index("failover"),
            sync: index("sync"),
            status: index("status"),
        }
    }

    /// Whether `now` is worth a cycle of the member `me`: the lock has another holder (not us: we
    /// know), somebody wrote `config` or `failover`, or (when we do not hold the lock, and so did
    /// not write them) `sync` or `status`.
    pub(crate) fn wakes(&self, now: &Self, me: Option<&str>) -> bool {
        let mine = me.is_some() && now.leader.as_deref() == me;
        (self.leader != now.leader && !mine)
            || self.config != now.config
            || self.failover != now.failover
            || (!mine && (self.sync != now.sync || self.status != now.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(leader: &str, rest: u64) -> Marks {
        Marks {
            leader: Some(leader.to_owned()),
            sync: Some(rest),
            status: Some(rest),
            ..Marks::default()
        }
    }

    #[test]
    fn the_holder_is_not_woken_by_its_own_writes() {
        assert!(!marks("a", 1).wakes(&marks("a", 2), Some("a")));
        assert!(marks("a", 1).wakes(&marks("a", 2), Some("b")));
        assert!(!Marks::default().wakes(&marks("a", 2), Some("a")));
        assert!(marks("a", 1).wakes(&Marks::default(), Some("a")));
        assert!(marks("a", 1).wakes(&marks("b", 1), Some("a")));
        assert!(marks("a", 1).wakes(&marks("b", 1), None));
    }
}
