//! What a plain (unquoted) scalar means in YAML 1.1.

use serde_json::{Number, Value};

use super::timestamp;

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// A value other than text: null, boolean, number.
    Value(Value),
    /// A date or time, in the text form that Python prints.
    Timestamp(String),
    /// The merge key `<<`.
    Merge,
    /// The lone `=`, which has no meaning as a value.
    Equals,
    /// Text.
    Text,
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Value(Value::Null),
        "<<" => return Meaning::Merge,
        "=" => return Meaning::Equals,
        _ => {}
    }
    if let Some(flag) = boolean(text) {
        return Meaning::Value(Value::Bool(flag));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Meaning::Text;
    }
    integer(text)
        .or_else(|| float(text))
        .map(Meaning::Value)
        .or_else(|| timestamp::python_text(text).map(Meaning::Timestamp))
        .unwrap_or(Meaning::Text)
}

/// The three spellings of each boolean word.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Binary, octal (leading zero), hexadecimal, decimal and base-60 integers; `_` may separate
/// digits. A number beyond 64 bits becomes its decimal text, which is how everything that reads
/// it would print it.
pub(super) fn integer(text: &str) -> Option<Value> {
    let (negative, body) = signed(text);
    let magnitude = match body.as_bytes() {
        [b'0', b'b', digits @ ..] => radix(digits, 2)?,
        [b'0', b'x', digits @ ..] => radix(digits, 16)?,
        [b'0', blanks @ ..] if blanks.iter().all(|b| *b == b'_') => 0,
        [b'0', digits @ ..] => radix(digits, 8)?,
        [b'1'..=b'9', ..] if body.contains(':') => base60(body)?,
        [b'1'..=b'9', digits @ ..] => {
            if !digits.iter().all(|b| b.is_ascii_digit() || *b == b'_') {
                return None;
            }
            let digits = body.replace('_', "");
            let Ok(number) = digits.parse::<i128>() else {
                let sign = if negative { "-" } else { "" };
                return Some(Value::String(format!("{sign}{digits}")));
            };
            number
        }
        _ => return None,
    };
    let number = if negative { -magnitude } else { magnitude };
    Some(match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => Value::from(number),
        _ => Value::String(number.to_string()),
    })
}

/// Decimal floats (a dot is needed, and a sign in the exponent), base-60 floats, and the special
/// ones. JSON has no infinity, so the special ones become the text that Python prints.
pub(super) fn float(text: &str) -> Option<Value> {
    let (negative, body) = signed(text);
    match body {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Value::from(if negative { "-inf" } else { "inf" }));
        }
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(Value::from("nan")),
        _ => {}
    }
    let number = if body.contains(':') {
        base60_float(body)?
    } else {
        if !is_decimal_float(body) || (body.starts_with('.') && body.len() != text.len()) {
            return None;
        }
        body.replace('_', "").parse::<f64>().ok()?
    };
    let number = if negative { -number } else { number };
    match Number::from_f64(number) {
        Some(number) => Some(Value::Number(number)),
        None => Some(Value::from(if negative { "-inf" } else { "inf" })),
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn radix(digits: &[u8], base: u32) -> Option<i128> {
    let mut number = None;
    for digit in digits {
        if *digit == b'_' {
            continue;
        }
        let digit = char::from(*digit).to_digit(base)?;
        number = Some(
            number
                .unwrap_or(0_i128)
                .checked_mul(i128::from(base))?
                .checked_add(i128::from(digit))?,
        );
    }
    number
}

/// `h:mm:ss`: the first group is free, the later ones are below sixty.
fn base60(body: &str) -> Option<i128> {
    let mut groups = body.split(':');
    let first = groups.next()?;
    if !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    let mut number: i128 = first.replace('_', "").parse().ok()?;
    for group in groups {
        number = number.checked_mul(60)?.checked_add(sixty(group)?)?;
    }
    Some(number)
}

fn sixty(group: &str) -> Option<i128> {
    let plausible = matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    plausible.then(|| group.parse().ok()).flatten()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a float is what was asked for, and base-60 groups are small"
)]
fn base60_float(body: &str) -> Option<f64> {
    let (whole, fraction) = body.split_once('.')?;
    let starts_well = whole.starts_with(|c: char| c.is_ascii_digit()) && whole.contains(':');
    if !starts_well || !fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    let fraction: f64 = format!("0.{}", fraction.replace('_', ""))
        .parse()
        .unwrap_or(0.0);
    Some(base60(whole)? as f64 + fraction)
}

fn is_decimal_float(body: &str) -> bool {
    let Some((whole, rest)) = body.split_once('.') else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let exponent_is_good = exponent.is_none_or(|exponent| {
        exponent.starts_with(['+', '-'])
            && exponent.len() > 1
            && exponent[1..].bytes().all(|b| b.is_ascii_digit())
    });
    let leads = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let whole_is_good = leads(whole) || (whole.is_empty() && leads(fraction));
    exponent_is_good && whole_is_good && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_mean_what_yaml_1_1_says() {
        for (text, expected) in [
            ("on", json!(true)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("0640", json!(416)),
            ("-0755", json!(-493)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("12:30:45", json!(45045)),
            ("1:30", json!(90)),
            ("190:20:30.15", json!(685_230.15)),
            ("685_230.15", json!(685_230.15)),
            ("1.0e+3", json!(1000.0)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("-.inf", json!("-inf")),
            ("+12", json!(12)),
            ("18446744073709551615", json!(u64::MAX)),
            ("99999999999999999999", json!("99999999999999999999")),
        ] {
            assert_eq!(resolve(text), Meaning::Value(expected), "{text}");
        }
        for text in [
            "y",
            "N",
            "oN",
            "0o640",
            "1e3",
            "1.0e3",
            "127.0.0.1:5432",
            "host:5432",
            "08",
            "1:60",
            "+.5",
            "-",
            ".",
            "5432a",
            "1__x",
            "0b",
            "tRUE",
        ] {
            assert_eq!(resolve(text), Meaning::Text, "{text}");
        }
        assert_eq!(resolve("="), Meaning::Equals);
        assert_eq!(resolve("<<"), Meaning::Merge);
        assert_eq!(
            resolve("2001-12-14"),
            Meaning::Timestamp("2001-12-14".to_owned())
        );
    }
}
