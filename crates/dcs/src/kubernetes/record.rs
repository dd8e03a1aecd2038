//! The record of the lock in the leader object, and how long it has not changed.
//!
//! Source: store contract, section 13 (lock).

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::object::Object;

/// The annotations that make up the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) leader: Option<String>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    ttl: Option<String>,
    transitions: Option<String>,
}

impl Record {
    /// What an object says.
    pub(super) fn of(object: &Object) -> Self {
        let text = |name| object.annotation(name).map(str::to_owned);
        Self {
            leader: text("leader").filter(|name| !name.is_empty()),
            acquire_time: text("acquireTime"),
            renew_time: text("renewTime"),
            ttl: text("ttl"),
            transitions: text("transitions"),
        }
    }

    /// The record that takes or keeps the lock for `me` now, after `before`: an own reign goes
    /// on, another one is counted. Where there was no object at all the count begins.
    pub(super) fn taken(before: Option<&Self>, me: &str, ttl: Duration, now: Timestamp) -> Self {
        let now = wall_text(now);
        let ours = before.filter(|record| record.is_of(me));
        let transitions = match before {
            None => 0,
            Some(record) => record.transitions() + u64::from(ours.is_none()),
        };
        Self {
            leader: Some(me.to_owned()),
            acquire_time: ours
                .and_then(|record| record.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            ttl: Some(ttl.as_secs().to_string()),
            transitions: Some(transitions.to_string()),
        }
    }

    /// The same reign, kept now.
    pub(super) fn renewed(&self, me: &str, ttl: Duration, now: Timestamp) -> Self {
        let reign = Self {
            leader: Some(me.to_owned()),
            ..self.clone()
        };
        Self::taken(Some(&reign), me, ttl, now)
    }

    /// Whether the lock is this member's.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.leader.as_deref() == Some(name)
    }

    /// Whether nobody but us can have held the lock since this record of ours: it is still the
    /// same reign, or was given back.
    pub(super) fn is_same_reign(&self, later: &Self) -> bool {
        let others = later.leader.is_some() && later.leader != self.leader;
        !others && self.transitions() == later.transitions()
    }

    fn transitions(&self) -> u64 {
        let count = self.transitions.as_deref();
        count.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// How long the lock is good without a change; `None` when the record does not say.
    pub(super) fn ttl(&self) -> Option<Duration> {
        let seconds = self.ttl.as_deref()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The annotations, in the order in which every member writes them.
    pub(super) fn annotations(&self) -> Map<String, Value> {
        let fields = [
            ("leader", &self.leader),
            ("ttl", &self.ttl),
            ("renewTime", &self.renew_time),
            ("acquireTime", &self.acquire_time),
            ("transitions", &self.transitions),
        ];
        let all = fields
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.clone().into()));
        all.collect()
    }
}

/// Wall time as it is written into a record (`2025-01-01T00:00:02.000000+00:00`). Nobody decides
/// by it.
fn wall_text(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// A record and since when we have seen it so, by our own monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) record: Record,
    pub(super) since: Instant,
}

impl Observed {
    /// When the lock is over if nothing changes; `None` when it is nobody's.
    pub(super) fn ends(&self, default_ttl: Duration) -> Option<Instant> {
        self.record.leader.as_ref()?;
        Some(self.since + self.record.ttl().unwrap_or(default_ttl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn reigns_are_counted_and_an_own_one_goes_on() {
        let first = Record::taken(None, "a", TTL, at(0));
        let text = |record: &Record| serde_json::to_string(&record.annotations()).unwrap();
        assert_eq!(
            text(&first),
            r#"{"leader":"a","ttl":"30","renewTime":"1970-01-01T00:00:00.000000+00:00","acquireTime":"1970-01-01T00:00:00.000000+00:00","transitions":"0"}"#
        );
        let kept = Record::taken(Some(&first), "a", TTL, at(1));
        assert_eq!(
            (&kept.acquire_time, &kept.transitions),
            (&first.acquire_time, &first.transitions)
        );
        assert_ne!(kept.renew_time, first.renew_time);
        let other = Record::taken(Some(&kept), "b", TTL, at(2));
        assert_eq!(other.transitions.as_deref(), Some("1"));
        assert!(!kept.is_same_reign(&other));
        let released = Record {
            leader: None,
            ..other.clone()
        };
        assert!(other.is_same_reign(&released));
        assert!(!kept.is_same_reign(&released));
        let again = Record::taken(Some(&released), "b", TTL, at(3));
        assert_eq!(again.transitions.as_deref(), Some("2"));
    }

    #[test]
    fn the_recorded_ttl_counts_from_the_moment_of_the_change() {
        let since = Instant::now();
        let record = Record::taken(None, "a", TTL, at(0));
        let mut observed = Observed { record, since };
        assert_eq!(observed.ends(Duration::ZERO), Some(since + TTL));
        observed.record.ttl = Some("x".to_owned());
        assert_eq!(
            observed.ends(Duration::from_secs(5)),
            Some(since + Duration::from_secs(5))
        );
        observed.record.leader = None;
        assert_eq!(observed.ends(TTL), None);
    }
}
