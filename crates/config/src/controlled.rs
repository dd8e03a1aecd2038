//! Parameters of PostgreSQL that must be the same on every member, and so can be set only in the
//! dynamic configuration.

use patroni_core::value;
use serde_json::{Map, Value};

/// A controlled parameter: which values are accepted, and what applies otherwise.
struct Controlled {
    name: &'static str,
    default: Default,
    accepts: Accepts,
}

enum Default {
    Text(&'static str),
    Number(i64),
    /// Computed from other settings, so nothing to fall back to here.
    Computed,
}

enum Accepts {
    Nothing,
    WalLevel,
    True,
    Bool,
    AtLeast(i64),
    /// Megabytes at least.
    SizeAtLeast(i64),
}

const CONTROLLED: [Controlled; 15] = [
    row("listen_addresses", Default::Computed, Accepts::Nothing),
    row("port", Default::Computed, Accepts::Nothing),
    row("cluster_name", Default::Computed, Accepts::Nothing),
    row("wal_level", Default::Text("hot_standby"), Accepts::WalLevel),
    row("hot_standby", Default::Text("on"), Accepts::True),
    row(
        "max_connections",
        Default::Number(100),
        Accepts::AtLeast(25),
    ),
    row("max_wal_senders", Default::Number(10), Accepts::AtLeast(3)),
    row(
        "max_prepared_transactions",
        Default::Number(0),
        Accepts::AtLeast(0),
    ),
    row(
        "max_locks_per_transaction",
        Default::Number(64),
        Accepts::AtLeast(32),
    ),
    row(
        "track_commit_timestamp",
        Default::Text("off"),
        Accepts::Bool,
    ),
    row(
        "max_replication_slots",
        Default::Number(10),
        Accepts::AtLeast(4),
    ),
    row(
        "max_worker_processes",
        Default::Number(8),
        Accepts::AtLeast(2),
    ),
    row("wal_log_hints", Default::Text("on"), Accepts::Bool),
    row("wal_keep_segments", Default::Number(8), Accepts::AtLeast(1)),
    row(
        "wal_keep_size",
        Default::Text("128MB"),
        Accepts::SizeAtLeast(16),
    ),
];

const fn row(name: &'static str, default: Default, accepts: Accepts) -> Controlled {
    Controlled {
        name,
        default,
        accepts,
    }
}

/// Whether a parameter is controlled by the cluster; letter case does not matter.
pub fn is_controlled(name: &str) -> bool {
    find(name).is_some()
}

/// Names of the controlled parameters that people may set; the others follow from the member.
pub(crate) fn settable() -> impl Iterator<Item = &'static str> {
    let computed = |parameter: &&Controlled| matches!(parameter.default, Default::Computed);
    let all = CONTROLLED.iter().filter(move |one| !computed(one));
    all.map(|parameter| parameter.name)
}

/// The values that apply before any configuration (those of the two `wal_keep_*` depend on the
/// server's version and are added with it).
pub(crate) fn defaults() -> Map<String, Value> {
    let plain = CONTROLLED
        .iter()
        .filter(|parameter| !parameter.name.starts_with("wal_keep_"));
    plain
        .filter_map(|parameter| Some((parameter.name.to_owned(), parameter.default.value()?)))
        .collect()
}

/// Lays parameters of the dynamic configuration over those in effect. The texts are warnings.
pub(crate) fn merge_dynamic(
    into: &mut Map<String, Value>,
    given: &Map<String, Value>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, setting) in given {
        let Some(parameter) = find(name) else {
            set(into, name, setting.clone());
            continue;
        };
        if let Some(accepted) = parameter.accept(setting) {
            set(into, name, accepted);
            continue;
        }
        let fallback = parameter.default.value();
        warnings.push(format!(
            "postgresql parameter {name}={} failed validation, defaulting to {}",
            value::text(setting),
            fallback.as_ref().map_or("None".to_owned(), value::text)
        ));
        if let Some(fallback) = fallback {
            set(into, name, fallback);
        }
    }
    warnings
}

