//! Who could take over.

use patroni_core::MemberName;
use patroni_ha::eligibility::{Ineligible, is_short_of_votes, obstacles};

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let judged: Vec<(&MemberName, Vec<Ineligible>)> = facts
        .others()
        .map(|other| {
            let answer = other.answer();
            let against = obstacles(&facts.cluster, &facts.settings, &answer);
            (other.name(), against)
        })
        .collect();
    let fit = judged
        .iter()
        .filter(|(_, against)| against.is_empty())
        .count();
    let mut findings = Vec::new();
    if fit == 0 {
        findings.push(nobody(&judged));
    } else if is_short_of_votes(&facts.cluster, &facts.settings, fit) {
        findings.push(short_of_votes(fit, facts.cluster.sync.quorum));
    }
    for (name, against) in &judged {
        findings.extend(against.iter().filter_map(|reason| obstacle(name, reason)));
    }
    findings
}

fn nobody(judged: &[(&MemberName, Vec<Ineligible>)]) -> Finding {
    if judged.is_empty() {
        let remedy = "add a member";
        return Finding::problem(
            "no-candidate",
            "there is no other member to take over",
            remedy,
        );
    }
    let refused: Vec<String> = judged
        .iter()
        .map(|(name, against)| {
            let reasons: Vec<String> = against.iter().map(ToString::to_string).collect();
            format!("{name} is {}", reasons.join(" and "))
        })
        .collect();
    let reason = format!("nobody can take over: {}", refused.join("; "));
    Finding::problem(
        "no-candidate",
        reason,
        "remove one of these obstacles, told below",
    )
}

fn short_of_votes(fit: usize, quorum: usize) -> Finding {
    let reason = format!(
        "an election needs {quorum} votes beside the candidate's own, and only {} others are fit",
        fit - 1
    );
    let remedy = "bring the other voters back: nobody else can know that no commit is lost";
    Finding::problem("short-of-votes", reason, remedy)
}

/// One reason at one member. That it does not answer, or is on another timeline, is told by the
/// checks of members and of replication.
fn obstacle(name: &MemberName, reason: &Ineligible) -> Option<Finding> {
    let told = format!("it is {}", reason.evidence());
    let finding = match reason {
        Ineligible::NotAllowed => {
            let remedy = "as configured; change its tags if it shall lead";
            Finding::note("not-allowed", told, remedy)
        }
        Ineligible::NotSynchronous => {
            let remedy = "only synchronous members take over by themselves; a failover to it by hand \
                          may lose commits";
            Finding::note("not-synchronous", told, remedy)
        }
        Ineligible::Lags { .. } => {
            let remedy =
                "find what holds its replay or the network up, or raise maximum_lag_on_failover";
            Finding::warning("lag", told, remedy)
        }
        Ineligible::NoWatchdog => {
            let remedy = "give it a watchdog device that its daemon may open";
            Finding::warning("watchdog", told, remedy)
        }
        _ => return None,
    };
    Some(finding.of(name))
}
