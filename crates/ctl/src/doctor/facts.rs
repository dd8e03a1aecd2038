//! What was collected, and how it reads.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use patroni_config::Dynamic;
use patroni_core::{Cluster, Member, MemberName, Role, Scope, Timeline, value};
use patroni_ha::observation::PeerAnswer;
use serde_json::{Map, Value};

use crate::peer;
use crate::rest::{Answer, Heard};

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) scope: Scope,
    /// The kind of store, as in the configuration.
    pub(crate) store: String,
    /// How long the read of the store took.
    pub(crate) read: Duration,
    pub(crate) cluster: Cluster,
    pub(crate) settings: Dynamic,
    /// In the order of the members of the cluster.
    pub(crate) members: Vec<Examined>,
    pub(crate) now: Timestamp,
}

/// A member by its key and by its own word.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    pub(crate) member: Member,
    /// Why there is no report is a sentence.
    pub(crate) report: Result<Report, String>,
}

/// The status document of a member.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    body: String,
    document: Map<String, Value>,
    pub(crate) clock: Option<Clock>,
}

/// The clock of a member against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// What it showed, to the second.
    pub(crate) time: Timestamp,
    /// How far it is ahead.
    pub(crate) ahead: SignedDuration,
    /// Half a second, which the header leaves open, and half of the round trip.
    pub(crate) uncertainty: SignedDuration,
}

impl Facts {
    /// Who holds the lock, by its key and its word.
    pub(crate) fn leader(&self) -> Option<&Examined> {
        let name = self.cluster.leader_name()?;
        self.members
            .iter()
            .find(|examined| examined.member.name == *name)
    }

    /// All but the holder of the lock.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Examined> {
        let leader = self.cluster.leader_name();
        self.members
            .iter()
            .filter(move |examined| Some(examined.name()) != leader)
    }

    /// The members with a report.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (&MemberName, &Report)> {
        self.members.iter().filter_map(|examined| {
            let report = examined.report.as_ref().ok()?;
            Some((examined.name(), report))
        })
    }

    /// One value of the dynamic configuration as written.
    pub(crate) fn setting(&self, path: &[&str]) -> Option<&Value> {
        let mut names = path.iter();
        let document = &self.cluster.config.as_ref()?.data;
        let first = document.get(*names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    }
}

impl Examined {
    /// A member and what became of the question to it.
    pub(crate) fn new(member: Member, heard: Heard) -> Self {
        let (at, took) = (heard.at, heard.took);
        let report = heard.answer.map_err(|error| error.to_string());
        Self {
            report: report.and_then(|answer| Report::read(answer, at, took)),
            member,
        }
    }

    pub(crate) fn name(&self) -> &MemberName {
        &self.member.name
    }

    /// The answer in the terms of the rules.
    pub(crate) fn answer(&self) -> PeerAnswer {
        let body = self.report.as_ref().map(|report| report.body.as_str());
        peer::answer(self.name(), body.map_err(Clone::clone))
    }

    /// The state by its own word, else by its key.
    pub(crate) fn state(&self) -> &str {
        let said = self.report.as_ref().ok().and_then(|r| r.text("state"));
        said.unwrap_or_else(|| self.member.data.state())
    }

    /// How it gets WAL by its own word, else by its key.
    pub(crate) fn replication_state(&self) -> Option<&str> {
        match &self.report {
            Ok(report) => report.text("replication_state"),
            Err(_) => self.member.data.replication_state(),
        }
    }

    /// Why it gets none, by its own word, else by its key.
    pub(crate) fn replication_problem(&self) -> Option<&str> {
        let said = self.report.as_ref().ok();
        said.and_then(|report| report.text("replication_problem"))
            .or_else(|| self.member.data.replication_problem())
    }

    /// The timeline by its own word, else by its key.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        let said = self.report.as_ref().ok();
        said.and_then(|report| report.number("timeline"))
            .and_then(|number| Timeline::new(u32::try_from(number).ok()?))
            .or_else(|| self.member.data.timeline())
    }
}

impl Report {
    /// Reads an answer that was there at `at` after `took`.
    pub(crate) fn read(answer: Answer, at: Timestamp, took: Duration) -> Result<Self, String> {
        let document = serde_json::from_str(&answer.body)
            .map_err(|_| format!("its answer (code {}) is no status", answer.status))?;
        Ok(Self {
            clock: answer.date.and_then(|date| Clock::read(&date, at, took)),
            body: answer.body,
            document,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.document.get(key).and_then(Value::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.document.get(key).and_then(value::parse_int)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.document.get(key).is_some_and(value::is_truthy)
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.text("role").and_then(Role::parse)
    }

    /// PostgreSQL runs there and takes writes.
    pub(crate) fn is_primary(&self) -> bool {
        let location = |xlog: &Value| xlog.get("location").is_some();
        self.document.get("xlog").is_some_and(location)
    }

    /// A position of a standby's WAL: `received_location` or `replayed_location`.
    pub(crate) fn position(&self, key: &str) -> Option<i64> {
        self.document
            .get("xlog")?
            .get(key)
            .and_then(value::parse_int)
    }

    /// Whether it says in so many words that it takes no new connections.
    pub(crate) fn refuses_connections(&self) -> bool {
        self.document.get("accepts_connections") == Some(&Value::Bool(false))
    }

    /// A text of the section about the daemon.
    pub(crate) fn daemon(&self, key: &str) -> Option<&str> {
        self.document.get("patroni")?.get(key)?.as_str()
    }

    /// The parameters that wait for a restart.
    pub(crate) fn pending_parameters(&self) -> Vec<&str> {
        let reasons = self.document.get("pending_restart_reason");
        let reasons = reasons.and_then(Value::as_object);
        reasons.map_or_else(Vec::new, |r| r.keys().map(String::as_str).collect())
    }

    /// How a primary treats the standby of this name: `sync`, `quorum`, `potential`, `async`.
    pub(crate) fn sync_state_of(&self, standby: &MemberName) -> Option<&str> {
        let senders = self.document.get("replication")?.as_array()?;
        let row = senders.iter().find(|row| {
            let name = row.get("application_name").and_then(Value::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case(standby.as_str()))
        })?;
        row.get("sync_state")?.as_str()
    }
}

impl Clock {
    /// By the header `Date` of an answer that was there at `at` after `took`.
    fn read(date: &str, at: Timestamp, took: Duration) -> Option<Self> {
        const HALF_A_SECOND: SignedDuration = SignedDuration::from_millis(500);
        let time = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
        let half_trip = SignedDuration::try_from(took).ok()? / 2;
        Some(Self {
            time,
            ahead: time.duration_since(at) + HALF_A_SECOND + half_trip,
            uncertainty: HALF_A_SECOND + half_trip,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_bounds_what_a_clock_tells() {
        let at: Timestamp = "2026-01-01T12:00:10.700Z".parse().unwrap();
        let clock = |date: &str| Clock::read(date, at, Duration::from_millis(400));
        let even = clock("Thu, 01 Jan 2026 12:00:10 GMT").unwrap();
        assert_eq!(even.ahead, SignedDuration::ZERO);
        assert_eq!(even.uncertainty, SignedDuration::from_millis(700));
        let late = clock("Thu, 01 Jan 2026 12:00:00 GMT").unwrap();
        assert_eq!(late.ahead, SignedDuration::from_secs(-10));
        assert_eq!(clock("yesterday"), None);
    }
}
