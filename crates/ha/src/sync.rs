//! Synchronous mode (HA contract 18): the store's key and `synchronous_standby_names` in step.
//!
//! What is always true: a name in the key is listed in `synchronous_standby_names` and has
//! caught up, so every acknowledged commit is on some node that may be elected. Hence PostgreSQL
//! first when adding, the store first when removing.

use std::collections::BTreeSet;
use std::time::Duration;

use patroni_core::server::{ServerStatus, WalSender};
use patroni_core::sync_names::SyncKind;
use patroni_core::{Lsn, Member, MemberName, SyncNames, SyncState};

use crate::context::Cx;
use crate::replay::Asked;
use crate::sentence::{NameList, OrNone, Text};

/// How long PostgreSQL gets to take new standbys as synchronous before they are judged again.
const SETTLING: Duration = Duration::from_secs(2);

/// The work of each cycle on the primary.
pub(crate) fn process(cx: &mut Cx<'_>) -> Asked<()> {
    if !cx.settings.is_synchronous() {
        return switch_off(cx);
    }
    if cx.quorum_mode() && !cx.memory.warned_quorum {
        cx.memory.warned_quorum = true;
        cx.say(Text::QuorumAsPriority);
    }
    if cx.status().is_none() || !own_key(cx)? {
        return Ok(());
    }
    adjust(cx)
}

/// The mode is off: no key, and nobody is waited for.
fn switch_off(cx: &mut Cx<'_>) -> Asked<()> {
    if cx.view.sync.is_empty() {
        return Ok(());
    }
    if !cx.delete_sync()? {
        // Not while somebody may still be elected by the key.
        return Ok(());
    }
    cx.say(Text::SyncDisabled);
    cx.set_sync_names(SyncNames::off())?;
    Ok(())
}

/// The key exists and names this node as its writer.
fn own_key(cx: &mut Cx<'_>) -> Asked<bool> {
    let me = cx.me().clone();
    if cx.view.sync.is_empty() {
        if !cx.write_sync(state_of(&me, BTreeSet::new()))? {
            cx.say(Text::SyncUpdateFailed);
            return Ok(false);
        }
        cx.say(Text::SyncEnabled);
    } else if !cx.view.sync.is_leader(&me) {
        cx.say(Text::SyncLeaderDiffers {
            leader: OrNone(cx.view.sync.leader.clone()),
            me: me.clone(),
        });
        if !cx.write_sync(state_of(&me, BTreeSet::new()))? {
            cx.say(Text::SyncUpdateFailed);
            return Ok(false);
        }
    }
    Ok(true)
}

fn state_of(me: &MemberName, standbys: BTreeSet<MemberName>) -> SyncState {
    SyncState::new(Some(me.clone()), 0, standbys)
}

/// Moves key and setting towards the picked standbys, in the order that keeps the promise.
fn adjust(cx: &mut Cx<'_>) -> Asked<()> {
    let me = cx.me().clone();
    let Some(in_effect) = listed(cx) else {
        return Ok(());
    };
    let picked = pick(cx);
    let voters = cx.view.sync.standbys.clone();
    if same(&picked.all, &voters) && !same(&picked.all, &picked.confirmed) {
        cx.say(Text::SyncNamesDiffer {
            names: NameList::of(&in_effect.names),
            key: NameList::of(&voters),
        });
        if !cx.write_sync(state_of(&me, picked.confirmed.clone()))? {
            cx.say(Text::SyncTaken);
            return Ok(());
        }
    }
    if is_settled(cx, &picked.all, &in_effect) {
        return Ok(());
    }
    let voters = cx.view.sync.standbys.clone();
    let common: BTreeSet<MemberName> = voters
        .iter()
        .filter(|name| contains(&picked.confirmed, name))
        .cloned()
        .collect();
    if common.len() < voters.len() {
        cx.say(Text::SyncNarrowing {
            from: NameList::of(&voters),
            to: NameList::of(&common),
        });
        if !cx.write_sync(state_of(&me, common))? {
            cx.say(Text::SyncTaken);
            return Ok(());
        }
    }
    assign(cx, &picked.all)
}

