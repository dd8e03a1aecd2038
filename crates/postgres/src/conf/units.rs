//! Values with units, the way `PostgreSQL` reads and prints them.
//!
//! Source of the rules: the configuration contract, section 1.5.

use patroni_core::value;
use serde_json::Value;

/// Units of memory in bytes, largest first.
const MEMORY: [(&str, f64); 5] = [
    ("TB", 1_099_511_627_776.0),
    ("GB", 1_073_741_824.0),
    ("MB", 1_048_576.0),
    ("kB", 1024.0),
    ("B", 1.0),
];

/// Units of time in microseconds, largest first.
const TIME: [(&str, f64); 6] = [
    ("d", 86_400_000_000.0),
    ("h", 3_600_000_000.0),
    ("min", 60_000_000.0),
    ("s", 1_000_000.0),
    ("ms", 1000.0),
    ("us", 1.0),
];

/// A parameter's base unit: a multiple (`8` in `8kB`) of a unit of one table.
struct Base {
    table: &'static [(&'static str, f64)],
    size: f64,
}

impl Base {
    fn of(unit: &str) -> Option<Self> {
        let digits = unit.bytes().take_while(u8::is_ascii_digit).count();
        let (multiple, name) = unit.split_at(digits);
        let multiple: f64 = if multiple.is_empty() {
            1.0
        } else {
            multiple.parse().ok()?
        };
        [MEMORY.as_slice(), TIME.as_slice()]
            .into_iter()
            .find_map(|table| {
                let (_, size) = table.iter().find(|(unit, _)| *unit == name)?;
                Some(Self {
                    table,
                    size: size * multiple,
                })
            })
    }

    /// `number` of `unit` in this base, rounded to the next smaller unit as the server does.
    fn convert(&self, number: f64, unit: &str) -> Option<f64> {
        let at = self.table.iter().position(|(name, _)| *name == unit)?;
        let converted = number * self.table[at].1 / self.size;
        Some(match self.table.get(at + 1) {
            Some((_, smaller)) => {
                let step = smaller / self.size;
                (converted / step).round_ties_even() * step
            }
            None => converted,
        })
    }
}

/// A whole number in the base unit `unit`; `None` when the text is no such value.
pub(crate) fn parse_int(given: &Value, unit: Option<&str>) -> Option<i64> {
    if matches!(given, Value::Bool(_) | Value::Null) {
        return None;
    }
    let text = value::text(given);
    let (number, rest) = value::int_prefix(&text)?;
    let rest_unit = rest.trim();
    if rest_unit.is_empty() {
        return Some(number);
    }
    // A fraction must survive until the unit is applied: 0.0625GB is not 0GB.
    let exact = match value::float_prefix(&text) {
        Some((exact, after)) if after == rest => exact,
        _ => to_float(number),
    };
    Base::of(unit?)?.convert(exact, rest_unit).map(to_int)
}

/// A number in the base unit `unit`; `None` when the text is no such value.
pub(crate) fn parse_real(given: &Value, unit: Option<&str>) -> Option<f64> {
    if matches!(given, Value::Bool(_) | Value::Null) {
        return None;
    }
    let text = value::text(given);
    let (number, rest) = value::float_prefix(&text)?;
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(number);
    }
    Base::of(unit?)?.convert(number, rest)
}

/// A number of the base unit in the largest unit that divides it (`16384` of `8kB` is `128MB`);
/// zero and numbers without a known unit stay as they are.
pub(crate) fn human(setting: &str, vartype: &str, unit: Option<&str>) -> String {
    let Some(base) = unit.and_then(Base::of) else {
        return setting.to_owned();
    };
    let Ok(number) = setting.trim().parse::<f64>() else {
        return setting.to_owned();
    };
    if number == 0.0 {
        return setting.to_owned();
    }
    let total = number * base.size;
    let whole = |(name, size): &(&str, f64)| {
        let count = total / size;
        let near = count.round_ties_even();
        let fits = if vartype == "real" {
            (count / near - 1.0).abs() <= 1e-8 && near != 0.0
        } else {
            (count - near).abs() < f64::EPSILON && near != 0.0
        };
        fits.then(|| format!("{}{name}", to_int(near)))
    };
    base.table.iter().find_map(whole).unwrap_or_else(|| {
        let (name, size) = base.table[base.table.len() - 1];
        format!("{}{name}", significant(total / size))
    })
}

