//! The object `status`: how far the leader is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json;
use crate::lsn::Lsn;
use crate::name::SlotName;
use crate::value;

/// Position and slots of the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The leader's last known position, zero when unknown.
    pub optime: Lsn,
    /// Positions of slots that matter to others, with an entry for the leader itself.
    pub slots: BTreeMap<SlotName, Lsn>,
    /// Slots of absent members that are kept for a while.
    pub retain_slots: Vec<SlotName>,
}

impl Status {
    /// Reads the stored text; a bare integer is a position, what is malformed is left out.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(map)) => Self::from_map(&map),
            Ok(Value::Number(number)) => Self {
                optime: lsn(&Value::Number(number)),
                ..Self::default()
            },
            Ok(_) | Err(_) => Self::default(),
        }
    }

    fn from_map(map: &Map<String, Value>) -> Self {
        let nested = |key: &str| match map.get(key) {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(value) => value.clone(),
            None => Value::Null,
        };
        let slots = nested("slots")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, at)| (SlotName::new(name.as_str()), lsn(at)))
            .collect();
        let retain_slots = nested("retain_slots")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(SlotName::new)
            .collect();
        Self {
            optime: map.get("optime").map(lsn).unwrap_or_default(),
            slots,
            retain_slots,
        }
    }

    /// The stored text; empty parts are left out.
    pub fn to_json(&self) -> String {
        let mut map = Map::new();
        map.insert("optime".to_owned(), self.optime.bytes().into());
        if !self.slots.is_empty() {
            let slots: Map<String, Value> = self
                .slots
                .iter()
                .map(|(name, at)| (name.to_string(), at.bytes().into()))
                .collect();
            map.insert("slots".to_owned(), slots.into());
        }
        if !self.retain_slots.is_empty() {
            let names: Vec<&str> = self.retain_slots.iter().map(SlotName::as_str).collect();
            map.insert("retain_slots".to_owned(), names.into());
        }
        json::compact(&map)
    }
}

fn lsn(value: &Value) -> Lsn {
    let truncated = value.as_f64().filter(|n| n.fract() != 0.0).map(f64::trunc);
    let whole = truncated.map_or_else(|| value::parse_int(value), |n| value::parse_int(&n.into()));
    Lsn::new(whole.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_every_version_wrote() {
        let nested =
            Status::parse(r#"{"optime":"55","slots":"{\"a\":5}","retain_slots":"[\"a\", \"b\"]"}"#);
        assert_eq!(nested.optime, Lsn::new(55));
        assert_eq!(nested.slots[&SlotName::new("a")], Lsn::new(5));
        assert_eq!(nested.retain_slots.len(), 2);
        assert_eq!(Status::parse("1234").optime, Lsn::new(1234));
        assert_eq!(Status::parse(r#"{"optime":1.9}"#).optime, Lsn::new(1));
        for text in [
            "\"1234\"",
            "{}",
            "",
            "null",
            "[]",
            r#"{"optime":"x","slots":[]}"#,
            "garbage",
        ] {
            assert_eq!(Status::parse(text), Status::default(), "{text:?}");
        }
    }

    #[test]
    fn writes_only_what_is_there() {
        let status = Status {
            optime: Lsn::new(7),
            ..Status::default()
        };
        assert_eq!(status.to_json(), r#"{"optime":7}"#);
    }
}
