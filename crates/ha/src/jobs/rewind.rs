//! Repairing diverged data (PostgreSQL contract 14.5).

use patroni_core::{Role, State};

use super::ended;
use crate::command::{Parting, RewindSource, StopMode, StopRequest, Until, WipeReason};
use crate::context::Cx;
use crate::job::{Effect, JobEnd};
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::outcome::RewindOutcome;
use crate::replay::Asked;
use crate::sentence::Text;

/// Finishes a crash in single-user mode, so that the data have an end that can be compared.
pub(super) fn crash_recovery(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    cx.archive_ready_wal()?;
    let good = cx.single_user_recovery()?;
    Ok(ended(good))
}

/// `pg_rewind`, when the leader is ready to be rewound to.
pub(super) fn rewind(cx: &mut Cx<'_>, source: &RewindSource, parting: Parting) -> Asked<JobEnd> {
    if cx.is_running() {
        let outcome = cx.stop(StopRequest {
            mode: StopMode::Fast,
            checkpoint: false,
            until: Until::Exit,
            timeout: None,
            restart: false,
            announce: false,
        })?;
        if !outcome.stopped {
            cx.say(Text::RewindServerRuns);
            return Ok(ended(false));
        }
    }
    // Of a fork the archive must not get WAL under the names of the other side's.
    if parting == Parting::Plain {
        cx.archive_ready_wal()?;
    }
    if !is_ready(cx, source)? {
        return Ok(ended(false));
    }
    match cx.pg_rewind(source.clone(), parting)? {
        RewindOutcome::Success => {
            cx.effects.push(Effect::Rewind(RewindState::Success));
            Ok(JobEnd::Success)
        }
        RewindOutcome::ServerRuns => {
            cx.say(Text::RewindServerRuns);
            Ok(ended(false))
        }
        RewindOutcome::LeaderGone { retry } => {
            cx.say(Text::RewindLeaderGone {
                name: source.clone(),
            });
            if !retry {
                failed(cx)?;
            }
            Ok(ended(false))
        }
        RewindOutcome::Failed => {
            cx.say(Text::RewindFailed {
                name: source.clone(),
            });
            failed(cx)?;
            Ok(ended(false))
        }
    }
}

/// The leader's control file is on its new timeline: its member object says so by not saying
/// otherwise. A remote has no such object, and is asked when the rewind begins.
fn is_ready(cx: &mut Cx<'_>, source: &RewindSource) -> Asked<bool> {
    if cx.mutated(Mutant::RewindTooEarly) {
        return Ok(true);
    }
    let RewindSource::Member(leader) = source else {
        return Ok(true);
    };
    let fresh = cx.try_reload()?;
    let member = cx.view.leader_member().filter(|m| m.name == leader.name);
    let Some(member) = member.filter(|_| fresh) else {
        cx.say(Text::CannotUseForRewind {
            name: source.clone(),
            reason: "not accessible or not healthy".to_owned(),
        });
        return Ok(false);
    };
    if member.data.role() == Some(Role::Primary) && !member.data.awaits_checkpoint() {
        return Ok(true);
    }
    cx.say(Text::WaitingForCheckpoint {
        name: source.clone(),
    });
    Ok(false)
}

/// What the configuration wants done with data that cannot be rewound.
fn failed(cx: &mut Cx<'_>) -> Asked<()> {
    let (setting, why) = if cx.node.wipe_on_rewind_failure {
        (
            "remove_data_directory_on_rewind_failure",
            WipeReason::RewindFailed,
        )
    } else if cx.node.wipe_on_divergence {
        (
            "remove_data_directory_on_diverged_timelines",
            WipeReason::Diverged,
        )
    } else {
        cx.effects.push(Effect::Rewind(RewindState::Failed));
        return Ok(());
    };
    cx.say(Text::Removing {
        setting: setting.to_owned(),
    });
    cx.set_state(State::Stopped)?;
    cx.remove_data_dir(why)?;
    cx.effects.push(Effect::Rewind(RewindState::Initial));
    Ok(())
}
