//! A record, told in plain sentences.

use std::time::Duration;

use jiff::Timestamp;
use patroni_core::account::{Account, Act, Kind, Refused};
use patroni_core::server::{LocalServer, Process};
use patroni_core::{Cluster, MemberName, Moment};

use super::record::{End, Record, Run};
use super::{shape, turn, wording};
use crate::command::Command;
use crate::cycle::Cycle;
use crate::eligibility::Refusal;
use crate::job::JobReport;
use crate::job_run::JobRun;
use crate::rule::Rule;
use crate::sentence::{Action, Sentence};

/// Tells a record; `number` is its place in the journal.
pub fn account(record: &Record, number: u64) -> Account {
    let view = view(record);
    let leader = view.and_then(Cluster::leader_name).cloned();
    let old = record.memory().old_view.as_deref();
    let former = match leader {
        Some(_) => None,
        None => old.and_then(Cluster::leader_name).cloned(),
    };
    let rule = rule(record);
    let acts = acts(record);
    Account {
        number,
        member: member(record).clone(),
        at: record.wall,
        until: until(record),
        times: 1,
        kind: match record.run {
            Run::Cycle(_) => Kind::Cycle,
            Run::Job(_) => Kind::Task,
        },
        turn: turn::of(record),
        rule: rule.id().to_owned(),
        about: rule.text().to_owned(),
        revision: view
            .and_then(|view| view.leader.as_ref())
            .map(|leader| leader.revision.to_string()),
        request: view.and_then(request),
        verdict: verdict(record),
        why: why(record, former.as_ref(), &acts),
        refused: refused(record),
        said: said(record),
        leader,
        former,
        acts,
    }
}

fn member(record: &Record) -> &MemberName {
    match &record.run {
        Run::Cycle(cycle) => &cycle.observation().node.name,
        Run::Job(job) => &job.context().node.name,
    }
}

fn view(record: &Record) -> Option<&Cluster> {
    match &record.run {
        Run::Cycle(cycle) => cycle.observation().store.as_deref().ok(),
        Run::Job(job) => job.context().cluster.as_deref(),
    }
}

fn rule(record: &Record) -> Rule {
    let last = || record.asked.last().map(|asked| asked.rule);
    match &record.end {
        End::Verdict { verdict, .. } => verdict.rule,
        End::Report { .. } => Rule::J,
        End::BrokenOff => last().unwrap_or_default(),
    }
}

fn until(record: &Record) -> Timestamp {
    let last = record.received().last().map(|(_, at)| *at);
    let took = last.map_or(Duration::ZERO, |at| at.since(record.begun()));
    record.wall.checked_add(took).unwrap_or(record.wall)
}

fn verdict(record: &Record) -> String {
    match &record.end {
        End::Verdict { verdict, .. } => verdict.to_string(),
        End::Report { report, .. } => format!("{}: {:?}", report.job, report.end).to_lowercase(),
        End::BrokenOff => "broken off because the daemon ended".to_owned(),
    }
}

fn said(record: &Record) -> Vec<String> {
    let last: &[Sentence] = match &record.end {
        End::Verdict { say, .. } | End::Report { say, .. } => say,
        End::BrokenOff => &[],
    };
    let before = record.asked.iter().flat_map(|asked| &asked.say);
    before.chain(last).map(ToString::to_string).collect()
}

fn refused(record: &Record) -> Vec<Refused> {
    let mut told: Vec<Refused> = Vec::new();
    for Refusal { name, reason } in record.verdict().into_iter().flat_map(|v| &v.refused) {
        let refused = Refused {
            name: name.clone(),
            reason: reason.kind(),
            evidence: reason.evidence(),
        };
        if !told.contains(&refused) {
            told.push(refused);
        }
    }
    told
}

fn acts(record: &Record) -> Vec<Act> {
    let begun = record.begun();
    let mut outcomes = record.received().iter();
    let asked = record.asked.iter();
    asked
        .map(|asked| {
            let learnt = outcomes.next();
            // Setting the names answers whether they changed.
            let tells_failure = !matches!(asked.command, Command::SetSyncNames(_));
            Act {
                rule: asked.rule.id().to_owned(),
                command: wording::command(&asked.command),
                outcome: learnt.map(|(outcome, _)| wording::outcome(outcome)),
                failed: tells_failure && learnt.is_some_and(|(outcome, _)| shape::failed(outcome)),
                after_ms: learnt.map_or(0, |(_, at)| millis(*at, begun)),
            }
        })
        .collect()
}

