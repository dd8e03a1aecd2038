//! The object `config`: the dynamic configuration as users wrote it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::Revision;
use crate::value;

/// The stored document. A missing or unreadable one is invalid: the configuration in memory
/// stays in effect, which protects a cluster whose store was wiped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDoc {
    /// The revision for compare-and-set.
    pub revision: Revision,
    /// Changes with every change of the value; `None` marks an invalid document.
    pub modify_revision: Option<Revision>,
    /// The object, empty when invalid; shared by all clones of the snapshot.
    pub data: Arc<Map<String, Value>>,
}

impl ConfigDoc {
    /// Whether the document can be used.
    pub fn is_valid(&self) -> bool {
        self.modify_revision.is_some()
    }
}

/// Merges `patch` into `config` by the rules of `PATCH /config`: null removes, objects merge
/// recursively, a value replaces another only when its text form differs, and an object under a
/// new key is taken verbatim. Returns whether anything changed.
pub fn patch(config: &mut Map<String, Value>, patch_with: &Map<String, Value>) -> bool {
    let mut changed = false;
    for (name, new) in patch_with {
        match (config.get_mut(name), new) {
            (Some(old), Value::Null) => {
                changed |= !old.is_null();
                config.remove(name);
            }
            (None, Value::Null) => {}
            (Some(Value::Object(old)), Value::Object(new)) => changed |= patch(old, new),
            (Some(old), new) if value::text(old) == value::text(new) && !new.is_object() => {}
            (Some(_) | None, new) => {
                config.insert(name.clone(), new.clone());
                changed = true;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_follow_the_vectors() {
        for (config, with, expected, changed) in [
            (json!({"a": 1}), json!({"a": null}), json!({}), true),
            (json!({"a": 1}), json!({"a": 1}), json!({"a": 1}), false),
            (json!({"a": 1}), json!({"a": "1"}), json!({"a": 1}), false),
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 2}), true),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"c": 2}}),
                json!({"a": {"b": 1, "c": 2}}),
                true,
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"b": null}}),
                json!({"a": {}}),
                true,
            ),
            (
                json!({"a": 1}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
                true,
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": 5}),
                json!({"a": 5}),
                true,
            ),
            (
                json!({}),
                json!({"x": {"y": null}}),
                json!({"x": {"y": null}}),
                true,
            ),
            (json!({"a": null}), json!({"a": null}), json!({}), false),
        ] {
            let mut map = config.as_object().unwrap().clone();
            assert_eq!(
                patch(&mut map, with.as_object().unwrap()),
                changed,
                "{config} {with}"
            );
            assert_eq!(Value::Object(map), expected);
        }
    }
}
