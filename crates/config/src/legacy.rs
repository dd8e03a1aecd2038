//! Old settings: still understood, with a warning that names the replacement.

use patroni_core::value;
use serde_json::{Map, Value, json};

use crate::origin::Origins;

/// Rewrites old settings in the effective configuration. The texts are warnings about them and
/// about old names that are read where they stand.
pub(crate) fn convert(
    settings: &mut Map<String, Value>,
    local: &Map<String, Value>,
    origins: &Origins,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |path: &str, text: &str| {
        warnings.push(format!("{}{path} {text}", origins.prefix(path)));
    };
    if let Some(exhibitor) = take_nested_exhibitor(settings) {
        warn("zookeeper.exhibitor", "is old, use the section exhibitor");
        settings.entry("exhibitor").or_insert(exhibitor);
    }
    if let Some(Value::Object(postgresql)) = settings.get_mut("postgresql") {
        convert_users(postgresql, &mut warn);
    }
    for (path, text) in OLD {
        if at(local, path).is_some() {
            warn(path, text);
        }
    }
    for (path, tag) in [("tags.nofailover", "nofailover"), ("tags.nosync", "nosync")] {
        let given = at(local, path);
        if given.is_some_and(|given| given.is_string() && value::parse_bool(given) == Some(false)) {
            warn(
                path,
                &format!("is a text and so counts as true, write {tag}: false"),
            );
        }
    }
    warnings
}

/// Warnings about old names in the dynamic configuration, where the local one does not have them
/// below `bootstrap.dcs` and gets its own.
pub(crate) fn old_in_dynamic(
    dynamic: &Map<String, Value>,
    local: &Map<String, Value>,
) -> Vec<String> {
    let old = OLD.iter().filter_map(|(path, text)| {
        let key = path.strip_prefix("bootstrap.dcs.")?;
        let is_stores = at(dynamic, key).is_some() && at(local, path).is_none();
        is_stores.then(|| format!("{key} of the dynamic configuration {text}"))
    });
    old.collect()
}

/// Old settings that need no rewriting here. Those below `bootstrap.dcs` are looked for in the
/// store, too.
const OLD: &[(&str, &str)] = &[
    (
        "bootstrap.users",
        "creates no users any more, use bootstrap.post_bootstrap",
    ),
    (
        "bootstrap.dcs.master_start_timeout",
        "is old, use primary_start_timeout",
    ),
    (
        "bootstrap.dcs.master_stop_timeout",
        "is old, use primary_stop_timeout",
    ),
    ("bootstrap.dcs.permanent_slots", "is old, use slots"),
    (
        "bootstrap.dcs.permanent_replication_slots",
        "is old, use slots",
    ),
    (
        "bootstrap.dcs.postgresql.parameters.wal_keep_segments",
        "is converted to wal_keep_size on PostgreSQL 13 and above",
    ),
    (
        "bootstrap.dcs.postgresql.create_replica_method",
        "is old, use create_replica_methods",
    ),
    (
        "postgresql.create_replica_method",
        "is old, use create_replica_methods",
    ),
    ("postgresql.name", "is old, use the top-level name"),
    ("restapi.auth", "is old, use restapi.authentication"),
    ("ctl.auth", "is old, use ctl.authentication"),
    ("etcd.discovery_srv", "is old, use srv"),
    ("etcd.srv_domain", "is old, use srv"),
    ("etcd3.discovery_srv", "is old, use srv"),
    ("etcd3.srv_domain", "is old, use srv"),
    ("exhibitor", "is a deprecated store"),
    (
        "ttl",
        "has no effect here, set it in the dynamic configuration",
    ),
    (
        "loop_wait",
        "has no effect here, set it in the dynamic configuration",
    ),
    (
        "retry_timeout",
        "has no effect here, set it in the dynamic configuration",
    ),
    (
        "standby_cluster",
        "has no effect here, set it in the dynamic configuration",
    ),
];

fn take_nested_exhibitor(settings: &mut Map<String, Value>) -> Option<Value> {
    let zookeeper = settings.get_mut("zookeeper")?.as_object_mut()?;
    let exhibitor = zookeeper.shift_remove("exhibitor")?;
    if zookeeper.is_empty() {
        settings.shift_remove("zookeeper");
    }
    Some(exhibitor)
}

/// Users as they were written before version 1.0, and rewind credentials that stand for a
/// superuser.
fn convert_users(postgresql: &mut Map<String, Value>, warn: &mut impl FnMut(&str, &str)) {
    let rewind = postgresql.get("pg_rewind").cloned();
    if !postgresql.contains_key("authentication") {
        let (superuser, replication) = (postgresql.get("superuser"), postgresql.get("replication"));
        if superuser.is_none() && replication.is_none() {
            return;
        }
        let mut users = Map::new();
        for (name, given) in [("superuser", superuser), ("replication", replication)] {
            if let Some(given) = given {
                warn(
                    &format!("postgresql.{name}"),
                    &format!("is old, use postgresql.authentication.{name}"),
                );
                users.insert(name.to_owned(), given.clone());
            }
        }
        postgresql.insert("authentication".to_owned(), Value::Object(users));
        postgresql.insert("use_pg_rewind".to_owned(), json!(rewind.is_some()));
    }
    let (Some(rewind), Some(Value::Object(users))) = (rewind, postgresql.get_mut("authentication"))
    else {
        return;
    };
    if rewind.is_object() && !users.get("superuser").is_some_and(value::is_truthy) {
        warn(
            "postgresql.pg_rewind",
            "is old, use postgresql.authentication.superuser",
        );
        users.insert("superuser".to_owned(), rewind);
    }
}

/// The value at a dotted path.
pub(crate) fn at<'v>(map: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let mut keys = path.split('.');
    let first = map.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.as_object()?.get(key))
}
