//! Changes to facts, written as the part of their JSON that differs.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `value` with the members of `change` in place of its own, at every depth.
///
/// # Panics
/// The result is not of the type; the text says why.
pub(crate) fn patched<T: Serialize + DeserializeOwned>(value: &T, change: &Value) -> T {
    let mut whole = serde_json::to_value(value).expect("facts are plain data");
    merge(&mut whole, change);
    serde_json::from_value(whole.clone()).unwrap_or_else(|error| panic!("{error} in {whole}"))
}

fn merge(whole: &mut Value, change: &Value) {
    match (whole, change) {
        (Value::Object(whole), Value::Object(change)) => {
            for (key, value) in change {
                merge(whole.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (whole, change) => *whole = change.clone(),
    }
}
