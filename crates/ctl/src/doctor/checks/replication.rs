//! Whether standbys get the leader's WAL.

use patroni_core::Timeline;

use super::super::facts::{Examined, Facts, Report};
use super::super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let newest = newest_timeline(facts);
    // a primary without the lock is told with the lock
    let is_standby = |other: &&Examined| !other.report.as_ref().is_ok_and(Report::is_primary);
    let standbys = facts.others().filter(is_standby);
    standbys
        .filter_map(|standby| judge(facts, standby, newest))
        .collect()
}

/// The first of these at a standby explains the others.
fn judge(facts: &Facts, standby: &Examined, newest: Option<Timeline>) -> Option<Finding> {
    let finding = not_running(standby)
        .or_else(|| no_wal(standby))
        .or_else(|| other_timeline(standby, newest))
        .or_else(|| not_streaming(standby))
        .or_else(|| not_replayed(facts, standby))?;
    Some(finding.of(standby.name()))
}

fn not_running(standby: &Examined) -> Option<Finding> {
    (standby.state() != "running").then(|| {
        let reason = format!("its PostgreSQL is {}", standby.state());
        Finding::warning("not-running", reason, "look at the log of its daemon")
    })
}

fn no_wal(standby: &Examined) -> Option<Finding> {
    let problem = standby.replication_problem()?;
    let remedy =
        "if its data have diverged: patronictl reinit; else the log of its PostgreSQL tells why";
    Some(Finding::warning("no-wal", problem, remedy))
}

fn other_timeline(standby: &Examined, newest: Option<Timeline>) -> Option<Finding> {
    let (theirs, newest) = (standby.timeline()?, newest?);
    (theirs != newest).then(|| {
        let reason = format!("it is on timeline {theirs}, the cluster on {newest}");
        let remedy = "it follows as soon as it gets WAL; if it does not: patronictl reinit";
        Finding::warning("other-timeline", reason, remedy)
    })
}

fn not_streaming(standby: &Examined) -> Option<Finding> {
    let state = standby.replication_state();
    let as_wanted = state == Some("streaming") || standby.member.data.tags().nostream();
    (!as_wanted).then(|| {
        let reason = match state {
            Some(state) => format!("it does not stream: {state}"),
            None => "it does not stream, and has no archive to read from".to_owned(),
        };
        let remedy =
            "the log of its PostgreSQL tells why: a password, a slot in use, a missing segment";
        Finding::warning("not-streaming", reason, remedy)
    })
}

/// What was received counts in an election, and has to be replayed before the promotion ends. Who
/// may not lead, perhaps because it replays late on purpose, is not looked at.
fn not_replayed(facts: &Facts, standby: &Examined) -> Option<Finding> {
    let report = standby.report.as_ref().ok()?;
    let received = report.position("received_location")?;
    let behind = received.saturating_sub(report.position("replayed_location")?);
    let told = behind > facts.settings.maximum_lag_on_failover.max(0);
    (told && !standby.member.data.tags().nofailover()).then(|| {
        let reason = format!(
            "it has received {behind} bytes of WAL that it has not replayed: a promotion waits for them"
        );
        let remedy = "find what holds its replay up: a long query there, a lock, \
                      recovery_min_apply_delay, its disk";
        Finding::warning("replay", reason, remedy)
    })
}

/// That of the leader, else the one that the history tells.
fn newest_timeline(facts: &Facts) -> Option<Timeline> {
    let leader = facts.leader().and_then(Examined::timeline);
    leader.max(facts.cluster.timeline())
}
