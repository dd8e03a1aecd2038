//! Keys that mean nothing, with a guess of what was meant.

use serde_json::{Map, Value};

use crate::keys::{Key, Kind, TOP};
use crate::origin::Origins;

/// Beginning of top-level keys that hold anchors for the rest of the file.
const ANCHORS: [&str; 2] = ["x-", "."];

/// One warning for each key that nothing reads. They never change the outcome of a start.
pub(crate) fn warnings(settings: &Map<String, Value>, origins: &Origins) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_anchor = |key: &str| ANCHORS.iter().any(|mark| key.starts_with(mark));
    unknown(TOP, settings, "", &is_anchor, origins, &mut warnings);
    inner(TOP, settings, "", origins, &mut warnings);
    warnings
}

/// The keys that nothing reads of one mapping.
fn unknown(
    keys: &[Key],
    settings: &Map<String, Value>,
    path: &str,
    is_known: &dyn Fn(&str) -> bool,
    origins: &Origins,
    warnings: &mut Vec<String>,
) {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    for key in settings.keys() {
        if !names.contains(&key.as_str()) && !is_known(key) {
            warnings.push(warning(path, key, &names, origins));
        }
    }
}

/// The same of the mappings in it.
fn inner(
    keys: &[Key],
    settings: &Map<String, Value>,
    path: &str,
    origins: &Origins,
    warnings: &mut Vec<String>,
) {
    for key in keys {
        let Some(section) = settings.get(key.name).and_then(Value::as_object) else {
            continue;
        };
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        let keys = key.kind.keys();
        inner(keys, section, &path, origins, warnings);
        match key.kind {
            Kind::Section(_) => unknown(keys, section, &path, &|_| false, origins, warnings),
            Kind::Named(_) if key.name == "postgresql" => {
                let is_method = |name: &str| names_method(section, name);
                unknown(keys, section, &path, &is_method, origins, warnings);
            }
            Kind::Named(_)
            | Kind::Open(_)
            | Kind::Text
            | Kind::Flag
            | Kind::Int(..)
            | Kind::Seconds
            | Kind::Size
            | Kind::Choice(_)
            | Kind::Texts
            | Kind::Commas
            | Kind::TextMap
            | Kind::Map
            | Kind::Options
            | Kind::Maps
            | Kind::Any
            | Kind::Sections(_) => {}
        }
    }
}

/// Whether `create_replica_methods` has this name.
fn names_method(postgresql: &Map<String, Value>, name: &str) -> bool {
    let methods = postgresql.get("create_replica_methods");
    let mut methods = methods.and_then(Value::as_array).into_iter().flatten();
    methods.any(|method| method.as_str() == Some(name))
}

fn warning(section: &str, key: &str, known: &[&str], origins: &Origins) -> String {
    let path = if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    };
    let guess = closest(key, known)
        .map(|guess| format!(", did you mean {guess}?"))
        .unwrap_or_default();
    format!("{}{path} is an unknown key{guess}", origins.prefix(&path))
}

/// The known key that is at most a third of its letters away.
fn closest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_lowercase();
    known
        .iter()
        .map(|known| (distance(&key, known), *known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3).min(3))
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be changed, added or removed to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn typos_get_a_guess() {
        let settings = json!({
            "scope": "s",
            "x-anchor": {},
            "journal": {"max_sise": 5},
            "restapi": {"alowlist": [], "listen": "x"},
            "postgresql": {"pgbackrest": {"command": "x"}, "create_replica_methods": ["pgbackrest"], "use_pg_rewnd": true},
            "bootstrap": {"dcs": {"tll": 5}},
        });
        assert_eq!(
            warnings(settings.as_object().unwrap(), &Origins::default()),
            [
                "journal.max_sise is an unknown key, did you mean max_size?",
                "restapi.alowlist is an unknown key, did you mean allowlist?",
                "bootstrap.dcs.tll is an unknown key, did you mean ttl?",
                "postgresql.use_pg_rewnd is an unknown key, did you mean use_pg_rewind?",
            ]
        );
    }

    #[test]
    fn distances_count_edits() {
        for (from, to, expected) in [("a", "a", 0), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), expected);
        }
    }
}
