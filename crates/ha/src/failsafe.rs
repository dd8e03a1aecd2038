//! Failsafe mode as the replicas see it (HA contract 15).

use patroni_core::{Leader, Member, MemberData, Moment, Revision};
use serde_json::{Map, Value};

use crate::context::Cx;
use crate::memory::FailsafeMode;
use crate::observation::Observation;

/// A primary that announced itself while its store was away still leads: with it in the view
/// nobody races. A consent that was given lasts to its end, also when the mode is switched off
/// meanwhile: the primary cannot read that.
pub(crate) fn inject(cx: &mut Cx<'_>, obs: &Observation) {
    let Some(leader) = &obs.failsafe_leader else {
        return;
    };
    if !cx.view.is_unlocked() || cx.is_me(&leader.name) {
        return;
    }
    cx.view_mut().leader = Some(Leader {
        name: leader.name.clone(),
        revision: Revision::new(""),
        session: None,
    });
    take_positions(cx, obs);
    let known = cx.view.member(&leader.name).and_then(|m| m.data.conn_url());
    if known.is_none() {
        let text = |value: &str| Value::String(value.to_owned());
        let mut data = Map::new();
        data.insert("conn_url".to_owned(), text(&leader.conn_url));
        data.insert("api_url".to_owned(), text(&leader.api_url));
        let members = &mut cx.view_mut().members;
        members.retain(|member| member.name != leader.name);
        members.push(Member {
            name: leader.name.clone(),
            session: None,
            data: MemberData::new(data),
        });
    }
}

/// Follows the mode to its end. A leader has heard of that when it has renewed the lock for longer
/// than the lock of one who has not can last: each renewal follows a look at the settings.
pub(crate) fn note_mode(cx: &mut Cx<'_>) {
    let heard = |since: Moment| {
        let lasts = cx.settings.ttl + cx.settings.loop_wait;
        let leader = cx.view.leader_name();
        leader.is_some_and(|name| cx.is_me(name) || cx.now().since(since) > lasts)
    };
    cx.memory.failsafe_mode = match cx.memory.failsafe_mode {
        _ if cx.settings.failsafe_mode => FailsafeMode::On,
        FailsafeMode::On => FailsafeMode::Ended(cx.now()),
        FailsafeMode::Ended(since) if heard(since) => FailsafeMode::Off,
        before @ (FailsafeMode::Off | FailsafeMode::Ended(_)) => before,
    };
}

/// The positions that a leader announced are newer than those that it could publish last.
pub(crate) fn take_positions(cx: &mut Cx<'_>, obs: &Observation) {
    if let Some(leader) = &obs.failsafe_leader
        && !leader.slots.is_empty()
    {
        cx.view_mut().status.slots.clone_from(&leader.slots);
    }
}
