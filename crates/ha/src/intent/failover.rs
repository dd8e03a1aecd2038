//! Switchover and failover (REST contract 10.7).

use jiff::Timestamp;
use patroni_config::Dynamic;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::{Cluster, FailoverRequest, MemberName};

use super::{GivenTime, Refuse, judge_time};
use crate::command::Peer;
use crate::eligibility::limitation;
use crate::observation::PeerAnswer;

/// Which endpoint was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverKind {
    /// `POST /switchover`
    Switchover,
    /// `POST /failover`
    Failover,
}

impl FailoverKind {
    /// The word in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        }
    }
}

/// The request, with empty texts left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverBody {
    /// The leader that shall go.
    pub leader: Option<MemberName>,
    /// The member that shall take over.
    pub candidate: Option<MemberName>,
    /// When; empty and null are `None`.
    pub scheduled_at: Option<GivenTime>,
}

/// What an accepted request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// As what it goes on: a failover that names a leader is a switchover.
    pub kind: FailoverKind,
    /// When, if later; the text for the store is the API's.
    pub at: Option<Timestamp>,
    /// The key to write, without the time.
    pub request: FailoverRequest,
    /// Members of which one must answer as fit before the key is written; empty when scheduled.
    pub ask: Vec<Peer>,
    /// The log gets a warning: a failover with a leader.
    pub was_failover_with_leader: bool,
}

/// One member's answer to the question before the key is written.
pub type CandidateAnswer = PeerAnswer;

/// Checks 1 to 12.
///
/// # Errors
/// The exact answer of the first check that fails.
pub fn judge(
    kind: FailoverKind,
    body: &FailoverBody,
    view: &Cluster,
    settings: &Dynamic,
    now: Timestamp,
) -> Result<Accepted, Refuse> {
    let refuse = |code, text: &str| Err(Refuse::new(code, text));
    if kind == FailoverKind::Failover && body.candidate.is_none() {
        return refuse(
            400,
            "Failover could be performed only to a specific candidate",
        );
    }
    if kind == FailoverKind::Switchover && body.leader.is_none() {
        return refuse(
            400,
            "Switchover could be performed only from a specific leader",
        );
    }
    let mut at = None;
    if let Some(given) = &body.scheduled_at {
        if kind == FailoverKind::Failover {
            return refuse(400, "Failover can't be scheduled");
        }
        if settings.pause {
            return refuse(400, "Can't schedule switchover in the paused state");
        }
        at = Some(judge_time(given, now, "switchover")?);
    }
    if settings.pause && body.candidate.is_none() {
        return refuse(
            400,
            "Switchover is possible only to a specific candidate in a paused state",
        );
    }
    let with_leader = kind == FailoverKind::Failover && body.leader.is_some();
    let kind = if with_leader {
        FailoverKind::Switchover
    } else {
        kind
    };
    if body.leader.is_some() && body.leader == body.candidate {
        return refuse(400, "Switchover target and source are the same");
    }
    let ask = if at.is_some() {
        Vec::new()
    } else {
        possible(kind, body, view, settings)?
    };
    Ok(Accepted {
        kind,
        at,
        request: FailoverRequest {
            leader: body.leader.clone(),
            candidate: body.candidate.clone(),
            scheduled_at: None,
        },
        ask,
        was_failover_with_leader: with_leader,
    })
}

/// Checks 8 to 12 of an immediate request; gives the members to ask.
fn possible(
    kind: FailoverKind,
    body: &FailoverBody,
    view: &Cluster,
    settings: &Dynamic,
) -> Result<Vec<Peer>, Refuse> {
    let refuse = |text: String| Err(Refuse::new(412, text));
    if body.leader.is_some() && body.leader.as_ref() != view.leader_name() {
        return refuse("leader name does not match".to_owned());
    }
    let synchronous = settings.synchronous_mode == SynchronousMode::Priority;
    let others = view
        .members
        .iter()
        .filter(|member| Some(&member.name) != view.leader_name());
    let members: Vec<&patroni_core::Member> = match &body.candidate {
        Some(candidate) => {
            let switchover = kind == FailoverKind::Switchover;
            if switchover && synchronous && !view.sync.has_standby(candidate) {
                return refuse("candidate name does not match with sync_standby".to_owned());
            }
            let member = view.members.iter().find(|m| m.name == *candidate);
            let Some(member) = member else {
                return refuse("candidate does not exists".to_owned());
            };
            vec![member]
        }
        None if synchronous => {
            let members: Vec<_> = others
                .filter(|member| view.sync.has_standby(&member.name))
                .collect();
            if members.is_empty() {
                return refuse(format!(
                    "{} is not possible: can not find sync_standby",
                    kind.word()
                ));
            }
            members
        }
        None => {
            let members: Vec<_> = others.collect();
            if members.is_empty() {
                return refuse(format!(
                    "{} is not possible: cluster does not have members except leader",
                    kind.word()
                ));
            }
            members
        }
    };
    let peers = members.into_iter().filter_map(|member| {
        Some(Peer {
            name: member.name.clone(),
            url: member.data.api_url()?.to_owned(),
        })
    });
    Ok(peers.collect())
}

/// Check 13: none of the asked members is fit.
///
/// # Errors
/// The answer when that is so.
pub fn nobody_is_fit(kind: FailoverKind, answers: &[CandidateAnswer]) -> Result<(), Refuse> {
    if answers.iter().any(|answer| limitation(answer).is_none()) {
        return Ok(());
    }
    Err(Refuse::new(
        412,
        format!(
            "{} is not possible: no good candidates have been found",
            kind.word()
        ),
    ))
}
