//! The schema. The order of rows is the order of lines in a report.

use patroni_core::value;
use serde_json::Value;

use super::engine::{Field, Need, Report, Rule};
use super::{network, server};

const MAX_INT: i64 = i64::MAX;
const MAX_PORT: i64 = 65_535;
const MAX_BACKENDS: i64 = 262_143;

const fn must(key: &'static str, rule: Rule) -> Field {
    let need = Need::Must;
    Field { key, need, rule }
}

const fn may(key: &'static str, rule: Rule) -> Field {
    let need = Need::May;
    Field { key, need, rule }
}

const fn any_of(key: &'static str, rule: Rule) -> Field {
    let need = Need::AnyOf;
    Field { key, need, rule }
}

/// At most one of this row and the next.
const fn either(key: &'static str, rule: Rule) -> Field {
    let need = Need::Either;
    Field { key, need, rule }
}

pub(super) const TOP: &[Field] = &[
    must("name", Rule::Text),
    must("scope", Rule::Text),
    may("thread_pool_size", Rule::IntIn(5, MAX_INT)),
    may("thread_stack_size", Rule::Check(thread_stack_size)),
    may("log", Rule::Section(LOG)),
    may("journal", Rule::Section(JOURNAL)),
    may("ctl", Rule::Section(CTL)),
    must("restapi", Rule::Section(RESTAPI)),
    may("bootstrap", Rule::Section(BOOTSTRAP)),
    any_of("consul", Rule::Section(CONSUL)),
    any_of("etcd", Rule::Section(ETCD)),
    any_of("etcd3", Rule::Section(ETCD)),
    any_of("exhibitor", Rule::Section(EXHIBITOR)),
    any_of("kubernetes", Rule::Section(KUBERNETES)),
    any_of("raft", Rule::Section(RAFT)),
    any_of("zookeeper", Rule::Section(ZOOKEEPER)),
    may("citus", Rule::Section(CITUS)),
    must("postgresql", Rule::Section(POSTGRESQL)),
    may("watchdog", Rule::Section(WATCHDOG)),
    may("guardian", Rule::Section(GUARDIAN)),
    may("tags", Rule::Section(TAGS)),
];

const LOG: &[Field] = &[
    may("type", Rule::Choice(&["plain", "json"])),
    may(
        "level",
        Rule::Choice(&[
            "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL",
        ]),
    ),
    may("traceback_level", Rule::AnyCase(&["debug", "error"])),
    may("format", Rule::Check(log_format)),
    may("dateformat", Rule::Text),
    may("static_fields", Rule::Map),
    may("max_queue_size", Rule::Int),
    may("dir", Rule::Text),
    may("file_num", Rule::Int),
    may("file_size", Rule::Int),
    may("mode", Rule::IntIn(0, 0o777)),
    may("loggers", Rule::Map),
    may("deduplicate_heartbeat_logs", Rule::Bool),
];

const JOURNAL: &[Field] = &[
    may("enabled", Rule::Bool),
    may("dir", Rule::Text),
    may("max_size", Rule::Check(size)),
    may("keep", Rule::IntIn(0, MAX_INT)),
    may("every_cycle", Rule::Bool),
];

const CTL: &[Field] = &[
    may("insecure", Rule::Bool),
    may("cacert", Rule::Text),
    may("certfile", Rule::Text),
    may("keyfile", Rule::Text),
    may("keyfile_password", Rule::Text),
];

const RESTAPI: &[Field] = &[
    must("listen", Rule::Check(network::bindable)),
    must("connect_address", Rule::Check(network::not_loopback)),
    may(
        "authentication",
        Rule::Section(&[must("username", Rule::Text), must("password", Rule::Text)]),
    ),
    may("certfile", Rule::Text),
    may("keyfile", Rule::Text),
    may("keyfile_password", Rule::Text),
    may("cafile", Rule::Text),
    may("ciphers", Rule::Text),
    may(
        "verify_client",
        Rule::Choice(&["none", "optional", "required"]),
    ),
    may("allowlist", Rule::Texts),
    may("allowlist_include_members", Rule::Bool),
    may("http_extra_headers", Rule::Map),
    may("https_extra_headers", Rule::Map),
    may("request_queue_size", Rule::IntIn(0, 4096)),
    may("thread_pool_size", Rule::IntIn(5, MAX_INT)),
    may(
        "server_tokens",
        Rule::AnyCase(&["minimal", "productonly", "original"]),
    ),
    may("ui", Rule::Bool),
];

