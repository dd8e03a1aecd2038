//! Records tell why, and say which rule changed when they do not replay.

mod support;

use patroni_core::account::{Account, Kind, Turn};
use patroni_core::{Lsn, Role};
use patroni_ha::journal::{Answer, Asked, End, Line, LineError, Record, Run, account, replay};
use patroni_ha::memory::Lease;
use patroni_ha::outcome::LockOutcome;
use patroni_ha::{
    Command, Cycle, Job, JobContext, JobRun, JobStep, Memory, Observation, Outcome, Rule, Step,
};
use serde_json::{Value, json};
use std::time::Duration;
use support::*;

/// Plays a cycle as a body does, and keeps its record.
fn record(
    observation: Observation,
    memory: Memory,
    mut answer: impl FnMut(&Command) -> Option<Outcome>,
) -> Record {
    let server = observation.server.clone();
    let view = observation.store.clone().unwrap_or_default();
    let mut now = observation.now;
    let mut cycle = Cycle::begin(observation, memory);
    let mut asked = Vec::new();
    loop {
        let (step, rule) = cycle.step_by_rule();
        match step {
            Step::Do { say, command } => {
                now = now + Duration::from_millis(10);
                let outcome =
                    answer(&command).unwrap_or_else(|| fine(&command, &server, &view, now));
                asked.push(Asked { rule, say, command });
                cycle.resume(outcome, now);
            }
            Step::Done {
                say,
                verdict,
                memory,
            } => return Record::of_cycle(cycle, asked, say, verdict, &memory),
        }
    }
}

/// `a` wins the race after `b`, which led, is gone; `c` is not allowed to lead.
fn won_race() -> Record {
    let mut view = cluster(None);
    view.members[2] = member_with(
        "c",
        json!({"role": "replica", "state": "running", "tags": {"nofailover": true}}),
    );
    let memory = Memory {
        old_view: Some(cluster(Some("b")).into()),
        ..Memory::default()
    };
    let led = cluster(Some("a"));
    record(
        observation(replica(), view),
        memory,
        |command| match command {
            Command::LoadCluster => Some(Outcome::Cluster(Ok(led.clone().into()))),
            Command::AskPeers(peers) => Some(Outcome::Peers(
                peers
                    .iter()
                    .map(|asked| patroni_ha::observation::PeerAnswer {
                        name: asked.name.clone(),
                        reply: Err("connection refused".to_owned()),
                        stands_aside: false,
                    })
                    .collect(),
            )),
            _ => None,
        },
    )
}

#[test]
fn a_failover_tells_who_led_who_was_refused_and_which_rule_spoke() {
    let record = won_race();
    let told = account(&record, 5);
    assert_eq!(told.turn, Turn::TookOver);
    assert_eq!(told.rule, "P4");
    assert_eq!(told.former, Some(name("b")));
    assert_eq!(
        told.verdict,
        "promoted self to leader by acquiring session lock"
    );
    let refused: Vec<(&str, &str)> = told
        .refused
        .iter()
        .map(|refused| (refused.name.as_str(), refused.evidence.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (
                "c",
                "not allowed to promote (its tags say nofailover, or failover_priority 0 or less)"
            ),
            ("b", "not reachable (connection refused)"),
        ]
    );
    assert_eq!(told.refused[0].reason, "NotAllowed");
    assert_eq!(told.refused[1].reason, "Unreachable");
    assert_eq!(
        told.why[..2],
        [
            "Nobody held the lock; b led last.".to_owned(),
            "PostgreSQL here was running as replica, timeline 1, position 0/64.".to_owned(),
        ]
    );
    let acquire = told.acts.iter().find(|act| act.command == "acquire leader");
    let acquire = acquire.unwrap();
    assert_eq!(acquire.rule, "T3");
    assert_eq!(acquire.outcome.as_deref(), Some("the lock is ours"));
    assert_eq!(replay(&record), Ok(()));
}

