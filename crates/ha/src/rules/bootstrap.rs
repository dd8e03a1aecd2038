//! An empty data directory: make a cluster, or copy one (HA contract 6).

use patroni_core::server::CheckpointTask;
use patroni_core::sync_names::SyncKind;
use patroni_core::{Lsn, MemberName, Role, State, SyncNames, Upstream};
use serde_json::Map;

use crate::command::{CallbackEvent, CloneSource};
use crate::context::Cx;
use crate::job::Job;
use crate::lease::Again;
use crate::memory::{BootstrapPhase, RewindState};
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::{Decided, follow, reinit};
use crate::sentence::Text;
use crate::verdict::{CycleResult, Exit};

/// Rows B1 to B4.
pub(crate) fn bootstrap(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    let unlocked = cx.view.is_unlocked();
    if unlocked
        && cx.view.initialize.is_none()
        && !cx.node.tags.nofailover()
        && cx.node.may_bootstrap
    {
        cx.rule = Rule::B1;
        if let Some(name) = member_with_data(cx) {
            cx.say(Text::LostIdentity { name });
        } else if cx.view.status.optime > Lsn::ZERO {
            let position = cx.view.status.optime;
            cx.say(Text::LostIdentityOfCluster { position });
        } else {
            return new_cluster(cx);
        }
    }
    if let Some(source) = reinit::source(cx) {
        cx.rule = Rule::B2;
        return clone(cx, source.from, source.message, source.upstream);
    }
    let announced = cx.view.initialize.as_deref() != Some("");
    if unlocked && cx.node.can_clone_without_leader && announced {
        cx.rule = Rule::B3;
        let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
        let message = "(without leader)".to_owned();
        return clone(cx, CloneSource::Nobody, message, upstream);
    }
    cx.rule = Rule::B4;
    Ok(if cx.in_standby_cluster() {
        CycleResult::WaitingForStandbyLeader
    } else {
        CycleResult::WaitingForLeader
    })
}

/// Somebody who has data is in a cluster, whatever has become of the key of its identity. The
/// reference makes a second one beside it.
pub(super) fn member_with_data(cx: &Cx<'_>) -> Option<MemberName> {
    let mut others = cx
        .view
        .members
        .iter()
        .filter(|member| !cx.is_me(&member.name));
    let with_data = others.find(|member| member.data.position().is_some());
    with_data.map(|member| member.name.clone())
}

fn new_cluster(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    if !cx.begin_initialize()? {
        return Ok(CycleResult::NoInitializeLock);
    }
    let (job, result) = if cx.in_standby_cluster() {
        (
            Job::BootstrapStandbyLeader,
            CycleResult::BootstrappingStandbyLeader,
        )
    } else {
        (Job::Bootstrap, CycleResult::Bootstrapping)
    };
    match cx.schedule(job)? {
        Ok(()) => {
            cx.memory.bootstrap = BootstrapPhase::Creating;
            Ok(result)
        }
        Err(action) => {
            cx.cancel_initialize()?;
            Ok(CycleResult::InProgress { action })
        }
    }
}

fn clone(
    cx: &mut Cx<'_>,
    source: CloneSource,
    message: String,
    upstream: Upstream,
) -> Asked<CycleResult> {
    cx.memory.rewind = RewindState::Initial;
    let job = Job::Clone {
        source,
        message: message.clone(),
        upstream,
    };
    Ok(match cx.schedule(job)? {
        Ok(()) => CycleResult::Cloning { source: message },
        Err(action) => CycleResult::InProgress { action },
    })
}

/// Row A10: the data directory is made; bring the cluster to life, or clean up.
pub(crate) fn post_bootstrap(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Decided> {
    let failed = cx.memory.bootstrap == BootstrapPhase::Failed;
    if failed || !cx.is_running() || cx.server.state == State::CustomBootstrapFailed {
        return give_up(cx);
    }
    if cx.status().is_none() {
        return Ok((CycleResult::WaitingForRecovery, None));
    }
    if cx.in_standby_cluster() {
        return announce(cx, obs);
    }
    match cx.memory.bootstrap {
        BootstrapPhase::Ready => announce(cx, obs),
        BootstrapPhase::None
        | BootstrapPhase::Creating
        | BootstrapPhase::PostInit
        | BootstrapPhase::Failed => bring_to_life(cx),
    }
}

fn bring_to_life(cx: &mut Cx<'_>) -> Asked<Decided> {
    if cx
        .status()
        .is_none_or(patroni_core::server::ServerStatus::in_recovery)
    {
        return Ok((CycleResult::WaitingForRecovery, None));
    }
    cx.set_role(Role::Primary)?;
    Ok(match cx.schedule(Job::PostBootstrap)? {
        Ok(()) => {
            cx.memory.bootstrap = BootstrapPhase::PostInit;
            (CycleResult::RunningPostBootstrap, None)
        }
        Err(action) => (CycleResult::InProgress { action }, None),
    })
}

/// The order matters: identity, configuration, lock.
fn announce(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Decided> {
    // A standby leader takes no writes: there is nothing that a reset would have to prevent.
    if !cx.in_standby_cluster() && !cx.watchdog_activate()? {
        cx.say(Text::WatchdogStopsBootstrap);
        return give_up(cx);
    }
    // Its end wakes the loop, so a store that refuses the lock must not see it begun again.
    if cx.server.checkpoint == CheckpointTask::Idle && cx.is_primary() {
        cx.start_checkpoint()?;
    }
    let Some(id) = cx.system_id().cloned() else {
        return give_up(cx);
    };
    cx.set_system_id(id)?;
    cx.memory.seen_identity = true;
    cx.write_config(Map::clone(&obs.config_in_memory), None)?;
    cx.take_leader()?;
    if cx.settings.is_synchronous() {
        let names = if cx.settings.synchronous_mode_strict {
            SyncNames::any_standby(SyncKind::Priority)
        } else {
            SyncNames::off()
        };
        cx.set_sync_names(names)?;
    }
    cx.memory.bootstrap = BootstrapPhase::None;
    cx.run_callback(CallbackEvent::Start)?;
    // The members that wait for this leader need their slots before they can stream.
    cx.again = Some(Again::SOON);
    Ok((CycleResult::Initialized, None))
}

/// Leaves no half cluster behind that somebody could join.
fn give_up(cx: &mut Cx<'_>) -> Asked<Decided> {
    cx.say(Text::RemovingInitialize);
    cx.cancel_initialize()?;
    leave_nothing(cx)?;
    cx.memory.bootstrap = BootstrapPhase::None;
    let exit = Exit {
        code: 1,
        message: CycleResult::BootstrapFailed.to_string(),
        leave_server: false,
    };
    Ok((CycleResult::BootstrapFailed, Some(exit)))
}

/// The server of a cluster that comes to nothing ends, and its data are put aside; `false` when
/// it could not be stopped.
pub(crate) fn leave_nothing(cx: &mut Cx<'_>) -> Asked<bool> {
    let outcome = cx.stop_immediately(Some(cx.settings.retry_timeout))?;
    cx.watchdog_disable()?;
    // Never under a server that may still run on it.
    if outcome.stopped {
        cx.move_data_dir_aside()?;
    }
    Ok(outcome.stopped)
}
