//! The dynamic configuration that a node keeps beside its data, for starts without a store.

use patroni_core::json;
use serde_json::{Map, Value};

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "patroni.dynamic.json";

/// The text of the file: one line of spaced JSON, keys in their order.
pub fn to_text(dynamic: &Map<String, Value>) -> String {
    json::spaced(dynamic)
}

/// Reads the text of the file; anything but an object is `None`.
pub fn from_text(text: &str) -> Option<Map<String, Value>> {
    json::object(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_back() {
        let text = r#"{"ttl": 30, "postgresql": {"use_slots": true, "pg_hba": ["a", "b"]}}"#;
        assert_eq!(to_text(&from_text(text).unwrap()), text);
        assert_eq!(from_text("[]"), None);
        assert_eq!(from_text("{"), None);
    }
}