/// Lays local parameters over those in effect; gives back the names of dropped ones.
pub(crate) fn merge_local(
    into: &mut Map<String, Value>,
    given: &Map<String, Value>,
) -> Vec<String> {
    let mut dropped = Vec::new();
    for (name, setting) in given {
        if is_controlled(name) {
            dropped.push(name.clone());
        } else {
            set(into, name, setting.clone());
        }
    }
    dropped
}

/// Sets a parameter whose name may be there in other letter case; the last spelling stays.
fn set(into: &mut Map<String, Value>, name: &str, setting: Value) {
    let known = into
        .keys()
        .find(|known| known.eq_ignore_ascii_case(name) && *known != name)
        .cloned();
    if let Some(known) = known {
        into.shift_remove(&known);
    }
    into.insert(name.to_owned(), setting);
}

fn find(name: &str) -> Option<&'static Controlled> {
    CONTROLLED
        .iter()
        .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

impl Controlled {
    fn accept(&self, setting: &Value) -> Option<Value> {
        let bounded = |least: i64| value::parse_int(setting).filter(|number| *number >= least);
        match self.accepts {
            Accepts::Nothing => None,
            Accepts::WalLevel => {
                let level = value::text(setting).to_lowercase();
                matches!(level.as_str(), "hot_standby" | "replica" | "logical")
                    .then(|| setting.clone())
            }
            Accepts::True => (value::parse_bool(setting)?).then(|| setting.clone()),
            Accepts::Bool => value::parse_bool(setting).map(|_| setting.clone()),
            Accepts::AtLeast(least) => bounded(least).map(Value::from),
            Accepts::SizeAtLeast(megabytes) => {
                if let Some(number) = value::parse_int(setting) {
                    return (number >= megabytes).then(|| Value::from(number));
                }
                let bytes = value::parse_bytes(setting)?;
                (bytes >= megabytes << 20).then(|| setting.clone())
            }
        }
    }
}

impl Default {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(Value::from(*text)),
            Self::Number(number) => Some(Value::from(*number)),
            Self::Computed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unfit_values_fall_back_with_a_warning() {
        for (given, expected, warning) in [
            (
                json!({"max_connections": "200"}),
                json!({"max_connections": 200}),
                None,
            ),
            (
                json!({"max_connections": 20}),
                json!({"max_connections": 100}),
                Some(
                    "postgresql parameter max_connections=20 failed validation, defaulting to 100",
                ),
            ),
            (
                json!({"hot_standby": false}),
                json!({"hot_standby": "on"}),
                Some("postgresql parameter hot_standby=False failed validation, defaulting to on"),
            ),
            (
                json!({"port": 1}),
                json!({}),
                Some("postgresql parameter port=1 failed validation, defaulting to None"),
            ),
            (
                json!({"wal_level": "LOGICAL"}),
                json!({"wal_level": "LOGICAL"}),
                None,
            ),
            (
                json!({"wal_keep_size": "1GB"}),
                json!({"wal_keep_size": "1GB"}),
                None,
            ),
            (json!({"Work_Mem": "1MB"}), json!({"Work_Mem": "1MB"}), None),
        ] {
            let mut into = Map::new();
            let warnings = merge_dynamic(&mut into, given.as_object().unwrap());
            assert_eq!(Value::Object(into), expected);
            assert_eq!(warnings.first().map(String::as_str), warning);
        }
    }

    #[test]
    fn letter_case_does_not_make_another_parameter() {
        let mut into = defaults();
        let dropped = merge_local(
            &mut into,
            json!({"MAX_connections": 5, "work_mem": 1, "WORK_MEM": 2})
                .as_object()
                .unwrap(),
        );
        assert_eq!(dropped, ["MAX_connections"]);
        assert_eq!(into.get("max_connections"), Some(&json!(100)));
        assert_eq!(into.get("WORK_MEM"), Some(&json!(2)));
        assert!(!into.contains_key("work_mem"));
    }
}
