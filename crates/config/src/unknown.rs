//! Keys that mean nothing, with a guess of what was meant.

use serde_json::{Map, Value};

use crate::file::postgresql;
use crate::origin::Origins;

/// Beginning of top-level keys that hold anchors for the rest of the file.
const ANCHORS: [&str; 2] = ["x-", "."];

/// The keys of each section with a closed set of them. `*` lists are open and not here: tags,
/// parameters, loggers, headers, labels, sections of scripts.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "scope",
            "name",
            "namespace",
            "thread_pool_size",
            "thread_stack_size",
            "log",
            "journal",
            "bootstrap",
            "postgresql",
            "restapi",
            "ctl",
            "watchdog",
            "guardian",
            "tags",
            "citus",
            "consul",
            "etcd",
            "etcd3",
            "exhibitor",
            "kubernetes",
            "raft",
            "zookeeper",
            "ttl",
            "loop_wait",
            "retry_timeout",
            "standby_cluster",
        ],
    ),
    (
        "log",
        &[
            "type",
            "level",
            "traceback_level",
            "format",
            "dateformat",
            "static_fields",
            "max_queue_size",
            "dir",
            "mode",
            "file_size",
            "file_num",
            "loggers",
            "deduplicate_heartbeat_logs",
        ],
    ),
    (
        "journal",
        &["enabled", "dir", "max_size", "keep", "every_cycle"],
    ),
    (
        "restapi",
        &[
            "listen",
            "connect_address",
            "authentication",
            "auth",
            "certfile",
            "keyfile",
            "keyfile_password",
            "cafile",
            "ciphers",
            "verify_client",
            "allowlist",
            "allowlist_include_members",
            "http_extra_headers",
            "https_extra_headers",
            "request_queue_size",
            "thread_pool_size",
            "server_tokens",
        ],
    ),
    ("restapi.authentication", &["username", "password"]),
    (
        "ctl",
        &[
            "authentication",
            "auth",
            "insecure",
            "cacert",
            "certfile",
            "keyfile",
            "keyfile_password",
        ],
    ),
    ("ctl.authentication", &["username", "password"]),
    ("etcd", ETCD),
    ("etcd3", ETCD),
    (
        "consul",
        &[
            "url",
            "host",
            "port",
            "scheme",
            "token",
            "verify",
            "cacert",
            "cert",
            "key",
            "dc",
            "consistency",
            "checks",
            "register_service",
            "service_tags",
            "service_check_interval",
            "service_check_tls_server_name",
        ],
    ),
    (
        "zookeeper",
        &[
            "hosts",
            "use_ssl",
            "verify",
            "cacert",
            "cert",
            "key",
            "key_password",
            "set_acls",
            "auth_data",
            "exhibitor",
        ],
    ),
    (
        "exhibitor",
        &[
            "hosts",
            "port",
            "poll_interval",
            "use_ssl",
            "verify",
            "cacert",
            "cert",
            "key",
            "key_password",
            "set_acls",
            "auth_data",
        ],
    ),
    (
        "raft",
        &[
            "self_addr",
            "bind_addr",
            "partner_addrs",
            "data_dir",
            "password",
            "min_timeout",
            "max_timeout",
            "connection_timeout",
            "append_entries_period",
            "connection_retry_time",
            "leader_fallback_timeout",
        ],
    ),
    (
        "kubernetes",
        &[
            "labels",
            "scope_label",
            "role_label",
            "leader_label_value",
            "follower_label_value",
            "standby_leader_label_value",
            "tmp_role_label",
            "bootstrap_labels",
            "namespace",
            "use_endpoints",
            "pod_ip",
            "ports",
            "cacert",
            "context",
            "bypass_api_service",
            "retriable_http_codes",
        ],
    ),
    ("guardian", &["mode"]),
    ("postgresql.probe", &["mode", "after"]),
    ("watchdog", &["mode", "device", "safety_margin", "driver"]),
    ("citus", &["group", "database"]),
    (
        "postgresql.authentication",
        &["superuser", "replication", "rewind"],
    ),
    ("postgresql.bin_name", &postgresql::BINARIES),
    (
        "postgresql.callbacks",
        &[
            "on_start",
            "on_stop",
            "on_restart",
            "on_reload",
            "on_role_change",
        ],
    ),
    (
        "bootstrap.dcs",
        &[
            "ttl",
            "loop_wait",
            "retry_timeout",
            "maximum_lag_on_failover",
            "maximum_lag_on_syncnode",
            "max_timelines_history",
            "check_timeline",
            "primary_start_timeout",
            "primary_stop_timeout",
            "master_start_timeout",
            "master_stop_timeout",
            "synchronous_mode",
            "synchronous_mode_strict",
            "synchronous_node_count",
            "failsafe_mode",
            "pause",
            "standby_cluster",
            "slots",
            "permanent_slots",
            "permanent_replication_slots",
            "ignore_slots",
            "member_slots_ttl",
            "postgresql",
            "primary_race_backoff",
        ],
    ),
];

