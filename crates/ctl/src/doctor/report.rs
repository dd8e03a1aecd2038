//! Findings for people and for programs.

use patroni_core::MemberName;
use serde_json::{Value, json};

use super::facts::Facts;
use super::finding::{Finding, Severity};

const SEVERITIES: [Severity; 3] = [Severity::Problem, Severity::Warning, Severity::Note];

/// Told to people.
pub(crate) fn lines(facts: &Facts, findings: &[Finding]) -> Vec<String> {
    let leader = facts.cluster.leader_name();
    let leader = leader.map_or_else(|| "no leader".to_owned(), |name| format!("leader {name}"));
    let mut lines = vec![
        format!(
            "Cluster {}: {leader}, {}, read from {} in {} ms",
            facts.scope,
            counted(facts.members.len(), "member"),
            facts.store,
            facts.read.as_millis()
        ),
        summary(findings),
    ];
    for finding in findings {
        let at = finding.member.as_ref();
        let at = at.map_or_else(String::new, |name| format!(" {name}:"));
        lines.push(String::new());
        lines.push(format!(
            "{:<8}{at} {} [{}]",
            finding.severity.word(),
            finding.reason,
            finding.check
        ));
        lines.push(format!("         -> {}", finding.remedy));
    }
    lines
}

fn summary(findings: &[Finding]) -> String {
    let counts: Vec<String> = SEVERITIES
        .into_iter()
        .map(|severity| counted(count(findings, severity), severity.word()))
        .collect();
    match findings.first() {
        None => "Nothing would prevent a failover or switchover".to_owned(),
        Some(_) => counts.join(", "),
    }
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == severity)
        .count()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Told to programs.
pub(crate) fn document(facts: &Facts, findings: &[Finding]) -> Value {
    let members: Vec<&str> = facts
        .members
        .iter()
        .map(|examined| examined.name().as_str())
        .collect();
    json!({
        "scope": facts.scope.as_str(),
        "leader": facts.cluster.leader_name().map(MemberName::as_str),
        "members": members,
        "store": {"kind": facts.store, "read_ms": u64::try_from(facts.read.as_millis()).ok()},
        "problems": count(findings, Severity::Problem),
        "warnings": count(findings, Severity::Warning),
        "notes": count(findings, Severity::Note),
        "findings": findings,
    })
}
