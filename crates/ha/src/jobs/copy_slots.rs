//! Copying logical slots from the primary (PostgreSQL contract 13.5).

use std::time::Duration;

use patroni_core::server::{ServerStatus, SlotKind};
use patroni_core::{Lsn, Role, Upstream};

use super::{ended, start};
use crate::command::{
    LeaderAddress, LogicalSlot, SlotFile, StartRequest, StopMode, StopRequest, Until,
};
use crate::context::Cx;
use crate::job::{Effect, JobEnd};
use crate::outcome::{FetchFailure, FetchedSlot};
use crate::replay::Asked;
use crate::rules::follow;
use crate::sentence::Text;
use crate::slots;

/// How often, and with which pause, the replay is looked at.
const LOOKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Reads the slots there, and installs them here while the server is down.
///
/// A slot whose confirmed position this node has not replayed is left for another time: were the
/// node promoted with it, its new changes up to that position would be skipped for ever.
pub(super) fn run(
    cx: &mut Cx<'_>,
    leader: &LeaderAddress,
    wanted: &[LogicalSlot],
) -> Asked<JobEnd> {
    let fetched = match cx.fetch_slots(leader.clone(), wanted.to_vec())? {
        Ok(fetched) => fetched,
        Err(FetchFailure::Query(error)) => {
            cx.say(Text::SlotsNotCopied {
                name: leader.name.clone(),
                error,
            });
            return Ok(ended(false));
        }
        Err(FetchFailure::Connect(error)) => {
            cx.say(Text::JobException {
                name: "copy_logical_slots".to_owned(),
                error,
            });
            return Ok(ended(false));
        }
    };
    let mut fetched = matching(cx, wanted, fetched);
    let replayed = await_replay(cx, &fetched)?;
    fetched.retain(|slot| {
        let reached = slot.confirmed <= replayed;
        if !reached {
            cx.say(Text::SlotAheadOfReplay {
                slot: slot.name.clone(),
                confirmed: slot.confirmed,
                replayed,
            });
        }
        reached
    });
    keep_usable(cx, &mut fetched)?;
    if fetched.is_empty() {
        return Ok(ended(false));
    }
    install(cx, fetched)
}

/// A slot that could not move because its WAL is not here is left alone until the primary's needs
/// no older WAL than there is: another copy of the same would cost a restart and change nothing.
///
/// One that is missing is copied in any case. A consumer that cannot read it after a failover
/// learns that there is a gap; a slot made anew there would hide it.
fn keep_usable(cx: &mut Cx<'_>, fetched: &mut Vec<FetchedSlot>) -> Asked<()> {
    let stale = cx.memory.slots.stale.clone();
    if !fetched.iter().any(|slot| stale.contains(&slot.name)) {
        return Ok(());
    }
    let from = match cx.read_wal_start()? {
        Ok(from) => from,
        Err(error) => {
            cx.say(Text::WalNotRead { error });
            fetched.retain(|slot| !stale.contains(&slot.name));
            return Ok(());
        }
    };
    fetched.retain(|slot| {
        let usable = slot.restart >= from || !stale.contains(&slot.name);
        if !usable {
            cx.say(Text::SlotLacksWal {
                slot: slot.name.clone(),
                restart: slot.restart,
                from,
            });
        }
        usable
    });
    Ok(())
}

/// Those that are there as they are configured.
fn matching(
    cx: &mut Cx<'_>,
    wanted: &[LogicalSlot],
    fetched: Vec<FetchedSlot>,
) -> Vec<FetchedSlot> {
    let mut good = Vec::new();
    for slot in fetched {
        let Some(configured) = wanted.iter().find(|wanted| wanted.name == slot.name) else {
            continue;
        };
        let wanted = SlotKind::Logical {
            plugin: configured.plugin.clone(),
            database: configured.database.clone(),
        };
        if slot.kind == wanted {
            good.push(slot);
        } else {
            cx.say(Text::SlotMismatch {
                slot: slot.name,
                configured: slots::described(&wanted),
                found: slots::described(&slot.kind),
            });
        }
    }
    good
}

/// Gives the replay a moment to reach the slots; the position that it has reached.
fn await_replay(cx: &mut Cx<'_>, fetched: &[FetchedSlot]) -> Asked<Lsn> {
    let Some(furthest) = fetched.iter().map(|slot| slot.confirmed).max() else {
        return Ok(Lsn::ZERO);
    };
    for look in 0..LOOKS {
        if look > 0 {
            cx.wait(PAUSE)?;
        }
        cx.requery()?;
        if replayed(cx) >= furthest {
            break;
        }
    }
    Ok(replayed(cx))
}

/// Zero unless this is a standby that tells it.
fn replayed(cx: &Cx<'_>) -> Lsn {
    cx.status()
        .filter(|status| ServerStatus::in_recovery(status))
        .and_then(|status| status.replayed)
        .unwrap_or_default()
}

fn install(cx: &mut Cx<'_>, fetched: Vec<FetchedSlot>) -> Asked<JobEnd> {
    let role = cx.server.role;
    let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
    let stopped = cx.stop(StopRequest {
        mode: StopMode::Fast,
        checkpoint: true,
        until: Until::Exit,
        timeout: None,
        restart: false,
        announce: false,
    })?;
    if !stopped.stopped {
        return Ok(ended(false));
    }
    let files: Vec<SlotFile> = fetched
        .into_iter()
        .map(|FetchedSlot { name, state, .. }| SlotFile { name, state })
        .collect();
    let names = files.iter().map(|file| file.name.clone()).collect();
    let installed = cx.install_slots(files)?;
    if installed {
        cx.effects.push(Effect::SlotsCopied(names));
    }
    let role = if role == Role::StandbyLeader {
        role
    } else {
        Role::Replica
    };
    let outcome = cx.start(StartRequest::new(role, upstream))?;
    Ok(match start::end_of(&outcome) {
        JobEnd::Success => ended(installed),
        other @ (JobEnd::Failure | JobEnd::Unfinished | JobEnd::Cancelled) => other,
    })
}
