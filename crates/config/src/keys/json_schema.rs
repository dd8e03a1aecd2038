//! A JSON Schema of the configuration file, for editors and checks in a pipeline.

use serde_json::{Map, Value, json};

use super::{Key, Kind, TOP};

/// The schema of the configuration file (draft 2020-12).
///
/// It takes what a start takes, and is stricter only about keys that mean nothing. Nothing is
/// required: a part of the configuration may come from the environment or another file.
pub fn json_schema() -> Value {
    let head = [
        (
            "$schema",
            json!("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("title", json!("Configuration of a member")),
        (
            "description",
            json!("YAML 1.1, and therefore: on, off, yes and no are booleans."),
        ),
        // Anchors for the rest of the file.
        ("patternProperties", json!({"^x-": true, "^\\.": true})),
    ];
    let mut schema: Map<String, Value> = head
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    schema.extend(mapping(TOP, &json!(false)));
    Value::Object(schema)
}

fn mapping(keys: &[Key], others: &Value) -> Map<String, Value> {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    [
        ("type", json!(["object", "null"])),
        ("properties", Value::Object(properties)),
        ("additionalProperties", others.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn property(key: &Key) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), key.about.into());
    if key.is_old {
        schema.insert("deprecated".to_owned(), true.into());
    }
    schema.extend(of_kind(&key.kind));
    Value::Object(schema)
}

fn of_kind(kind: &Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text => json!({"type": SCALAR}),
        Kind::Flag => json!({"type": SCALAR, "examples": [true, false]}),
        Kind::Int(least, most) => integer(*least, *most),
        Kind::Seconds => json!({"type": NUMERIC, "examples": [60, "1min"]}),
        Kind::Size => json!({"type": NUMERIC, "examples": [1_048_576, "1MB"]}),
        Kind::Choice(words) => choice(words),
        Kind::Texts => json!({"type": ["array", "null"], "items": {"type": SCALAR}}),
        Kind::Commas => json!({"type": ["array", "string", "null"], "items": {"type": SCALAR}}),
        Kind::TextMap => {
            json!({"type": ["object", "null"], "additionalProperties": {"type": SCALAR}})
        }
        Kind::Map => json!({"type": ["object", "null"]}),
        Kind::Options => json!({"type": ["array", "object", "null"]}),
        Kind::Maps => json!({"type": ["array", "null"], "items": {"type": "object"}}),
        Kind::Any => json!({}),
        Kind::Section(keys) => return mapping(keys, &json!(false)),
        Kind::Named(keys) => return mapping(keys, &json!({"type": ["object", "null"]})),
        Kind::Open(keys) => return mapping(keys, &json!(true)),
        Kind::Sections(keys) => {
            json!({"type": ["array", "null"], "items": mapping(keys, &json!(false))})
        }
    };
    schema.as_object().cloned().unwrap_or_default()
}

const SCALAR: [&str; 4] = ["string", "number", "boolean", "null"];

const NUMERIC: [&str; 3] = ["number", "string", "null"];

fn integer(least: i64, most: i64) -> Value {
    let mut schema = json!({"type": NUMERIC});
    if least > i64::MIN {
        schema["minimum"] = least.into();
    }
    if most < i64::MAX {
        schema["maximum"] = most.into();
    }
    schema
}

/// Words are read in any case. YAML makes a boolean of `off`.
fn choice(words: &[&str]) -> Value {
    let either = |letter: char| {
        let (small, big) = (letter.to_ascii_lowercase(), letter.to_ascii_uppercase());
        if small == big {
            letter.to_string()
        } else {
            format!("[{big}{small}]")
        }
    };
    let words_in_any_case: Vec<String> = words
        .iter()
        .map(|word| word.chars().map(either).collect())
        .collect();
    let mut kinds = vec!["string", "null"];
    if words.contains(&"off") {
        kinds.push("boolean");
    }
    json!({
        "type": kinds,
        "pattern": format!("^({})?$", words_in_any_case.join("|")),
        "examples": words,
    })
}
