//! Numbers that JSON keeps as they were written.

use serde_json::{Map, Value};

/// 2^63: a whole number that was read as a real one is not smaller.
const TOO_LONG: f64 = 9_223_372_036_854_775_808.0;

/// Whether all numbers inside are what was written: a whole number that is longer than 64 bits
/// has been read as a near real one.
pub fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let real = number.as_f64().filter(|_| number.is_f64());
            real.is_none_or(|real| real.abs() < TOO_LONG)
        }
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(map) => inexact_key(map).is_none(),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The first key below which a number is not what was written.
pub fn inexact_key(map: &Map<String, Value>) -> Option<&str> {
    let mut pairs = map.iter();
    let found = pairs.find(|(_, value)| !is_exact(value));
    found.map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_whole_numbers_are_not_exact() {
        for (text, expected) in [
            ("18446744073709551615", true),
            ("-9223372036854775808", true),
            ("1.5", true),
            ("18446744073709551616", false),
            ("-9223372036854775809", false),
            ("{\"a\": [123456789012345678901234567890]}", false),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(is_exact(&value), expected, "{text}");
        }
    }
}
