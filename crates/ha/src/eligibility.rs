//! Who could lead: every "no" has a typed reason.

use std::fmt;

use patroni_config::Dynamic;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::{Cluster, FailoverRequest, Lsn, Member, MemberName, Timeline};
use serde::{Deserialize, Serialize};

use crate::command::Peer;
use crate::context::Cx;
use crate::mutant::Mutant;
use crate::observation::{PeerAnswer, PeerStatus};
use crate::replay::Asked;
use crate::sentence::{Action, NameList, Text};

/// A node that was looked at and not found fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which node.
    pub name: MemberName,
    /// Why.
    pub reason: Ineligible,
}

/// Why a node may not become the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ineligible {
    /// It gave the lock back because of its hook, not long ago.
    BackingOff,
    /// Its server is still starting.
    Starting,
    /// The cluster is paused.
    Paused,
    /// Paused, and its data belong to another cluster.
    OtherCluster,
    /// It is on an older timeline than the cluster.
    TimelineBehind {
        /// Its timeline.
        timeline: Timeline,
        /// The cluster's.
        cluster: Timeline,
    },
    /// Its timeline is not known, and matters.
    TimelineUnknown,
    /// `nofailover`
    NotAllowed,
    /// It needs a watchdog and has none.
    NoWatchdog,
    /// It is not in the failsafe topology.
    NotInFailsafe,
    /// It started not long ago, and may have forgotten its consent to a primary in failsafe mode.
    MayHaveConsented,
    /// It is not synchronous.
    NotSynchronous,
    /// It lags more than allowed.
    Lags {
        /// By so many bytes.
        lag_bytes: u64,
        /// The limit.
        limit_bytes: i64,
    },
    /// It has not received all that it must have.
    NotReached {
        /// Its position.
        at: Lsn,
        /// The position to reach.
        target: Lsn,
    },
    /// It does not answer.
    Unreachable(String),
    /// Another primary is alive.
    PrimaryAlive(MemberName),
    /// Another node has more.
    PeerAhead {
        /// Who.
        name: MemberName,
        /// Its position.
        theirs: Lsn,
        /// Ours.
        mine: Lsn,
    },
    /// Another node has as much and a higher priority.
    PeerPreferred(MemberName),
    /// Too few of the quorum answered.
    NoQuorum {
        /// Votes.
        votes: i64,
        /// Needed.
        needed: usize,
    },
    /// Somebody else was asked for.
    NotTheCandidate(MemberName),
    /// It was asked to go, and others can take over.
    FormerLeader,
    /// Its lease ran out while it did not run, and others may have gone on without it.
    Superseded(String),
    /// What it was judged by is not true any more.
    Outdated(String),
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackingOff => f.write_str("backing off after a failed pre-promote script"),
            Self::Starting => f.write_str("still starting"),
            Self::Paused => f.write_str("paused"),
            Self::OtherCluster => f.write_str("of another cluster"),
            Self::TimelineBehind { timeline, cluster } => {
                write!(f, "on timeline {timeline}, behind {cluster}")
            }
            Self::TimelineUnknown => f.write_str("on an unknown timeline"),
            Self::NotAllowed => f.write_str("not allowed to promote"),
            Self::NoWatchdog => f.write_str("not watchdog capable"),
            Self::MayHaveConsented => f.write_str("just started in failsafe mode"),
            Self::NotInFailsafe => f.write_str("not in the failsafe topology"),
            Self::NotSynchronous => f.write_str("not synchronous"),
            Self::Lags {
                lag_bytes,
                limit_bytes,
            } => write!(f, "lagging by {lag_bytes} bytes (limit {limit_bytes})"),
            Self::NotReached { at, target } => write!(f, "at {at}, before {target}"),
            Self::Unreachable(_) => f.write_str("not reachable"),
            Self::PrimaryAlive(name) => write!(f, "facing the living primary {name}"),
            Self::PeerAhead { name, theirs, mine } => {
                write!(f, "at {mine}, behind {name} at {theirs}")
            }
            Self::PeerPreferred(name) => write!(f, "less preferred than {name}"),
            Self::NoQuorum { votes, needed } => write!(f, "short of votes ({votes} of {needed})"),
            Self::NotTheCandidate(name) => write!(f, "not the candidate {name}"),
            Self::FormerLeader => f.write_str("the leader that was asked to go"),
            Self::Superseded(why) => write!(f, "possibly superseded: {why}"),
            Self::Outdated(why) => write!(f, "judged too long ago: {why}"),
        }
    }
}

