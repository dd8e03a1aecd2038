//! The replicated keys as a [`Cluster`].

use std::collections::BTreeMap;

use patroni_core::{
    Cluster, Failover, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision,
    Status, SyncState, json,
};
use serde_json::{Map, Value};

use super::machine::Item;
use crate::store::config_doc;

/// Reads the objects below `base`; keys that nobody knows are left alone.
pub(crate) fn cluster(items: &BTreeMap<String, Item>, base: &str) -> Cluster {
    let item = |leaf: &str| items.get(&format!("{base}/{leaf}"));
    let text = |leaf: &str| item(leaf).map(|item| item.value.as_str());
    let status = text("status").or_else(|| text("optime/leader"));
    Cluster {
        initialize: text("initialize").map(str::to_owned),
        config: item("config").map(|item| config_doc(&item.value, revision(item))),
        leader: item("leader").map(|item| Leader {
            name: MemberName::new(item.value.as_str()),
            revision: revision(item),
            session: None,
        }),
        status: status.map(Status::parse).unwrap_or_default(),
        members: members(items, base),
        failover: item("failover").map(|item| Failover {
            revision: revision(item),
            request: FailoverRequest::parse(&item.value),
        }),
        sync: item("sync").map_or_else(SyncState::default, |item| {
            SyncState::parse(&item.value, Some(revision(item)))
        }),
        history: text("history").and_then(History::parse),
        failsafe: text("failsafe").and_then(json::object).map(addresses),
    }
}

fn revision(item: &Item) -> Revision {
    Revision::new(item.index)
}

fn members(items: &BTreeMap<String, Item>, base: &str) -> Vec<Member> {
    let below = format!("{base}/members/");
    let named = items.range(below.clone()..).map_while(|(key, item)| {
        let name = key.strip_prefix(&below)?;
        Some((name, item))
    });
    named
        .filter(|(name, _)| !name.contains('/'))
        .map(|(name, item)| Member {
            name: MemberName::new(name),
            session: None,
            data: MemberData::parse(&item.value),
        })
        .collect()
}

fn addresses(map: Map<String, Value>) -> BTreeMap<MemberName, String> {
    map.into_iter()
        .filter_map(|(name, url)| Some((MemberName::new(name), url.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_object_and_ignores_strangers() {
        let items: BTreeMap<String, Item> = [
            ("/s/c/leader", "a"),
            ("/s/c/members/a", r#"{"state":"running"}"#),
            ("/s/c/members/a/b", "{}"),
            ("/s/c/config", r#"{"ttl":30}"#),
            ("/s/c/status", r#"{"optime":5}"#),
            (
                "/s/c/sync",
                r#"{"leader":"a","quorum":0,"sync_standby":null}"#,
            ),
            ("/s/c/failsafe", r#"{"a":"http://a"}"#),
            ("/s/c/else", "x"),
            ("/s/cc/leader", "wrong"),
        ]
        .into_iter()
        .zip(2..)
        .map(|((key, value), index)| {
            let value = value.to_owned();
            let ttl_ms = None;
            let item = Item {
                value,
                index,
                ttl_ms,
            };
            (key.to_owned(), item)
        })
        .collect();
        let cluster = cluster(&items, "/s/c");
        assert_eq!(cluster.leader_name().unwrap().as_str(), "a");
        assert_eq!(cluster.members.len(), 1);
        assert!(cluster.config.unwrap().is_valid());
        assert_eq!(cluster.status.optime.bytes(), 5);
        assert_eq!(cluster.sync.revision, Some(Revision::new(7)));
        assert_eq!(cluster.failsafe.unwrap().len(), 1);
    }
}
