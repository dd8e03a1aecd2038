//! One value of a result, from the text that the server sent.

use patroni_core::exact::is_exact;
use serde_json::{Number, Value};
use tokio_postgres::types::Type;

/// Numbers, booleans and documents keep their nature; everything else is text, times and
/// intervals in the form that the reference shows.
pub(super) fn cell(text: Option<&str>, kind: Option<&Type>) -> Value {
    let Some(text) = text else {
        return Value::Null;
    };
    let number = match kind {
        Some(&Type::BOOL) => return Value::Bool(text == "t"),
        Some(&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::OID) => {
            text.parse::<i64>().ok().map(Number::from)
        }
        Some(&Type::FLOAT4 | &Type::FLOAT8) => return float(text),
        Some(&Type::JSON | &Type::JSONB) => return document(text),
        Some(&Type::TIMESTAMP | &Type::TIMESTAMPTZ | &Type::TIME | &Type::TIMETZ) => {
            return clock(text).into();
        }
        Some(&Type::INTERVAL) => {
            return interval(text).unwrap_or_else(|| text.to_owned()).into();
        }
        _ => None,
    };
    number.map_or_else(|| text.into(), Value::Number)
}

/// JSON has no words for what is no number: they are text.
fn float(text: &str) -> Value {
    match text {
        "NaN" => "nan".into(),
        "Infinity" => "inf".into(),
        "-Infinity" => "-inf".into(),
        _ => {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.map_or_else(|| text.into(), Value::Number)
        }
    }
}

/// A document whose numbers do not fit into 64 bits stays text, so that no digit is lost.
fn document(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value) if is_exact(&value) => value,
        _ => text.into(),
    }
}

/// Six digits behind the point, and minutes in the offset: `10:00:00.500000+02:00`.
fn clock(text: &str) -> String {
    let Some(colon) = text.find(':') else {
        return text.to_owned(); // infinity
    };
    let zone = text.rfind(['+', '-']).filter(|zone| *zone > colon);
    let (time, zone) = text.split_at(zone.unwrap_or(text.len()));
    let mut out = match time.split_once('.') {
        Some((whole, digits)) => format!("{whole}.{digits:0<6}"),
        None => time.to_owned(),
    };
    out.push_str(zone);
    if zone.len() == 3 {
        out.push_str(":00");
    }
    out
}

/// `1 year 2 mons -3 days +04:05:06.7` as `422 days, 4:05:06.700000`; `None` when the server
/// writes intervals otherwise.
fn interval(text: &str) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    let mut total = 0_i64;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let part = if word.contains(':') {
            micros(word)?
        } else {
            let count: i64 = word.parse().ok()?;
            let days = match words.next()? {
                "year" | "years" => 365,
                "mon" | "mons" => 30,
                "day" | "days" => 1,
                _ => return None,
            };
            count.checked_mul(days)?.checked_mul(DAY)?
        };
        total = total.checked_add(part)?;
    }
    let (days, rest) = (total.div_euclid(DAY), total.rem_euclid(DAY));
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let days = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let fraction = match fraction {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{days}{hours}:{minutes:02}:{seconds:02}{fraction}"))
}

fn micros(clock: &str) -> Option<i64> {
    let (sign, clock) = match clock.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let seconds = hours
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)?;
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * seconds.checked_mul(1_000_000)?.checked_add(fraction)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_keep_their_nature() {
        for (text, kind, expected) in [
            ("t", Type::BOOL, json!(true)),
            ("7", Type::INT4, json!(7)),
            ("1.5", Type::FLOAT8, json!(1.5)),
            ("NaN", Type::FLOAT8, json!("nan")),
            ("-Infinity", Type::FLOAT4, json!("-inf")),
            ("{\"b\": [1, null]}", Type::JSONB, json!({"b": [1, null]})),
            ("5", Type::JSON, json!(5)),
            ("null", Type::JSON, json!(null)),
            (
                "[123456789012345678901]",
                Type::JSON,
                json!("[123456789012345678901]"),
            ),
            ("7", Type::TEXT, json!("7")),
        ] {
            assert_eq!(cell(Some(text), Some(&kind)), expected, "{text}");
        }
        assert_eq!(cell(Some("7"), None), json!("7"));
        assert!(cell(None, Some(&Type::INT4)).is_null());
    }

    #[test]
    fn times_and_intervals_look_as_in_the_reference() {
        for (text, kind, expected) in [
            (
                "2020-01-01 10:00:00+00",
                Type::TIMESTAMPTZ,
                "2020-01-01 10:00:00+00:00",
            ),
            (
                "2020-01-01 10:00:00.5-03:30",
                Type::TIMESTAMPTZ,
                "2020-01-01 10:00:00.500000-03:30",
            ),
            (
                "2020-01-01 10:00:00.5",
                Type::TIMESTAMP,
                "2020-01-01 10:00:00.500000",
            ),
            ("10:00:00+02", Type::TIMETZ, "10:00:00+02:00"),
            ("10:00:00", Type::TIME, "10:00:00"),
            ("infinity", Type::TIMESTAMP, "infinity"),
            ("1 day 02:00:00", Type::INTERVAL, "1 day, 2:00:00"),
            (
                "-1 days +02:00:00.5",
                Type::INTERVAL,
                "-1 day, 2:00:00.500000",
            ),
            ("-02:00:00", Type::INTERVAL, "-1 day, 22:00:00"),
            ("1 year 2 mons 3 days", Type::INTERVAL, "428 days, 0:00:00"),
            ("1 mon", Type::INTERVAL, "30 days, 0:00:00"),
            ("00:00:00", Type::INTERVAL, "0:00:00"),
            ("P1D", Type::INTERVAL, "P1D"),
        ] {
            assert_eq!(cell(Some(text), Some(&kind)), json!(expected), "{text}");
        }
    }
}
