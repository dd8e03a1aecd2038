//! Request bodies: JSON objects, required or optional.

use hyper::StatusCode;
use serde_json::{Map, Value};

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
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) if !map.is_empty() => Ok(map),
        Ok(_) | Err(_) => Err(BodyFault::NoObject),
    }
}

/// Reads a body that may be missing, which is as good as `{}`.
///
/// # Errors
/// Other JSON than an object is [`BodyFault::NoObject`].
pub fn optional(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => Err(BodyFault::NoObject),
    }
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
}
