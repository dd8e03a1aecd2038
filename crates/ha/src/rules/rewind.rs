//! Have my data diverged, and what follows from it (HA contract 22).

use patroni_core::Role;
use patroni_core::server::ControlState;

use crate::command::{LeaderAddress, Parting, RewindSource};
use crate::context::Cx;
use crate::divergence::{self, Divergence, Trouble};
use crate::job::Job;
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::outcome::InspectFailure;
use crate::replay::Asked;
use crate::rules::reinit;
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// The server to compare with: the remote of a standby cluster, otherwise the leader.
pub(crate) fn source(cx: &Cx<'_>) -> Option<RewindSource> {
    if let Some(remote) = &cx.settings.standby_cluster {
        return Some(RewindSource::Remote {
            host: remote.host.clone()?,
            port: remote.port.clone(),
        });
    }
    leader_address(cx).map(RewindSource::Member)
}

/// The leader to ask: another member that is a primary and has an address.
pub(crate) fn leader_address(cx: &Cx<'_>) -> Option<LeaderAddress> {
    let leader = cx.view.leader_member()?;
    if cx.is_me(&leader.name) || leader.data.role() != Some(Role::Primary) {
        return None;
    }
    Some(LeaderAddress {
        name: leader.name.clone(),
        conn_url: leader.data.conn_url()?,
    })
}

/// Answers a check that is due, as far as the leader lets it, and tells whether a rewind (or a
/// new copy) has to come before the next start.
pub(crate) fn needed(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.can_rewind_or_wipe() {
        return Ok(false);
    }
    if cx.memory.rewind == RewindState::Check
        && let Some(source) = source(cx)
    {
        match compare(cx, &source)? {
            // What is left of half rewound data tells nothing of what they lack.
            Comparison::NothingLocal | Comparison::Agrees if cx.server.half_rewound => {
                cx.memory.rewind = RewindState::Need;
            }
            Comparison::NothingLocal | Comparison::Unknown => {}
            Comparison::Agrees => {
                cx.memory.rewind = RewindState::NotNeed;
                cx.memory.divergence = None;
            }
            Comparison::Diverged(why) => note(cx, why),
        }
    }
    Ok(cx.memory.rewind == RewindState::Need)
}

/// Takes a divergence as the answer to the check.
pub(crate) fn note(cx: &mut Cx<'_>, why: Divergence) {
    cx.memory.rewind = RewindState::Need;
    cx.memory.divergence = Some(why);
}

/// What a comparison of histories came to.
pub(crate) enum Comparison {
    /// The local data tell no position.
    NothingLocal,
    /// The leader did not answer, or not enough is known yet.
    Unknown,
    /// The local data are a part of the leader's history.
    Agrees,
    /// They are not.
    Diverged(Divergence),
}

/// One comparison of histories.
pub(crate) fn compare(cx: &mut Cx<'_>, source: &RewindSource) -> Asked<Comparison> {
    let Some(local) = cx.local_position()? else {
        return Ok(Comparison::NothingLocal);
    };
    cx.say(Text::LocalTimeline {
        timeline: local.timeline,
        lsn: local.lsn,
    });
    let inspection = match cx.inspect_leader(source.clone())? {
        Ok(inspection) => inspection,
        Err(InspectFailure::InRecovery) => {
            cx.say(Text::LeaderInRecovery);
            return Ok(Comparison::Unknown);
        }
        // Why stands in the log: whoever asked has said it.
        Err(InspectFailure::Failed(_)) => return Ok(Comparison::Unknown),
    };
    cx.say(Text::PrimaryTimeline {
        timeline: inspection.timeline,
    });
    let judged = divergence::judge(&local, &inspection);
    if let Some(lines) = judged.lines {
        cx.say(Text::PrimaryHistory { lines });
    }
    let Some(why) = judged
        .found
        .filter(|_| !cx.mutated(Mutant::DivergenceIgnored))
    else {
        // Where the data end decides the rest, and that shows only after their recovery.
        return Ok(if local.unfinished {
            Comparison::Unknown
        } else {
            Comparison::Agrees
        });
    };
    cx.say(Text::HasDiverged {
        source: source.clone(),
        why: why.clone(),
    });
    Ok(Comparison::Diverged(why))
}

/// Rewinds or copies anew where that is needed and possible; `None` means go on.
pub(crate) fn rewind_or_reinit(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    if !needed(cx)? {
        return Ok(None);
    }
    let Some(source) = source(cx) else {
        return Ok(None);
    };
    let Some((job, result)) = repair(cx, source) else {
        return Ok(None);
    };
    Ok(Some(match cx.schedule(job)? {
        Ok(()) => result,
        Err(action) => CycleResult::InProgress { action },
    }))
}

/// What repairs the data: a rewind where one can, else a new copy where that is allowed. Without
/// either the node goes on as it is, and says so.
fn repair(cx: &mut Cx<'_>, source: RewindSource) -> Option<(Job, CycleResult)> {
    let found = cx.memory.divergence.clone();
    let repeated = match (&found, &cx.memory.rewound) {
        (Some(now), Some(before)) => now.is_again(before),
        (None, _) | (_, None) => false,
    };
    let by_rewind = found.as_ref().is_none_or(Divergence::can_be_rewound) && !repeated;
    if cx.can_rewind() && by_rewind {
        let halfway = cx
            .server
            .control
            .as_ref()
            .is_some_and(|control| control.state == ControlState::InArchiveRecovery);
        let whole = !cx.server.half_rewound;
        if halfway && whole && !cx.is_running() && cx.memory.crash_recovery_tried.is_none() {
            cx.memory.crash_recovery_tried = Some(cx.now());
            return Some((Job::CrashRecovery, CycleResult::SingleUserRecovery));
        }
        let result = CycleResult::Rewinding {
            leader: source.clone(),
        };
        let parting = found.as_ref().map_or(Parting::Plain, Divergence::parting);
        let job = Job::Rewind { source, parting };
        return Some((job, result));
    }
    // What `pg_rewind` cannot repair counts as a rewind that failed.
    let failed = cx.can_rewind() && cx.node.wipe_on_rewind_failure;
    let may_wipe = cx.node.wipe_on_divergence || failed;
    if may_wipe
        && !cx.in_standby_cluster()
        && let Some(copy) = reinit::source(cx)
    {
        let job = Job::Reinitialize {
            source: copy.from,
            diverged: true,
        };
        return Some((job, CycleResult::Reinitializing));
    }
    if let Some(why) = found {
        report(cx, source, why);
    }
    None
}

/// Nothing that may be done repairs the data: a person has to know.
pub(crate) fn report(cx: &mut Cx<'_>, source: RewindSource, why: Divergence) {
    cx.say(Text::CannotRepair { why: why.clone() });
    cx.memory.rewind = RewindState::Failed;
    cx.memory.trouble = Some(Trouble::Diverged { source, why });
}
