//! Tags: what an operator says about a member.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::MemberName;
use crate::value;

/// The tags of a member, as configured or as published. Reading rules: a boolean tag wins over
/// its priority; `clonefrom` and `noloadbalance` are plain truth (the text `"false"` is true).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(Map<String, Value>);

impl Tags {
    /// Tags from a mapping, kept verbatim.
    pub fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// The mapping as written.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// One tag, if it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn truth(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(value::is_truthy)
    }

    /// Never becomes leader.
    pub fn nofailover(&self) -> bool {
        self.forbids("nofailover", "failover_priority")
    }

    /// The rank among members at the same position; 0 when [`Self::nofailover`] was said.
    pub fn failover_priority(&self) -> i64 {
        self.priority("nofailover", "failover_priority")
    }

    /// Never synchronous.
    pub fn nosync(&self) -> bool {
        self.forbids("nosync", "sync_priority")
    }

    /// The rank among synchronous candidates; 0 when [`Self::nosync`] was said.
    pub fn sync_priority(&self) -> i64 {
        self.priority("nosync", "sync_priority")
    }

    /// A preferred source of copies.
    pub fn clonefrom(&self) -> bool {
        self.truth("clonefrom")
    }

    /// Not for reading clients.
    pub fn noloadbalance(&self) -> bool {
        self.truth("noloadbalance")
    }

    /// Replays from the archive only.
    pub fn nostream(&self) -> bool {
        self.0
            .get("nostream")
            .and_then(value::parse_bool)
            .unwrap_or(false)
    }

    /// The member to replicate from, instead of the leader.
    pub fn replicatefrom(&self) -> Option<MemberName> {
        self.0
            .get("replicatefrom")
            .and_then(Value::as_str)
            .filter(|n| !n.is_empty())
            .map(MemberName::new)
    }

    fn forbids(&self, flag: &str, priority: &str) -> bool {
        match self.0.get(flag) {
            Some(value) if !value.is_null() => value::is_truthy(value),
            Some(_) | None => self.0.contains_key(priority) && self.rank(priority) <= 0,
        }
    }

    fn priority(&self, flag: &str, priority: &str) -> i64 {
        if self.truth(flag) {
            0
        } else {
            self.rank(priority)
        }
    }

    fn rank(&self, priority: &str) -> i64 {
        self.0.get(priority).and_then(value::parse_int).unwrap_or(1)
    }

    /// What is published of configured tags: false built-in flags are dropped, but `nofailover`
    /// and `nosync` stay beside their priorities.
    #[must_use]
    pub fn published(&self) -> Self {
        let kept = self.0.iter().filter(|(name, value)| match name.as_str() {
            "nofailover" => value::is_truthy(value) || self.0.contains_key("failover_priority"),
            "nosync" => value::is_truthy(value) || self.0.contains_key("sync_priority"),
            "clonefrom" | "noloadbalance" | "nostream" => value::is_truthy(value),
            _ => true,
        });
        Self(
            kept.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// The same tags with the overlay of a member that asks to leave the synchronous set.
    #[must_use]
    pub fn leaving_sync(&self) -> Self {
        let mut map = self.0.clone();
        map.insert("nosync".to_owned(), Value::Bool(true));
        map.insert("sync_priority".to_owned(), Value::from(0));
        Self(map)
    }

    /// The same tags with the overlay of a member whose data have left the cluster's history: it
    /// does not lead, and nobody waits for it to confirm anything.
    #[must_use]
    pub fn diverged(&self) -> Self {
        let mut map = self.leaving_sync().0;
        map.insert("nofailover".to_owned(), Value::Bool(true));
        map.insert("failover_priority".to_owned(), Value::from(0));
        Self(map)
    }

    /// Whether no tag is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tags(value: &Value) -> Tags {
        Tags::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn the_flag_wins_over_the_priority() {
        let both = tags(&json!({"nofailover": true, "failover_priority": 5}));
        assert!(both.nofailover());
        assert_eq!(both.failover_priority(), 0);
        assert!(tags(&json!({"failover_priority": 0})).nofailover());
        assert!(!tags(&json!({"nosync": false, "sync_priority": 0})).nosync());
        assert_eq!(
            tags(&json!({"failover_priority": "3"})).failover_priority(),
            3
        );
        assert_eq!(tags(&json!({})).failover_priority(), 1);
    }

    #[test]
    fn false_flags_are_published_only_beside_a_priority() {
        let shown = tags(
            &json!({"nofailover": false, "failover_priority": 2, "clonefrom": false, "zone": "a"}),
        )
        .published();
        assert_eq!(
            shown,
            tags(&json!({"nofailover": false, "failover_priority": 2, "zone": "a"}))
        );
    }
}
