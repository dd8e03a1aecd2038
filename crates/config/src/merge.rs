//! How one local source lies over another.

use patroni_core::value;
use serde_json::{Map, Value};

/// Lays a source over another: mappings are merged, everything else is replaced whole, and null
/// deletes. A value with the same text form is no change. A section that was not there before is
/// taken as it is, nulls inside included.
pub fn deep_merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, new) in over {
        match (under.get_mut(&key), new) {
            (_, Value::Null) => {
                under.shift_remove(&key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => deep_merge(old, new),
            (Some(old), new) => {
                if value::text(old) != value::text(&new) {
                    *old = new;
                }
            }
            (None, new) => {
                under.insert(key, new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_later_source_wins_key_by_key() {
        for (under, over, expected) in [
            (
                json!({}),
                json!({"a": null, "b": {"c": null}}),
                json!({"b": {"c": null}}),
            ),
            (
                json!({"a": {"x": 1, "y": 2}}),
                json!({"a": {"y": null, "z": 3}}),
                json!({"a": {"x": 1, "z": 3}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"x": 1}}), json!({"a": 5}), json!({"a": 5})),
            (
                json!({"a": 5}),
                json!({"a": {"x": 1}}),
                json!({"a": {"x": 1}}),
            ),
            (json!({"a": 5}), json!({"a": "5"}), json!({"a": 5})),
        ] {
            let mut merged = under.as_object().unwrap().clone();
            deep_merge(&mut merged, over.as_object().unwrap().clone());
            assert_eq!(Value::Object(merged), expected);
        }
    }
}
