//! `POST /switchover`, `POST /failover`, `DELETE /switchover`.

use std::fmt;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use jiff::Zoned;
use patroni_core::{Cluster, FailoverRequest, MemberName, Role, failover::ScheduledAt, value};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::schedule::{ScheduleFault, Scheduled};
use super::snapshot::CachedView;

/// The two ways to ask for another leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// From a healthy leader, by name.
    Switchover,
    /// To a candidate, by name, whatever the leader is.
    Failover,
}

/// The word in sentences: `switchover`, `failover`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        })
    }
}

/// A request that passed the checks needing no cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverBody {
    /// What is done; a failover that names the leader has become a switchover.
    pub action: Action,
    /// The leader that shall go.
    pub leader: Option<MemberName>,
    /// Who shall take over.
    pub candidate: Option<MemberName>,
    /// When, if not now.
    pub scheduled_at: Option<Scheduled>,
}

impl FailoverBody {
    /// Reads the body and makes the checks 1 to 7 of the contract's table 10.7.
    ///
    /// # Errors
    /// The refusal to send.
    pub fn parse(
        asked: Action,
        body: &Map<String, Value>,
        paused: bool,
        now: &Zoned,
    ) -> Result<Self, Answer> {
        let name = |key: &str| {
            body.get(key)
                .filter(|given| value::is_truthy(given))
                .map(|given| MemberName::new(value::text(given)))
        };
        let leader = name("leader");
        let candidate = name("candidate").or_else(|| name("member"));
        let scheduled_at = body
            .get("scheduled_at")
            .filter(|given| value::is_truthy(given));
        Self::check_names(asked, leader.as_ref(), candidate.as_ref())?;
        let scheduled_at = scheduled_at
            .map(|given| Self::check_time(asked, given, paused, now))
            .transpose()?;
        if paused && candidate.is_none() {
            return Err(bad(
                "Switchover is possible only to a specific candidate in a paused state",
            ));
        }
        if leader.is_some() && leader == candidate {
            return Err(bad("Switchover target and source are the same"));
        }
        let action = if leader.is_some() {
            Action::Switchover
        } else {
            asked
        };
        Ok(Self {
            action,
            leader,
            candidate,
            scheduled_at,
        })
    }

    fn check_names(
        asked: Action,
        leader: Option<&MemberName>,
        candidate: Option<&MemberName>,
    ) -> Result<(), Answer> {
        match asked {
            Action::Failover if candidate.is_none() => Err(bad(
                "Failover could be performed only to a specific candidate",
            )),
            Action::Switchover if leader.is_none() => Err(bad(
                "Switchover could be performed only from a specific leader",
            )),
            Action::Failover | Action::Switchover => Ok(()),
        }
    }

    fn check_time(
        asked: Action,
        given: &Value,
        paused: bool,
        now: &Zoned,
    ) -> Result<Scheduled, Answer> {
        if asked == Action::Failover {
            return Err(bad("Failover can't be scheduled"));
        }
        if paused {
            return Err(bad("Can't schedule switchover in the paused state"));
        }
        given
            .as_str()
            .ok_or(ScheduleFault::Unreadable)
            .and_then(|text| Scheduled::parse(text, now))
            .map_err(|fault| fault.refuse("switchover", given))
    }

    /// What is written to the store.
    pub fn to_request(&self) -> FailoverRequest {
        FailoverRequest {
            leader: self.leader.clone(),
            candidate: self.candidate.clone(),
            scheduled_at: self.scheduled_at.map(|scheduled| ScheduledAt::At {
                time: scheduled.at,
                text: scheduled.to_iso(),
            }),
        }
    }
}

fn bad(text: impl Into<String>) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, text)
}

/// Follows an immediate request until its end is seen in the store.
#[derive(Clone, Debug)]
pub struct FailoverPoll {
    action: Action,
    old_leader: Option<MemberName>,
    candidate: Option<MemberName>,
    written_at: Instant,
    /// Who has the lock now, and since when it is seen.
    winner: Option<(MemberName, Instant)>,
}

/// So long somebody must have the lock who does not say that it was promoted: a hook may still
/// refuse.
const SETTLED: Duration = Duration::from_secs(1);

impl FailoverPoll {
    /// Begins when the request has been written; `before` is the view it was judged on.
    pub fn new(body: &FailoverBody, before: &Cluster, written_at: Instant) -> Self {
        Self {
            action: body.action,
            old_leader: before.leader_name().cloned(),
            candidate: body.candidate.clone(),
            written_at,
            winner: None,
        }
    }

    /// The answer, as soon as a view shows the end. A view whose read began before the request
    /// was written says nothing: it may lack the request that is not there yet.
    pub fn judge(&mut self, view: &CachedView) -> Option<Answer> {
        if view.asked_at < self.written_at {
            return None;
        }
        let cluster = &view.cluster;
        let new = cluster
            .leader_name()
            .filter(|name| Some(*name) != self.old_leader.as_ref());
        let Some(new) = new else {
            self.winner = None;
            let gone = cluster.failover_request().is_none();
            return gone.then(|| self.unavailable("failed"));
        };
        let since = match &self.winner {
            Some((name, since)) if name == new => *since,
            Some(_) | None => view.asked_at,
        };
        self.winner = Some((new.clone(), since));
        let settled = view.asked_at.saturating_duration_since(since) >= SETTLED;
        (settled || is_promoted(cluster)).then(|| Answer::text(StatusCode::OK, self.success(new)))
    }

    /// The answer when the end was not seen in time.
    pub fn timed_out(&self) -> Answer {
        self.unavailable("status unknown")
    }

    fn success(&self, new: &MemberName) -> String {
        let (done, done_late) = match self.action {
            Action::Switchover => ("Successfully switched over", "Switched over"),
            Action::Failover => ("Successfully failed over", "Failed over"),
        };
        match &self.candidate {
            Some(wanted) if wanted != new => {
                format!("{done_late} to \"{new}\" instead of \"{wanted}\"")
            }
            Some(_) | None => format!("{done} to \"{new}\""),
        }
    }

    fn unavailable(&self, how: &str) -> Answer {
        let action = match self.action {
            Action::Switchover => "Switchover",
            Action::Failover => "Failover",
        };
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{action} {how}"))
    }
}

/// The leader says that it is one.
fn is_promoted(cluster: &Cluster) -> bool {
    let role = cluster
        .leader_member()
        .and_then(|member| member.data.role());
    matches!(
        role,
        Some(Role::Primary | Role::Promoted | Role::StandbyLeader)
    )
}

/// The outcomes of writing or emptying the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverWrite {
    /// The store did not take the request.
    Failed,
    /// Noted for later.
    Scheduled,
    /// The noted one was dropped.
    Deleted,
    /// None was noted.
    NoneScheduled,
    /// Somebody else changed it meanwhile.
    Conflict,
}

impl From<FailoverWrite> for Answer {
    fn from(outcome: FailoverWrite) -> Self {
        let (status, text) = match outcome {
            FailoverWrite::Failed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "failed to write failover key into DCS",
            ),
            FailoverWrite::Scheduled => (StatusCode::ACCEPTED, "Switchover scheduled"),
            FailoverWrite::Deleted => (StatusCode::OK, "scheduled switchover deleted"),
            FailoverWrite::NoneScheduled => (StatusCode::NOT_FOUND, "no switchover is scheduled"),
            FailoverWrite::Conflict => return Self::error_page(StatusCode::CONFLICT),
        };
        Self::text(status, text)
    }
}

#[cfg(test)]
mod tests;
