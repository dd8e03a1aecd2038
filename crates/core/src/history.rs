//! The object `history`: the timeline switches of a cluster.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json;
use crate::lsn::Lsn;
use crate::timeline::Timeline;
use crate::value;

/// One switch: the timeline that ended, where and why, and (when this cluster saw it) when and
/// to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// The timeline that ended.
    pub timeline: Timeline,
    /// Where it ended.
    pub switchpoint: Lsn,
    /// PostgreSQL's reason text.
    pub reason: String,
    /// When the new leader noted it, ISO 8601 with offset.
    pub timestamp: Option<String>,
    /// Who was promoted.
    pub new_leader: Option<String>,
}

/// The switches, oldest first, with the stored form kept for readers that show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The array as stored; shared by all clones, for it grows with every promotion.
    pub raw: Arc<Vec<Value>>,
}

impl History {
    /// Reads the stored text; `None` when it is no array.
    pub fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Array(raw)) => Some(Self { raw: Arc::new(raw) }),
            Ok(_) | Err(_) => None,
        }
    }

    /// A history from typed lines.
    pub fn new(lines: &[HistoryLine]) -> Self {
        Self {
            raw: Arc::new(lines.iter().map(HistoryLine::to_value).collect()),
        }
    }

    /// The lines that can be read.
    pub fn lines(&self) -> Vec<HistoryLine> {
        self.raw
            .iter()
            .filter_map(HistoryLine::from_value)
            .collect()
    }

    /// The cluster's timeline: the last line's plus one, 1 without lines, `None` when the last
    /// line has no number in front.
    pub fn timeline(&self) -> Option<Timeline> {
        let Some(last) = self.raw.last() else {
            return Some(Timeline::FIRST);
        };
        let number = last.as_array()?.first().and_then(value::parse_int)?;
        Timeline::new(u32::try_from(number).ok()?).map(Timeline::next)
    }

    /// The stored text.
    pub fn to_json(&self) -> String {
        json::compact(self.raw.as_ref())
    }
}

impl HistoryLine {
    fn from_value(value: &Value) -> Option<Self> {
        let items = value.as_array()?;
        let text = |index: usize| items.get(index).and_then(Value::as_str).map(str::to_owned);
        let number = |index: usize| items.get(index).and_then(value::parse_int);
        Some(Self {
            timeline: Timeline::new(u32::try_from(number(0)?).ok()?)?,
            switchpoint: Lsn::new(u64::try_from(number(1)?).ok()?),
            reason: text(2).unwrap_or_default(),
            timestamp: text(3),
            new_leader: text(4),
        })
    }

    fn to_value(&self) -> Value {
        let mut items: Vec<Value> = vec![
            self.timeline.number().into(),
            self.switchpoint.bytes().into(),
            self.reason.as_str().into(),
        ];
        if let Some(timestamp) = &self.timestamp {
            items.push(timestamp.as_str().into());
            items.extend(self.new_leader.as_deref().map(Value::from));
        }
        items.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_timeline_follows_the_last_line() {
        let timeline = |text: &str| {
            History::parse(text)
                .and_then(|h| h.timeline())
                .map_or(0, Timeline::number)
        };
        for (text, expected) in [
            ("[]", 1),
            (r#"[[1,100,"r"]]"#, 2),
            (r#"[["3","2","1"]]"#, 4),
            (r#"[["a"]]"#, 0),
            ("bad", 0),
            ("{}", 0),
        ] {
            assert_eq!(timeline(text), expected, "{text}");
        }
    }
}
