//! `POST /citus` and `POST /mpp`: a worker leader tells the coordinator what it is about to do.

use std::time::Duration;

use patroni_core::value;
use serde_json::{Map, Value, json};

/// An event of a worker group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MppEvent {
    /// What happens.
    pub kind: MppEventKind,
    /// The group.
    pub group: i64,
    /// The leader's name.
    pub leader: String,
    /// How long the sender waits for the answer, when it says so.
    pub timeout: Option<Duration>,
    /// How long the coordinator may keep transactions waiting, when it says so.
    pub cooldown: Option<Duration>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MppEventKind {
    /// The leader is about to stop.
    BeforeDemote,
    /// A new leader is about to be promoted.
    BeforePromote,
    /// It was promoted, or restarted.
    AfterPromote,
}

impl MppEventKind {
    pub(super) const ALL: [Self; 3] = [Self::BeforeDemote, Self::BeforePromote, Self::AfterPromote];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDemote => "before_demote",
            Self::BeforePromote => "before_promote",
            Self::AfterPromote => "after_promote",
        }
    }
}

impl MppEvent {
    /// Reads a body; `None` when a field that matters is missing. Such an event is answered with
    /// `OK` like any other, and ignored.
    pub fn parse(body: &Map<String, Value>) -> Option<Self> {
        let seconds = |key: &str| {
            let seconds = body.get(key)?.as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let word = body.get("type")?.as_str()?;
        Some(Self {
            kind: MppEventKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == word)?,
            group: body.get("group").and_then(value::parse_int)?,
            leader: body.get("leader")?.as_str()?.to_owned(),
            timeout: seconds("timeout"),
            cooldown: seconds("cooldown"),
        })
    }

    /// The body to send.
    pub fn to_value(&self) -> Value {
        let mut body = json!({
            "type": self.kind.as_str(),
            "group": self.group,
            "leader": self.leader,
        });
        if let Some(body) = body.as_object_mut() {
            for (key, value) in [("timeout", self.timeout), ("cooldown", self.cooldown)] {
                if let Some(time) = value {
                    let whole = time.subsec_nanos() == 0;
                    let seconds = if whole {
                        time.as_secs().into()
                    } else {
                        time.as_secs_f64().into()
                    };
                    body.insert(key.to_owned(), seconds);
                }
            }
        }
        body
    }
}
