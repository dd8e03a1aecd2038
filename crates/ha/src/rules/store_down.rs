//! The store does not answer (HA contract 15).

use patroni_core::rest_url::sibling;

use crate::command::Peer;
use crate::context::Cx;
use crate::lease::Again;
use crate::memory::Lease;
use crate::mutant::Mutant;
use crate::observation::Observation;
use crate::replay::{Asked, Halt};
use crate::rule::Rule;
use crate::rules::busy;
use crate::rules::demote::{self, Mode};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// What every failed read, renewal or acquisition leads to.
pub(crate) fn store_down(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    match without_store(cx, obs) {
        // A second failure on the way down changes nothing.
        Err(Halt::StoreFailed) => Ok(CycleResult::StoreDown),
        other => other,
    }
}

fn without_store(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    cx.rule = Rule::D1;
    if cx.paused() {
        // A promotion that began before the pause may have armed it.
        cx.watchdog_disable()?;
    }
    if cx.paused() || !cx.is_running() {
        return Ok(CycleResult::StoreDown);
    }
    if !cx.may_be_primary() {
        cx.rule = Rule::D2;
        if cx.settings.failsafe_mode && obs.executor.is_none() {
            crate::failsafe::take_positions(cx, obs);
            // Copies wait for the store: which slots the leader has is not known without it.
            let _missing = crate::slots::sync(cx)?;
        }
        return Ok(CycleResult::StoreDown);
    }
    // Each consent lasts a ttl from when it was given, which is after this moment, whatever the
    // answers take.
    cx.rule = Rule::D3;
    let asked = cx.now();
    if cx.settings.failsafe_mode && everybody_accepts(cx)? {
        let until = asked + cx.settings.ttl;
        cx.memory.lease = Lease::Until(until);
        cx.memory.failsafe_until = Some(until);
        cx.watchdog_keep_alive()?;
        if obs.executor.is_none() {
            let _none_on_a_primary = crate::slots::sync(cx)?;
        }
        return Ok(CycleResult::FailsafeLeader);
    }
    // Consent that is taken back may have gone to somebody else, unlike a lock.
    let led_by_consent = cx.memory.failsafe_until.take().is_some();
    if !led_by_consent && let Some(result) = lead_on(cx, obs) {
        return Ok(result);
    }
    cx.rule = Rule::D4;
    if let Some(running) = &obs.executor {
        if busy::steps_down_already(&running.job) {
            return Ok(CycleResult::InProgress {
                action: running.job.to_string(),
            });
        }
        cx.cancel_job(running.job.to_string())?;
        cx.requery()?;
    }
    cx.say(Text::DemotingForLostStore);
    demote::demote(cx, Mode::Offline)?;
    Ok(CycleResult::DemotedStoreDown)
}

/// Nobody else can have the lock before the lease is over: a silent store is no reason to step
/// down while there is time left to do that in order. The task that runs beside goes on, too.
fn lead_on(cx: &mut Cx<'_>, obs: &Observation) -> Option<CycleResult> {
    let Lease::Until(end) = cx.memory.lease else {
        return None;
    };
    let now = cx.now();
    cx.again = Some(Again::while_leased(
        end,
        now,
        cx.settings.ttl,
        &obs.watchdog,
    )?);
    cx.rule = Rule::D5;
    Some(CycleResult::LeaseLasts {
        seconds: end.since(now).as_secs(),
    })
}

/// Every other member of the last known failsafe topology takes this node for its leader.
/// A topology that is not known, or without this node, allows nothing.
fn everybody_accepts(cx: &mut Cx<'_>) -> Asked<bool> {
    let Some(topology) = cx.memory.failsafe_members.clone() else {
        return Ok(false);
    };
    if !topology.contains_key(cx.me()) {
        return Ok(false);
    }
    let others: Vec<Peer> = topology
        .into_iter()
        .filter(|(name, _)| !cx.is_me(name))
        .map(|(name, api_url)| Peer {
            name,
            url: sibling(&api_url, "failsafe"),
        })
        .collect();
    let answers = cx.announce_failsafe(others.clone())?;
    let mut accepted = Vec::new();
    for Peer { name, url } in &others {
        let answer = answers.iter().find(|(peer, _)| peer == name);
        match answer.map(|(_, answer)| answer) {
            Some(Ok(position)) => {
                if let Some(lsn) = *position {
                    let slot = patroni_core::SlotName::of_member(name);
                    cx.memory.failsafe_positions.insert(slot, lsn);
                }
                accepted.push(name);
                cx.say(Text::GotResponse {
                    name: name.clone(),
                    url: url.clone(),
                    body: "Accepted".to_owned(),
                });
            }
            Some(Err(error)) => cx.say(Text::PostFailed {
                name: name.clone(),
                url: url.clone(),
                error: error.clone(),
            }),
            None => {}
        }
    }
    if cx.mutated(Mutant::FailsafeMajority) {
        return Ok((accepted.len() + 1) * 2 > others.len() + 1);
    }
    Ok(accepted.len() == others.len())
}
