//! Failsafe mode as the replicas see it (HA contract 15).

use patroni_core::{Leader, Member, MemberData, Revision};
use serde_json::{Map, Value};

use crate::context::Cx;
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

/// The positions that a leader announced are newer than those that it could publish last.
pub(crate) fn take_positions(cx: &mut Cx<'_>, obs: &Observation) {
    if let Some(leader) = &obs.failsafe_leader
        && !leader.slots.is_empty()
    {
        cx.view_mut().status.slots.clone_from(&leader.slots);
    }
}
