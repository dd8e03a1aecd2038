//! What a member learns from another one's `GET /patroni`.

use patroni_core::{Lsn, Role, State, Tags, Timeline, value};
use serde_json::Value;

/// Another member as it shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerStatus {
    /// It gave no document with positions: not reachable, or its PostgreSQL does not answer.
    Unreachable,
    /// It answered.
    Reachable(Peer),
}

/// The answer of a reachable member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Whether its server is in recovery.
    pub in_recovery: bool,
    /// Flushed position of a primary, else the greater of received and replayed.
    pub position: Lsn,
    /// Its timeline, when known.
    pub timeline: Option<Timeline>,
    /// Its tags.
    pub tags: Tags,
    /// Its watchdog is required and cannot be used.
    pub watchdog_failed: bool,
    /// It still replays WAL that it had when it started. The reference does not say.
    pub replays_own_wal: bool,
    /// Its WAL receiver streams.
    pub streams: bool,
    /// It does not stream, and would as soon as it can: it knows from whom. The reference does not
    /// say.
    pub may_stream: bool,
    /// Epoch seconds of its last read of the store, 0 when it does not say.
    pub dcs_last_seen: i64,
    /// The role it shows.
    pub role: Option<Role>,
}

impl PeerStatus {
    /// Reads the document.
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body)
            .ok()
            .and_then(|doc| Peer::from_document(&doc))
            .map_or(Self::Unreachable, Self::Reachable)
    }

    /// Whether somebody who tells no position says that its server is none that takes writes: it
    /// was one and is stopped, or it is being started as a standby.
    pub fn stands_aside(body: &[u8]) -> bool {
        let doc: Value = serde_json::from_slice(body).unwrap_or_default();
        match doc["role"].as_str().and_then(Role::parse) {
            Some(Role::Demoted) => true,
            Some(Role::Replica) => doc["state"] == State::Starting.as_str(),
            _ => false,
        }
    }

    /// The answer, when there is one.
    pub fn reachable(&self) -> Option<&Peer> {
        match self {
            Self::Reachable(peer) => Some(peer),
            Self::Unreachable => None,
        }
    }
}

impl Peer {
    fn from_document(doc: &Value) -> Option<Self> {
        let xlog = doc.get("xlog").or_else(|| doc.get("wal"))?.as_object()?;
        let lsn = |key: &str| {
            let bytes = u64::try_from(value::parse_int(xlog.get(key)?)?).ok()?;
            Some(Lsn::new(bytes))
        };
        let location = lsn("location");
        let received = lsn("received_location").max(lsn("replayed_location"));
        let role = doc
            .get("role")
            .and_then(Value::as_str)
            .and_then(Role::parse);
        Some(Self {
            // One that has the role takes writes, or is about to, whatever it says of its WAL.
            in_recovery: location.is_none()
                && !matches!(role, Some(Role::Primary | Role::Promoted)),
            position: location.or(received).unwrap_or_default(),
            timeline: doc
                .get("timeline")
                .and_then(value::parse_int)
                .and_then(|n| u32::try_from(n).ok())
                .and_then(Timeline::new),
            tags: doc
                .get("tags")
                .and_then(Value::as_object)
                .cloned()
                .map(Tags::new)
                .unwrap_or_default(),
            watchdog_failed: doc.get("watchdog_failed").is_some_and(value::is_truthy),
            replays_own_wal: xlog.get("replays_own_wal").is_some_and(value::is_truthy),
            streams: doc
                .get("replication_state")
                .is_some_and(|state| state == "streaming"),
            may_stream: xlog.get("may_stream").is_some_and(value::is_truthy),
            dcs_last_seen: doc
                .get("dcs_last_seen")
                .and_then(value::parse_int)
                .unwrap_or(0),
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_tell_recovery() {
        let standby = PeerStatus::parse(
            br#"{"role": "replica", "xlog": {"received_location": 5, "replayed_location": 7},
                "timeline": 2, "tags": {"nofailover": true}, "dcs_last_seen": 9}"#,
        );
        let peer = standby.reachable().unwrap();
        assert!(peer.in_recovery && peer.tags.nofailover() && !peer.watchdog_failed);
        assert_eq!((peer.position, peer.dcs_last_seen), (Lsn::new(7), 9));
        let primary = PeerStatus::parse(br#"{"xlog": {"location": 9}, "watchdog_failed": true}"#);
        let peer = primary.reachable().unwrap();
        assert!(!peer.in_recovery && peer.watchdog_failed);
        let young = br#"{"xlog": {"replayed_location": 5, "replays_own_wal": true}}"#;
        assert!(
            PeerStatus::parse(young)
                .reachable()
                .unwrap()
                .replays_own_wal
        );
        assert!(!peer.replays_own_wal);
        let streams = br#"{"xlog": {"replayed_location": 5}, "replication_state": "streaming"}"#;
        assert!(PeerStatus::parse(streams).reachable().unwrap().streams);
        assert!(!peer.streams);
        let may = br#"{"xlog": {"replayed_location": 5, "may_stream": true}}"#;
        let may = PeerStatus::parse(may);
        assert!(
            may.reachable()
                .is_some_and(|peer| peer.may_stream && !peer.streams)
        );
        assert!(!peer.may_stream);
        for (body, aside) in [
            (&br#"{"role": "demoted", "state": "stopping"}"#[..], true),
            (br#"{"role": "replica", "state": "starting"}"#, true),
            (br#"{"role": "replica", "state": "running"}"#, false),
            (br#"{"role": "primary", "state": "stopping"}"#, false),
            (b"{}", false),
            (b"", false),
        ] {
            assert_eq!(PeerStatus::stands_aside(body), aside);
        }
        let promoting = br#"{"role": "master", "wal": {"replayed_location": 9}}"#;
        let peer = PeerStatus::parse(promoting);
        assert!(!peer.reachable().unwrap().in_recovery);
        for body in ["", "[]", "{}", r#"{"state": "stopped"}"#] {
            assert_eq!(PeerStatus::parse(body.as_bytes()), PeerStatus::Unreachable);
        }
    }
}