const ETCD: &[&str] = &[
    "host",
    "hosts",
    "url",
    "proxy",
    "srv",
    "discovery_srv",
    "srv_domain",
    "srv_suffix",
    "port",
    "protocol",
    "use_proxies",
    "username",
    "password",
    "cacert",
    "cert",
    "key",
    "version_prefix",
];

/// One warning for each key that nothing reads. They never change the outcome of a start.
pub(crate) fn warnings(settings: &Map<String, Value>, origins: &Origins) -> Vec<String> {
    let mut warnings = Vec::new();
    for (path, known) in KNOWN {
        let Some(section) = section(settings, path) else {
            continue;
        };
        for key in section.keys().filter(|key| !known.contains(&key.as_str())) {
            if path.is_empty() && ANCHORS.iter().any(|mark| key.starts_with(mark)) {
                continue;
            }
            warnings.push(warning(path, key, known, origins));
        }
    }
    if let Some(section) = section(settings, "postgresql") {
        let methods = section
            .get("create_replica_methods")
            .and_then(Value::as_array);
        let is_method = |key: &str| {
            methods.is_some_and(|methods| methods.iter().any(|name| name.as_str() == Some(key)))
        };
        for key in section.keys() {
            if !postgresql::KEYS.contains(&key.as_str()) && !is_method(key) {
                warnings.push(warning("postgresql", key, postgresql::KEYS, origins));
            }
        }
    }
    warnings
}

fn section<'m>(settings: &'m Map<String, Value>, path: &str) -> Option<&'m Map<String, Value>> {
    if path.is_empty() {
        return Some(settings);
    }
    path.split('.')
        .try_fold(settings, |map, key| map.get(key)?.as_object())
}

fn warning(section: &str, key: &str, known: &[&str], origins: &Origins) -> String {
    let path = if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    };
    let guess = closest(key, known)
        .map(|guess| format!(", did you mean {guess}?"))
        .unwrap_or_default();
    format!("{}{path} is an unknown key{guess}", origins.prefix(&path))
}

/// The known key that is at most a third of its letters away.
fn closest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_lowercase();
    known
        .iter()
        .map(|known| (distance(&key, known), *known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3).min(3))
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be changed, added or removed to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn typos_get_a_guess() {
        let settings = json!({
            "scope": "s",
            "x-anchor": {},
            "journal": {"max_sise": 5},
            "restapi": {"alowlist": [], "listen": "x"},
            "postgresql": {"pgbackrest": {"command": "x"}, "create_replica_methods": ["pgbackrest"], "use_pg_rewnd": true},
            "bootstrap": {"dcs": {"tll": 5}},
        });
        assert_eq!(
            warnings(settings.as_object().unwrap(), &Origins::default()),
            [
                "journal.max_sise is an unknown key, did you mean max_size?",
                "restapi.alowlist is an unknown key, did you mean allowlist?",
                "bootstrap.dcs.tll is an unknown key, did you mean ttl?",
                "postgresql.use_pg_rewnd is an unknown key, did you mean use_pg_rewind?",
            ]
        );
    }

    #[test]
    fn distances_count_edits() {
        for (from, to, expected) in [("a", "a", 0), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), expected);
        }
    }
}
