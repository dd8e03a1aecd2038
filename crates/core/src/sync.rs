//! The object `sync`: who may be elected in synchronous mode.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::Revision;
use crate::json;
use crate::name::MemberName;
use crate::value;

/// The synchronous state as stored. Names compare without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The revision to compare with; `None` when the key does not exist.
    pub revision: Option<Revision>,
    /// The leader that wrote it; without one the mode is not active.
    pub leader: Option<MemberName>,
    /// How many other nodes must be seen in the race; 0 in priority mode.
    pub quorum: usize,
    /// The synchronous standbys (quorum mode: the voters), sorted.
    pub standbys: BTreeSet<MemberName>,
}

impl SyncState {
    /// A value to write.
    pub fn new(leader: Option<MemberName>, quorum: usize, standbys: BTreeSet<MemberName>) -> Self {
        Self {
            revision: None,
            leader,
            quorum,
            standbys,
        }
    }

    /// Reads the stored text; malformed or leaderless text is the empty state.
    pub fn parse(text: &str, revision: Option<Revision>) -> Self {
        let empty = Self {
            revision: revision.clone(),
            ..Self::default()
        };
        let Some(map) = json::object(text) else {
            return empty;
        };
        let quorum = match map.get("quorum") {
            None | Some(Value::Null) => Some(0),
            Some(number) => value::parse_int(number).and_then(|n| usize::try_from(n).ok()),
        };
        let leader = map
            .get("leader")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        let (Some(quorum), Some(leader)) = (quorum, leader) else {
            return empty;
        };
        let names = map
            .get("sync_standby")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let standbys = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        Self {
            revision,
            leader: Some(MemberName::new(leader)),
            quorum,
            standbys: standbys.map(MemberName::new).collect(),
        }
    }

    /// The stored text: always all three fields.
    pub fn to_json(&self) -> String {
        let mut map = Map::new();
        let leader = self.leader.as_ref().map(|name| name.as_str().to_owned());
        map.insert("leader".to_owned(), leader.into());
        map.insert("quorum".to_owned(), self.quorum.into());
        let names: Vec<&str> = self.standbys.iter().map(MemberName::as_str).collect();
        let names = if names.is_empty() {
            Value::Null
        } else {
            names.join(",").into()
        };
        map.insert("sync_standby".to_owned(), names);
        json::compact(&map)
    }

    /// Nobody wrote a leader: the mode is not active.
    pub fn is_empty(&self) -> bool {
        self.leader.is_none()
    }

    /// Whether `name` is a synchronous standby.
    pub fn has_standby(&self, name: &MemberName) -> bool {
        !self.is_empty()
            && self
                .standbys
                .iter()
                .any(|standby| standby.matches(name.as_str()))
    }

    /// Whether `name` is the leader that wrote the state.
    pub fn is_leader(&self, name: &MemberName) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| leader.matches(name.as_str()))
    }

    /// Whether `name` is a standby or the leader.
    pub fn has_member(&self, name: &MemberName) -> bool {
        self.is_leader(name) || self.has_standby(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_strict_about_leader_and_quorum_only() {
        let both = SyncState::parse(
            r#"{"leader":"a","quorum":"2","sync_standby":" b , ,c "}"#,
            None,
        );
        assert_eq!(both.quorum, 2);
        assert!(both.has_standby(&MemberName::new("B")) && both.has_member(&MemberName::new("A")));
        for text in [
            r#"{"leader":"a","quorum":"x","sync_standby":"b"}"#,
            r#"{"sync_standby":"b"}"#,
            "[]",
            "bad",
        ] {
            assert!(SyncState::parse(text, None).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn writing_gives_all_three_fields() {
        let state = SyncState::new(Some(MemberName::new("a")), 0, BTreeSet::new());
        assert_eq!(
            state.to_json(),
            r#"{"leader":"a","quorum":0,"sync_standby":null}"#
        );
    }
}