impl Ineligible {
    /// The kind of reason alone, for tools: `NotAllowed`.
    pub fn kind(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(kind)) => Some(kind),
            Ok(serde_json::Value::Object(fields)) => {
                fields.into_iter().next().map(|(kind, _)| kind)
            }
            Ok(_) | Err(_) => None,
        }
        .unwrap_or_default()
    }

    /// The reason with what it was read from, for people who ask why.
    pub fn evidence(&self) -> String {
        match self {
            Self::NotAllowed => {
                format!("{self} (its tags say nofailover, or failover_priority 0 or less)")
            }
            Self::Unreachable(error) => format!("{self} ({error})"),
            Self::NoWatchdog => format!("{self} (watchdog.mode is required and none works)"),
            Self::NotSynchronous => format!("{self} (it is not in the sync key)"),
            Self::BackingOff
            | Self::Starting
            | Self::Paused
            | Self::OtherCluster
            | Self::TimelineBehind { .. }
            | Self::TimelineUnknown
            | Self::NotInFailsafe
            | Self::MayHaveConsented
            | Self::Lags { .. }
            | Self::NotReached { .. }
            | Self::PrimaryAlive(_)
            | Self::PeerAhead { .. }
            | Self::PeerPreferred(_)
            | Self::NoQuorum { .. }
            | Self::NotTheCandidate(_)
            | Self::FormerLeader
            | Self::Superseded(_)
            | Self::Outdated(_) => self.to_string(),
        }
    }
}

/// What makes the answer of a peer useless for a promotion, whatever its position.
pub(crate) fn limitation(answer: &PeerAnswer) -> Option<Ineligible> {
    match &answer.reply {
        Err(error) => Some(Ineligible::Unreachable(error.clone())),
        Ok(status) if status.tags.nofailover() => Some(Ineligible::NotAllowed),
        Ok(status) if status.watchdog_failed => Some(Ineligible::NoWatchdog),
        Ok(_) => None,
    }
}

/// Whether a position lags more than allowed behind the last one the leader published.
pub(crate) fn lag(cx: &Cx<'_>, position: Lsn) -> Option<Ineligible> {
    lagging(&cx.view, cx.settings, position).filter(|_| !cx.mutated(Mutant::LagIgnored))
}

fn lagging(view: &Cluster, settings: &Dynamic, position: Lsn) -> Option<Ineligible> {
    let lag_bytes = position.lag_behind(view.status.optime);
    let limit_bytes = settings.maximum_lag_on_failover;
    let too_much = i128::from(lag_bytes) > i128::from(limit_bytes);
    // A position ahead of the published one has no lag, not even against a negative limit.
    (too_much && lag_bytes > 0).then_some(Ineligible::Lags {
        lag_bytes,
        limit_bytes,
    })
}

/// What keeps another member from taking over, by the view and by its answer: the judgement of
/// the rules as far as it needs no cycle, for people who ask before anything happens.
pub fn obstacles(view: &Cluster, settings: &Dynamic, answer: &PeerAnswer) -> Vec<Ineligible> {
    let barred = barred(view, is_sync_active(view, settings), &answer.name);
    let mut found: Vec<Ineligible> = barred.into_iter().chain(limitation(answer)).collect();
    found.dedup();
    if let Ok(status) = &answer.reply {
        let left = left_branch(view.timeline(), status);
        found.extend(
            left.map(|(timeline, cluster)| Ineligible::TimelineBehind { timeline, cluster }),
        );
        found.extend(lagging(view, settings, status.position));
    }
    found
}

/// The synchronous mode is on and somebody wrote the key.
pub(crate) fn is_sync_active(view: &Cluster, settings: &Dynamic) -> bool {
    settings.is_synchronous() && !view.sync.is_empty()
}

/// An election needs votes. A key with votes in it keeps its meaning until the primary has taken
/// them out, whatever the mode is called by now: its voters have everything only together.
pub(crate) fn votes_count(view: &Cluster, settings: &Dynamic) -> bool {
    let quorum_mode = settings.synchronous_mode == SynchronousMode::Quorum;
    is_sync_active(view, settings) && (quorum_mode || view.sync.quorum > 0)
}

/// Whether an election would be short of votes if so many members were fit to lead.
pub fn is_short_of_votes(view: &Cluster, settings: &Dynamic, fit: usize) -> bool {
    votes_count(view, settings) && fit > 0 && fit - 1 < view.sync.quorum
}

/// What the view alone holds against a member.
fn barred(view: &Cluster, synchronous: bool, name: &MemberName) -> Option<Ineligible> {
    let member = view.member(name);
    if member.is_none_or(|member| member.data.tags().nofailover()) {
        return Some(Ineligible::NotAllowed);
    }
    (synchronous && !view.sync.has_standby(name)).then_some(Ineligible::NotSynchronous)
}

/// The members with an address to ask at, except this node.
pub(crate) fn askable(cx: &Cx<'_>) -> Vec<Peer> {
    cx.view
        .members
        .iter()
        .filter(|member| !cx.is_me(&member.name))
        .filter_map(peer)
        .collect()
}

/// A member as somebody to ask.
pub(crate) fn peer(member: &Member) -> Option<Peer> {
    Some(Peer {
        name: member.name.clone(),
        url: member.data.api_url()?.to_owned(),
    })
}

/// What an automatic or requested change of leader looks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// A candidate must have reached this; `None` means the usual lag rule.
    pub(crate) target: Option<Lsn>,
    /// A candidate that is known to be unfit.
    pub(crate) excluded: Option<MemberName>,
}

