//! What the member has seen of the objects that may wake it.

use std::collections::BTreeSet;

use patroni_core::MemberName;

use crate::codec::Objects;
use crate::key::Leaf;
use crate::wake::Change;

/// The watched objects as the last load showed them, or as this member wrote them since. A
/// change is worth waking for when it differs from that, so it does not matter whether the load
/// or the watch is first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Nothing wakes before the first load: whoever loads sees everything.
    loaded: bool,
    leader: Option<String>,
    config: Option<String>,
    members: BTreeSet<MemberName>,
}

impl Seen {
    /// Takes over what a load showed.
    pub(super) fn load(&mut self, objects: &Objects) {
        let text = |leaf: &Leaf| objects.get(leaf).map(|stored| stored.value.clone());
        let members = objects.keys().filter_map(|leaf| match leaf {
            Leaf::Member(name) => Some(name.clone()),
            Leaf::Initialize
            | Leaf::Config
            | Leaf::Leader
            | Leaf::Status
            | Leaf::OptimeLeader
            | Leaf::Failover
            | Leaf::Sync
            | Leaf::History
            | Leaf::Failsafe => None,
        });
        *self = Self {
            loaded: true,
            leader: text(&Leaf::Leader),
            config: text(&Leaf::Config),
            members: members.collect(),
        };
    }

    /// This member made the lock so.
    pub(super) fn wrote_leader(&mut self, leader: Option<&MemberName>) {
        self.leader = leader.map(ToString::to_string);
    }

    /// This member wrote the configuration.
    pub(super) fn wrote_config(&mut self, text: &str) {
        self.config = Some(text.to_owned());
    }

    /// Whether member `me` should run now that the lock is so.
    pub(super) fn leader_wakes(&self, now: Option<String>, me: &MemberName) -> bool {
        self.wakes(Leaf::Leader, self.leader.clone(), now, me)
    }

    /// Whether member `me` should run now that the configuration is so.
    pub(super) fn config_wakes(&self, now: Option<String>, me: &MemberName) -> bool {
        self.wakes(Leaf::Config, self.config.clone(), now, me)
    }

    /// Whether member `me` should run now that these members are there.
    pub(super) fn members_wake(&self, now: &[String], me: &MemberName) -> bool {
        let names = now.iter().map(|name| MemberName::new(name.as_str()));
        names
            .filter(|name| !self.members.contains(name))
            .any(|name| self.wakes(Leaf::Member(name), None, Some(String::new()), me))
    }

    fn wakes(&self, leaf: Leaf, old: Option<String>, new: Option<String>, me: &MemberName) -> bool {
        let change = Change { leaf, old, new };
        self.loaded && change.wakes(Some(me), self.leader.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use patroni_core::Revision;

    use super::*;
    use crate::codec::Stored;

    #[test]
    fn what_differs_from_the_last_load_or_own_write_wakes() {
        let me = MemberName::new("me");
        let text = |text: &str| Some(text.to_owned());
        let mut seen = Seen::default();
        assert!(!seen.leader_wakes(text("other"), &me), "nothing was loaded");

        let stored = Stored {
            value: "other".to_owned(),
            revision: Revision::new(0),
            session: None,
        };
        seen.load(&Objects::from([(Leaf::Leader, stored)]));
        assert!(!seen.leader_wakes(text("other"), &me));
        assert!(seen.leader_wakes(None, &me));
        assert!(!seen.members_wake(&["new".to_owned()], &me), "not my part");

        seen.wrote_leader(Some(&me));
        assert!(!seen.leader_wakes(text("me"), &me));
        assert!(seen.members_wake(&["me".to_owned(), "new".to_owned()], &me));
        assert!(!seen.members_wake(&["me".to_owned()], &me));

        seen.wrote_config("{}");
        assert!(!seen.config_wakes(text("{}"), &me));
        assert!(seen.config_wakes(text("{\"ttl\":20}"), &me));
    }
}
