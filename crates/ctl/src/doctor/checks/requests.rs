//! What people have asked for and is not done yet.

use patroni_core::FailoverRequest;
use patroni_core::failover::ScheduledAt;

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let request = facts.cluster.failover_request().into_iter();
    request.map(|key| judge(facts, &key.request)).collect()
}

fn judge(facts: &Facts, request: &FailoverRequest) -> Finding {
    let what = describe(request);
    let flush = format!("patronictl flush {} switchover", facts.scope);
    match &request.scheduled_at {
        None => {
            let reason = format!("{what} was asked for and is not done");
            let remedy = "it may be under way: look again. A leader clears what cannot be done, and \
                          its log tells why; without a leader it decides who may take over";
            Finding::warning("request-left", reason, remedy)
        }
        Some(ScheduledAt::Unusable(text)) => {
            let reason = format!("{what} is scheduled at '{text}', which is no time");
            Finding::warning("request-left", reason, &flush)
        }
        Some(ScheduledAt::At { time, text }) if *time < facts.now => {
            let reason = format!("{what} was scheduled at {text}, and that is over");
            Finding::warning("request-left", reason, &flush)
        }
        Some(ScheduledAt::At { text, .. }) => {
            let reason = format!("{what} is scheduled at {text}");
            let remedy = format!("as asked for; {flush} takes it back");
            Finding::note("request-scheduled", reason, &remedy)
        }
    }
}

fn describe(request: &FailoverRequest) -> String {
    let to = request.candidate.as_ref();
    let to = to.map_or_else(String::new, |name| format!(" to {name}"));
    match &request.leader {
        Some(leader) => format!("a switchover from {leader}{to}"),
        None => format!("a failover{to}"),
    }
}
