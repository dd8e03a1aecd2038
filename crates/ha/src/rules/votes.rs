//! What the others answer to a candidate: who is ahead, who may not lead, whose vote counts.
//! (HA contract 10.2 and 12)

use std::cmp::Ordering;

use patroni_core::MemberName;

use crate::context::Cx;
use crate::eligibility::{self, Ineligible, Refusal};
use crate::lease::Again;
use crate::mutant::Mutant;
use crate::observation::{PeerAnswer, PeerStatus};
use crate::rules::race::failsafe_topology;
use crate::sentence::Text;

/// A standby on an older timeline than the cluster's: where timelines are checked it will never
/// lead, and its position, on a branch that was left, must not keep others from leading.
fn left_behind(cx: &Cx<'_>, answer: &PeerAnswer) -> Option<Ineligible> {
    let status = answer.reply.as_ref().ok().filter(|s| s.in_recovery)?;
    let (timeline, cluster) = (status.timeline?, cx.view.timeline()?);
    let checked = cx.settings.check_timeline && !cx.in_standby_cluster();
    (checked && timeline < cluster).then_some(Ineligible::TimelineBehind { timeline, cluster })
}

/// A standby that may not lead because it is not in the failsafe topology, which this node is in:
/// nobody waits for it, however much it has.
fn left_out(cx: &Cx<'_>, answer: &PeerAnswer) -> Option<Ineligible> {
    let topology = failsafe_topology(cx).filter(|members| members.contains_key(cx.me()))?;
    let standby = answer.reply.as_ref().is_ok_and(|status| status.in_recovery);
    (standby && !topology.contains_key(&answer.name)).then_some(Ineligible::NotInFailsafe)
}

/// What a standby has, compared with this node. Where votes decide, a later timeline is more than
/// any position on an earlier one: its first leader was elected with all that counted on the one
/// before.
pub(super) fn compared(cx: &Cx<'_>, status: &PeerStatus, votes: bool) -> Ordering {
    let mine = cx.position();
    match (status.timeline, cx.timeline()) {
        (Some(theirs), Some(ours)) if votes => (theirs, status.position).cmp(&(ours, mine)),
        (Some(_) | None, Some(_) | None) => status.position.cmp(&mine),
    }
}

/// Whether a standby has something that this node lacks.
fn is_ahead(cx: &Cx<'_>, status: &PeerStatus, votes: bool) -> bool {
    compared(cx, status, votes).is_gt()
}

/// Whether a primary may write on without the lock. The lease of the lock ends the time of one
/// whose daemon runs, or that is guarded. But one that lost the store in a pause does not hear of
/// its end; only who has seen a leader since then can exclude it.
fn may_be_led_unheard(cx: &Cx<'_>) -> bool {
    let unheard = cx.memory.old_view.is_none() || cx.memory.unresumed.is_some();
    (unheard || !cx.node.guarded) && !cx.in_standby_cluster()
}

/// Whether a standby may still acknowledge what a primary writes: it streams, or would again. In a
/// pause nobody lets go, and who is asked there to elect somebody answers for what streams no more.
fn has_not_let_go(cx: &Cx<'_>, status: &PeerStatus) -> bool {
    status.streams || (status.may_stream && !cx.paused())
}

/// A peer that is a primary speaks against every election.
fn no_primary(cx: &mut Cx<'_>, answer: &PeerAnswer) -> Result<(), Ineligible> {
    if answer
        .reply
        .as_ref()
        .map_or(true, |status| status.in_recovery)
    {
        return Ok(());
    }
    let name = answer.name.clone();
    cx.say(Text::PrimaryAlive { name: name.clone() });
    Err(Ineligible::PrimaryAlive(name))
}

/// The counting of answers.
pub(super) struct Count {
    former: Option<MemberName>,
    /// Who streams has no vote: a primary may be at the other end.
    streams_matter: bool,
    voter: bool,
    quorum: bool,
    votes: i64,
    somebody_ahead: bool,
}

impl Count {
    pub(super) fn new(cx: &Cx<'_>, answers: &[PeerAnswer]) -> Self {
        let active = cx.sync_active();
        let former = if active {
            cx.view.sync.leader.clone()
        } else {
            let old = cx.memory.old_view.as_ref();
            old.and_then(|view| view.leader_member().map(|member| member.name.clone()))
        };
        let voter = cx.view.sync.has_member(cx.me());
        let stands_by = |answer: &PeerAnswer| {
            let standby = answer.reply.as_ref().is_ok_and(|status| status.in_recovery);
            standby && former.as_ref() == Some(&answer.name)
        };
        Self {
            streams_matter: may_be_led_unheard(cx) && !answers.iter().any(stands_by),
            former,
            voter,
            quorum: cx.votes_count(),
            votes: if voter { 0 } else { -1 },
            somebody_ahead: false,
        }
    }

