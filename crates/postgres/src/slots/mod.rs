//! Replication slots: making the server have those that are wanted.

pub mod physical;

pub use physical::{SlotReport, SlotWish, SlotsContext, apply, is_settled};

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::value;
use serde_json::{Map, Value};

/// Slots that somebody else looks after: every given field must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMatcher {
    fields: Vec<(Field, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Database,
    Plugin,
    Type,
}

impl SlotMatcher {
    /// Reads an item of `ignore_slots`: a mapping with any of `name`, `database`, `plugin`,
    /// `type`. One that has none of them matches nothing.
    pub fn read(item: &Map<String, Value>) -> Self {
        let fields = [
            ("name", Field::Name),
            ("database", Field::Database),
            ("plugin", Field::Plugin),
            ("type", Field::Type),
        ]
        .into_iter()
        .filter_map(|(key, field)| {
            let given = item.get(key).filter(|given| !given.is_null())?;
            Some((field, value::text(given)))
        })
        .collect();
        Self { fields }
    }

    /// Whether a slot is somebody else's.
    pub fn matches(&self, slot: &SlotRow) -> bool {
        !self.fields.is_empty()
            && self.fields.iter().all(|(field, wanted)| {
                let found = match (field, &slot.kind) {
                    (Field::Name, _) => slot.name.as_str(),
                    (Field::Type, SlotKind::Physical) => "physical",
                    (Field::Type, SlotKind::Logical { .. }) => "logical",
                    (Field::Database, SlotKind::Logical { database, .. }) => database,
                    (Field::Plugin, SlotKind::Logical { plugin, .. }) => plugin,
                    (Field::Database | Field::Plugin, SlotKind::Physical) => return false,
                };
                found == wanted
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::SlotName;
    use serde_json::json;

    #[test]
    fn all_given_fields_must_be_equal() {
        let slot = |name: &str, kind| SlotRow {
            name: SlotName::new(name),
            kind,
            active: false,
            restart_lsn: None,
            confirmed_flush_lsn: None,
            has_xmin: false,
            wal_status: None,
        };
        let logical = slot(
            "l",
            SlotKind::Logical {
                plugin: "pgoutput".to_owned(),
                database: "app".to_owned(),
            },
        );
        let physical = slot("p", SlotKind::Physical);
        for (item, of_logical, of_physical) in [
            (json!({"type": "logical"}), true, false),
            (json!({"type": "logical", "database": "app"}), true, false),
            (json!({"name": "l", "plugin": "other"}), false, false),
            (json!({"type": "physical"}), false, true),
            (json!({"name": "p"}), false, true),
            (json!({"database": null}), false, false),
            (json!({}), false, false),
        ] {
            let matcher = SlotMatcher::read(item.as_object().unwrap());
            assert_eq!(matcher.matches(&logical), of_logical, "{item}");
            assert_eq!(matcher.matches(&physical), of_physical, "{item}");
        }
    }
}
