//! The lock and who holds it, and the store that it lies in.

use std::time::Duration;

use patroni_core::Role;

use super::super::facts::{Examined, Facts};
use super::super::finding::Finding;

/// Stores whose lock hangs on a lease or session that the key names.
const WITH_SESSIONS: [&str; 5] = ["consul", "etcd", "etcd3", "exhibitor", "zookeeper"];

/// A read that takes longer is told.
const SLOW_READ: Duration = Duration::from_secs(1);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = holder(facts);
    findings.extend(second_primaries(facts));
    findings.extend(identity(facts));
    findings.extend(store(facts));
    findings
}

fn holder(facts: &Facts) -> Vec<Finding> {
    let Some(name) = facts.cluster.leader_name() else {
        let scope = &facts.scope;
        return vec![Finding::problem(
            "no-leader",
            "nobody holds the lock: no node takes writes",
            &format!(
                "patronictl explain tells why the last leader went; if nobody takes over by itself: \
                 patronictl failover {scope} --candidate NAME"
            ),
        )];
    };
    let mut findings = Vec::new();
    let session = facts
        .cluster
        .leader
        .as_ref()
        .and_then(|l| l.session.as_ref());
    if session.is_none() && WITH_SESSIONS.contains(&facts.store.as_str()) {
        findings.push(
            Finding::problem(
                "lock-without-lease",
                "its lock hangs on no lease, so it never expires: nobody can take over when it dies",
                "a living leader puts it right in its next cycle; else stop PostgreSQL there and \
                 remove the key leader by hand",
            )
            .of(name),
        );
    }
    match facts.leader() {
        None => findings.push(
            Finding::problem(
                "leader-key-missing",
                "it holds the lock, and its member key is gone: nobody knows where to reach it",
                "look at the log of its daemon: it cannot write to the store, or is dead and its \
                 lock expires",
            )
            .of(name),
        ),
        Some(leader) => findings.extend(leads(facts, leader)),
    }
    findings
}

/// Whether the holder of the lock does what it should.
fn leads(facts: &Facts, leader: &Examined) -> Option<Finding> {
    let report = leader.report.as_ref().ok()?;
    let role = report.role();
    let (wanted, fits) = match facts.settings.standby_cluster {
        Some(_) => ("standby_leader", role == Some(Role::StandbyLeader)),
        None => ("primary", role == Some(Role::Primary)),
    };
    if fits && leader.state() == "running" {
        return None;
    }
    let role = role.map_or("unknown", Role::as_str);
    let reason = format!(
        "it holds the lock, and its PostgreSQL is {} with the role {role} instead of running as {wanted}",
        leader.state()
    );
    let remedy = "a promotion or restart may be under way: look again; else patronictl explain";
    Some(Finding::problem("leader-not-leading", reason, remedy).of(leader.name()))
}

fn second_primaries(facts: &Facts) -> Vec<Finding> {
    let leader = facts.cluster.leader_name();
    let others = facts
        .reports()
        .filter(|(name, report)| leader != Some(*name) && report.is_primary());
    others
        .map(|(name, _)| {
            let reason = "it takes writes and does not hold the lock";
            let remedy = "keep clients away from it; look at its log: its daemon demotes it, unless \
                          the cluster is paused";
            Finding::problem("second-primary", reason, remedy).of(name)
        })
        .collect()
}

fn identity(facts: &Facts) -> Option<Finding> {
    if facts.cluster.system_id().is_some() {
        return None;
    }
    let reason = match facts.cluster.initialize.as_deref() {
        None => "the key initialize is missing".to_owned(),
        Some("") => {
            "the key initialize is empty: a bootstrap is under way or was left half done".to_owned()
        }
        Some(other) => format!("the key initialize holds no identity: '{other}'"),
    };
    let remedy = "a leader writes it again in its next cycle; without one look at the log of the \
                  node that bootstraps";
    Some(Finding::warning("no-identity", reason, remedy))
}

fn store(facts: &Facts) -> Option<Finding> {
    let limit = facts.settings.retry_timeout;
    let (read, store) = (facts.read.as_millis(), &facts.store);
    (facts.read > SLOW_READ).then(|| {
        let reason = format!(
            "the store {store} took {read} ms for a read from here; a member gives up after {} s",
            limit.as_secs()
        );
        let remedy = "look at its disks (fsync), its load and the network between here and it";
        Finding::warning("slow-store", reason, remedy)
    })
}