/// Whether a `pg_settings` value and a configured one are the same.
pub(crate) fn equal(vartype: &str, unit: Option<&str>, setting: &str, wanted: &Value) -> bool {
    let current = Value::from(setting);
    match vartype {
        "bool" => {
            let current = value::parse_bool(&current);
            current.is_some() && current == value::parse_bool(wanted)
        }
        "integer" => {
            let current = parse_int(&current, None);
            current.is_some() && current == parse_int(wanted, unit)
        }
        "real" => match (parse_real(&current, None), parse_real(wanted, unit)) {
            (Some(current), Some(wanted)) => (current - wanted).abs() <= f64::EPSILON,
            _ => false,
        },
        "enum" => setting.to_lowercase() == value::text(wanted).to_lowercase(),
        _ => setting == value::text(wanted),
    }
}

/// Six significant digits without trailing zeros.
fn significant(number: f64) -> String {
    let digits = format!("{number:.6e}");
    digits
        .parse::<f64>()
        .map_or(digits, |rounded| rounded.to_string())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, and no setting is near 2^63"
)]
fn to_int(number: f64) -> i64 {
    number.round_ties_even() as i64
}

#[expect(clippy::cast_precision_loss, reason = "settings are far below 2^53")]
fn to_float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units_convert_to_the_base() {
        for (given, unit, expected) in [
            (json!("30min"), "s", Some(1800)),
            (json!("1 h"), "s", Some(3600)),
            (json!("1GB"), "MB", Some(1024)),
            (json!("0.0625GB"), "kB", Some(65536)),
            (json!("4097.5kB"), "kB", Some(4098)),
            (json!("32MB"), "8kB", Some(4096)),
            (json!("5 parsecs"), "s", None),
            (json!("1MB"), "s", None),
            (json!(99_999_999), "s", Some(99_999_999)),
            (json!("everything"), "s", None),
            (json!(true), "s", None),
            (json!("08"), "s", None),
        ] {
            assert_eq!(parse_int(&given, Some(unit)), expected, "{given} {unit}");
        }
        assert_eq!(parse_int(&json!("1MB"), None), None);
        assert_eq!(parse_real(&json!("1.5"), None), Some(1.5));
        assert_eq!(parse_real(&json!("1e3"), None), Some(1000.0));
        assert_eq!(parse_real(&json!("0x10"), None), None);
    }

    #[test]
    fn human_form_takes_the_largest_whole_unit() {
        for (setting, vartype, unit, expected) in [
            ("16384", "integer", Some("8kB"), "128MB"),
            ("0", "integer", Some("8kB"), "0"),
            ("-1", "integer", Some("ms"), "-1ms"),
            ("200", "integer", Some("ms"), "200ms"),
            ("90", "integer", Some("s"), "90s"),
            ("0.2", "real", Some("ms"), "200us"),
            ("100", "integer", None, "100"),
        ] {
            assert_eq!(human(setting, vartype, unit), expected);
        }
    }

    #[test]
    fn values_are_compared_by_meaning() {
        for (vartype, unit, setting, wanted, same) in [
            ("integer", Some("8kB"), "4096", json!("32MB"), true),
            ("integer", Some("s"), "60", json!("1min"), true),
            ("integer", Some("8kB"), "16384", json!("0.125GB"), true),
            ("bool", None, "off", json!(false), true),
            ("enum", None, "replica", json!("hot_standby"), false),
            ("real", None, "0.9", json!(".9"), true),
            ("string", None, "a", json!("A"), false),
        ] {
            assert_eq!(
                equal(vartype, unit, setting, &wanted),
                same,
                "{setting} {wanted}"
            );
        }
    }
}
