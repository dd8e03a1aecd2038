//! Synchronous mode: the key, the members, and what PostgreSQL waits for.

use patroni_config::dynamic::SynchronousMode;
use patroni_core::MemberName;

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let sync = &facts.cluster.sync;
    if !facts.settings.is_synchronous() {
        return (!sync.is_empty()).then(left_key).into_iter().collect();
    }
    if sync.is_empty() {
        return vec![no_key()];
    }
    let mut findings = Vec::new();
    findings.extend(few(facts));
    findings.extend(of_another_leader(facts));
    findings.extend(disagreements(facts));
    findings.extend(not_waited_for(facts));
    findings
}

fn left_key() -> Finding {
    let reason = "synchronous mode is off, and the key sync still names members";
    Finding::note(
        "sync-key-left",
        reason,
        "the leader removes it in its next cycle",
    )
}

fn no_key() -> Finding {
    let reason = "synchronous mode is on, and the key sync is empty: nobody knows who has all commits, \
                  and a failover may lose some";
    let remedy = "the leader writes it in its next cycle; look at its log if it does not";
    Finding::problem("sync-key-missing", reason, remedy)
}

fn few(facts: &Facts) -> Option<Finding> {
    let settings = &facts.settings;
    let (have, want) = (
        facts.cluster.sync.standbys.len(),
        settings.synchronous_node_count,
    );
    let remedy = "look why the others are not chosen: tags, lag, replication (told here as well)";
    if have == 0 && settings.synchronous_mode_strict {
        let reason = "no member is synchronous, and synchronous_mode_strict holds every commit up";
        return Some(Finding::problem("sync-no-standby", reason, remedy));
    }
    if have == 0 {
        let reason = "no member is synchronous: commits wait for nobody";
        return Some(Finding::warning("sync-no-standby", reason, remedy));
    }
    (have < want).then(|| {
        let reason =
            format!("{have} members are synchronous, synchronous_node_count asks for {want}");
        Finding::warning("sync-few", reason, remedy)
    })
}

fn of_another_leader(facts: &Facts) -> Option<Finding> {
    let (key, holder) = (
        facts.cluster.sync.leader.as_ref()?,
        facts.cluster.leader_name()?,
    );
    (!facts.cluster.sync.is_leader(holder)).then(|| {
        let reason = format!("the key sync is of {key}, and {holder} holds the lock");
        Finding::warning(
            "sync-leader",
            reason,
            "a new leader writes it before its promotion: look again",
        )
    })
}

fn disagreements(facts: &Facts) -> Vec<Finding> {
    let flag = match facts.settings.synchronous_mode {
        SynchronousMode::Quorum => "quorum_standby",
        SynchronousMode::Priority | SynchronousMode::Off => "sync_standby",
    };
    let leader = facts.cluster.leader_name();
    let others = facts.reports().filter(|(name, _)| leader != Some(*name));
    let differ = others.filter_map(|(name, report)| {
        let listed = facts.cluster.sync.has_standby(name);
        let reason = match (listed, report.flag(flag)) {
            (true, false) => "the key sync lists it, and it does not say so",
            (false, true) => "it says that it is synchronous, and the key sync does not list it",
            (true, true) | (false, false) => return None,
        };
        let remedy = "it learns of the key with its next cycle: look again";
        Some(Finding::warning("sync-disagrees", reason, remedy).of(name))
    });
    differ.collect()
}

/// Members of the key whose commits PostgreSQL does not wait for: they need not have all.
fn not_waited_for(facts: &Facts) -> Vec<Finding> {
    let leader = facts
        .leader()
        .and_then(|leader| leader.report.as_ref().ok());
    let Some(leader) = leader.filter(|report| report.is_primary()) else {
        return Vec::new();
    };
    let judge = |standby: &MemberName| {
        let state = leader.sync_state_of(standby);
        if matches!(state, Some("sync" | "quorum")) {
            return None;
        }
        let shown = state.map_or_else(
            || "it is not connected to the leader".to_owned(),
            |state| format!("the leader's PostgreSQL calls it {state}"),
        );
        let reason = format!("the key sync lists it, and no commit waits for it: {shown}");
        let remedy =
            "look whether it streams, and whether synchronous_standby_names was changed by hand";
        Some(Finding::warning("sync-not-waited-for", reason, remedy).of(standby))
    };
    facts
        .cluster
        .sync
        .standbys
        .iter()
        .filter_map(judge)
        .collect()
}
