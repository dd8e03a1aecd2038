//! Whether members answer, and whether what they say agrees with the store.

use super::super::facts::{Examined, Facts, Report};
use super::super::finding::{Finding, Severity};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for examined in &facts.members {
        match &examined.report {
            Err(why) => findings.push(silent(facts, examined, why)),
            Ok(report) => findings.extend(contradictions(facts, examined, report)),
        }
    }
    findings
}

fn silent(facts: &Facts, examined: &Examined, why: &str) -> Finding {
    let name = examined.name();
    let reason = format!("its REST API does not answer from here: {why}");
    let remedy = "start its daemon, or look at restapi.connect_address, certificates and firewalls: \
                  members must reach each other there, too";
    let finding = if facts.cluster.leader_name() == Some(name) {
        Finding::problem("silent", reason, remedy)
    } else {
        Finding::warning("silent", reason, remedy)
    };
    finding.of(name)
}

fn contradictions(facts: &Facts, examined: &Examined, report: &Report) -> Vec<Finding> {
    let leads = facts.cluster.leader_name() == Some(examined.name());
    let found = [
        stranger(facts, examined, report),
        hung(report, leads),
        blind(facts, report),
        unlocked(facts, report),
        other_pause(facts, report),
        failsafe(report),
        unguarded(report, leads),
        pending(report),
    ];
    let named = found.into_iter().flatten();
    named.map(|finding| finding.of(examined.name())).collect()
}

fn stranger(facts: &Facts, examined: &Examined, report: &Report) -> Option<Finding> {
    let (scope, name) = (report.daemon("scope"), report.daemon("name"));
    let known = scope.is_none_or(|scope| scope == facts.scope.as_str())
        && name.is_none_or(|name| name == examined.name().as_str());
    (!known).then(|| {
        let reason = format!(
            "at its published address answers {} of {}",
            name.unwrap_or("somebody"),
            scope.unwrap_or("an unknown cluster")
        );
        let remedy = "correct restapi.connect_address of one of them";
        Finding::problem("stranger", reason, remedy)
    })
}

fn hung(report: &Report, leads: bool) -> Option<Finding> {
    let reason = "its PostgreSQL leaves new connections without an answer";
    let remedy = "look at its log and load; postgresql.probe can make it a reason to fail over";
    let severity = if leads {
        Severity::Problem
    } else {
        Severity::Warning
    };
    report.refuses_connections().then(|| Finding {
        severity,
        ..Finding::warning("connections", reason, remedy)
    })
}

/// The age is by the member's own clock on both sides.
fn blind(facts: &Facts, report: &Report) -> Option<Finding> {
    let seen = report.number("dcs_last_seen").filter(|seen| *seen > 0)?;
    let age = report.clock?.time.as_second() - seen;
    let ttl = i64::try_from(facts.settings.ttl.as_secs()).ok()?;
    (age > ttl).then(|| {
        let reason = format!("it has not read the store for {age} s, ttl is {ttl} s");
        Finding::warning(
            "store-unseen",
            reason,
            "look whether it can reach the store",
        )
    })
}

fn unlocked(facts: &Facts, report: &Report) -> Option<Finding> {
    let differs = report.flag("cluster_unlocked") && !facts.cluster.is_unlocked();
    differs.then(|| {
        let reason = "it sees no leader, and the store has one";
        let remedy = "look again; if it stays so, look whether it can reach the store";
        Finding::warning("disagrees", reason, remedy)
    })
}

fn other_pause(facts: &Facts, report: &Report) -> Option<Finding> {
    let paused = facts.settings.pause;
    (report.flag("pause") != paused).then(|| {
        let word = if paused {
            "not yet paused"
        } else {
            "still paused"
        };
        let reason = format!("it is {word}, unlike the configuration in the store");
        let remedy =
            "it follows with its next cycle; if it does not, look whether it can reach the store";
        Finding::warning("disagrees", reason, remedy)
    })
}

fn failsafe(report: &Report) -> Option<Finding> {
    report.flag("failsafe_mode_is_active").then(|| {
        let reason = "failsafe mode is active: the leader goes on without the store, by the consent of all members";
        let remedy = "bring the store back; until then no member may go and nobody can take over";
        Finding::problem("failsafe-active", reason, remedy)
    })
}

/// Candidates without a watchdog are told with the candidates.
fn unguarded(report: &Report, leads: bool) -> Option<Finding> {
    (leads && report.flag("watchdog_failed")).then(|| {
        let reason = "watchdog.mode is required, and it has no working device";
        let remedy = "give it a watchdog device that its daemon may open";
        Finding::problem("watchdog", reason, remedy)
    })
}

fn pending(report: &Report) -> Option<Finding> {
    report.flag("pending_restart").then(|| {
        let parameters = report.pending_parameters();
        let shown = match parameters.len() {
            0 => String::new(),
            _ => format!(" for {}", parameters.join(", ")),
        };
        let reason = format!("a restart is pending{shown}");
        Finding::note("pending-restart", reason, "patronictl restart --pending")
    })
}
