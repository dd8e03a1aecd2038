//! What would prevent a safe change of leader now: facts in, findings out.
//!
//! [`Facts`] is one read of the store and one round of questions; [`examine`] is a pure function
//! over it. Who could lead is judged by `patroni_ha`, as the members themselves do.

mod checks;
mod facts;
mod finding;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use facts::{Examined, Facts, Report};
pub(crate) use finding::Finding;
pub(crate) use report::{document, lines};

/// All findings, the gravest first; those of one severity in the order of the checks.
pub(crate) fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = checks::ALL.iter().flat_map(|check| check(facts)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
