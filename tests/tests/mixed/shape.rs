//! What a document looks like once its values are taken away.

use serde_json::Value;

/// The shape of a JSON document: keys in their order, the kinds of values, no values. A list has
/// the shapes of its elements, each once.
pub(crate) fn of_json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(elements) => {
            let mut shapes: Vec<String> = elements.iter().map(of_json).collect();
            shapes.sort();
            shapes.dedup();
            format!("[{}]", shapes.join(", "))
        }
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}: {}", of_json(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// The same of a node's status, whether it has replayed a commit already or not.
pub(crate) fn of_status(status: &Value) -> String {
    let time = "replayed_timestamp: ";
    of_json(status).replace(&format!("{time}null"), &format!("{time}text"))
}

/// The same of the status key, where the slots stand in the order in which the server lists them.
pub(crate) fn of_status_key(status: &Value) -> String {
    let mut status = status.clone();
    if let Some(slots) = status.get_mut("slots").and_then(Value::as_object_mut) {
        slots.sort_keys();
    }
    mask_names(&of_json(&status))
}

/// What the reference's development line added to its metrics, and ours with it; then what it
/// does not have.
const NEW_METRICS: [&str; 8] = [
    "patroni_failsafe_mode_enabled",
    "patroni_failsafe_member",
    "patroni_failover_priority",
    "patroni_postgres_accepts_connections",
    "patroni_ha_cycle_seconds",
    "patroni_store_request_seconds",
    "patroni_promotion_seconds",
    "patroni_demotion_seconds",
];

/// The shape of a metrics page: its lines without values, without the prose of the help, and
/// without what came later.
pub(crate) fn of_metrics(page: &str) -> String {
    let lines: Vec<&str> = page
        .lines()
        .filter(|line| !NEW_METRICS.iter().any(|name| line.contains(name)))
        .map(|line| {
            let cut = if line.starts_with("# HELP ") {
                line.split(' ').nth(2)
            } else if line.starts_with('#') {
                None
            } else {
                line.rsplit_once(' ').map(|(sample, _)| sample)
            };
            cut.unwrap_or(line)
        })
        .collect();
    mask_names(&lines.join("\n"))
}

/// A sentence or an output without what differs from run to run: every digit becomes `9`, every
/// hexadecimal log position `X/X` of the same length.
pub(crate) fn mask_digits(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for word in text.split_inclusive([' ', '\n', '\t', '"', ',', '|']) {
        let end = word.trim_end_matches([' ', '\n', '\t', '"', ',', '|']);
        let position = end.split_once('/').is_some_and(|(high, low)| {
            let hexadecimal =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
            hexadecimal(high) && hexadecimal(low)
        });
        masked.extend(word.chars().map(|c| match c {
            'A'..='F' if position => '9',
            c if c.is_ascii_digit() => '9',
            c => c,
        }));
    }
    masked
}

/// The names of the nodes made equal.
pub(crate) fn mask_names(text: &str) -> String {
    (1..=3).fold(text.to_owned(), |text, number| {
        text.replace(&format!("node{number}"), "NODE")
    })
}

#[test]
fn a_shape_has_no_values() {
    let document = serde_json::json!({"a": [1, 2, "x"], "b": {"c": null, "d": true}});
    assert_eq!(
        of_json(&document),
        "{a: [number, text], b: {c: null, d: true}}"
    );
    assert_eq!(
        of_metrics("# HELP a some text\n# TYPE a gauge\na{name=\"node2\"} 7"),
        "a\n# TYPE a gauge\na{name=\"NODE\"}"
    );
    assert_eq!(
        mask_digits("a 0/4AF0 | 12 at FADE"),
        "a 9/9999 | 99 at FADE"
    );
}
