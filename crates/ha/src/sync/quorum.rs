//! Quorum mode (19): commits wait for some of the standbys, and elections for so many votes that
//! one of the voters knows every acknowledged commit. The way there is that of
//! [`crate::quorum`]; here it is measured and walked.

use std::time::Duration;

use patroni_core::sync_names::SyncKind;
use patroni_core::{MemberName, Moment, SyncNames, SyncState};

use super::SETTLING;
use super::setting::{in_effect, remember_ready};
use super::standbys::{best_first, folded};
use crate::context::Cx;
use crate::quorum::{Emission, Key, Names, State, reset, resolve};
use crate::replay::Asked;
use crate::sentence::{Listed, Text};

/// The pause before a new look when nobody has confirmed anything yet.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// The pause between two looks at standbys that catch up.
const CATCHING_UP: Duration = Duration::from_millis(100);

/// Brings key and setting closer to what the connected standbys allow.
pub(super) fn adjust(cx: &mut Cx<'_>) -> Asked<()> {
    let begun = cx.now();
    let takes_over = !cx.view.sync.is_leader(cx.me());
    let elected = std::mem::take(&mut cx.memory.sync.elected);
    if takes_over || elected {
        cx.memory.sync.resumes = Some(begun + cx.settings.loop_wait);
    }
    if !takes_over && cx.memory.sync.resumes.is_some_and(|at| begun < at) {
        // Standbys need time to find the new primary, and until then it waits for the old names.
        return Ok(());
    }
    loop {
        let Some(state) = measure(cx)? else {
            return Ok(());
        };
        let walked = walk(cx, begun, &state)?;
        let spent = cx.now().since(begun) + SECOND_LOOK >= cx.settings.loop_wait;
        if walked == Walked::On || spent {
            return Ok(());
        }
        cx.wait(SECOND_LOOK)?;
        cx.requery()?;
    }
}

/// The kind of the setting in quorum mode; `ANY` exists from PostgreSQL 10 on. `None` in
/// priority mode.
pub(super) fn kind(cx: &Cx<'_>) -> Option<SyncKind> {
    let old = cx.server.major_version.is_some_and(|v| v < 100_000);
    cx.quorum_mode().then_some(if old {
        SyncKind::Priority
    } else {
        SyncKind::Quorum
    })
}

/// Before a promotion: the names to wait for from the first commit on, then the key. The same
/// nodes vote by it, with as many votes, and this one is its leader. False when somebody else
/// changed the key.
///
/// The reference leaves the key to the first cycle of the new primary. Until then its former
/// leader may take the lock back without a vote, as the one that has everything; but it lacks
/// what the new primary has acknowledged meanwhile.
pub(super) fn before_promote(cx: &mut Cx<'_>) -> Asked<bool> {
    let names = names_before_promote(cx);
    if !cx.set_sync_names(names)? {
        // It would acknowledge commits that nobody else has.
        return Ok(false);
    }
    cx.memory.sync.elected = true;
    let me = cx.me().clone();
    if cx.view.sync.is_leader(&me) {
        return Ok(true);
    }
    let mut key = key(cx);
    key.voters.insert(key.leader);
    key.voters.remove(&me);
    key.leader = me;
    write(cx, key)
}

/// Any so many of the key's other nodes that they meet every group which it lets elect.
fn names_before_promote(cx: &Cx<'_>) -> SyncNames {
    let sync = &cx.view.sync;
    let mut others: Names = sync.standbys.iter().chain(&sync.leader).cloned().collect();
    let members = others.len();
    others.retain(|name| !name.matches(cx.me().as_str()));
    let outside = others.len() == members;
    let numsync = members + usize::from(outside);
    setting(cx, numsync.saturating_sub(sync.quorum + 1), &others)
}

/// The value of the setting for so many of these standbys.
fn setting(cx: &Cx<'_>, numsync: usize, sync: &Names) -> SyncNames {
    let kind = kind(cx).unwrap_or(SyncKind::Quorum);
    let least = usize::from(cx.settings.synchronous_mode_strict);
    match (sync.is_empty(), numsync.max(least)) {
        (_, 0) => SyncNames::off(),
        (true, _) if least == 0 => SyncNames::off(),
        (true, _) => SyncNames::any_standby(kind),
        (false, count) => SyncNames {
            kind,
            count,
            star: false,
            names: sync.iter().map(ToString::to_string).collect(),
        },
    }
}

// ---- measuring -------------------------------------------------------------------------------

/// The state that is, in one spelling of each name. `None` when the server does not answer.
fn measure(cx: &mut Cx<'_>) -> Asked<Option<State>> {
    let Some(setting) = in_effect(cx) else {
        return Ok(None);
    };
    let setting = match kind(cx) {
        Some(kind) if setting.kind != kind && !setting.names.is_empty() => {
            // The same number of the same names, in the words of this mode.
            cx.set_sync_names(SyncNames {
                kind,
                star: false,
                ..setting
            })?;
            cx.requery()?;
            match in_effect(cx) {
                Some(setting) => setting,
                None => return Ok(None),
            }
        }
        Some(_) | None => setting,
    };
    let Some(active) = look(cx, &setting) else {
        return Ok(None);
    };
    let me = cx.me().clone();
    let key = key(cx);
    let sync: Names = if setting.star {
        Names::new()
    } else {
        let names = setting.names.iter().map(MemberName::new);
        names.map(|name| spelled(cx, &name)).collect()
    };
    let confirmed = ready(cx, &(&sync & &active)).len();
    Ok(Some(State {
        leader: key.leader,
        quorum: key.quorum,
        voters: key.voters,
        numsync: setting.count.min(sync.len()),
        sync,
        confirmed,
        active,
        wanted: cx.settings.synchronous_node_count,
        me,
    }))
}