/// Key, setting and choice agree.
fn is_settled(cx: &Cx<'_>, picked: &BTreeSet<MemberName>, in_effect: &SyncNames) -> bool {
    let listed: BTreeSet<MemberName> = in_effect.names.iter().map(MemberName::new).collect();
    let count_fits = if picked.is_empty() {
        in_effect.star == cx.settings.synchronous_mode_strict
    } else {
        in_effect.count == picked.len() && !in_effect.star
    };
    same(picked, &cx.view.sync.standbys) && same(picked, &listed) && count_fits
}

/// Makes PostgreSQL wait for the picked ones, then announces those that it does wait for.
fn assign(cx: &mut Cx<'_>, picked: &BTreeSet<MemberName>) -> Asked<()> {
    let names = if picked.is_empty() && cx.settings.synchronous_mode_strict {
        cx.say(Text::NoStandbys);
        SyncNames::any_standby(SyncKind::Priority)
    } else if picked.is_empty() {
        SyncNames::off()
    } else {
        SyncNames {
            kind: SyncKind::Priority,
            count: picked.len(),
            star: false,
            names: picked.iter().map(ToString::to_string).collect(),
        }
    };
    let shown = if names.star {
        NameList::of(["*"])
    } else {
        NameList::of(picked)
    };
    cx.say(Text::SyncAssigning { names: shown });
    cx.set_sync_names(names)?;
    let new = picked.iter().any(|name| !cx.view.sync.has_standby(name));
    if !new {
        return Ok(());
    }
    cx.wait(SETTLING)?;
    cx.requery()?;
    if listed(cx).is_none() {
        return Ok(());
    }
    let again = pick(cx);
    let confirmed: BTreeSet<MemberName> = again
        .confirmed
        .into_iter()
        .filter(|name| contains(picked, name))
        .collect();
    if confirmed.is_empty() || same(&confirmed, &cx.view.sync.standbys) {
        return Ok(());
    }
    let me = cx.me().clone();
    if cx.write_sync(state_of(&me, confirmed.clone()))? {
        cx.say(Text::SyncAssigned {
            names: NameList::of(&confirmed),
        });
    } else {
        cx.say(Text::SyncTaken);
    }
    Ok(())
}

/// The setting in effect; notices a change of it. `None` when the server did not answer.
fn listed(cx: &mut Cx<'_>) -> Option<SyncNames> {
    let status = cx.status()?;
    let (text, position) = (status.synchronous_standby_names.clone(), status.position);
    let names = match SyncNames::parse(&text) {
        Ok(names) => names,
        Err(error) => {
            cx.say(Text::SyncNamesUnreadable {
                what: error.to_string(),
            });
            SyncNames::off()
        }
    };
    if cx.memory.sync.names != text {
        cx.memory.sync.names = text;
        cx.memory.sync.changed_at = position;
        cx.memory.sync.ready.retain(|name| names.has(name));
    }
    Some(names)
}

/// The standbys that should be synchronous, and those of them that are.
struct Picked {
    all: BTreeSet<MemberName>,
    confirmed: BTreeSet<MemberName>,
}

/// One streaming standby that may be synchronous.
struct Standby {
    name: MemberName,
    sync_state: String,
    lsn: Lsn,
    priority: i64,
    nofailover: bool,
}

fn pick(cx: &mut Cx<'_>) -> Picked {
    let Some(status) = cx.status().cloned() else {
        return Picked {
            all: BTreeSet::new(),
            confirmed: BTreeSet::new(),
        };
    };
    let mut standbys = candidates(cx, &status);
    let best = match standbys.as_slice() {
        [_] => status.position,
        several => several.iter().map(|s| s.lsn).max().unwrap_or_default(),
    };
    let limit = cx.settings.maximum_lag_on_syncnode;
    if limit > 0 {
        standbys.retain(|s| i128::from(s.lsn.lag_behind(best)) <= i128::from(limit));
    }
    standbys.truncate(cx.settings.synchronous_node_count);
    remember_ready(cx, &status, &standbys);
    let confirmed = standbys
        .iter()
        .filter(|s| s.sync_state == "sync" && cx.memory.sync.ready.contains(&key(&s.name)))
        .map(|s| s.name.clone())
        .collect();
    Picked {
        confirmed,
        all: standbys.into_iter().map(|s| s.name).collect(),
    }
}