#[test]
fn a_changed_observation_is_reported_with_the_rules_on_both_sides() {
    let mut value = serde_json::to_value(won_race()).unwrap();
    // The node had been tagged: it must not race at all.
    value["run"]["Cycle"]["observation"]["node"]["tags"] = json!({"nofailover": true});
    let changed: Record = serde_json::from_value(value).unwrap();
    let difference = replay(&changed).unwrap_err();
    assert_eq!(difference.step, 1);
    assert!(
        matches!(&difference.recorded, Answer::Asked(Rule::H, command) if matches!(**command, Command::AskPeers(_)))
    );
    assert!(
        matches!(&difference.found, Answer::Asked(Rule::T1, command) if matches!(**command, Command::Wait(_)))
    );
    let told = difference.to_string();
    for part in [
        "step 1: recorded H (nobody leads: is this node fit to lead?) asks for {\"AskPeers\"",
        "; now T1 (nobody leads and this node must not take the lock) asks for {\"Wait\"",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_changed_outcome_memory_or_end_is_reported() {
    let record = won_race();
    let replayed = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(&record).unwrap();
        change(&mut value);
        replay(&serde_json::from_value(value).unwrap())
    };
    assert_eq!(replayed(&|_| ()), Ok(()));
    let other_outcome = replayed(&|value| {
        value["run"]["Cycle"]["received"][1][0] = json!({"Lock": "Refused"});
    });
    // The store is read again either way; what follows differs.
    assert_eq!(other_outcome.unwrap_err().step, 4);
    let other_memory = replayed(&|value| {
        value["end"]["Verdict"]["remembered"]["lease"] = json!("None");
    });
    assert!(matches!(
        other_memory.unwrap_err().recorded,
        Answer::Remembered(field, Some(_)) if field == "lease"
    ));
    let other_verdict = replayed(&|value| {
        value["end"]["Verdict"]["verdict"]["result"] = json!("AcquiredAsLeader");
    });
    assert!(matches!(other_verdict.unwrap_err().found, Answer::Ended(_)));
    let one_less = replayed(&|value| {
        value["asked"].as_array_mut().unwrap().pop();
    });
    assert!(matches!(one_less.unwrap_err().found, Answer::Asked(..)));
    let one_outcome_less = replayed(&|value| {
        value["run"]["Cycle"]["received"]
            .as_array_mut()
            .unwrap()
            .pop();
    });
    assert_eq!(one_outcome_less.unwrap_err().found, Answer::Nothing);
}

#[test]
fn a_cycle_that_the_end_of_the_daemon_broke_off_replays() {
    let mut record = won_race();
    let Run::Cycle(cycle) = &record.run else {
        panic!("a cycle")
    };
    let mut begun = Cycle::begin(cycle.observation().clone(), cycle.memory().clone());
    let (outcome, at) = cycle.received()[0].clone();
    begun.resume(outcome, at);
    record.asked.truncate(2);
    let mut broken = Record::of_broken_cycle(begun, record.asked);
    assert_eq!(replay(&broken), Ok(()));
    assert_eq!(account(&broken, 1).turn, Turn::Other);
    broken.asked[1].command = Command::Promote;
    assert!(replay(&broken).is_err());
}

#[test]
fn a_demotion_for_a_lost_lock_tells_the_answer_of_the_store() {
    let memory = Memory {
        lease: Lease::Until(at(1020)),
        ..Memory::default()
    };
    let mut refusals = 0;
    let record = record(
        observation(primary(), cluster(Some("a"))),
        memory,
        |command| match command {
            Command::UpdateLeader { .. } => {
                refusals += 1;
                Some(Outcome::Lock(LockOutcome::Refused))
            }
            _ => None,
        },
    );
    assert_eq!(refusals, 1);
    let told = account(&record, 9);
    assert_eq!((told.turn, told.rule.as_str()), (Turn::SteppedDown, "L3"));
    assert_eq!(told.leader, Some(name("a")));
    assert_eq!(told.revision.as_deref(), Some("7"));
    let sentence = "\"update leader\" came to: the lock is not ours.".to_owned();
    assert!(told.why.contains(&sentence), "{:#?}", told.why);
    assert!(
        told.why
            .contains(&"a held the lock (revision 7).".to_owned())
    );
}

#[test]
fn a_switchover_and_its_task_tell_who_asked_for_it() {
    let mut view = cluster(Some("a"));
    view.failover = failover(Some("a"), Some("b"));
    let memory = Memory {
        lease: Lease::Until(at(1020)),
        ..Memory::default()
    };
    let record = record(observation(primary(), view.clone()), memory.clone(), |_| {
        None
    });
    let told = account(&record, 1);
    assert_eq!(told.rule, "M4");
    assert_eq!(told.request.as_deref(), Some("switchover away from a to b"));
    let ordered = told
        .acts
        .iter()
        .any(|act| act.command == "schedule: switchover: demote");
    assert!(ordered, "{:#?}", told.acts);
    let job = record.asked.iter().find_map(|asked| match &asked.command {
        Command::Schedule(job) => Some(job.clone()),
        _ => None,
    });
    let job = played_job(job.unwrap(), &view, memory);
    assert_eq!(replay(&job), Ok(()));
    let told = account(&job, 2);
    assert_eq!((told.kind, told.turn), (Kind::Task, Turn::SteppedDown));
    assert!(told.why[0].starts_with("The task \"switchover: demote\" ran for "));
    assert!(told.until > told.at);
}

fn played_job(job: Job, view: &patroni_core::Cluster, memory: Memory) -> Record {
    let server = primary();
    let context = JobContext {
        node: node("a"),
        settings: settings(json!({})),
        cluster: Some(view.clone().into()),
        server: server.clone(),
        watchdog: patroni_ha::observation::WatchdogFacts::default(),
        memory,
    };
    let mut now = at(1000);
    let mut run = JobRun::begin(job, context, now);
    let mut asked = Vec::new();
    loop {
        match run.step() {
            JobStep::Do { say, command } => {
                now = now + Duration::from_millis(10);
                run.resume(fine(&command, &server, view, now), now);
                asked.push(Asked {
                    rule: Rule::J,
                    say,
                    command,
                });
            }
            JobStep::Done { say, report } => {
                let wall = "2026-01-01T00:00:00Z".parse().expect("a time");
                return Record::of_job(wall, run, asked, say, report);
            }
        }
    }
}

#[test]
fn a_line_holds_no_secret_and_replays_all_the_same() {
    let mut view = cluster(Some("a"));
    // The leader restores the configuration from memory: the document goes through a command.
    view.config = None;
    let mut observed = observation(primary(), view);
    let doc = json!({"postgresql": {
        "authentication": {"superuser": {"password": "hush-hush"}},
        "parameters": {"archive_command": "PGPASSWORD=hush-hush wal-g push %p"},
    }});
    observed.config_in_memory = doc.as_object().unwrap().clone().into();
    observed.server.status = match observed.server.status {
        patroni_core::server::Answer::Known(mut status) => {
            status.restore_command = Some("curl https://u:hush-hush@host/%f".to_owned());
            patroni_core::server::Answer::Known(status)
        }
        other => other,
    };
    let memory = Memory {
        lease: Lease::Until(at(1020)),
        ..Memory::default()
    };
    let record = record(observed, memory, |_| None);
    assert!(
        serde_json::to_string(&record)
            .unwrap()
            .contains("hush-hush")
    );
    let wrote = |asked: &Asked| matches!(asked.command, Command::WriteConfig { .. });
    assert!(record.asked.iter().any(wrote));
    let line = Line::new(&account(&record, 1), &record).unwrap();
    let text = line.to_text();
    assert!(!text.contains("hush"), "{text}");
    assert!(!text.contains('\n'));
    assert_eq!(replay(&line.record().unwrap()), Ok(()));
}

#[test]
fn lines_of_other_versions_are_told_from_nonsense() {
    let record = won_race();
    let text = Line::new(&account(&record, 3), &record).unwrap().to_text();
    let line = Line::parse(&text).unwrap();
    assert_eq!(line.account.number, 3);
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(Line::parse(&newer), Err(LineError::Version(2))));
    assert!(matches!(Line::parse("{\"a\""), Err(LineError::Form(_))));
    let other = text.replace("\"observation\"", "\"observed\"");
    let other = Line::parse(&other).unwrap();
    assert!(matches!(other.record(), Err(LineError::Record { .. })));
    let told: &Account = &other.account;
    assert_eq!(
        told.member,
        name("a"),
        "the account can be read all the same"
    );
}

#[test]
fn what_ended_is_in_the_record() {
    let record = won_race();
    let End::Verdict {
        verdict,
        remembered,
        ..
    } = &record.end
    else {
        panic!("a verdict")
    };
    assert_eq!(verdict.rule, Rule::P4);
    let mut fields: Vec<&str> = remembered.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "began",
            "inherited",
            "last_seen",
            "lease",
            "old_view",
            "seen_identity"
        ]
    );
    assert_eq!(record.begun(), at(1000));
    assert_eq!(record.memory().old_view, Some(cluster(Some("b")).into()));
    let position = Lsn::new(100);
    assert!(matches!(&record.run, Run::Cycle(cycle)
        if cycle.observation().server.status.known().unwrap().main_position() == position
            && cycle.observation().server.role == Role::Replica));
}
