//! What a watcher has seen: enough to tell whether something of note has changed since.

use std::collections::{BTreeMap, BTreeSet};

use patroni_core::MemberName;
use serde::{Deserialize, Serialize};

use super::machine::Item;
use crate::key::Leaf;
use crate::wake::Change;

/// The lock's holder, the members, and the revisions of the other keys that wake somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    leader: Option<String>,
    config: Option<u64>,
    failover: Option<u64>,
    sync: Option<u64>,
    status: Option<u64>,
    #[serde(default)]
    members: BTreeSet<String>,
}

impl Marks {
    /// Looks at the keys below `base`. A renewal of the lock is no change.
    pub(crate) fn of(items: &BTreeMap<String, Item>, base: &str) -> Self {
        let item = |leaf: &str| items.get(&format!("{base}/{leaf}"));
        let index = |leaf: &str| item(leaf).map(|item| item.index);
        let members = format!("{base}/members/");
        let names = items.range(members.clone()..);
        Self {
            leader: item("leader").map(|item| item.value.clone()),
            config: index("config"),
            failover: index("failover"),
            sync: index("sync"),
            status: index("status"),
            members: names
                .map_while(|(key, _)| key.strip_prefix(&members).map(str::to_owned))
                .collect(),
        }
    }

    /// Whether `now` is worth a cycle of the member `me`, by the rules that all stores share, and
    /// besides for a request or another set of synchronous members that somebody else wrote.
    pub(crate) fn wakes(&self, now: &Self, me: Option<&MemberName>) -> bool {
        let leader = now.leader.as_deref();
        let leads = me.is_some_and(|me| leader == Some(me.as_str()));
        let change = |leaf, old: Option<String>, new: Option<String>| Change { leaf, old, new };
        let text = |index: Option<u64>| index.map(|index| index.to_string());
        let come = now.members.difference(&self.members).map(|name| {
            let leaf = Leaf::Member(MemberName::new(name.as_str()));
            change(leaf, None, Some(String::new()))
        });
        let shared = [
            change(Leaf::Leader, self.leader.clone(), now.leader.clone()),
            change(Leaf::Config, text(self.config), text(now.config)),
            change(Leaf::Status, text(self.status), text(now.status)),
        ];
        shared
            .into_iter()
            .chain(come)
            .any(|change| change.wakes(me, leader))
            || self.failover != now.failover
            || (!leads && self.sync != now.sync)
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
        let (a, b) = (MemberName::new("a"), MemberName::new("b"));
        assert!(!marks("a", 1).wakes(&marks("a", 2), Some(&a)));
        assert!(marks("a", 1).wakes(&marks("a", 2), Some(&b)));
        assert!(marks("a", 1).wakes(&Marks::default(), Some(&a)));
        assert!(marks("a", 1).wakes(&marks("b", 1), Some(&a)));
        assert!(marks("a", 1).wakes(&marks("b", 1), None));
        assert!(!marks("a", 1).wakes(&marks("a", 1), None));
        let mut joined = marks("a", 1);
        joined.members.insert("b".to_owned());
        assert!(marks("a", 1).wakes(&joined, Some(&a)));
        assert!(!joined.wakes(&marks("a", 1), Some(&a)));
        assert!(!marks("a", 1).wakes(&joined, Some(&b)));
    }
}
