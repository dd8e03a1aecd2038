//! What changed between two local configurations.

use patroni_core::value;
use serde_json::{Map, Value};

/// The sentence when nothing did.
pub const NOTHING_CHANGED: &str = "No local configuration items changed.";

/// Settings that are read only at start; a change waits for a restart of the daemon.
/// [`crate::Settings::keep_start_only`] sees to it, and has a test with each of these.
const AT_START_ONLY: &[&str] = &[
    "scope",
    "name",
    "namespace",
    "thread_pool_size",
    "citus",
    "bootstrap",
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
    use crate::{Effective, Local, Settings};
    use serde_json::json;

    /// A document in which every setting that is read at start only has a value made of `sign`.
    fn document(sign: u64) -> Map<String, Value> {
        let mut document = json!({
            "etcd3": {"host": "h"},
            "restapi": {"listen": "127.0.0.1:8008"},
            "postgresql": {"listen": "127.0.0.1"},
        });
        for path in AT_START_ONLY {
            let pointer = format!("/{}", path.replace('.', "/"));
            let (section, key) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(section).unwrap()[key] = match *path {
                "citus" => json!({"group": sign, "database": "d"}),
                "bootstrap" => json!({"method": sign.to_string()}),
                _ => json!(sign),
            };
        }
        document.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_read_at_start_only_stays_until_then() {
        let read = |sign| {
            let local = Local {
                settings: document(sign),
                ..Local::default()
            };
            let effective = Effective::compute(&Map::new(), &local).unwrap();
            Settings::read(&effective).unwrap().0
        };
        let running = read(7);
        let mut new = read(8);
        assert_ne!(new, running);
        assert_eq!(
            waiting_for_restart(&document(7), &document(8)),
            AT_START_ONLY
        );
        new.keep_start_only(&running);
        assert_eq!(new, running);
    }

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
