//! The object `failover`: a switchover or failover that somebody asked for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::Revision;
use crate::json;
use crate::name::MemberName;

/// A request as people made it. With a leader it is a switchover, without one a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverRequest {
    /// The leader that shall go.
    pub leader: Option<MemberName>,
    /// The member that shall take over.
    pub candidate: Option<MemberName>,
    /// When, if not now.
    pub scheduled_at: Option<ScheduledAt>,
}

/// The time of a scheduled switchover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduledAt {
    /// A point in time, with the text as it was stored.
    At {
        /// The instant meant.
        time: Timestamp,
        /// The stored text.
        text: String,
    },
    /// A text without zone or without sense; such a request is stale and gets cleaned up.
    /// (The reference takes an unreadable one for a dead store.)
    Unusable(String),
}

impl ScheduledAt {
    /// Reads a stored text: ISO 8601 with a zone.
    pub fn parse(text: &str) -> Self {
        match text.parse::<Timestamp>() {
            Ok(time) => Self::At {
                time,
                text: text.to_owned(),
            },
            Err(_) => Self::Unusable(text.to_owned()),
        }
    }

    /// The stored text.
    pub fn text(&self) -> &str {
        match self {
            Self::At { text, .. } | Self::Unusable(text) => text,
        }
    }
}

impl FailoverRequest {
    /// A failover is requested when a leader or a candidate is named; a time alone is not one.
    pub fn is_set(&self) -> bool {
        self.leader.is_some() || self.candidate.is_some()
    }

    /// Reads the stored text: an object, or the old form `leader:candidate`.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(map)) => Self::from_map(&map),
            Ok(_) => Self::default(),
            Err(_) => Self::from_legacy(text),
        }
    }

    fn from_map(map: &Map<String, Value>) -> Self {
        let text = |key: &str| {
            map.get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        Self {
            leader: text("leader").map(MemberName::new),
            candidate: text("member").map(MemberName::new),
            scheduled_at: text("scheduled_at").map(ScheduledAt::parse),
        }
    }

    fn from_legacy(text: &str) -> Self {
        let (leader, candidate) = text.split_once(':').unwrap_or((text, ""));
        let name = |part: &str| {
            Some(part.trim())
                .filter(|p| !p.is_empty())
                .map(MemberName::new)
        };
        Self {
            leader: name(leader),
            candidate: name(candidate),
            scheduled_at: None,
        }
    }

    /// The stored text; the empty request is `{}`.
    pub fn to_json(&self) -> String {
        let mut map = Map::new();
        if let Some(leader) = &self.leader {
            map.insert("leader".to_owned(), leader.as_str().into());
        }
        if let Some(candidate) = &self.candidate {
            map.insert("member".to_owned(), candidate.as_str().into());
        }
        if let Some(at) = &self.scheduled_at {
            map.insert("scheduled_at".to_owned(), at.text().into());
        }
        json::compact(&map)
    }
}

/// The stored request with its revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// The revision to compare with when it is changed.
    pub revision: Revision,
    /// What is asked; [`FailoverRequest::is_set`] is false for a cleared key.
    pub request: FailoverRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let both = FailoverRequest {
            leader: Some(MemberName::new("a")),
            candidate: Some(MemberName::new("b")),
            scheduled_at: None,
        };
        assert_eq!(
            FailoverRequest::parse(r#"{"leader":"a","member":"b"}"#),
            both
        );
        assert_eq!(FailoverRequest::parse("a: b "), both);
        assert_eq!(both.to_json(), r#"{"leader":"a","member":"b"}"#);
        for text in ["{}", "", "null", "[]", r#"{"leader":"","member":""}"#] {
            assert!(!FailoverRequest::parse(text).is_set(), "{text:?}");
        }
    }

    #[test]
    fn an_unusable_time_is_kept_apart() {
        let bad = FailoverRequest::parse(r#"{"leader":"a","scheduled_at":"bad"}"#);
        assert_eq!(bad.scheduled_at, Some(ScheduledAt::Unusable("bad".into())));
        let good =
            FailoverRequest::parse(r#"{"leader":"a","scheduled_at":"2025-01-01T10:00:00+00:00"}"#);
        assert!(matches!(good.scheduled_at, Some(ScheduledAt::At { .. })));
    }
}
