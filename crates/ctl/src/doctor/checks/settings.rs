//! The dynamic configuration.

use patroni_config::Dynamic;
use patroni_core::{ConfigDoc, value};

use super::super::facts::Facts;
use super::super::finding::Finding;

const EDIT: &str = "patronictl edit-config";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = document(facts);
    let found = [paused(facts), lag_limit(facts), rewind(facts)];
    findings.extend(found.into_iter().flatten());
    findings.extend(failsafe(facts));
    findings
}

/// Whether it can be read at all, and what a node would correct in it.
fn document(facts: &Facts) -> Vec<Finding> {
    let Some(config) = facts
        .cluster
        .config
        .as_ref()
        .filter(|doc| ConfigDoc::is_valid(doc))
    else {
        let reason =
            "the key config is missing or no object: each node goes on with what it knew last";
        let remedy = "a leader writes its own again if the key is missing; else patronictl edit-config --replace";
        return vec![Finding::warning("config-missing", reason, remedy)];
    };
    match Dynamic::read(&config.data) {
        Err(error) => {
            let reason = format!("the nodes refuse the configuration: {error}");
            vec![Finding::problem("config-refused", reason, EDIT)]
        }
        Ok((_, warnings)) => warnings
            .into_iter()
            .map(|warning| Finding::warning("timeouts", warning, EDIT))
            .collect(),
    }
}

fn paused(facts: &Facts) -> Option<Finding> {
    facts.settings.pause.then(|| {
        let reason = "the cluster is paused: nobody takes over by itself";
        Finding::warning("paused", reason, "patronictl resume")
    })
}

fn lag_limit(facts: &Facts) -> Option<Finding> {
    let limit = facts.settings.maximum_lag_on_failover;
    let given = facts.setting(&["maximum_lag_on_failover"]);
    if let Some(given) = given.filter(|given| value::parse_int(given).is_none()) {
        let reason = format!(
            "maximum_lag_on_failover is {}, which is no number: {limit} is used",
            value::text(given)
        );
        return Some(Finding::warning("lag-limit", reason, EDIT));
    }
    (limit <= 0).then(|| {
        let reason = format!(
            "maximum_lag_on_failover is {limit}: a standby that lags by a single byte can not take over"
        );
        Finding::warning("lag-limit", reason, EDIT)
    })
}

/// Members publish neither checksums nor their own settings, so this is by the store alone.
fn rewind(facts: &Facts) -> Option<Finding> {
    let flag = |path: &[&str]| facts.setting(path).and_then(value::parse_bool);
    if flag(&["postgresql", "use_pg_rewind"]) != Some(true) {
        let reason = "postgresql.use_pg_rewind is not on in the dynamic configuration: a former primary \
                      that went further is copied anew or stays away";
        return Some(Finding::note(
            "rewind",
            reason,
            "set it, if no node's own file does",
        ));
    }
    (flag(&["postgresql", "parameters", "wal_log_hints"]) == Some(false)).then(|| {
        let reason = "wal_log_hints is off: a rewind works with data checksums only";
        let remedy = "set it on, unless SHOW data_checksums says on";
        Finding::note("rewind", reason, remedy)
    })
}

fn failsafe(facts: &Facts) -> Vec<Finding> {
    if !facts.settings.failsafe_mode {
        return Vec::new();
    }
    let Some(known) = &facts.cluster.failsafe else {
        let reason = "failsafe_mode is on, and the key failsafe is missing: the leader steps down when the \
                      store fails";
        let remedy = "the leader writes it in its next cycle: look again";
        return vec![Finding::warning("failsafe-missing", reason, remedy)];
    };
    let members = facts.cluster.members.iter().map(|member| &member.name);
    members
        .filter(|name| !known.contains_key(*name))
        .map(|name| {
            let reason =
                "it is not in the key failsafe, so it may not take over while the mode counts";
            let remedy = "the leader adds it in its next cycle: look again";
            Finding::warning("failsafe-missing", reason, remedy).of(name)
        })
        .collect()
}
