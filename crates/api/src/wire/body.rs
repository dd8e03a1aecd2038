//! Request bodies: JSON objects, required or optional.

use hyper::StatusCode;
use patroni_core::exact::inexact_key;
use serde_json::{Map, Number, Value};

use super::answer::Answer;

/// Why a body cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// No `Content-Length`, or a chunked body where one is required.
    #[error("the request does not state the length of its body")]
    NoLength,
    /// No JSON object, or an empty one where content is required.
    #[error("the body is no usable JSON object")]
    NoObject,
    /// Above the bound.
    #[error("the body is too large")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
}

impl BodyFault {
    /// The page for this fault.
    pub const fn answer(self) -> Answer {
        Answer::error_page(match self {
            Self::NoLength => StatusCode::LENGTH_REQUIRED,
            Self::NoObject => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        })
    }
}

/// Reads a body that must be an object with content.
///
/// # Errors
/// Empty bodies, other JSON and `{}` are [`BodyFault::NoObject`].
pub fn required(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    let map = object(body)?;
    if map.is_empty() {
        return Err(BodyFault::NoObject);
    }
    Ok(map)
}

/// Reads a body that may be missing, which is as good as `{}`.
///
/// # Errors
/// Other JSON than an object is [`BodyFault::NoObject`].
pub fn optional(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    object(body)
}

/// Refuses a configuration with a number that we could not store as it was sent.
///
/// # Errors
/// The refusal, which names the key.
pub fn require_exact(config: Map<String, Value>) -> Result<Map<String, Value>, Answer> {
    match inexact_key(&config) {
        Some(key) => Err(Answer::text(
            StatusCode::BAD_REQUEST,
            format!(
                "The number below {key} does not fit into 64 bits and would be changed; send it as a text, in quotes"
            ),
        )),
        None => Ok(config),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut map)) => {
            map.values_mut().for_each(settle_zeros);
            Ok(map)
        }
        Ok(_) | Err(_) => Err(BodyFault::NoObject),
    }
}

/// The parser makes a real number of `-0`, which is a plain zero.
fn settle_zeros(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) && is_negative(number) => {
            *value = 0.into();
        }
        Value::Array(items) => items.iter_mut().for_each(settle_zeros),
        Value::Object(map) => map.values_mut().for_each(settle_zeros),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_negative(number: &Number) -> bool {
    number.as_f64().is_some_and(f64::is_sign_negative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_pass() {
        for text in ["", "{", "[]", "\"x\"", "1", "null", "\u{fffd}"] {
            assert_eq!(
                required(text.as_bytes()),
                Err(BodyFault::NoObject),
                "{text:?}"
            );
        }
        assert_eq!(required(b"{}"), Err(BodyFault::NoObject));
        assert_eq!(optional(b"{}"), Ok(Map::new()));
        assert_eq!(optional(b""), Ok(Map::new()));
        assert_eq!(optional(b"null"), Err(BodyFault::NoObject));
        assert_eq!(optional(b"\xff"), Err(BodyFault::NoObject));
    }

    #[test]
    fn numbers_stay_what_they_were() {
        let map = required(br#"{"z": -0, "y": [{"x": -0}], "n": -0.5}"#).unwrap();
        assert_eq!(
            Value::Object(map).to_string(),
            r#"{"z":0,"y":[{"x":0}],"n":-0.5}"#
        );
        let long = required(br#"{"a": {"b": [123456789012345678901234567890]}}"#).unwrap();
        let refusal = require_exact(long).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        let fits = required(br#"{"a": 18446744073709551615}"#).unwrap();
        assert_eq!(require_exact(fits.clone()), Ok(fits));
    }
}