const BOOTSTRAP: &[Field] = &[
    must("dcs", Rule::Section(DCS)),
    may("initdb", Rule::List(&Rule::Or(&Rule::Text, &Rule::Map))),
    may("method", Rule::Text),
];

const DCS: &[Field] = &[
    may("ttl", Rule::NumberIn(20, MAX_INT)),
    may("loop_wait", Rule::NumberIn(1, MAX_INT)),
    may("retry_timeout", Rule::NumberIn(3, MAX_INT)),
    may("maximum_lag_on_failover", Rule::NumberIn(0, MAX_INT)),
    may("maximum_lag_on_syncnode", Rule::NumberIn(-1, MAX_INT)),
    may("member_slots_ttl", Rule::SecondsFrom(0)),
    may(
        "postgresql",
        Rule::Section(&[
            may(
                "parameters",
                Rule::Section(&[
                    may("max_connections", Rule::NumberIn(1, MAX_BACKENDS)),
                    may(
                        "max_locks_per_transaction",
                        Rule::NumberIn(10, 2_147_483_647),
                    ),
                    may("max_prepared_transactions", Rule::NumberIn(0, MAX_BACKENDS)),
                    may("max_replication_slots", Rule::NumberIn(0, MAX_BACKENDS)),
                    may("max_wal_senders", Rule::NumberIn(0, MAX_BACKENDS)),
                    may("max_worker_processes", Rule::NumberIn(0, MAX_BACKENDS)),
                ]),
            ),
            may("use_pg_rewind", Rule::Bool),
            may("pg_hba", Rule::Texts),
            may("pg_ident", Rule::Texts),
            may("pg_ctl_timeout", Rule::NumberIn(0, MAX_INT)),
            may(
                "probe",
                Rule::Section(&[
                    may("mode", Rule::Check(probe_mode)),
                    may("after", Rule::IntIn(0, MAX_INT)),
                ]),
            ),
            may("use_slots", Rule::Bool),
        ]),
    ),
    may("primary_start_timeout", Rule::NumberIn(0, MAX_INT)),
    may("primary_stop_timeout", Rule::NumberIn(0, MAX_INT)),
    may(
        "standby_cluster",
        Rule::Section(&[
            any_of("host", Rule::Text),
            any_of("port", Rule::IntIn(i64::MIN, MAX_PORT)),
            any_of("restore_command", Rule::Text),
            may("primary_slot_name", Rule::Text),
            may("create_replica_methods", Rule::Texts),
            may("archive_cleanup_command", Rule::Text),
            may("recovery_min_apply_delay", Rule::Text),
        ]),
    ),
    may("synchronous_mode", Rule::Check(synchronous_mode)),
    may("synchronous_mode_strict", Rule::Bool),
    may("synchronous_node_count", Rule::NumberIn(1, MAX_INT)),
];

const CONSUL: &[Field] = &[
    any_of("host", Rule::Check(network::reachable)),
    any_of("url", Rule::Text),
    may("port", Rule::IntIn(i64::MIN, MAX_PORT)),
    may("scheme", Rule::Text),
    may("token", Rule::Text),
    may("verify", Rule::Bool),
    may("cacert", Rule::Text),
    may("cert", Rule::Text),
    may("key", Rule::Text),
    may("dc", Rule::Text),
    may("checks", Rule::Texts),
    may("register_service", Rule::Bool),
    may("service_tags", Rule::Texts),
    may("service_check_interval", Rule::Text),
    may("service_check_tls_server_name", Rule::Text),
    may(
        "consistency",
        Rule::Choice(&["default", "consistent", "stale"]),
    ),
];

