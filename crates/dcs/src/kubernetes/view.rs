//! From objects to the leaves that every store has.
//!
//! Source: store contract, section 13 (objects).

use patroni_core::{MemberName, Revision, json};
use serde_json::{Map, Value};

use super::names::Part;
use super::object::Object;
use crate::codec::{Objects, Stored};
use crate::key::Leaf;

/// What an object holds. `lock_is_good` is about the record of the leader: one that is over is
/// not shown.
pub(super) fn leaves(part: Part, object: &Object, lock_is_good: bool) -> Objects {
    let mut leaves = Objects::new();
    let mut add = |leaf: Leaf, value: String| {
        leaves.insert(leaf, stored(object, value));
    };
    let text = |name: &str| object.annotation(name).map(str::to_owned);
    match part {
        Part::Config => {
            if let Some(value) = text("initialize") {
                add(Leaf::Initialize, value);
            }
            // Both exist with the object: not readable, and empty.
            add(Leaf::Config, text("config").unwrap_or_default());
            add(
                Leaf::History,
                text("history").unwrap_or_else(|| "[]".to_owned()),
            );
        }
        Part::Leader => {
            if let Some(name) = text("leader").filter(|name| lock_is_good && !name.is_empty()) {
                add(Leaf::Leader, name);
            }
            add(
                Leaf::Status,
                joined(object, &["optime", "slots", "retain_slots"]),
            );
            if let Some(value) = text("failsafe") {
                add(Leaf::Failsafe, value);
            }
        }
        Part::Failover => add(
            Leaf::Failover,
            joined(object, &["leader", "member", "scheduled_at"]),
        ),
        Part::Sync => add(
            Leaf::Sync,
            joined(object, &["leader", "quorum", "sync_standby"]),
        ),
    }
    leaves
}

/// What a member publishes: a Pod without a status is a member without data.
pub(super) fn member(pod: &Object) -> (Leaf, Stored) {
    let name = MemberName::new(pod.metadata.name.as_str());
    let status = pod.annotation("status").unwrap_or_default().to_owned();
    (Leaf::Member(name), stored(pod, status))
}

fn stored(object: &Object, value: String) -> Stored {
    Stored {
        value,
        revision: Revision::new(&object.metadata.resource_version),
        session: None,
    }
}

/// Annotations as one object of texts, which all readers of these leaves take.
fn joined(object: &Object, names: &[&str]) -> String {
    let fields = names.iter().filter_map(|name| {
        let value = object.annotation(name)?;
        Some(((*name).to_owned(), Value::from(value)))
    });
    json::compact(&fields.collect::<Map<_, _>>())
}