/// The standbys that should be synchronous; notes which of them have caught up.
fn look(cx: &mut Cx<'_>, setting: &SyncNames) -> Option<Names> {
    let status = cx.status().cloned()?;
    let standbys = best_first(cx, &status);
    let counted: &[&str] = match kind(cx) {
        Some(SyncKind::Quorum) | None => &["quorum"],
        Some(SyncKind::Priority | SyncKind::Off) => &["sync", "potential"],
    };
    remember_ready(cx, setting, &standbys, counted, |_| false);
    let mut active = Names::new();
    if cx.settings.synchronous_node_count == 0 {
        return Some(active);
    }
    for standby in standbys {
        // A voter that may not lead can leave the voters without a leader.
        if !standby.nofailover || active.len() < cx.settings.synchronous_node_count {
            active.insert(standby.name);
        }
    }
    Some(active)
}

/// Those of `names` that have everything from before the last change of the setting.
fn ready(cx: &Cx<'_>, names: &Names) -> Names {
    let known = &cx.memory.sync.ready;
    let ready = names.iter().filter(|name| known.contains(&folded(name)));
    ready.cloned().collect()
}

/// The key in view.
fn key(cx: &Cx<'_>) -> Key {
    let sync = &cx.view.sync;
    let leader = sync.leader.clone().unwrap_or_else(|| cx.me().clone());
    Key {
        leader: spelled(cx, &leader),
        quorum: sync.quorum,
        voters: sync.standbys.iter().map(|name| spelled(cx, name)).collect(),
    }
}

/// A name as its member spells it, or in lower case when there is no such member.
fn spelled(cx: &Cx<'_>, name: &MemberName) -> MemberName {
    let members = cx.view.members.iter().map(|member| &member.name);
    let mut known = members.chain([cx.me()]);
    match known.find(|known| known.matches(name.as_str())) {
        Some(known) => known.clone(),
        None => MemberName::new(folded(name)),
    }
}

// ---- walking ---------------------------------------------------------------------------------

/// How far the way was walked.
#[derive(PartialEq, Eq)]
enum Walked {
    /// To its end, or as far as possible now.
    On,
    /// It ends where somebody has to confirm something first.
    NobodyConfirmed,
}

fn walk(cx: &mut Cx<'_>, begun: Moment, state: &State) -> Asked<Walked> {
    let emissions = match resolve(state.clone()) {
        Ok(done) => {
            if let Some(violation) = done.repaired {
                let what = violation.to_string();
                cx.say(Text::QuorumBroken { what });
            }
            done.emissions
        }
        Err(violation) => {
            let what = violation.to_string();
            cx.say(Text::QuorumReset { what });
            reset(state).into()
        }
    };
    for emission in emissions {
        if cx.now().since(begun) >= cx.settings.loop_wait {
            break;
        }
        let done = match emission {
            Emission::Sync { numsync, sync, .. } => set(cx, numsync, &sync)?,
            Emission::Quorum {
                leader,
                quorum,
                voters,
            } => {
                let key = Key {
                    leader,
                    quorum,
                    voters,
                };
                announce(cx, key)?
            }
            Emission::Restart { .. } => return Ok(Walked::NobodyConfirmed),
        };
        if !done {
            break;
        }
    }
    Ok(Walked::On)
}

/// Sets `synchronous_standby_names`. True when it is in effect.
fn set(cx: &mut Cx<'_>, numsync: usize, sync: &Names) -> Asked<bool> {
    let wished = setting(cx, numsync, sync);
    if in_effect(cx).is_some_and(|now| is_same(&now, &wished)) {
        return Ok(true);
    }
    if cx.settings.synchronous_mode_strict && numsync == 0 {
        cx.say(Text::ReplicationFactor {
            wanted: 1,
            available: sync.len(),
        });
    }
    cx.say(Text::SettingSync {
        numsync: wished.count,
        total: sync.len(),
        names: Listed::of(sync),
    });
    cx.set_sync_names(wished.clone())?;
    cx.requery()?;
    let now = in_effect(cx);
    Ok(now.is_some_and(|now| is_same(&now, &wished)))
}

fn is_same(a: &SyncNames, b: &SyncNames) -> bool {
    let size = a.names.len() == b.names.len() && a.names.iter().all(|name| b.has(name));
    size && (a.kind, a.count, a.star) == (b.kind, b.count, b.star)
}

/// Writes the key, as soon as the standbys' positions back it. False when that is not so in
/// time, or somebody else changed it.
fn announce(cx: &mut Cx<'_>, new: Key) -> Asked<bool> {
    let old = key(cx);
    if new == old {
        return Ok(true);
    }
    let deadline = cx.now() + SETTLING;
    while !new.is_backed(&old, &ready(cx, &new.voters)) {
        if cx.now() >= deadline {
            cx.say(Text::QuorumWaits);
            return Ok(false);
        }
        cx.wait(CATCHING_UP)?;
        cx.requery()?;
        let Some(setting) = in_effect(cx) else {
            return Ok(false);
        };
        look(cx, &setting);
    }
    write(cx, new)
}

fn write(cx: &mut Cx<'_>, new: Key) -> Asked<bool> {
    cx.say(Text::SettingQuorum {
        leader: new.leader.clone(),
        quorum: new.quorum,
        total: new.voters.len(),
        names: Listed::of(&new.voters),
    });
    let state = SyncState::new(Some(new.leader), new.quorum, new.voters);
    let written = cx.write_sync(state)?;
    if !written {
        cx.say(Text::SyncTaken);
    }
    Ok(written)
}
