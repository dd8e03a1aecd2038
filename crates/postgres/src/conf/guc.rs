//! Which parameters are written, and in which form.

use patroni_core::value;
use serde_json::Value;
use tracing::warn;

use super::guc_table::{self, Entry, Kind, Lookup};
use super::units;

/// The value to write for a parameter of the main block of `postgresql.conf`, or `None` when it
/// must be left out. `described` tells whether the server itself knows the name
/// (`postgres --describe-config`) and is asked only when the table does not.
pub(crate) fn accept(
    name: &str,
    given: &Value,
    version: u32,
    described: impl FnOnce(&str) -> bool,
) -> Option<Value> {
    let entry = match guc_table::parameter(name, version) {
        Lookup::Found(entry) => entry,
        Lookup::Unknown if name.contains('.') => return Some(given.clone()),
        Lookup::Unknown | Lookup::OtherVersion => {
            if guc_table::is_recovery(name) {
                return None;
            }
            if described(name) {
                return Some(given.clone());
            }
            warn!(
                "Removing unexpected parameter={name} value={} from the config",
                value::text(given)
            );
            return None;
        }
    };
    transform(name, given, &entry)
}

/// The value of a recovery parameter, or `None` when this version does not have it.
pub(crate) fn accept_recovery(name: &str, given: &Value, version: u32) -> Option<Value> {
    match guc_table::recovery(name, version) {
        Lookup::Found(entry) => transform(name, given, &entry),
        Lookup::Unknown | Lookup::OtherVersion => None,
    }
}

fn transform(name: &str, given: &Value, entry: &Entry) -> Option<Value> {
    let valid = match entry.kind {
        Kind::String => true,
        Kind::Bool => value::parse_bool(given).is_some(),
        Kind::Enum => entry.allows(&value::text(given).to_lowercase()),
        Kind::EnumBool => {
            value::parse_bool(given).is_some() || entry.allows(&value::text(given).to_lowercase())
        }
        Kind::Integer => match units::parse_int(given, entry.unit) {
            Some(number) => return Some(clamp_int(name, given, number, entry)),
            None => false,
        },
        Kind::Real => match units::parse_real(given, entry.unit) {
            Some(number) => return Some(clamp_real(name, given, number, entry)),
            None => false,
        },
    };
    if !valid {
        warn!(
            "Removing {} parameter={name} from the config due to the invalid value={}",
            entry.kind.as_str(),
            value::text(given)
        );
    }
    valid.then(|| given.clone())
}

fn clamp_int(name: &str, given: &Value, number: i64, entry: &Entry) -> Value {
    let Some((least, greatest)) = entry.range else {
        return given.clone();
    };
    match (least.parse::<i64>(), greatest.parse::<i64>()) {
        (Ok(bound), _) if number < bound => too_low(name, given, least, entry),
        (_, Ok(bound)) if number > bound => too_big(name, given, greatest, entry),
        _ => given.clone(),
    }
}

fn clamp_real(name: &str, given: &Value, number: f64, entry: &Entry) -> Value {
    let Some((least, greatest)) = entry.range else {
        return given.clone();
    };
    match (least.parse::<f64>(), greatest.parse::<f64>()) {
        (Ok(bound), _) if number < bound => too_low(name, given, least, entry),
        (_, Ok(bound)) if number > bound => too_big(name, given, greatest, entry),
        _ => given.clone(),
    }
}

fn too_low(name: &str, given: &Value, bound: &str, entry: &Entry) -> Value {
    warn!(
        "Value={} of parameter={name} is too low, increasing to {bound}{}",
        value::text(given),
        entry.unit.unwrap_or_default()
    );
    Value::from(bound)
}

fn too_big(name: &str, given: &Value, bound: &str, entry: &Entry) -> Value {
    warn!(
        "Value={} of parameter={name} is too big, decreasing to {bound}{}",
        value::text(given),
        entry.unit.unwrap_or_default()
    );
    Value::from(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_clamped_kept_or_left_out() {
        for (name, given, expected) in [
            (
                "autovacuum_naptime",
                json!(99_999_999),
                Some(json!("2147483")),
            ),
            ("checkpoint_completion_target", json!(7), Some(json!("1"))),
            (
                "log_min_duration_statement",
                json!("2min"),
                Some(json!("2min")),
            ),
            (
                "maintenance_work_mem",
                json!("0.0625GB"),
                Some(json!("0.0625GB")),
            ),
            ("log_statement", json!("everything"), None),
            ("fsync", json!("maybe"), None),
            ("my.custom", json!("it's"), Some(json!("it's"))),
            ("no_such_parameter", json!(5), None),
            ("stats_temp_directory", json!("pg_stat_tmp"), None),
            ("Log_Connections", json!(true), Some(json!(true))),
            ("restore_command", json!("x"), None),
            ("archive_mode", json!("on"), Some(json!("on"))),
        ] {
            assert_eq!(accept(name, &given, 150_018, |_| false), expected, "{name}");
        }
        assert_eq!(
            accept("brand_new", &json!(5), 190_000, |_| true),
            Some(json!(5))
        );
    }
}
