//! Whatever the world answers, a cycle ends, and never promotes without the lock.

mod support;

use std::time::Duration;

use patroni_core::server::ControlState;
use patroni_core::{Lsn, Revision, Role, State};
use patroni_ha::job::Job;
use patroni_ha::journal::{Asked, Difference, Line, Record, account, replay};
use patroni_ha::memory::{Lease, RewindState};
use patroni_ha::outcome::{HookOutcome, LockOutcome, StartOutcome, StopOutcome, Written};
use patroni_ha::{Command, Cycle, Memory, Outcome, Rule, Step};
use proptest::prelude::*;
use serde_json::json;
use support::*;

fn outcome() -> impl Strategy<Value = Option<Outcome>> {
    let written = prop_oneof![
        Just(Written::Yes),
        Just(Written::LostRace),
        Just(Written::Failed("x".to_owned()))
    ];
    let lock = prop_oneof![
        Just(LockOutcome::Held {
            until: at(1000) + TTL
        }),
        Just(LockOutcome::Refused),
        Just(LockOutcome::Unreachable("x".to_owned()))
    ];
    let owner = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Outcome::Done)),
        2 => any::<bool>().prop_map(|b| Some(Outcome::Success(b))),
        2 => written.prop_map(|w| Some(Outcome::Write(w))),
        3 => lock.prop_map(|l| Some(Outcome::Lock(l))),
        2 => owner.prop_map(|o| Some(Outcome::Cluster(Ok(cluster(o).into())))),
        1 => Just(Some(Outcome::Cluster(Err("down".to_owned())))),
        1 => Just(Some(Outcome::Peers(Vec::new()))),
        1 => Just(Some(Outcome::Peers(vec![peer(&name("b"), 500)]))),
        1 => Just(Some(Outcome::SyncWritten(Err(Written::LostRace)))),
        1 => Just(Some(Outcome::SyncWritten(Ok(Revision::new(3))))),
        1 => Just(Some(Outcome::Hook(HookOutcome::Exited(Some(1))))),
        1 => Just(Some(Outcome::Stopped(StopOutcome { stopped: false, shutdown: None }))),
        1 => Just(Some(Outcome::Started(StartOutcome::Failed("x".to_owned())))),
        1 => Just(Some(Outcome::Scheduled(Err("restart".to_owned())))),
    ]
}