const ETCD: &[Field] = &[
    any_of("host", Rule::Check(network::reachable)),
    any_of("hosts", Rule::Check(network::servers)),
    any_of("srv", Rule::Text),
    any_of("srv_suffix", Rule::Text),
    any_of("url", Rule::Text),
    any_of("proxy", Rule::Text),
    may("protocol", Rule::Text),
    may("username", Rule::Text),
    may("password", Rule::Text),
    may("cacert", Rule::Text),
    may("cert", Rule::Text),
    may("key", Rule::Text),
];

const EXHIBITOR: &[Field] = &[
    must("hosts", Rule::Texts),
    must("port", Rule::IntIn(i64::MIN, MAX_PORT)),
    may("poll_interval", Rule::IntIn(1, MAX_INT)),
];

const RAFT: &[Field] = &[
    must("self_addr", Rule::Check(network::not_loopback)),
    may("bind_addr", Rule::Check(network::bindable)),
    must("partner_addrs", Rule::Check(network::partners)),
    may("data_dir", Rule::Text),
    may("password", Rule::Text),
];

const ZOOKEEPER: &[Field] = &[
    must("hosts", Rule::Check(network::servers)),
    may("use_ssl", Rule::Bool),
    may("cacert", Rule::Text),
    may("cert", Rule::Text),
    may("key", Rule::Text),
    may("key_password", Rule::Text),
    may("verify", Rule::Bool),
    may("set_acls", Rule::Map),
    may("auth_data", Rule::Map),
];

const KUBERNETES: &[Field] = &[
    must("labels", Rule::Map),
    may("bypass_api_service", Rule::Bool),
    may("namespace", Rule::Text),
    may("scope_label", Rule::Text),
    may("role_label", Rule::Text),
    may("leader_label_value", Rule::Text),
    may("follower_label_value", Rule::Text),
    may("standby_leader_label_value", Rule::Text),
    may("tmp_role_label", Rule::Text),
    may("use_endpoints", Rule::Bool),
    may("pod_ip", Rule::Check(network::pod_ip)),
    may(
        "ports",
        Rule::List(&Rule::Section(&[
            must("name", Rule::Text),
            must("port", Rule::IntIn(i64::MIN, MAX_PORT)),
        ])),
    ),
    may("cacert", Rule::Text),
    may(
        "retriable_http_codes",
        Rule::Or(&Rule::Int, &Rule::List(&Rule::Int)),
    ),
    may("bootstrap_labels", Rule::Map),
];

const CITUS: &[Field] = &[
    must("database", Rule::Text),
    must("group", Rule::IntIn(0, MAX_INT)),
];

const USER: Rule = Rule::Section(&[must("username", Rule::Text), may("password", Rule::Text)]);

const POSTGRESQL: &[Field] = &[
    must("listen", Rule::Check(network::all_bindable)),
    must("connect_address", Rule::Check(network::not_loopback)),
    may("proxy_address", Rule::Check(network::not_loopback)),
    must(
        "authentication",
        Rule::Section(&[
            must("replication", USER),
            must("superuser", USER),
            may("rewind", USER),
        ]),
    ),
    must("data_dir", Rule::Check(server::data_dir)),
    may(
        "bin_name",
        Rule::Section(&[
            may("pg_ctl", Rule::Check(server::bin_name)),
            may("initdb", Rule::Check(server::bin_name)),
            may("pg_controldata", Rule::Check(server::bin_name)),
            may("pg_basebackup", Rule::Check(server::bin_name)),
            may("postgres", Rule::Check(server::bin_name)),
            may("pg_isready", Rule::Check(server::bin_name)),
            may("pg_rewind", Rule::Check(server::bin_name)),
        ]),
    ),
    Field {
        key: "bin_dir",
        need: Need::Default(""),
        rule: Rule::Check(server::bin_dir),
    },
    may(
        "parameters",
        Rule::Section(&[may("unix_socket_directories", Rule::Text)]),
    ),
    may("pg_hba", Rule::Texts),
    may("pg_ident", Rule::Texts),
    may("pg_ctl_timeout", Rule::NumberIn(0, MAX_INT)),
    may("use_pg_rewind", Rule::Bool),
];

