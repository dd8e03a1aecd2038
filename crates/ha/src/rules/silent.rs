//! The server leaves new connections without an answer, while its open sessions go on. The
//! reference never notices.

use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// With the lock just extended: gives up when that is asked for and another member can take
/// over. A server that hangs does not stop in order, so it is stopped at once, killed if it must
/// be, and the lock goes back only when it is known to be gone.
pub(crate) fn on_leader(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Option<CycleResult>> {
    let (Some(silent), Some(limit)) = (obs.probe.silent_for, obs.probe.fail_over_after) else {
        return Ok(None);
    };
    if silent < limit || cx.paused() || !cx.is_primary() {
        return Ok(None);
    }
    if !eligibility::failover_possible(cx, &Search::default())? {
        return Ok(None);
    }
    cx.rule = Rule::L5;
    cx.say(Text::ServerSilent {
        seconds: silent.as_secs(),
    });
    demote::demote(cx, Mode::Immediate)?;
    Ok(Some(CycleResult::DemotedSilent))
}
