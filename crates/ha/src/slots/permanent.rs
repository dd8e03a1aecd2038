//! The permanent slots of the configuration, read (configuration contract 11.4).

use patroni_core::{SlotName, value};
use serde_json::{Map, Value};

use crate::command::LogicalSlot;

/// What an entry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permanent {
    /// A physical slot, perhaps in one kind of cluster only.
    Physical {
        /// `cluster_type`, when it is one of the two words.
        only_in: Option<ClusterType>,
    },
    /// A slot for logical decoding.
    Logical(LogicalSlot),
}

/// The kinds of clusters that an entry may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClusterType {
    Primary,
    Standby,
}

/// Reads an entry; `None` for nonsense. Nothing at all asks for a physical slot.
pub(super) fn read(name: &SlotName, given: &Value) -> Option<Permanent> {
    let nothing = Map::new();
    let section = match given {
        Value::Object(section) => section,
        nothing_given if !value::is_truthy(nothing_given) => &nothing,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return None;
        }
    };
    let text = |key: &str| section.get(key).and_then(Value::as_str);
    let decoding = text("database").zip(text("plugin"));
    let kind = text("type").unwrap_or(if decoding.is_some() {
        "logical"
    } else {
        "physical"
    });
    match (kind, decoding) {
        ("physical", _) => Some(Permanent::Physical {
            only_in: match text("cluster_type") {
                Some("primary") => Some(ClusterType::Primary),
                Some("standby") => Some(ClusterType::Standby),
                Some(_) | None => None,
            },
        }),
        ("logical", Some((database, plugin))) => Some(Permanent::Logical(LogicalSlot {
            name: name.clone(),
            database: database.to_owned(),
            plugin: plugin.to_owned(),
        })),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_read_as_operators_write_them() {
        let name = SlotName::new("s");
        let physical = |only_in| Some(Permanent::Physical { only_in });
        let logical = Some(Permanent::Logical(LogicalSlot {
            name: name.clone(),
            database: "d".to_owned(),
            plugin: "p".to_owned(),
        }));
        for (given, expected) in [
            (json!(null), physical(None)),
            (json!({}), physical(None)),
            (json!(""), physical(None)),
            (json!({"type": "physical", "lsn": 5}), physical(None)),
            (json!({"database": "d"}), physical(None)),
            (
                json!({"cluster_type": "primary"}),
                physical(Some(ClusterType::Primary)),
            ),
            (
                json!({"type": "physical", "cluster_type": "standby"}),
                physical(Some(ClusterType::Standby)),
            ),
            (json!({"cluster_type": "both"}), physical(None)),
            (
                json!({"type": "physical", "database": "d", "plugin": "p"}),
                physical(None),
            ),
            (json!({"database": "d", "plugin": "p"}), logical.clone()),
            (
                json!({"type": "logical", "database": "d", "plugin": "p"}),
                logical,
            ),
            (json!({"type": "logical", "database": "d"}), None),
            (json!({"type": "temporary"}), None),
            (json!("physical"), None),
            (json!(5), None),
            (json!(["a"]), None),
        ] {
            assert_eq!(read(&name, &given), expected, "{given}");
        }
    }
}