/// Whether an outcome is of the kind that a command has.
fn fits(command: &Command, outcome: &Outcome) -> bool {
    let view = cluster(None);
    let right = fine(command, &replica(), &view, at(1000));
    std::mem::discriminant(&right) == std::mem::discriminant(outcome)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn cycles_end_and_promote_only_with_the_lock(
        server in 0..6_usize,
        owner in prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))],
        doc in prop_oneof![
            Just(json!({})),
            Just(json!({"pause": true})),
            Just(json!({"synchronous_mode": true})),
            Just(json!({"synchronous_mode": true, "synchronous_mode_strict": true})),
            Just(json!({"failsafe_mode": true})),
            Just(json!({"standby_cluster": {"host": "h"}})),
            Just(json!({"primary_start_timeout": 0, "check_timeline": true})),
        ],
        request in 0..4_usize,
        lease in prop_oneof![Just(Lease::None), Just(Lease::Until(at(1020))), Just(Lease::Until(at(900)))],
        rewind in prop_oneof![Just(RewindState::Initial), Just(RewindState::Check), Just(RewindState::Need)],
        recovering in any::<bool>(),
        store_down in prop::bool::weighted(0.1),
        wrong_kinds in prop::bool::weighted(0.1),
        outcomes in prop::collection::vec(outcome(), 0..40),
    ) {
        let server = match server {
            0 => primary(),
            1 => replica(),
            2 => stopped(Role::Primary, ControlState::InProduction),
            3 => stopped(Role::Replica, ControlState::ShutDownInRecovery),
            4 => empty(),
            _ => {
                let mut starting = primary();
                starting.state = State::Starting;
                starting.status = patroni_core::server::Answer::NotAsked;
                starting
            }
        };
        let mut view = cluster(owner);
        view.failover = match request {
            0 => None,
            1 => failover(Some("a"), None),
            2 => failover(None, Some("a")),
            _ => failover(Some("b"), Some("c")),
        };
        view.status.optime = Lsn::new(100);
        let mut observed = observation(server.clone(), view.clone());
        observed.settings = settings(doc);
        if store_down {
            observed.store = Err("down".to_owned());
        }
        let memory = Memory { lease, rewind, recovering, ..Memory::default() };
        let mut cycle = Cycle::begin(observed, memory);
        let mut given = outcomes.into_iter();
        let mut now = at(1000);
        let (mut locked, mut count) = (false, 0);
        let mut asked = Vec::new();
        loop {
            let (step, rule) = cycle.step_by_rule();
            match step {
                Step::Do { command, say } => {
                    count += 1;
                    asked.push(Asked { rule, say, command: command.clone() });
                    prop_assert!(count < 120, "too many commands, now {command:?}");
                    if matches!(command, Command::Schedule(Job::Promote)) {
                        prop_assert!(locked, "promotion without the lock");
                    }
                    now = now + Duration::from_millis(100);
                    let right = fine(&command, &server, &view, now);
                    let outcome = match given.next().flatten() {
                        Some(given) if wrong_kinds || fits(&command, &given) => given,
                        Some(_) | None => right,
                    };
                    if let Outcome::Lock(lock) = &outcome {
                        locked = matches!(lock, LockOutcome::Held { .. });
                    }
                    cycle.resume(outcome, now);
                }
                Step::Done { memory, verdict, say } => {
                    prop_assert!(!verdict.to_string().is_empty());
                    prop_assert_ne!(verdict.rule, Rule::Start);
                    // The same beginning and the same outcomes give the same end.
                    let again: Cycle = serde_json::from_value(serde_json::to_value(&cycle).unwrap()).unwrap();
                    prop_assert_eq!(again.step(), cycle.step());
                    prop_assert!(memory.last_moment >= at(1000));
                    let record = Record::of_cycle(cycle, asked, say, verdict, &memory);
                    prop_assert_eq!(there_and_back(&record), Ok(()));
                    // With an open store another thing is seen than without one.
                    if !store_down {
                        let difference = with_changed(&record, |run| {
                            run["Cycle"]["observation"]["store"] = json!({"Err": "changed"});
                        });
                        let difference = difference.unwrap_err();
                        prop_assert_ne!(&difference.recorded, &difference.found);
                        let told = difference.to_string();
                        prop_assert!(told.contains("(the store is away"), "{}", told);
                    }
                    break;
                }
            }
        }
    }
}

/// Writes a record as a line, reads it and replays it.
fn there_and_back(record: &Record) -> Result<(), String> {
    let line = Line::new(&account(record, 1), record).expect("a record is plain data");
    let again = Line::parse(&line.to_text()).expect("what was just written");
    assert_eq!(again, line);
    assert_eq!(again.account.member, name("a"));
    assert!(!again.account.why.is_empty());
    let read = again.record().expect("what was just written");
    assert_eq!(&read, record, "nothing here is a secret");
    replay(&read).map_err(|difference| difference.to_string())
}

