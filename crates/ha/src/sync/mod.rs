//! Synchronous mode (HA contract 18 and 19): the store's key and `synchronous_standby_names` in
//! step.
//!
//! What is always true: every acknowledged commit is on every node, or every group of nodes,
//! that the key allows to be elected. Hence PostgreSQL first when adding, the store first when
//! removing. [`priority`] keeps that for single names, [`quorum`] for groups.

mod priority;
mod quorum;
mod setting;
mod standbys;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use patroni_core::server::ServerStatus;
use patroni_core::sync_names::SyncKind;
use patroni_core::{MemberName, SyncNames, SyncState};

use crate::context::Cx;
use crate::memory::SyncMemory;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::sentence::{OrNone, Text};

pub use watch::StandbyWatch;

/// How long PostgreSQL gets to take new standbys as synchronous before they are judged again.
const SETTLING: Duration = Duration::from_secs(2);

/// The work of each cycle on the primary.
pub(crate) fn process(cx: &mut Cx<'_>) -> Asked<()> {
    if !cx.settings.is_synchronous() {
        return switch_off(cx);
    }
    // A server that does not answer, or has not left recovery, has no position to go by.
    if cx.status().is_none_or(ServerStatus::in_recovery) {
        return Ok(());
    }
    if cx.view.sync.is_empty() && !enable(cx)? {
        return Ok(());
    }
    if cx.quorum_mode() {
        return quorum::adjust(cx);
    }
    if own_key(cx)? {
        priority::adjust(cx)?;
    }
    Ok(())
}

/// The mode is off: no key, and nobody is waited for.
fn switch_off(cx: &mut Cx<'_>) -> Asked<()> {
    if cx.view.sync.is_empty() {
        return Ok(());
    }
    if cx.mutated(Mutant::SettingBeforeKey) {
        cx.set_sync_names(SyncNames::off())?;
        cx.wait(SETTLING)?;
    }
    if !cx.delete_sync()? {
        // Not while somebody may still be elected by the key.
        return Ok(());
    }
    cx.say(Text::SyncDisabled);
    cx.set_sync_names(SyncNames::off())?;
    Ok(())
}

/// Writes the first key: nobody is synchronous yet.
fn enable(cx: &mut Cx<'_>) -> Asked<bool> {
    let alone = state_of(cx.me(), BTreeSet::new());
    let written = cx.write_sync(alone)?;
    cx.say(if written {
        Text::SyncEnabled
    } else {
        Text::SyncUpdateFailed
    });
    Ok(written)
}

/// The key names this node as its writer.
fn own_key(cx: &mut Cx<'_>) -> Asked<bool> {
    let me = cx.me().clone();
    if cx.view.sync.is_leader(&me) {
        return Ok(true);
    }
    cx.say(Text::SyncLeaderDiffers {
        leader: OrNone(cx.view.sync.leader.clone()),
        me: me.clone(),
    });
    let written = cx.write_sync(state_of(&me, BTreeSet::new()))?;
    if !written {
        cx.say(Text::SyncUpdateFailed);
    }
    Ok(written)
}

fn state_of(me: &MemberName, standbys: BTreeSet<MemberName>) -> SyncState {
    SyncState::new(Some(me.clone()), 0, standbys)
}

/// Before a promotion (18.4). Priority mode: nobody but this node may be elected until new
/// standbys have caught up. Quorum mode: the electorate stays, and commits will wait for so many
/// of its nodes that they meet every group of it. False when somebody else changed the key
/// meanwhile.
pub(crate) fn before_promote(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.settings.is_synchronous() {
        switch_off(cx)?;
        return Ok(true);
    }
    // What was known of standbys is from an earlier time as primary, if anything.
    cx.memory.sync = SyncMemory::default();
    if cx.quorum_mode() && !cx.view.sync.is_empty() {
        return quorum::before_promote(cx);
    }
    let me = cx.me().clone();
    if !cx.write_sync(state_of(&me, BTreeSet::new()))? {
        return Ok(false);
    }
    let names = if cx.settings.synchronous_mode_strict {
        let kind = quorum::kind(cx).unwrap_or(SyncKind::Priority);
        SyncNames::any_standby(kind)
    } else {
        SyncNames::off()
    };
    cx.set_sync_names(names)?;
    Ok(true)
}

/// Before a restart or the end of a standby: asks the primary to wait for others instead, and
/// gives it up to two cycles (18.5).
pub(crate) fn leave(cx: &mut Cx<'_>) -> Asked<()> {
    let me = cx.me().clone();
    let leads = cx.view.leader_name().is_some_and(|name| cx.is_me(name));
    if leads || !cx.settings.is_synchronous() || cx.node.tags.nosync() {
        return Ok(());
    }
    cx.memory.leaving_sync = true;
    if cx.touch_member()? != crate::outcome::Written::Yes {
        cx.say(Text::SyncLeaveNoTouch);
        return Ok(());
    }
    let deadline = cx.now() + cx.settings.loop_wait * 2;
    loop {
        if !cx.try_reload()? {
            cx.say(Text::SyncLeaveNoView);
            return Ok(());
        }
        if !cx.view.sync.has_standby(&me) || cx.now() >= deadline {
            return Ok(());
        }
        cx.say(Text::WaitingForRelease);
        cx.wait_for_store(SETTLING)?;
    }
}