    pub(super) fn judge(
        mut self,
        cx: &mut Cx<'_>,
        answers: &[PeerAnswer],
    ) -> Result<(), Ineligible> {
        for answer in answers {
            let limitation = eligibility::limitation(answer);
            let may_not = || left_behind(cx, answer).or_else(|| left_out(cx, answer));
            if let Some(reason) = limitation.or_else(may_not) {
                self.take_vote(cx, answer);
                let name = answer.name.clone();
                cx.refused.push(Refusal { name, reason });
                continue;
            }
            self.take(cx, answer)?;
        }
        self.enough(cx)
    }

    /// Only the votes are counted, and nothing but a living primary speaks against this node.
    pub(super) fn by_votes(
        mut self,
        cx: &mut Cx<'_>,
        answers: &[PeerAnswer],
    ) -> Result<(), Ineligible> {
        for answer in answers {
            no_primary(cx, answer)?;
            self.take_vote(cx, answer);
            let standby = answer.reply.as_ref().ok().filter(|s| s.in_recovery);
            self.somebody_ahead |= standby.is_some_and(|status| is_ahead(cx, status, true));
        }
        self.enough(cx)
    }

    fn enough(&self, cx: &Cx<'_>) -> Result<(), Ineligible> {
        if !self.quorum {
            return Ok(());
        }
        let needed = cx.view.sync.quorum;
        let enough = self.votes >= i64::try_from(needed).unwrap_or(i64::MAX);
        if enough || (!self.somebody_ahead && cx.view.sync.is_leader(cx.me())) {
            return Ok(());
        }
        Err(Ineligible::NoQuorum {
            votes: self.votes,
            needed,
        })
    }

    /// A vote says "you have all that I have". So that of a voter which may not lead itself
    /// counts (the reference ignores it, and an election that depends on it never ends), and
    /// that of one with more does not, not even of the former leader (the reference counts it,
    /// and elects a node without commits that the former leader and a lost one had). Nor does
    /// that of one which has just started and cannot tell yet what it has, or which may still
    /// acknowledge what a primary writes.
    pub(super) fn take_vote(&mut self, cx: &mut Cx<'_>, answer: &PeerAnswer) {
        let Ok(status) = &answer.reply else { return };
        let standby = status.in_recovery && status.position.bytes() > 0;
        let voter = self.quorum && standby && cx.view.sync.has_member(&answer.name);
        if !voter || is_ahead(cx, status, true) {
            return;
        }
        let name = answer.name.clone();
        if status.replays_own_wal && !cx.mutated(Mutant::YoungVoterCounts) {
            cx.say(Text::VoterReplays { name });
            return;
        }
        if self.streams_matter && has_not_let_go(cx, status) {
            cx.say(Text::VoterStreams { name });
            // Without a leader it stops doing so in a moment.
            cx.again = Some(Again::SOON);
            return;
        }
        cx.say(Text::QuorumVote { name });
        self.votes += 1;
    }

    fn take(&mut self, cx: &mut Cx<'_>, answer: &PeerAnswer) -> Result<(), Ineligible> {
        let (name, mine) = (answer.name.clone(), cx.position());
        let Ok(status) = &answer.reply else {
            return Ok(());
        };
        no_primary(cx, answer)?;
        if is_ahead(cx, status, self.quorum) {
            cx.say(Text::PeerAhead { name: name.clone() });
            if !(cx.sync_active() && cx.view.sync.is_leader(&name)) {
                return Err(Ineligible::PeerAhead {
                    name,
                    theirs: status.position,
                    mine,
                });
            }
            cx.say(Text::FormerLeaderAhead);
            self.somebody_ahead = true;
        }
        if status.position.bytes() == 0 {
            return Ok(());
        }
        self.take_vote(cx, answer);
        let theirs = status.tags.failover_priority();
        let ours = cx.node.tags.failover_priority();
        if status.position != mine || theirs <= ours || (self.quorum && !self.voter) {
            return Ok(());
        }
        let former = self
            .former
            .as_ref()
            .is_some_and(|former| former.matches(name.as_str()));
        if former {
            cx.say(Text::FormerLeaderPriority {
                name,
                theirs,
                mine: ours,
            });
            return Ok(());
        }
        cx.say(Text::PeerPriority {
            name: name.clone(),
            theirs,
            mine: ours,
        });
        Err(Ineligible::PeerPreferred(name))
    }
}
