//! What changed between two local configurations.

use patroni_core::value;
use serde_json::{Map, Value};

/// The sentence when nothing did.
pub const NOTHING_CHANGED: &str = "No local configuration items changed.";

/// Settings that are read only at start; a change waits for a restart of the daemon.
const AT_START_ONLY: &[&str] = &[
    "scope",
    "name",
    "namespace",
    "thread_pool_size",
    "citus",
    "postgresql.data_dir",
    "postgresql.config_dir",
    "postgresql.bin_dir",
    "postgresql.pgpass",
    "postgresql.database",
    "restapi.request_queue_size",
    "restapi.thread_pool_size",
];

/// The names of top-level keys that differ, in the order of the new configuration, gone ones
/// last. Values are compared by their text form, so `5` and `"5"` are the same. Empty means
/// [`NOTHING_CHANGED`].
pub fn changed_sections(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let differs = |key: &&String| !same(old.get(*key), new.get(*key));
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    new.keys().chain(gone).filter(differs).cloned().collect()
}

/// The paths of changed settings that take effect only after a restart of the daemon.
pub fn waiting_for_restart(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Vec<&'static str> {
    let paths = AT_START_ONLY.iter().copied();
    paths
        .filter(|path| !same(at(old, path), at(new, path)))
        .collect()
}

fn same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(Value::Object(old)), Some(Value::Object(new))) => value::deep_equal(old, new),
        (Some(old), Some(new)) => value::text(old) == value::text(new),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn at<'v>(map: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    match path.split_once('.') {
        None => map.get(path),
        Some((section, key)) => map.get(section)?.as_object()?.get(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sections_are_compared_by_text() {
        let old = json!({"name": "a", "tags": {"x": 5}, "log": {"level": "INFO"}, "ctl": {}});
        let new = json!({"name": "b", "tags": {"x": "5"}, "log": {"level": "DEBUG"}, "citus": {}});
        let (old, new) = (old.as_object().unwrap(), new.as_object().unwrap());
        assert_eq!(changed_sections(old, new), ["name", "log", "citus", "ctl"]);
        assert_eq!(waiting_for_restart(old, new), ["name", "citus"]);
        assert!(changed_sections(old, old).is_empty());
    }
}
