//! `POST /failsafe`: the leader asks members for leave to go on without the store.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use patroni_core::{Lsn, MemberName, SlotName, value};
use serde_json::{Map, Value, json};

use super::answer::Answer;

/// What a leader announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailsafeBody {
    /// The leader.
    pub name: MemberName,
    /// Its PostgreSQL.
    pub conn_url: Option<String>,
    /// Its API.
    pub api_url: Option<String>,
    /// Positions of slots, when it sends them.
    pub slots: Option<BTreeMap<SlotName, Lsn>>,
    /// For how long it takes a consent to last, in whole seconds: its `ttl`, which may not be that
    /// of the members any more. Nodes of the reference do not send it.
    pub ttl: Option<Duration>,
}

impl FailsafeBody {
    /// Reads the body; `None` without a name.
    pub fn parse(body: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let slots = body.get("slots").and_then(Value::as_object).map(|slots| {
            let positions = slots.iter().filter_map(|(name, at)| {
                let bytes = u64::try_from(value::parse_int(at)?).ok()?;
                Some((SlotName::new(name.as_str()), Lsn::new(bytes)))
            });
            positions.collect()
        });
        Some(Self {
            name: MemberName::new(text("name").filter(|name| !name.is_empty())?),
            conn_url: text("conn_url"),
            api_url: text("api_url"),
            slots,
            ttl: body
                .get("ttl")
                .and_then(Value::as_u64)
                .map(Duration::from_secs),
        })
    }

    /// The body to send.
    pub fn to_value(&self) -> Value {
        let mut body = json!({
            "name": self.name.as_str(),
            "conn_url": self.conn_url,
            "api_url": self.api_url,
        });
        if let (Some(slots), Some(body)) = (&self.slots, body.as_object_mut()) {
            let slots: Map<String, Value> = slots
                .iter()
                .map(|(name, at)| (name.to_string(), at.bytes().into()))
                .collect();
            body.insert("slots".to_owned(), slots.into());
        }
        if let (Some(ttl), Some(body)) = (self.ttl, body.as_object_mut()) {
            body.insert("ttl".to_owned(), ttl.as_secs().into());
        }
        body
    }
}

/// What a member says to the announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailsafeVote {
    /// Go on; with the last known received or replayed position.
    Accepted(Option<Lsn>),
    /// Not with the consent of this member; why.
    Refused(String),
}

impl From<FailsafeVote> for Answer {
    fn from(vote: FailsafeVote) -> Self {
        match vote {
            FailsafeVote::Accepted(position) => {
                let answer = Self::text(StatusCode::OK, "Accepted");
                match position {
                    Some(lsn) => answer.with_header("lsn", lsn.bytes().to_string()),
                    None => answer,
                }
            }
            FailsafeVote::Refused(why) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read() {
        let body = FailsafeBody {
            name: MemberName::new("a"),
            conn_url: Some("postgres://a".to_owned()),
            api_url: None,
            slots: Some([(SlotName::new("b"), Lsn::new(7))].into()),
            ttl: Some(Duration::from_secs(30)),
        };
        let read = |value: &Value| FailsafeBody::parse(value.as_object().unwrap());
        assert_eq!(read(&body.to_value()), Some(body));
        // Of the reference, and nonsense.
        for sent in [
            json!({"name": "a"}),
            json!({"name": "a", "ttl": -1}),
            json!({"name": "a", "ttl": "x"}),
        ] {
            assert_eq!(read(&sent).unwrap().ttl, None);
        }
    }
}
