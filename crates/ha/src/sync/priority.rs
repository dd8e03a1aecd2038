//! Priority mode (18.2): commits wait for every picked standby, and each of them has everything.

use std::collections::BTreeSet;

use patroni_core::sync_names::SyncKind;
use patroni_core::{MemberName, SyncNames};

use super::setting::{in_effect, remember_ready};
use super::standbys::{best_first, contains, folded, same};
use super::{SETTLING, state_of};
use crate::context::Cx;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::sentence::{NameList, Text};

/// Moves key and setting towards the picked standbys, in the order that keeps the promise.
pub(super) fn adjust(cx: &mut Cx<'_>) -> Asked<()> {
    let me = cx.me().clone();
    let Some(setting) = in_effect(cx) else {
        return Ok(());
    };
    if !leave_quorum_mode(cx)? {
        return Ok(());
    }
    let picked = pick(cx, &setting);
    let voters = cx.view.sync.standbys.clone();
    if same(&picked.all, &voters) && !same(&picked.all, &picked.confirmed) {
        cx.say(Text::SyncNamesDiffer {
            names: NameList::of(&setting.names),
            key: NameList::of(&voters),
        });
        if !cx.write_sync(state_of(&me, picked.confirmed.clone()))? {
            cx.say(Text::SyncTaken);
            return Ok(());
        }
    }
    if is_settled(cx, &picked.all, &setting) {
        return Ok(());
    }
    let voters = cx.view.sync.standbys.clone();
    let common: BTreeSet<MemberName> = voters
        .iter()
        .filter(|name| contains(&picked.confirmed, name))
        .cloned()
        .collect();
    if cx.mutated(Mutant::DropFromSettingFirst) && common.len() < voters.len() {
        cx.set_sync_names(SyncNames::off())?;
        cx.wait(SETTLING)?;
    }
    if common.len() < voters.len() && !narrow(cx, &voters, common)? {
        return Ok(());
    }
    assign(cx, &picked.all)
}

/// The voters of quorum mode have everything only together. Taken one by one they promise
/// nothing, so the key is emptied before it is read as one of priority mode.
fn leave_quorum_mode(cx: &mut Cx<'_>) -> Asked<bool> {
    if cx.view.sync.quorum == 0 {
        return Ok(true);
    }
    let voters = cx.view.sync.standbys.clone();
    narrow(cx, &voters, BTreeSet::new())
}

/// Takes names out of the key. False when somebody else changed it.
fn narrow(cx: &mut Cx<'_>, from: &BTreeSet<MemberName>, to: BTreeSet<MemberName>) -> Asked<bool> {
    let me = cx.me().clone();
    cx.say(Text::SyncNarrowing {
        from: NameList::of(from),
        to: NameList::of(&to),
    });
    let written = cx.write_sync(state_of(&me, to))?;
    if !written {
        cx.say(Text::SyncTaken);
    }
    Ok(written)
}

/// Key, setting and choice agree.
fn is_settled(cx: &Cx<'_>, picked: &BTreeSet<MemberName>, setting: &SyncNames) -> bool {
    let listed: BTreeSet<MemberName> = setting.names.iter().map(MemberName::new).collect();
    let count_fits = if picked.is_empty() {
        setting.star == cx.settings.synchronous_mode_strict
    } else {
        let kind = setting.kind == SyncKind::Priority;
        setting.count == picked.len() && kind && !setting.star
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
    if cx.mutated(Mutant::KeyBeforeSetting) {
        let me = cx.me().clone();
        cx.write_sync(state_of(&me, picked.clone()))?;
        cx.wait(SETTLING)?;
    }
    cx.set_sync_names(names)?;
    let new = picked.iter().any(|name| !cx.view.sync.has_standby(name));
    if !new {
        return Ok(());
    }
    if !cx.mutated(Mutant::NotCaughtUp) {
        cx.wait(SETTLING)?;
    }
    cx.requery()?;
    let Some(setting) = in_effect(cx) else {
        return Ok(());
    };
    let again = pick(cx, &setting);
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

/// The standbys that should be synchronous, and those of them that are.
#[derive(Default)]
struct Picked {
    all: BTreeSet<MemberName>,
    confirmed: BTreeSet<MemberName>,
}

fn pick(cx: &mut Cx<'_>, setting: &SyncNames) -> Picked {
    let Some(status) = cx.status().cloned() else {
        return Picked::default();
    };
    let mut standbys = best_first(cx, &status);
    standbys.truncate(cx.settings.synchronous_node_count);
    let key = cx.view.sync.clone();
    remember_ready(cx, setting, &standbys, &["sync"], |standby| {
        key.quorum == 0 && key.has_standby(&standby.name)
    });
    if cx.mutated(Mutant::NotCaughtUp) {
        let listed = standbys.iter().map(|standby| folded(&standby.name));
        cx.memory.sync.ready.extend(listed);
        for standby in &mut standbys {
            "sync".clone_into(&mut standby.sync_state);
        }
    }
    let confirmed = standbys
        .iter()
        .filter(|s| s.sync_state == "sync" && cx.memory.sync.ready.contains(&folded(&s.name)))
        .map(|s| s.name.clone())
        .collect();
    Picked {
        confirmed,
        all: standbys.into_iter().map(|s| s.name).collect(),
    }
}