/// Streaming members that may be synchronous, best first.
fn candidates(cx: &Cx<'_>, status: &ServerStatus) -> Vec<Standby> {
    let mut standbys: Vec<Standby> = Vec::new();
    for sender in &status.wal_senders {
        let Some(member) = member_of(cx, sender) else {
            continue;
        };
        let tags = member.data.tags();
        let usable = member.data.is_running()
            && !tags.nosync()
            && !cx.is_me(&member.name)
            && !cascades(cx, member, status);
        let Some(lsn) = confirmed_position(sender, &status.synchronous_commit).filter(|_| usable)
        else {
            continue;
        };
        // Two senders under one name: the last row counts.
        standbys.retain(|other| other.name != member.name);
        standbys.push(Standby {
            name: member.name.clone(),
            sync_state: sender.sync_state.clone(),
            lsn,
            priority: tags.sync_priority(),
            nofailover: tags.nofailover(),
        });
    }
    standbys.sort_by(|a, b| {
        (b.priority, &b.sync_state, b.lsn).cmp(&(a.priority, &a.sync_state, a.lsn))
    });
    standbys.sort_by_key(|standby| standby.nofailover);
    standbys
}

fn member_of<'c>(cx: &'c Cx<'_>, sender: &WalSender) -> Option<&'c Member> {
    cx.view
        .members
        .iter()
        .find(|member| member.name.matches(&sender.application_name))
}

/// The position up to which commits wait for this standby.
fn confirmed_position(sender: &WalSender, synchronous_commit: &str) -> Option<Lsn> {
    match synchronous_commit {
        "remote_write" => sender.write,
        "remote_apply" => sender.replay,
        _ => sender.flush,
    }
}

/// The member is supposed to replicate from another one that streams from us: it would vanish
/// from here as soon as it does what it is told.
fn cascades(cx: &Cx<'_>, member: &Member, status: &ServerStatus) -> bool {
    let streams = |name: &MemberName| {
        status
            .wal_senders
            .iter()
            .any(|sender| name.matches(&sender.application_name))
    };
    let mut seen = BTreeSet::new();
    let mut next = member.data.tags().replicatefrom();
    while let Some(name) = next {
        if cx.is_me(&name) || !seen.insert(name.clone()) || name == member.name {
            return false;
        }
        if streams(&name) {
            return true;
        }
        next = cx
            .view
            .member(&name)
            .and_then(|upstream| upstream.data.tags().replicatefrom());
    }
    false
}

/// Listed standbys become ready when the key names them, or when they confirmed something that
/// was written after the setting changed.
fn remember_ready(cx: &mut Cx<'_>, status: &ServerStatus, standbys: &[Standby]) {
    let listed = SyncNames::parse(&status.synchronous_standby_names).unwrap_or_default();
    for standby in standbys {
        let caught_up = standby.sync_state == "sync" && standby.lsn >= cx.memory.sync.changed_at;
        if listed.has(standby.name.as_str())
            && (cx.view.sync.has_standby(&standby.name) || caught_up)
        {
            cx.memory.sync.ready.insert(key(&standby.name));
        }
    }
}

fn key(name: &MemberName) -> String {
    name.as_str().to_lowercase()
}

fn contains(names: &BTreeSet<MemberName>, name: &MemberName) -> bool {
    names.iter().any(|other| other.matches(name.as_str()))
}

fn same(a: &BTreeSet<MemberName>, b: &BTreeSet<MemberName>) -> bool {
    a.len() == b.len() && a.iter().all(|name| contains(b, name))
}

/// Before a promotion: nobody but this node may be elected until new standbys have caught up.
/// False when somebody else changed the key meanwhile.
pub(crate) fn before_promote(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.settings.is_synchronous() {
        switch_off(cx)?;
        return Ok(true);
    }
    let me = cx.me().clone();
    if !cx.write_sync(state_of(&me, BTreeSet::new()))? {
        return Ok(false);
    }
    let names = if cx.settings.synchronous_mode_strict {
        SyncNames::any_standby(SyncKind::Priority)
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
