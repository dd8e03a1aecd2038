//! Reading loosely typed values the way the reference does.
//!
//! Configuration travels through YAML, JSON and environment variables, so `on`, `"true"` and
//! `1` may all mean the same. Source of the rules: the configuration contract, section 1.5.

use serde_json::{Map, Value};

/// The text form of a value, by which the reference compares and prints values: booleans are
/// `True`/`False`, null is `None`, lists and objects have Python's form.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(real) => float(real),
            None => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => repr(value),
    }
}

/// Python's `repr` of a value, the form of items inside lists and objects.
pub fn repr(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, item)| format!("{}: {}", quoted(key), repr(item)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => text(value),
    }
}

/// A real number as Python and its JSON write it: the shortest digits, with an exponent of two
/// digits or more below 0.0001 and from 1e16 on (`1e-05`, `100.0`).
pub(crate) fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific.to_lowercase(); // not finite
    };
    match exponent.parse::<i32>().unwrap_or_default() {
        -4..16 => format!("{number:?}"),
        exponent => format!("{digits}e{exponent:+03}"),
    }
}

fn quoted(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == mark => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out.push(mark);
    out
}

/// `on true yes 1` and `off false no 0` in any case, also as booleans and numbers.
pub fn parse_bool(value: &Value) -> Option<bool> {
    match text(value).to_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Python's truth of a value: null, false, zero and everything empty are false.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A whole number without unit, read like C's `strtol` and then, if a fraction or exponent
/// follows, rounded half to even. `None` for booleans, null and anything with trailing text.
pub fn parse_int(value: &Value) -> Option<i64> {
    if let Value::Number(number) = value
        && let Some(exact) = number.as_i64()
    {
        return Some(exact);
    }
    let text = text(value);
    let (number, rest) = int_prefix(&text)?;
    rest.trim().is_empty().then_some(number)
}

/// Python's `int()` of a value: a fraction is cut off, a boolean counts as 0 or 1, and a text is
/// decimal digits with `_` between them at most. What 64 bits cannot hold is the nearest they can.
pub fn to_int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| Some(round(number.as_f64()?.trunc()))),
        Value::String(text) => decimal(text.trim()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn decimal(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut groups = digits.split('_');
    if !groups.all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let nearest = if negative { i64::MIN } else { i64::MAX };
    let number = format!("{sign}{}", digits.replace('_', ""));
    Some(number.parse().unwrap_or(nearest))
}

/// A whole number of seconds, with an optional unit of time (`30min`); the number alone is
/// seconds already.
pub fn parse_seconds(value: &Value) -> Option<i64> {
    let text = text(value);
    let (number, rest) = quantity(&text)?;
    let factor = match rest.trim() {
        "" => return parse_int(value).or_else(|| Some(round(number))),
        "s" => 1.0,
        "us" => 1e-6,
        "ms" => 1e-3,
        "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(round(number * factor))
}

/// A number of bytes, with an optional unit of memory (`16MB`); the number alone is bytes.
pub fn parse_bytes(value: &Value) -> Option<i64> {
    let text = text(value);
    let (number, rest) = quantity(&text)?;
    let factor = match rest.trim() {
        "" => return parse_int(value).or_else(|| Some(round(number))),
        "B" => 1.0,
        "kB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        "TB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(round(number * factor))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, and no setting is near 2^63"
)]
fn round(number: f64) -> i64 {
    number.round_ties_even() as i64
}

/// The leading number of a text that may go on with a unit: hexadecimal, octal, or decimal with a
/// digit on each side of the point (the left one may be absent where there is no sign).
fn quantity(text: &str) -> Option<(f64, &str)> {
    let trimmed = text.trim_start();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let is_signed = digits.len() < trimmed.len();
    let whole = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    if let Some(fraction) = digits[whole..].strip_prefix('.') {
        let lacks_digits =
            !fraction.starts_with(|c: char| c.is_ascii_digit()) || (whole == 0 && is_signed);
        return if lacks_digits {
            None
        } else {
            float_prefix(trimmed)
        };
    }
    if digits[whole..].starts_with(['e', 'E']) {
        return float_prefix(trimmed);
    }
    let (radix, body) = with_radix(digits);
    let end = body
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(body.len());
    let number = body[..end]
        .chars()
        .filter_map(|digit| digit.to_digit(radix))
        .fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(digit));
    let number = if trimmed.starts_with('-') {
        -number
    } else {
        number
    };
    (end > 0).then_some((number, &body[end..]))
}

/// How C reads the digits of a number: after `0x` hexadecimal, after `0` octal.
fn with_radix(digits: &str) -> (u32, &str) {
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        (16, hex)
    } else if digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit()) {
        (8, &digits[1..])
    } else {
        (10, digits)
    }
}

