//! From stored objects to a [`Cluster`], the same for every backend.
//!
//! Source: store contract, section 2. A value that cannot be read never makes a load fail: each
//! object has its own meaning of nonsense (an invalid `config` is no configuration, an unreadable
//! member still exists, and so on).

use std::collections::BTreeMap;

use patroni_core::{
    Cluster, Failover, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision,
    Status, SyncState, json, value,
};
use serde_json::Value;

use crate::key::Leaf;
use crate::store::config_doc;

/// One object as a store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The text.
    pub value: String,
    /// The revision of the last write.
    pub revision: Revision,
    /// The lease or session that it hangs on.
    pub session: Option<String>,
}

/// All known objects of one cluster.
pub type Objects = BTreeMap<Leaf, Stored>;

/// Everything below a cluster's base path, by its name relative to that, also what nobody knows.
pub type Keys = BTreeMap<String, Stored>;

/// What is known among keys.
pub fn objects(keys: Keys) -> Objects {
    let known = |(name, stored): (String, Stored)| Some((Leaf::parse(&name)?, stored));
    keys.into_iter().filter_map(known).collect()
}

/// Reads a snapshot.
pub fn cluster(objects: &Objects) -> Cluster {
    let mut cluster = Cluster::default();
    for (leaf, stored) in objects {
        if *leaf != Leaf::OptimeLeader || !objects.contains_key(&Leaf::Status) {
            place(&mut cluster, leaf, stored);
        }
    }
    cluster
}

/// Reads one object into its place. `optime/leader` has the place of `status`, and is to be left
/// out when there is one.
pub(crate) fn place(cluster: &mut Cluster, leaf: &Leaf, stored: &Stored) {
    let text = stored.value.as_str();
    let revision = stored.revision.clone();
    match leaf {
        Leaf::Initialize => cluster.initialize = Some(text.to_owned()),
        Leaf::Config => cluster.config = Some(config_doc(text, revision)),
        Leaf::Leader => {
            cluster.leader = Some(Leader {
                name: MemberName::new(text),
                revision,
                session: stored.session.clone(),
            });
        }
        Leaf::Member(name) => cluster.members.push(Member {
            name: name.clone(),
            session: stored.session.clone(),
            data: MemberData::parse(text),
        }),
        Leaf::Status | Leaf::OptimeLeader => cluster.status = Status::parse(text),
        Leaf::Failover => {
            cluster.failover = Some(Failover {
                revision,
                request: FailoverRequest::parse(text),
            });
        }
        Leaf::Sync => cluster.sync = SyncState::parse(text, Some(revision)),
        Leaf::History => cluster.history = History::parse(text),
        Leaf::Failsafe => cluster.failsafe = parse_failsafe(text),
    }
}

/// Takes the place of one object over from an earlier snapshot, in which it was the same.
pub(crate) fn carry(cluster: &mut Cluster, leaf: &Leaf, from: &Cluster) {
    match leaf {
        Leaf::Initialize => cluster.initialize.clone_from(&from.initialize),
        Leaf::Config => cluster.config.clone_from(&from.config),
        Leaf::Leader => cluster.leader.clone_from(&from.leader),
        Leaf::Member(name) => cluster.members.extend(from.member(name).cloned()),
        Leaf::Status | Leaf::OptimeLeader => cluster.status.clone_from(&from.status),
        Leaf::Failover => cluster.failover.clone_from(&from.failover),
        Leaf::Sync => cluster.sync.clone_from(&from.sync),
        Leaf::History => cluster.history.clone_from(&from.history),
        Leaf::Failsafe => cluster.failsafe.clone_from(&from.failsafe),
    }
}

/// Reads `failsafe`. What is not JSON (or null) is no topology at all; any other value that is
/// no object is a topology without members, in which nobody may go on.
pub fn parse_failsafe(text: &str) -> Option<BTreeMap<MemberName, String>> {
    match serde_json::from_str(text).ok()? {
        Value::Null => None,
        Value::Object(map) => Some(
            map.iter()
                .map(|(name, url)| (MemberName::new(name.as_str()), value::text(url)))
                .collect(),
        ),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Some(BTreeMap::new())
        }
    }
}

/// The stored text of `failsafe`.
pub fn failsafe_text(members: &BTreeMap<MemberName, String>) -> String {
    let members: BTreeMap<&str, &str> = members
        .iter()
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    json::compact(&members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Lsn;

    fn objects(pairs: &[(&str, &str)]) -> Objects {
        let stored = |value: &str| Stored {
            value: value.to_owned(),
            revision: Revision::new(7),
            session: None,
        };
        pairs
            .iter()
            .map(|(name, value)| (Leaf::parse(name).unwrap(), stored(value)))
            .collect()
    }

    #[test]
    fn nothing_stored_is_an_empty_cluster() {
        assert_eq!(cluster(&Objects::new()), Cluster::default());
    }

    #[test]
    fn nonsense_never_fails_a_load() {
        let all = objects(&[
            ("config", "["),
            ("failover", "{\"scheduled_at\":\"bad\"}"),
            ("failsafe", "?"),
            ("history", "{}"),
            ("members/a", "]"),
            ("status", "?"),
            ("sync", "?"),
        ]);
        let cluster = cluster(&all);
        assert!(!cluster.config.unwrap().is_valid());
        assert_eq!(cluster.members.len(), 1);
        assert_eq!(cluster.status, Status::default());
        assert!(cluster.sync.is_empty() && cluster.sync.revision.is_some());
        assert_eq!((cluster.history, cluster.failsafe), (None, None));
    }

    #[test]
    fn status_wins_over_the_older_key() {
        let both = objects(&[("optime/leader", "5"), ("status", "{\"optime\":6}")]);
        assert_eq!(cluster(&both).status.optime, Lsn::new(6));
        let old = objects(&[("optime/leader", "5")]);
        assert_eq!(cluster(&old).status.optime, Lsn::new(5));
    }

    #[test]
    fn a_failsafe_topology_without_members_differs_from_none() {
        for text in ["{}", "[]", "\"x\"", "1"] {
            assert_eq!(parse_failsafe(text), Some(BTreeMap::new()), "{text}");
        }
        for text in ["", "null", "{"] {
            assert_eq!(parse_failsafe(text), None, "{text}");
        }
    }
}