const GUARDIAN: &[Field] = &[may("mode", Rule::Bool)];

const WATCHDOG: &[Field] = &[
    may("mode", Rule::Check(watchdog_mode)),
    may("device", Rule::Text),
    may("safety_margin", Rule::IntIn(-1, MAX_INT)),
];

const TAGS: &[Field] = &[
    either("nofailover", Rule::Bool),
    may("failover_priority", Rule::IntIn(0, MAX_INT)),
    may("clonefrom", Rule::Bool),
    may("noloadbalance", Rule::Bool),
    may("replicatefrom", Rule::Text),
    either("nosync", Rule::Bool),
    may("sync_priority", Rule::IntIn(0, MAX_INT)),
    may("nostream", Rule::Bool),
];

fn thread_stack_size(report: &mut Report<'_>, path: &str, given: &Value) {
    const UNIT: i64 = 65_536;
    match given.as_i64() {
        None => report.line(path, &value::text(given), "is not an integer"),
        Some(size) if size < UNIT || size % UNIT != 0 => report.refuse(path, given, "Wrong value"),
        Some(_) => {}
    }
}

fn size(report: &mut Report<'_>, path: &str, given: &Value) {
    if value::parse_bytes(given).is_none_or(|bytes| bytes < 0) {
        report.line(path, &value::text(given), "is not a size");
    }
}

fn log_format(report: &mut Report<'_>, path: &str, given: &Value) {
    let is_field = |item: &Value| match item {
        Value::String(_) => true,
        Value::Object(renamed) => renamed.len() == 1 && renamed.values().all(Value::is_string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    };
    match given {
        Value::String(_) => {}
        Value::Array(items) if items.is_empty() => {
            report.refuse(path, given, "should contain at least one item");
        }
        Value::Array(items) if items.iter().all(is_field) => {}
        Value::Array(_) => report.refuse(
            path,
            given,
            "each item should be a string or a dictionary with string values",
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            report.refuse(path, given, "Should be a string or a list");
        }
    }
}

fn synchronous_mode(report: &mut Report<'_>, path: &str, given: &Value) {
    let quorum = given
        .as_str()
        .is_some_and(|text| text.eq_ignore_ascii_case("quorum"));
    if !quorum && value::parse_bool(given).is_none() {
        report.refuse(path, given, "invalid value for synchronous_mode");
    }
}

fn probe_mode(report: &mut Report<'_>, path: &str, given: &Value) {
    let known = given == &Value::Bool(false)
        || given
            .as_str()
            .is_some_and(|text| matches!(text, "off" | "report" | "failover"));
    if !known {
        report.refuse(path, given, "Wrong value");
    }
}

fn watchdog_mode(report: &mut Report<'_>, path: &str, given: &Value) {
    match given {
        Value::Bool(false) => {}
        Value::String(text) if matches!(text.as_str(), "off" | "automatic" | "required") => {}
        Value::Bool(true) | Value::String(_) => report.refuse(path, given, "Wrong value"),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            report.refuse(path, given, "expected type is not a string");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{self, Key, Kind};

    /// What is checked must be known; parameters of the server are nobody's list.
    fn compare(fields: &[Field], keys: &[Key], path: &str) {
        for field in fields {
            let path = format!("{path}.{}", field.key);
            let key = keys.iter().find(|key| key.name == field.key);
            let key = key.unwrap_or_else(|| panic!("{path} is not in the table of keys"));
            match (&field.rule, &key.kind) {
                (Rule::Section(_), Kind::Map) => {}
                (Rule::Section(inner), kind) => compare(inner, kind.keys(), &path),
                (Rule::List(Rule::Section(inner)), Kind::Sections(keys)) => {
                    compare(inner, keys, &path);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_key_that_is_checked_is_known() {
        compare(TOP, keys::TOP, "");
    }
}
