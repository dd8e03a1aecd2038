//! Things that should be alike everywhere.

use std::collections::BTreeMap;

use super::super::facts::{Facts, Report};
use super::super::finding::Finding;
use crate::release;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = identities(facts);
    findings.extend(major_versions(facts).or_else(|| minor_versions(facts)));
    findings.extend(daemons(facts));
    findings
}

fn identities(facts: &Facts) -> Vec<Finding> {
    let Some(cluster) = facts.cluster.system_id() else {
        return Vec::new();
    };
    let strangers = facts.reports().filter_map(|(name, report)| {
        let theirs = report.text("database_system_identifier")?;
        (theirs != cluster.as_str()).then(|| {
            let reason = format!("its data are of the system {theirs}, the cluster is {}", cluster.as_str());
            let remedy = "its data belong to another cluster: look before you remove them; patronictl \
                          reinit replaces them";
            Finding::problem("system-identifier", reason, remedy).of(name)
        })
    });
    strangers.collect()
}

/// Physical replication does not cross major versions.
fn major_versions(facts: &Facts) -> Option<Finding> {
    let shown = spread(facts, |report| {
        Some((report.number("server_version")? / 10_000).to_string())
    })?;
    let reason = format!("the members run different major versions of PostgreSQL: {shown}");
    let remedy = "a member of another major version can neither follow nor take over: reinit it with \
                  the leader's version";
    Some(Finding::problem("postgres-major", reason, remedy))
}

fn minor_versions(facts: &Facts) -> Option<Finding> {
    let shown = spread(facts, |report| {
        report.number("server_version").map(release::text)
    })?;
    let reason = format!("the members run different versions of PostgreSQL: {shown}");
    Some(Finding::note(
        "postgres-version",
        reason,
        "finish the update",
    ))
}

fn daemons(facts: &Facts) -> Option<Finding> {
    let shown = spread(facts, |report| Some(report.daemon("version")?.to_owned()))?;
    let reason = format!("the members run different versions of the daemon: {shown}");
    Some(Finding::note("daemon-version", reason, "finish the update"))
}

/// Who has which value, when there is more than one.
fn spread(facts: &Facts, value: impl Fn(&Report) -> Option<String>) -> Option<String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, report) in facts.reports() {
        if let Some(value) = value(report) {
            found.entry(value).or_default().push(name.as_str());
        }
    }
    let shown = found
        .iter()
        .map(|(value, names)| format!("{value} on {}", names.join(", ")));
    (found.len() > 1).then(|| shown.collect::<Vec<_>>().join("; "))
}