/// The members that may take over from this node by the view alone.
pub(crate) fn candidates(cx: &mut Cx<'_>, search: &Search) -> Vec<Peer> {
    let request: Option<FailoverRequest> =
        cx.view.failover_request().map(|key| key.request.clone());
    let action = Action::of(request.as_ref());
    let asked = request.as_ref().and_then(|r| r.candidate.clone());
    let synchronous = cx.sync_active() && action != Action::ManualFailover;
    let mut peers = askable(cx);
    peers.retain(|peer| match (&search.excluded, &asked) {
        (Some(excluded), _) => peer.name != *excluded,
        (None, Some(asked)) => peer.name == *asked,
        (None, None) => true,
    });
    peers.retain(|peer| {
        let Some(reason) = barred(&cx.view, synchronous, &peer.name) else {
            return true;
        };
        let name = peer.name.clone();
        cx.refused.push(Refusal { name, reason });
        false
    });
    if peers.is_empty() {
        match asked {
            Some(candidate) if synchronous && !cx.view.sync.has_standby(&candidate) => {
                let standbys = NameList::of(&cx.view.sync.standbys);
                cx.say(Text::CandidateNotSync {
                    title: action.title().to_owned(),
                    candidate,
                    standbys,
                });
            }
            Some(_) | None => cx.say(Text::CandidatesEmpty { action }),
        }
    }
    peers
}

/// Whether somebody else could take over now: the question before every step down.
pub(crate) fn failover_possible(cx: &mut Cx<'_>, search: &Search) -> Asked<bool> {
    let peers = candidates(cx, search);
    any_fit(cx, peers, search.target)
}

/// Whether one of these peers is reachable, allowed to lead and far enough.
pub(crate) fn any_fit(cx: &mut Cx<'_>, peers: Vec<Peer>, target: Option<Lsn>) -> Asked<bool> {
    let answers = cx.ask_peers(peers)?;
    let mut good = 0_usize;
    for answer in answers {
        match unfit(cx, &answer, target) {
            None => good += 1,
            Some(reason) => {
                let name = answer.name;
                cx.refused.push(Refusal { name, reason });
            }
        }
    }
    let named = cx
        .view
        .failover_request()
        .is_some_and(|key| key.request.candidate.is_some());
    if !named && is_short_of_votes(&cx.view, cx.settings, good) {
        let quorum = cx.view.sync.quorum;
        cx.say(Text::QuorumUnreachable { quorum });
        return Ok(false);
    }
    Ok(good > 0)
}

/// The same question without a word and without the lesser rules: whether one of them may lead
/// and has reached `target`.
pub(crate) fn any_reached(cx: &mut Cx<'_>, peers: Vec<Peer>, target: Lsn) -> Asked<bool> {
    let answers = cx.ask_peers_quietly(peers)?;
    let newest = newest_timeline(cx);
    Ok(answers.iter().any(|answer| {
        let reached = |status: &PeerStatus| {
            status.position >= target && left_branch(newest, status).is_none()
        };
        limitation(answer).is_none() && answer.reply.as_ref().is_ok_and(reached)
    }))
}

/// The timeline of the records that this node wrote as a primary. A promotion just before may be
/// missing from the history in the store.
fn newest_timeline(cx: &Cx<'_>) -> Option<Timeline> {
    cx.view.timeline().max(cx.timeline())
}

/// The timeline of a peer that is on an older one than `newest`, and that: no position there
/// tells what it has of the newer one.
fn left_branch(newest: Option<Timeline>, status: &PeerStatus) -> Option<(Timeline, Timeline)> {
    let (timeline, newest) = (status.timeline?, newest?);
    (timeline < newest).then_some((timeline, newest))
}

/// Why the answer of a candidate disqualifies it, said aloud.
fn unfit(cx: &mut Cx<'_>, answer: &PeerAnswer, target: Option<Lsn>) -> Option<Ineligible> {
    let name = answer.name.clone();
    if let Some(reason) = limitation(answer) {
        cx.say(Text::MemberIs {
            name,
            reason: reason.to_string(),
        });
        return Some(reason);
    }
    let status = answer.reply.as_ref().ok()?;
    let behind = match target {
        Some(target) if status.position < target => Some(Ineligible::NotReached {
            at: status.position,
            target,
        }),
        Some(_) => None,
        None => lag(cx, status.position),
    };
    if behind.is_some() {
        cx.say(Text::MemberLags { name });
        return behind;
    }
    // Whoever is to have a certain record cannot have it on a branch that was left before.
    if target.is_none() && !cx.settings.check_timeline {
        return None;
    }
    let newest = match target {
        Some(_) => newest_timeline(cx),
        None => cx.view.timeline(),
    };
    let (timeline, cluster) = left_branch(newest, status)?;
    cx.say(Text::MemberTimelineBehind {
        name,
        timeline,
        cluster,
    });
    Some(Ineligible::TimelineBehind { timeline, cluster })
}
