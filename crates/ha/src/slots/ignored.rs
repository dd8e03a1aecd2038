//! Slots that somebody else looks after.

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::value;
use serde_json::Value;

use crate::context::Cx;

/// Whether a slot that is not wished must be left alone: a matcher of `ignore_slots` fits, or
/// Citus owns it for as long as it moves a shard.
pub(super) fn is_ignored(cx: &Cx<'_>, slot: &SlotRow) -> bool {
    let mut matchers = cx.settings.ignore_slots.iter();
    matchers.any(|matcher| matches(matcher, slot)) || belongs_to_citus(cx, slot)
}

/// Every given field (`name`, `database`, `plugin`, `type`) must be equal. A matcher without any
/// matches nothing: an empty entry is more likely a slip than the wish to keep everything.
fn matches(matcher: &Value, slot: &SlotRow) -> bool {
    let Some(fields) = matcher.as_object() else {
        return false;
    };
    let (kind, plugin, database) = match &slot.kind {
        SlotKind::Physical => ("physical", None, None),
        SlotKind::Logical { plugin, database } => {
            ("logical", Some(plugin.as_str()), Some(database.as_str()))
        }
    };
    let mut given = [
        ("name", Some(slot.name.as_str())),
        ("type", Some(kind)),
        ("plugin", plugin),
        ("database", database),
    ]
    .into_iter()
    .filter_map(|(key, actual)| {
        let wanted = fields.get(key).filter(|wanted| !wanted.is_null())?;
        Some(actual == Some(value::text(wanted).as_str()))
    })
    .peekable();
    given.peek().is_some() && given.all(|equal| equal)
}

/// Slots by which Citus moves and splits shards (Citus contract 12).
fn belongs_to_citus(cx: &Cx<'_>, slot: &SlotRow) -> bool {
    let Some(citus) = &cx.node.citus_database else {
        return false;
    };
    let primary = cx.status().is_some_and(|status| !status.in_recovery());
    let SlotKind::Logical { plugin, database } = &slot.kind else {
        return false;
    };
    let numbers = match plugin.as_str() {
        "pgoutput" => slot.name.as_str().strip_prefix("citus_shard_move_slot_"),
        "citus" => slot.name.as_str().strip_prefix("citus_shard_split_slot_"),
        _ => None,
    };
    primary && database == citus && numbers.is_some_and(are_two_or_three_numbers)
}

/// `1_2` or `1_2_3`, without leading zeros.
fn are_two_or_three_numbers(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty() && !part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit())
    };
    let parts: Vec<&str> = text.split('_').collect();
    (2..=3).contains(&parts.len()) && parts.into_iter().all(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context;
    use crate::memory::Memory;
    use crate::support::{self, cluster, logical_row, observation, physical_row};
    use serde_json::json;

    #[test]
    fn all_given_fields_must_be_equal() {
        let logical = logical_row("l", "app", "pgoutput");
        let physical = physical_row("p");
        for (matcher, of_logical, of_physical) in [
            (json!({"type": "logical"}), true, false),
            (json!({"type": "logical", "database": "app"}), true, false),
            (json!({"name": "l", "plugin": "other"}), false, false),
            (json!({"type": "physical"}), false, true),
            (json!({"type": "physical", "database": "app"}), false, false),
            (json!({"name": "p", "plugin": null}), false, true),
            (json!({"database": null}), false, false),
            (json!({}), false, false),
            (json!("l"), false, false),
        ] {
            assert_eq!(matches(&matcher, &logical), of_logical, "{matcher}");
            assert_eq!(matches(&matcher, &physical), of_physical, "{matcher}");
        }
    }

    #[test]
    fn citus_keeps_the_slots_of_its_moves_on_a_primary() {
        let mut primary = observation(support::primary(), cluster(Some("a")));
        primary.node.citus_database = Some("c".to_owned());
        let mut replica = observation(support::replica(), cluster(Some("b")));
        replica.node.citus_database = Some("c".to_owned());
        for (name, database, plugin, kept) in [
            ("citus_shard_move_slot_1_20", "c", "pgoutput", true),
            ("citus_shard_move_slot_1_20_3", "c", "pgoutput", true),
            ("citus_shard_split_slot_2_3_4", "c", "citus", true),
            ("citus_shard_move_slot_1", "c", "pgoutput", false),
            ("citus_shard_move_slot_01_2", "c", "pgoutput", false),
            ("citus_shard_move_slot_1_2_3_4", "c", "pgoutput", false),
            ("citus_shard_move_slot_1_2", "other", "pgoutput", false),
            ("citus_shard_split_slot_1_2", "c", "pgoutput", false),
        ] {
            let row = logical_row(name, database, plugin);
            let cx = context::for_tests(&primary, Memory::default());
            assert_eq!(is_ignored(&cx, &row), kept, "{name} {database} {plugin}");
            let cx = context::for_tests(&replica, Memory::default());
            assert!(!is_ignored(&cx, &row), "{name} on a replica");
        }
    }
}