/// The leading integer of a text and what follows it.
pub fn int_prefix(text: &str) -> Option<(i64, &str)> {
    let trimmed = text.trim_start();
    let (negative, digits) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let (radix, body) = with_radix(digits);
    let end = body
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(body.len());
    let rest = &body[end..];
    if radix == 10 && rest.starts_with(['.', 'e', 'E']) {
        let (number, rest) = float_prefix(trimmed)?;
        return Some((round(number), rest));
    }
    let number = i64::from_str_radix(&body[..end], radix).ok()?;
    if radix == 8 && rest.starts_with(['8', '9']) {
        return None;
    }
    Some((if negative { -number } else { number }, rest))
}

/// The leading decimal number of a text and what follows it.
pub fn float_prefix(text: &str) -> Option<(f64, &str)> {
    let trimmed = text.trim_start();
    let bytes = trimmed.as_bytes();
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    end = digits(end);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(sign);
        if exponent > sign {
            end = exponent;
        }
    }
    Some((trimmed[..end].parse().ok()?, &trimmed[end..]))
}

/// Whether two objects are equal in the sense of the reference: same keys, objects compared
/// recursively, everything else by its text form (so `1` equals `"1"`).
pub fn deep_equal(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter().all(|(key, left)| {
            b.get(key).is_some_and(|right| match (left, right) {
                (Value::Object(left), Value::Object(right)) => deep_equal(left, right),
                (left, right) => text(left) == text(right),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn real_numbers_are_written_like_python_does() {
        for (number, expected) in [
            (1e-5, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (0.0001, "0.0001"),
            (100.0, "100.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(text(&json!(number)), expected);
        }
    }

    #[test]
    fn integers_are_read_like_c_does() {
        for (value, expected) in [
            (json!(30), Some(30)),
            (json!("30"), Some(30)),
            (json!(" -5 "), Some(-5)),
            (json!("010"), Some(8)),
            (json!("08"), None),
            (json!("0x1F"), Some(31)),
            (json!("1.5"), Some(2)),
            (json!("2.5"), Some(2)),
            (json!(2.5), Some(2)),
            (json!("1e3"), Some(1000)),
            (json!("1MB"), None),
            (json!(true), None),
            (json!(null), None),
            (json!(""), None),
        ] {
            assert_eq!(parse_int(&value), expected, "{value}");
        }
    }

    #[test]
    fn integers_are_converted_like_python_does() {
        for (value, expected) in [
            (json!(30), Some(30)),
            (json!(20.9), Some(20)),
            (json!(-1.5), Some(-1)),
            (json!(u64::MAX), Some(i64::MAX)),
            (json!(true), Some(1)),
            (json!(" 25 "), Some(25)),
            (json!("-025"), Some(-25)),
            (json!("1_000"), Some(1000)),
            (json!("99999999999999999999"), Some(i64::MAX)),
            (json!("_1"), None),
            (json!("1__0"), None),
            (json!("0x20"), None),
            (json!("20.4"), None),
            (json!("+-1"), None),
            (json!("30s"), None),
            (json!(""), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(to_int(&value), expected, "{value}");
        }
    }

    #[test]
    fn units_are_understood_where_they_belong() {
        assert_eq!(parse_seconds(&json!("30min")), Some(1800));
        assert_eq!(parse_seconds(&json!(5)), Some(5));
        assert_eq!(parse_seconds(&json!("5 parsecs")), None);
        assert_eq!(parse_bytes(&json!("16MB")), Some(16 << 20));
        assert_eq!(parse_bytes(&json!("4097.5kB")), Some(4_195_840));
        for (text, expected) in [
            ("0x10", Some(16)),
            ("0x10min", Some(960)),
            ("010min", Some(480)),
            (".5min", Some(30)),
            ("5e1min", Some(3000)),
            ("08min", None),
            ("5.", None),
            ("5.min", None),
            ("0xmin", None),
            ("5emin", None),
        ] {
            assert_eq!(parse_seconds(&json!(text)), expected, "{text}");
        }
        for (text, expected) in [
            ("-0x1", Some(-1)),
            ("-0x1MB", Some(-(1 << 20))),
            ("-99999999999999999999999", Some(i64::MIN)),
            ("-5.0MB", Some(-5 << 20)),
            ("-.5MB", None),
            ("-5.MB", None),
            ("-0x", None),
            ("-", None),
        ] {
            assert_eq!(parse_bytes(&json!(text)), expected, "{text}");
        }
    }

    #[test]
    fn deep_equality_looks_at_text_forms() {
        let map = |value: Value| value.as_object().unwrap().clone();
        for (a, b, equal) in [
            (json!({"a": 1}), json!({"a": "1"}), true),
            (json!({"a": true}), json!({"a": "True"}), true),
            (json!({"a": true}), json!({"a": "true"}), false),
            (json!({"a": null}), json!({}), false),
            (json!({"a": null}), json!({"a": "None"}), true),
            (json!({"a": {}}), json!({"a": null}), false),
            (json!({"a": [1]}), json!({"a": ["1"]}), false),
            (json!({"a": 1.0}), json!({"a": 1}), false),
        ] {
            assert_eq!(
                deep_equal(&map(a.clone()), &map(b.clone())),
                equal,
                "{a} {b}"
            );
        }
    }
}
