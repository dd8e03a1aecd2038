//! `synchronous_standby_names` in effect, and who has caught up since it last changed.

use patroni_core::SyncNames;

use super::standbys::{Standby, folded};
use crate::context::Cx;
use crate::sentence::Text;

/// The setting in effect; notices a change of it. `None` when the server did not answer.
///
/// Priority mode waits for every listed name, so a name that stays in the list and has once
/// caught up has everything. `ANY` promises that of no single name: there every change begins
/// the count anew.
pub(super) fn in_effect(cx: &mut Cx<'_>) -> Option<SyncNames> {
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
    let memory = &mut cx.memory.sync;
    if memory.names != text {
        let before = SyncNames::parse(&memory.names).unwrap_or_default();
        let all_waited_for = |names: &SyncNames| names.count >= names.names.len();
        let comparable = all_waited_for(&before) && all_waited_for(&names);
        memory
            .ready
            .retain(|name| comparable && before.kind == names.kind && names.has(name));
        memory.names = text;
        memory.changed_at = position;
    }
    Some(names)
}

/// Notes which of the listed standbys have confirmed everything from before the last change of
/// the setting. `counted` are the values of `sync_state` that make an answer count; `known` tells
/// that the key vouches for a name.
pub(super) fn remember_ready(
    cx: &mut Cx<'_>,
    listed: &SyncNames,
    standbys: &[Standby],
    counted: &[&str],
    known: impl Fn(&Standby) -> bool,
) {
    let memory = &mut cx.memory.sync;
    for standby in standbys {
        let counts = counted.contains(&standby.sync_state.as_str());
        let caught_up = counts && standby.lsn >= memory.changed_at;
        if listed.has(standby.name.as_str()) && (known(standby) || caught_up) {
            memory.ready.insert(folded(&standby.name));
        }
    }
}
