//! Just enough of JSON Schema for our own description, and stricter: a key that is not described
//! is a fault.

use serde_json::Value;

/// Every place where `value` is not as `schema` says. References lead into `document`.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(document, schema, value, "$", &mut faults);
    faults
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let fits = match keyword.as_str() {
            "description" | "properties" | "additionalProperties" => true,
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                check(
                    document,
                    document.pointer(pointer).unwrap(),
                    value,
                    at,
                    faults,
                );
                true
            }
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "anyOf" => wanted
                .as_array()
                .unwrap()
                .iter()
                .any(|one| self::faults(document, one, value).is_empty()),
            "required" => wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "minProperties" => value.as_object().unwrap().len() as u64 >= wanted.as_u64().unwrap(),
            "maxProperties" => value.as_object().unwrap().len() as u64 <= wanted.as_u64().unwrap(),
            "minItems" => value.as_array().unwrap().len() as u64 >= wanted.as_u64().unwrap(),
            "maxItems" => value.as_array().unwrap().len() as u64 <= wanted.as_u64().unwrap(),
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{at}[{place}]"), faults);
                }
                true
            }
            other => panic!("this test does not know the keyword {other}"),
        };
        if !fits {
            faults.push(format!("{at}: {value} is not {keyword} {wanted}"));
        }
    }
    if schema["type"] == "object" {
        check_keys(document, schema, value, at, faults);
    }
}

fn check_keys(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (
            schema["properties"].get(key),
            &schema["additionalProperties"],
        ) {
            (Some(described), _) => check(document, described, value, &at, faults),
            (None, Value::Bool(true)) => {}
            (None, Value::Object(_)) => {
                check(
                    document,
                    &schema["additionalProperties"],
                    value,
                    &at,
                    faults,
                );
            }
            (None, _) => faults.push(format!("{at} is not described")),
        }
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}