/// Replays a record with a changed beginning.
fn with_changed(
    record: &Record,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<(), Box<Difference>> {
    let mut value = serde_json::to_value(record).expect("a record is plain data");
    change(&mut value["run"]);
    replay(&serde_json::from_value(value).expect("still a record"))
}

fn jobs() -> Vec<Job> {
    use patroni_core::Upstream;
    use patroni_ha::command::{CloneSource, LeaderAddress, Parting, Peer, RewindSource};
    use patroni_ha::job::{DemotePlan, DemoteReason};
    let from = LeaderAddress {
        name: name("b"),
        conn_url: "postgres://b:5432/postgres".to_owned(),
    };
    let source = CloneSource::Member {
        from: from.clone(),
        basebackup_only: false,
    };
    let upstream = Upstream::None;
    let demote = |reason| Job::Demote {
        reason,
        judged: Some(leader("a")),
        plan: DemotePlan {
            candidates: vec![Peer {
                name: name("b"),
                url: "http://b".to_owned(),
            }],
        },
    };
    vec![
        Job::Bootstrap,
        Job::BootstrapStandbyLeader,
        Job::Clone {
            source: source.clone(),
            message: "from leader 'b'".to_owned(),
            upstream: upstream.clone(),
        },
        Job::PostBootstrap,
        Job::CrashRecovery,
        Job::Rewind {
            source: RewindSource::Member(from),
            parting: Parting::Plain,
        },
        Job::Reinitialize {
            source,
            diverged: false,
        },
        Job::StartPrimary {
            timeout: Duration::from_mins(5),
        },
        Job::RestartFollow { upstream },
        demote(DemoteReason::Switchover),
        demote(DemoteReason::DemoteCluster),
        Job::Promote,
        Job::Restart(patroni_core::RestartConditions::default()),
        Job::Shutdown,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn long_tasks_end_and_never_give_the_lock_back_while_the_server_may_write(
        which in 0..14_usize,
        runs_as_primary in any::<bool>(),
        sync in any::<bool>(),
        lease in prop_oneof![Just(Lease::None), Just(Lease::Until(at(1020)))],
        outcomes in prop::collection::vec(outcome(), 0..60),
    ) {
        let server = if runs_as_primary { primary() } else { replica() };
        let view = cluster(Some("a"));
        let context = patroni_ha::JobContext {
            node: node("a"),
            settings: settings(json!({"synchronous_mode": sync})),
            cluster: Some(view.clone().into()),
            server: server.clone(),
            watchdog: patroni_ha::observation::WatchdogFacts { active: true, required: false, usable: true, timeout: Some(Duration::from_secs(25)) },
            memory: Memory { lease, ..Memory::default() },
        };
        let job = jobs().swap_remove(which);
        let mut run = patroni_ha::JobRun::begin(job, context, at(1000));
        let mut given = outcomes.into_iter();
        let mut now = at(1000);
        let (mut stopped, mut count) = (false, 0);
        let mut asked = Vec::new();
        loop {
            match run.step() {
                patroni_ha::JobStep::Do { command, say } => {
                    count += 1;
                    asked.push(Asked { rule: Rule::J, say, command: command.clone() });
                    prop_assert!(count < 300, "too many commands, now {command:?}");
                    if matches!(command, Command::ReleaseLeader { .. } | Command::WatchdogDisable | Command::RemoveDataDir(_)) {
                        // A copy that failed is removed although no server was stopped for it.
                        prop_assert!(stopped || matches!(command, Command::RemoveDataDir(_)), "{command:?}");
                    }
                    now = now + Duration::from_millis(100);
                    let right = fine(&command, &server, &view, now);
                    let outcome = match given.next().flatten() {
                        Some(given) if fits(&command, &given) => given,
                        Some(_) | None => right,
                    };
                    if let Outcome::Stopped(outcome) = &outcome {
                        stopped |= outcome.stopped;
                    }
                    run.resume(outcome, now);
                }
                patroni_ha::JobStep::Done { report, say } => {
                    prop_assert_eq!(&report.job, run.job());
                    let wall = "2026-01-01T00:00:00Z".parse().unwrap();
                    let record = Record::of_job(wall, run, asked, say, report);
                    prop_assert_eq!(there_and_back(&record), Ok(()));
                    let other = with_changed(&record, |run| {
                        let job = if which == 11 { json!("CrashRecovery") } else { json!("Promote") };
                        run["Job"]["job"] = job;
                    });
                    prop_assert!(other.is_err());
                    break;
                }
            }
        }
    }
}