fn millis(at: Moment, begun: Moment) -> u64 {
    u64::try_from(at.since(begun).as_millis()).unwrap_or(u64::MAX)
}

fn why(record: &Record, former: Option<&MemberName>, acts: &[Act]) -> Vec<String> {
    let mut why = match &record.run {
        Run::Cycle(cycle) => situation(cycle, former),
        Run::Job(job) => vec![of_task(job, record)],
    };
    for Refused { name, evidence, .. } in refused(record) {
        why.push(format!("{name} was refused: {evidence}."));
    }
    for act in acts.iter().filter(|act| act.failed) {
        let outcome = act.outcome.as_deref().unwrap_or("no outcome");
        why.push(format!("\"{}\" came to: {outcome}.", act.command));
    }
    if let End::Verdict { verdict, .. } = &record.end {
        why.push(format!(
            "Rule {}: {}.",
            verdict.rule.id(),
            verdict.rule.text()
        ));
        if let Some(exit) = &verdict.exit {
            why.push(format!("The daemon ended with exit status {}.", exit.code));
        }
    }
    why
}

/// What a cycle saw.
fn situation(cycle: &Cycle, former: Option<&MemberName>) -> Vec<String> {
    let observation = cycle.observation();
    let mut seen = Vec::new();
    match &observation.store {
        Err(why) => seen.push(format!("The store did not answer: {why}.")),
        Ok(view) => {
            seen.push(lock(view, former));
            let request = request(view);
            seen.extend(request.map(|request| format!("A {request} was asked for.")));
        }
    }
    if observation.settings.pause {
        seen.push("The cluster was paused.".to_owned());
    }
    seen.push(server(&observation.server));
    if let Some(running) = &observation.executor {
        seen.push(format!("The task \"{}\" was running.", running.job));
    }
    for JobReport { job, end, .. } in &observation.finished {
        let how = if shape::task_failed(*end) {
            "had failed or was cancelled"
        } else {
            "had ended"
        };
        seen.push(format!("The task \"{job}\" {how}."));
    }
    seen
}

fn lock(view: &Cluster, former: Option<&MemberName>) -> String {
    match (&view.leader, view.leader_name(), former) {
        (Some(leader), Some(name), _) => {
            format!("{name} held the lock (revision {}).", leader.revision)
        }
        (_, _, Some(former)) => format!("Nobody held the lock; {former} led last."),
        (_, _, None) => "Nobody held the lock.".to_owned(),
    }
}

fn request(view: &Cluster) -> Option<String> {
    let request = &view.failover_request()?.request;
    let (leader, candidate) = (request.leader.as_ref(), request.candidate.as_ref());
    let parts = [
        Some(Action::of(Some(request)).to_string()),
        leader.map(|leader| format!(" away from {leader}")),
        candidate.map(|candidate| format!(" to {candidate}")),
        request
            .scheduled_at
            .as_ref()
            .map(|at| format!(" at {}", at.text())),
    ];
    Some(parts.into_iter().flatten().collect())
}

fn server(server: &LocalServer) -> String {
    let (state, role) = (server.state, server.role);
    if server.process == Process::Absent {
        return format!("PostgreSQL here did not run ({state}).");
    }
    let Some(status) = server.status.known() else {
        return format!("PostgreSQL here was {state} as {role}, and did not answer.");
    };
    let timeline = status.primary_timeline.or(status.receiver_timeline);
    let timeline = timeline
        .or(status.control_timeline)
        .map(|timeline| format!(", timeline {timeline}"));
    format!(
        "PostgreSQL here was {state} as {role}{}, position {}.",
        timeline.unwrap_or_default(),
        status.main_position()
    )
}

fn of_task(job: &JobRun, record: &Record) -> String {
    let last = record.received().last().map(|(_, at)| *at);
    let took = last.map_or(Duration::ZERO, |at| at.since(record.begun()));
    let end = match &record.end {
        End::Report { report, .. } if shape::task_failed(report.end) => "without success",
        End::Report { .. } => "as it should",
        End::Verdict { .. } | End::BrokenOff => "without an end",
    };
    format!(
        "The task \"{}\" ran for {:.1} s and ended {end}.",
        job.job(),
        took.as_secs_f64()
    )
}
