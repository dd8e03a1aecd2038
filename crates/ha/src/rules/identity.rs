//! The identity of the cluster: keys that only the leader restores, and data of another cluster.

use patroni_core::{Role, SystemId};
use serde_json::Map;

use crate::context::Cx;
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::{Decided, bootstrap};
use crate::sentence::Text;
use crate::verdict::{CycleResult, Exit};

/// Rows A6 and A7: the leader restores what the store lost.
pub(crate) fn restore_keys(cx: &mut Cx<'_>, obs: &Observation) -> Asked<()> {
    if cx.view.system_id().is_none()
        && let Some(id) = cx.system_id().cloned()
    {
        cx.set_system_id(id)?;
    }
    let (empty, judged) = match &cx.view.config {
        None => (true, None),
        Some(doc) => (doc.data.is_empty(), Some(doc.revision.clone())),
    };
    // An empty document in memory restores nothing, but a missing key is still created.
    if empty && (judged.is_none() || !obs.config_in_memory.is_empty()) {
        cx.write_config(Map::clone(&obs.config_in_memory), judged)?;
        cx.reload()?;
    }
    Ok(())
}

/// Rows A13 to A15.
pub(crate) fn judge(cx: &mut Cx<'_>) -> Asked<Option<Decided>> {
    let Some(mine) = cx.system_id().cloned() else {
        cx.rule = Rule::A13;
        return Ok(Some((CycleResult::SystemIdInvalid, None)));
    };
    if let Some(cluster) = cx.view.system_id() {
        if cluster == mine {
            return Ok(None);
        }
        return mismatch(cx, &cluster, &mine);
    }
    // The reference asks only before the first callback, which an adopted server has behind it;
    // what counts is whether this daemon has ever known the cluster.
    let newcomer = !cx.memory.seen_identity || !cx.server.callback_ran;
    if cx.view.is_unlocked() && !cx.paused() && newcomer {
        return first_to_speak(cx, mine);
    }
    Ok(None)
}

fn mismatch(cx: &mut Cx<'_>, cluster: &SystemId, mine: &SystemId) -> Asked<Option<Decided>> {
    cx.rule = Rule::A14;
    let (cluster, mine) = (cluster.to_string(), mine.to_string());
    if cx.paused() {
        cx.say(Text::SystemIdChanged { cluster, mine });
        if cx.has_lock() {
            cx.release_leader(None)?;
            return Ok(Some((CycleResult::ReleasedForSystemId, None)));
        }
        return Ok(None);
    }
    let result = CycleResult::SystemIdMismatch {
        me: cx.me().clone(),
        cluster,
        mine,
    };
    let exit = Exit {
        code: 1,
        message: result.to_string(),
        leave_server: false,
    };
    Ok(Some((result, Some(exit))))
}

/// Nobody announced an identity: a primary may, a replica must not, and what is not running only
/// where nobody has data that run (the reference lets it, and the others end as those of a
/// different cluster when its data are the wrong ones).
fn first_to_speak(cx: &mut Cx<'_>, mine: SystemId) -> Asked<Option<Decided>> {
    cx.rule = Rule::A15;
    if cx.is_running() && !cx.is_primary() {
        cx.say(Text::NoInitializeKey);
        cx.say(Text::StartPrimaryFirst);
        let exit = Exit {
            code: 1,
            message: Text::NoInitializeKey.to_string(),
            leave_server: true,
        };
        return Ok(Some((CycleResult::NoInitializeKey, Some(exit))));
    }
    if !cx.is_running()
        && let Some(name) = bootstrap::member_with_data(cx)
    {
        cx.say(Text::LostIdentity { name });
        return Ok(None);
    }
    let free = match &cx.view.initialize {
        None => cx.begin_initialize()?,
        Some(_) => true,
    };
    if free && cx.server.role != Role::Uninitialized && cx.set_system_id(mine)? {
        cx.memory.seen_identity = true;
    }
    Ok(None)
}
