//! Whole cycles and long tasks in a working world, as transcripts: what is said, what is asked
//! for, and how it ends.

mod support;

use std::time::Duration;

use patroni_core::server::{Answer, CheckpointTask, ControlState, Process};
use patroni_core::sync::SyncState;
use patroni_core::{Lsn, RestartConditions, Revision, Role, State, Status};
use patroni_ha::job::{DemotePlan, DemoteReason, Job, JobEnd, JobReport, RunningJob};
use patroni_ha::memory::{BootstrapPhase, Lease, RewindState};
use patroni_ha::observation::{PeerAnswer, WatchdogFacts};
use patroni_ha::outcome::{LockOutcome, Written};
use patroni_ha::{Command, JobContext, JobRun, Memory, Outcome};
use serde_json::json;
use support::*;

fn leading() -> Memory {
    Memory {
        lease: Lease::Until(at(1025)),
        seen_identity: true,
        ..Memory::default()
    }
}

/// So little of the lease is left that an orderly stop needs it.
fn nearly_over() -> Memory {
    Memory {
        lease: Lease::Until(at(1006)),
        ..leading()
    }
}

fn nothing(_: &Command) -> Option<Outcome> {
    None
}

#[test]
fn a_healthy_leader() {
    let played = play(
        observation(primary(), cluster(Some("a"))),
        leading(),
        nothing,
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_healthy_replica() {
    let played = play(
        observation(replica(), cluster(Some("b"))),
        Memory::default(),
        nothing,
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn bootstrap_from_nothing_to_the_lock() {
    let mut view = cluster(None);
    view.initialize = None;
    view.status = Status::default();
    view.config = None;
    view.members.clear();
    let first = play(
        observation(empty(), view.clone()),
        Memory::default(),
        nothing,
    );
    let mut new = primary();
    new.checkpoint = CheckpointTask::Idle;
    let mut second = observation(new.clone(), view.clone());
    second.finished = vec![report(Job::Bootstrap)];
    let second = play(second, first.memory.clone(), nothing);
    let mut third = observation(new, view);
    third.finished = vec![report(Job::PostBootstrap)];
    let third = play(third, second.memory.clone(), nothing);
    assert_eq!(third.memory.bootstrap, BootstrapPhase::None);
    insta::assert_snapshot!(
        [first, second, third]
            .map(|p| p.transcript())
            .join("\n---\n")
    );
}

fn report(job: Job) -> JobReport {
    JobReport {
        job,
        end: JobEnd::Success,
        effects: Vec::new(),
    }
}

#[test]
fn a_failed_bootstrap_leaves_nothing_to_join() {
    let mut view = cluster(None);
    view.initialize = Some(String::new());
    let mut failed = observation(empty(), view);
    failed.finished = vec![JobReport {
        end: JobEnd::Failure,
        ..report(Job::Bootstrap)
    }];
    let memory = Memory {
        bootstrap: BootstrapPhase::Creating,
        ..Memory::default()
    };
    insta::assert_snapshot!(play(failed, memory, nothing).transcript());
}

#[test]
fn a_first_lock_that_is_refused_is_tried_again_without_another_checkpoint() {
    let refused = |command: &Command| {
        let outcome = || Outcome::Lock(LockOutcome::Unreachable("422".to_owned()));
        matches!(command, Command::TakeLeader).then(outcome)
    };
    let began = |played: &Played| played.asked(|command| *command == Command::StartCheckpoint);
    let mut view = cluster(None);
    view.initialize = None;
    view.status = Status::default();
    let mut memory = leading();
    memory.bootstrap = BootstrapPhase::Ready;
    let mut server = primary();
    server.checkpoint = CheckpointTask::Idle;
    let first = play(observation(server, view.clone()), memory, refused);
    assert!(began(&first));
    for checkpoint in [CheckpointTask::Done, CheckpointTask::Failed] {
        let mut server = primary();
        server.checkpoint = checkpoint;
        let observed = observation(server, view.clone());
        let again = play(observed, first.memory.clone(), refused);
        assert!(again.asked(|command| *command == Command::TakeLeader));
        assert!(!began(&again), "{}", again.transcript());
    }
}

#[test]
fn a_race_that_is_won() {
    let played = play(
        observation(replica(), cluster(None)),
        Memory::default(),
        nothing,
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_race_that_is_lost_to_a_faster_node() {
    let played = play(
        observation(replica(), cluster(None)),
        Memory::default(),
        |command| match command {
            Command::AcquireLeader => Some(Outcome::Lock(LockOutcome::Refused)),
            Command::LoadCluster => Some(Outcome::Cluster(Ok(cluster(Some("b")).into()))),
            _ => None,
        },
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_switchover_on_the_leader() {
    let mut view = cluster(Some("a"));
    view.failover = failover(Some("a"), Some("b"));
    let played = play(observation(primary(), view), leading(), nothing);
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_switchover_on_the_candidate() {
    let mut view = cluster(None);
    view.failover = failover(Some("b"), Some("a"));
    let played = play(observation(replica(), view), Memory::default(), nothing);
    insta::assert_snapshot!(played.transcript());
}

fn context(server: patroni_core::server::LocalServer, owner: &str) -> JobContext {
    JobContext {
        node: node("a"),
        settings: patroni_config::Dynamic::default().into(),
        cluster: Some(cluster(Some(owner)).into()),
        server,
        watchdog: WatchdogFacts {
            active: true,
            required: false,
            usable: true,
            timeout: None,
        },
        memory: leading(),
    }
}

#[test]
fn the_orderly_demotion_hands_over_without_a_pause() {
    let job = Job::Demote {
        reason: DemoteReason::Switchover,
        judged: Some(leader("a")),
        plan: DemotePlan {
            candidates: vec![patroni_ha::command::Peer {
                name: name("b"),
                url: "http://b:8008/patroni".to_owned(),
            }],
        },
    };
    let mut asked = 0;
    let run = JobRun::begin(job, context(primary(), "a"), at(1000));
    let transcript = play_job(run, &primary(), &cluster(Some("b")), at(1000), |command| {
        match command {
            // The last record is still on its way at the first question.
            Command::AskPeers(_) => {
                asked += 1;
                let lsn = if asked < 2 { 99 } else { 100 };
                Some(Outcome::Peers(vec![peer(&name("b"), lsn)]))
            }
            _ => None,
        }
    });
    insta::assert_snapshot!(transcript);
}

#[test]
fn the_promotion() {
    let run = JobRun::begin(Job::Promote, context(replica(), "a"), at(1000));
    insta::assert_snapshot!(play_job(
        run,
        &replica(),
        &cluster(Some("a")),
        at(1000),
        nothing
    ));
}

/// The role in which the server starts when a restart is asked for just after `pg_ctl promote`,
/// and the files then look like those of `files`.
fn restarted_as(role: Role, files: &patroni_core::server::LocalServer) -> Role {
    let promoted = patroni_core::server::LocalServer { role, ..replica() };
    let job = Job::Restart(RestartConditions::default());
    let run = JobRun::begin(job, context(promoted, "a"), at(1000));
    let mut started = None;
    play_job(run, files, &cluster(Some("a")), at(1000), |command| {
        if let Command::Start(request) = command {
            started = Some(request.role);
        }
        None
    });
    started.expect("the server was not started")
}

#[test]
fn a_restart_in_the_middle_of_a_promotion_begins_with_what_the_files_say() {
    // Stopped before the promotion ended: a standby, which the next cycle promotes again.
    let unfinished = stopped(Role::Promoted, ControlState::ShutDownInRecovery);
    let standby = patroni_core::server::LocalServer {
        has_recovery_signal: true,
        ..unfinished
    };
    assert_eq!(restarted_as(Role::Promoted, &standby), Role::Replica);
    // The role is a belief, the files are a fact: as a primary it would write a second history.
    assert_eq!(restarted_as(Role::Primary, &standby), Role::Replica);
    // Stopped after its end: a primary, which must not become a standby by its restart.
    let ended = stopped(Role::Promoted, ControlState::ShutDown);
    assert_eq!(restarted_as(Role::Promoted, &ended), Role::Primary);
}

#[test]
fn an_empty_sync_key_does_not_wait_for_an_unfit_candidate() {
    let mut view = cluster(None);
    let document = json!({"synchronous_mode": true});
    view.sync = SyncState::default();
    view.failover = failover(None, Some("c"));
    view.members[2] = member_with("c", json!({"tags": {"nofailover": true}}));
    let mut found = observation(replica(), view.clone());
    found.settings = settings(document);
    let played = play(found, Memory::default(), |command| match command {
        Command::AskPeers(peers) => Some(Outcome::Peers(
            peers
                .iter()
                .map(|asked| {
                    let mut answer = peer(&asked.name, 100);
                    if asked.name == name("c")
                        && let Ok(status) = &mut answer.reply
                    {
                        status.tags = tags(json!({"nofailover": true}));
                    }
                    answer
                })
                .collect(),
        )),
        _ => None,
    });
    assert!(
        played.asked(|command| matches!(command, Command::AcquireLeader)),
        "{}",
        played.transcript()
    );
}

#[test]
fn the_daemon_of_a_leader_ends() {
    let run = JobRun::begin(Job::Shutdown, context(primary(), "a"), at(1000));
    insta::assert_snapshot!(play_job(
        run,
        &primary(),
        &cluster(Some("a")),
        at(1000),
        nothing
    ));
}

#[test]
fn the_store_is_down_and_the_primary_steps_down() {
    let mut observed = observation(primary(), cluster(Some("a")));
    observed.store = Err("no route".to_owned());
    insta::assert_snapshot!(play(observed, nearly_over(), nothing).transcript());
}

/// Three ways to have no answer; each leaves the lease as the last renewal made it.
#[test]
fn a_silent_store_is_sat_out_while_the_lease_lasts() {
    let mut unread = observation(primary(), cluster(Some("a")));
    unread.store = Err("no route".to_owned());
    let unrenewed = observation(primary(), cluster(Some("a")));
    let silent = |command: &Command| match command {
        Command::UpdateLeader { .. } => Some(Outcome::Lock(LockOutcome::Unreachable(
            "timeout".to_owned(),
        ))),
        _ => None,
    };
    let mut promoting = unread.clone();
    promoting.executor = Some(RunningJob {
        job: Job::Restart(RestartConditions::default()),
        since: at(990),
        committed: false,
    });
    let played = [
        play(unread, leading(), nothing),
        play(unrenewed, leading(), silent),
        play(promoting, leading(), nothing),
    ];
    for played in &played {
        assert_eq!(played.memory.lease, Lease::Until(at(1025)));
        assert!(played.verdict.again.is_some());
    }
    insta::assert_snapshot!(played.map(|p| p.transcript()).join("\n---\n"));
}

#[test]
fn the_store_is_down_and_everybody_accepts_the_primary() {
    let mut observed = observation(primary(), cluster(Some("a")));
    observed.store = Err("no route".to_owned());
    observed.settings = settings(json!({"failsafe_mode": true}));
    let members = ["a", "b", "c"].map(|who| (name(who), format!("http://{who}:8008/patroni")));
    let memory = Memory {
        failsafe_members: Some(members.into()),
        ..nearly_over()
    };
    let played = play(observed.clone(), memory.clone(), nothing);
    let refused = play(observed, memory, |command| match command {
        Command::AnnounceFailsafe(peers) => Some(Outcome::Failsafe(
            peers
                .iter()
                .map(|asked| (asked.name.clone(), Err("Running as a leader".to_owned())))
                .collect(),
        )),
        _ => None,
    });
    insta::assert_snapshot!([played, refused].map(|p| p.transcript()).join("\n---\n"));
}

/// A server that hangs: reported only, unless the policy says more and somebody can take over.
#[test]
fn a_silent_server_is_given_up_when_that_is_asked_for() {
    let mut observed = observation(primary(), cluster(Some("a")));
    observed.probe.silent_for = Some(Duration::from_secs(31));
    let reported = play(observed.clone(), leading(), nothing);
    observed.probe.fail_over_after = Some(Duration::from_secs(30));
    let alone = play(observed.clone(), leading(), |command| match command {
        Command::AskPeers(_) => Some(Outcome::Peers(Vec::new())),
        _ => None,
    });
    for kept in [reported, alone] {
        assert!(kept.verdict.is_heartbeat(), "{}", kept.verdict);
    }
    insta::assert_snapshot!(play(observed, leading(), nothing).transcript());
}

#[test]
fn the_lock_is_refused_and_the_primary_steps_down() {
    let played = play(
        observation(primary(), cluster(Some("a"))),
        leading(),
        |command| match command {
            Command::UpdateLeader { .. } => Some(Outcome::Lock(LockOutcome::Refused)),
            _ => None,
        },
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_crashed_primary_starts_again() {
    let server = stopped(Role::Primary, ControlState::InProduction);
    let played = play(observation(server, cluster(Some("a"))), leading(), nothing);
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_crashed_former_primary_recovers_before_it_follows() {
    let server = stopped(Role::Demoted, ControlState::InProduction);
    let first = play(
        observation(server, cluster(Some("b"))),
        Memory::default(),
        nothing,
    );
    let server = stopped(Role::Demoted, ControlState::ShutDown);
    let second = play(
        observation(server, cluster(Some("b"))),
        first.memory.clone(),
        |command| match command {
            Command::LocalPosition => Some(Outcome::LocalPosition(Some(
                patroni_ha::outcome::LocalPosition {
                    in_recovery: false,
                    timeline: tl(2),
                    lsn: Lsn::new(0x500_0028),
                    checkpoint_end: None,
                    history: None,
                    unfinished: false,
                },
            ))),
            Command::InspectLeader(_) => Some(Outcome::LeaderInspected(Ok(
                patroni_ha::outcome::LeaderInspection {
                    timeline: tl(3),
                    history: Some(vec![
                        (tl(1), Lsn::new(0x400_04C0)),
                        (tl(2), Lsn::new(0x400_05D8)),
                    ]),
                    lines: vec![
                        "1\t0/40004C0\tno recovery target specified".to_owned(),
                        "2\t0/40005D8\tno recovery target specified".to_owned(),
                    ],
                    flushed: None,
                },
            ))),
            _ => None,
        },
    );
    assert_eq!(second.memory.rewind, RewindState::Need);
    insta::assert_snapshot!([first, second].map(|p| p.transcript()).join("\n---\n"));
}

/// A crash recovery on a full disk fails, and is no reason to start without one later: the server
/// would wait where its last record is cut.
#[test]
fn a_crash_recovery_without_room_is_made_again_when_there_is_some() {
    let mut server = stopped(Role::Demoted, ControlState::InProduction);
    let mut memory = Memory::default();
    for full in [true, true, false] {
        server.disk_is_full = full;
        let played = play(
            observation(server.clone(), cluster(Some("b"))),
            memory,
            nothing,
        );
        assert!(
            played.asked(|command| *command == Command::Schedule(Job::CrashRecovery)),
            "{full}: {}",
            played.transcript()
        );
        memory = played.memory;
    }
    let played = play(observation(server, cluster(Some("b"))), memory, nothing);
    assert!(!played.asked(|command| *command == Command::Schedule(Job::CrashRecovery)));
}

#[test]
fn a_pause_keeps_everything_as_it_is() {
    let paused = |server, owner| {
        let mut observed = observation(server, cluster(owner));
        observed.settings = settings(json!({"pause": true}));
        observed
    };
    let leads = play(paused(primary(), Some("a")), leading(), nothing);
    let follows = play(paused(replica(), Some("b")), Memory::default(), nothing);
    let without = play(paused(primary(), Some("b")), Memory::default(), nothing);
    let server = stopped(Role::Primary, ControlState::ShutDown);
    let stopped = play(paused(server, Some("a")), leading(), nothing);
    let transcripts = [leads, follows, without, stopped].map(|p| p.transcript());
    insta::assert_snapshot!(transcripts.join("\n---\n"));
}

/// In a pause nothing stops a primary that stood still. Its lock may be gone since it read the
/// store, and a renewal would make it anew, beside what another one has promoted.
#[test]
fn a_pause_renews_no_lock_by_a_view_of_before_a_standstill() {
    let renews = |until: u64| {
        let mut observed = observation(primary(), cluster(Some("a")));
        observed.settings = settings(json!({"pause": true}));
        let memory = Memory {
            lease: Lease::Until(at(until)),
            ..leading()
        };
        let played = play(observed, memory, |command| match command {
            Command::LoadCluster => Some(Outcome::Cluster(Ok(cluster(Some("b")).into()))),
            _ => None,
        });
        played.asked(|command| matches!(command, Command::UpdateLeader { .. }))
    };
    assert!(renews(1025));
    assert!(!renews(990));
}

#[test]
fn synchronous_mode_is_switched_on_and_gets_a_standby() {
    let sync = json!({"synchronous_mode": true});
    let with = |names: &str, state: &str| {
        let mut server = primary();
        if let Answer::Known(status) = &mut server.status {
            status.wal_senders = vec![sender("b", state, 100), sender("c", "async", 90)];
            status.synchronous_standby_names = names.to_owned();
        }
        server
    };
    let mut observed = observation(with("", "async"), cluster(Some("a")));
    observed.settings = settings(sync);
    let played = play(observed, leading(), |command| match command {
        Command::Requery => Some(Outcome::Server(Box::new(with("b", "sync")))),
        _ => None,
    });
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_lost_standby_leaves_the_key_before_the_setting() {
    let mut server = primary();
    if let Answer::Known(status) = &mut server.status {
        status.wal_senders = vec![sender("c", "async", 100)];
        status.synchronous_standby_names = "b".to_owned();
    }
    let mut view = cluster(Some("a"));
    view.sync = SyncState::parse(
        r#"{"leader":"a","quorum":0,"sync_standby":"b"}"#,
        Some(Revision::new(5)),
    );
    let mut observed = observation(server, view);
    observed.settings = settings(json!({"synchronous_mode": true}));
    let played = play(observed, leading(), nothing);
    let written = played
        .commands
        .iter()
        .position(|c| matches!(c, Command::WriteSync { .. }));
    let set = played
        .commands
        .iter()
        .position(|c| matches!(c, Command::SetSyncNames(_)));
    assert!(written < set && written.is_some());
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn data_of_another_cluster_end_the_daemon() {
    let mut view = cluster(Some("b"));
    view.initialize = Some("7000000000000000002".to_owned());
    let played = play(observation(replica(), view), Memory::default(), nothing);
    assert_eq!(played.verdict.exit.as_ref().map(|exit| exit.code), Some(1));
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn an_adopted_standby_never_founds_a_cluster() {
    let mut view = cluster(None);
    view.initialize = None;
    view.status = Status::default();
    let played = play(observation(replica(), view), Memory::default(), nothing);
    let exit = played.verdict.exit.clone().unwrap();
    assert!(exit.leave_server && exit.code == 1);
    assert!(!played.asked(|c| matches!(c, Command::AcquireLeader)));
}

#[test]
fn a_thawed_primary_looks_before_it_acts() {
    let frozen = Memory {
        lease: Lease::Until(at(900)),
        ..leading()
    };
    // Its snapshot is from before the freeze; a new one shows another leader.
    let played = play(
        observation(primary(), cluster(Some("a"))),
        frozen.clone(),
        |command| match command {
            Command::LoadCluster => Some(Outcome::Cluster(Ok(cluster(Some("b")).into()))),
            _ => None,
        },
    );
    assert!(!played.asked(|c| matches!(c, Command::UpdateLeader { .. } | Command::AcquireLeader)));
    insta::assert_snapshot!("thawed_and_replaced", played.transcript());
    // The lock is free, but the position that was published is not ours.
    let mut view = cluster(None);
    view.status.optime = Lsn::new(5000);
    let played = play(observation(primary(), view), frozen.clone(), nothing);
    assert!(!played.asked(|c| matches!(c, Command::AcquireLeader)));
    // The lock is free and nobody went on: it may be taken again.
    let played = play(observation(primary(), cluster(None)), frozen, nothing);
    assert!(played.asked(|c| matches!(c, Command::AcquireLeader)));
    insta::assert_snapshot!("thawed_and_alone", played.transcript());
}

#[test]
fn a_primary_that_lost_the_lock_ends_its_long_task() {
    let mut observed = observation(primary(), cluster(Some("b")));
    observed.executor = Some(RunningJob {
        job: Job::Restart(RestartConditions::default()),
        since: at(990),
        committed: false,
    });
    insta::assert_snapshot!(play(observed, leading(), nothing).transcript());
}

#[test]
fn a_demotion_that_runs_is_not_joined_by_a_second_one() {
    let mut observed = observation(primary(), cluster(Some("b")));
    observed.executor = Some(RunningJob {
        job: Job::Demote {
            reason: DemoteReason::Switchover,
            judged: Some(leader("a")),
            plan: DemotePlan::default(),
        },
        since: at(990),
        committed: true,
    });
    let played = play(observed, leading(), nothing);
    assert!(!played.asked(|c| matches!(c, Command::Stop(_) | Command::CancelJob)));
    assert_eq!(played.verdict.to_string(), "switchover: demote in progress");
}

#[test]
fn a_member_that_cannot_be_published_does_not_change_the_decision() {
    let played = play(
        observation(primary(), cluster(Some("a"))),
        leading(),
        |command| match command {
            Command::TouchMember(_) => Some(Outcome::Write(Written::Failed("slow".to_owned()))),
            _ => None,
        },
    );
    assert_eq!(
        played.verdict.to_string(),
        "no action. I am (a), the leader with the lock"
    );
}

#[test]
fn a_slow_answer_is_not_a_change_of_role() {
    let mut server = primary();
    server.status = Answer::Unknown("timed out".to_owned());
    assert_eq!(server.process, Process::Running);
    assert_eq!(server.state, State::Running);
    let played = play(observation(server, cluster(Some("a"))), leading(), nothing);
    assert!(!played.asked(|c| matches!(c, Command::Schedule(_) | Command::Stop(_))));
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_release_that_was_judged_on_an_old_revision_is_tried_again() {
    let run = JobRun::begin(Job::Shutdown, context(primary(), "a"), at(1000));
    let mut releases = 0;
    let transcript =
        play_job(
            run,
            &primary(),
            &cluster(Some("a")),
            at(1000),
            |command| match command {
                Command::ReleaseLeader { .. } => {
                    releases += 1;
                    (releases == 1).then_some(Outcome::Write(Written::LostRace))
                }
                _ => None,
            },
        );
    assert_eq!(releases, 2);
    assert!(transcript.contains("Leader key released"), "{transcript}");
}

#[test]
fn a_refused_promotion_gives_the_lock_back_and_backs_off() {
    let memory = Memory {
        pre_promote_failed: true,
        ..leading()
    };
    let played = play(observation(replica(), cluster(Some("a"))), memory, nothing);
    assert_eq!(
        played.verdict.to_string(),
        "Promotion cancelled because the pre-promote script failed"
    );
    let again = play(
        observation(replica(), cluster(None)),
        played.memory,
        nothing,
    );
    assert!(!again.asked(|c| matches!(c, Command::AcquireLeader)));
    insta::assert_snapshot!(again.transcript());
}

#[test]
fn a_primary_that_cannot_be_guarded_does_not_lead() {
    let played = play(
        observation(primary(), cluster(Some("a"))),
        leading(),
        |command| match command {
            Command::WatchdogActivate => Some(Outcome::Success(false)),
            Command::LoadCluster => Some(Outcome::Cluster(Ok(cluster(Some("b")).into()))),
            _ => None,
        },
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_primary_that_was_down_without_the_lock_is_not_restarted_as_one() {
    // Its server died and the store was away: meanwhile another node was promoted.
    let server = stopped(Role::Primary, ControlState::InProduction);
    let restart = |memory, store: Outcome| {
        let context = JobContext {
            memory,
            ..context(server.clone(), "a")
        };
        let job = Job::Restart(RestartConditions::default());
        let run = JobRun::begin(job, context, at(1000));
        play_job(
            run,
            &server,
            &cluster(None),
            at(1000),
            |command| match command {
                Command::LoadCluster => Some(store.clone()),
                _ => None,
            },
        )
    };
    let over = || Memory {
        lease: Lease::Until(at(990)),
        ..leading()
    };
    let silence = || Outcome::Cluster(Err("no route".to_owned()));
    let mine = Outcome::Cluster(Ok(cluster(Some("a")).into()));
    let replaced = Outcome::Cluster(Ok(cluster(Some("b")).into()));
    let starts = |transcript: &str| transcript.contains("\"Start\"");
    assert!(!starts(&restart(over(), silence())));
    assert!(!starts(&restart(over(), replaced)));
    assert!(starts(&restart(over(), mine)));
    assert!(starts(&restart(leading(), silence())));
}

#[test]
fn a_member_that_the_leader_has_just_written_down_is_asked_for_its_consent() {
    // `c` came back: this cycle writes it into the topology, and from then on it may race.
    let mut view = cluster(Some("a"));
    let topology = ["a", "b"].map(|who| (name(who), format!("http://{who}:8008/patroni")));
    view.failsafe = Some(topology.into());
    let mut observed = observation(primary(), view);
    observed.settings = settings(json!({"failsafe_mode": true}));
    let first = play(observed.clone(), leading(), nothing);
    observed.store = Err("no route".to_owned());
    // Nothing but consent would let it lead on.
    let memory = Memory {
        lease: nearly_over().lease,
        ..first.memory
    };
    let second = play(observed, memory, |command| match command {
        Command::AnnounceFailsafe(peers) => Some(Outcome::Failsafe(
            peers
                .iter()
                .map(|asked| match asked.name.as_str() {
                    "c" => (asked.name.clone(), Err("no route".to_owned())),
                    _ => (asked.name.clone(), Ok(None)),
                })
                .collect(),
        )),
        _ => None,
    });
    assert!(second.asked(|command| matches!(command, Command::Stop(_))));
}

#[test]
fn a_paused_primary_of_an_old_timeline_leaves_the_free_lock_alone() {
    let mut view = cluster(None);
    view.history = patroni_core::History::parse(r#"[[1, 90, "no recovery target specified"]]"#);
    let mut observed = observation(primary(), view.clone());
    observed.settings = settings(json!({"pause": true}));
    let behind = play(observed.clone(), Memory::default(), nothing);
    view.history = None;
    observed.store = Ok(view.into());
    let current = play(observed, Memory::default(), nothing);
    let takes = |command: &Command| matches!(command, Command::AcquireLeader);
    assert!(!behind.asked(takes));
    assert!(!behind.asked(|command| matches!(command, Command::Stop(_))));
    assert!(current.asked(takes));
}

#[test]
fn a_switchover_does_not_pass_over_a_leader_in_failsafe_mode() {
    // `b` led when the switchover to `a` was asked for, and leads on by the consent of `c`.
    let race = |me: &str, request| {
        let mut view = cluster(None);
        let topology = ["b", "c"].map(|who| (name(who), format!("http://{who}:8008/patroni")));
        view.failsafe = Some(topology.into());
        view.failover = request;
        let mut observed = observation(replica(), view);
        observed.node = node(me);
        observed.settings = settings(json!({"failsafe_mode": true}));
        let memory = Memory {
            began: Some(at(900)),
            ..Memory::default()
        };
        let played = play(observed, memory, nothing);
        played.asked(|command| matches!(command, Command::AcquireLeader))
    };
    assert!(!race("a", failover(Some("b"), Some("a"))));
    assert!(race("a", failover(None, Some("a"))));
    // A member whom the leader would have asked does not wait for `a` in vain.
    assert!(race("c", failover(Some("b"), Some("a"))));
}

#[test]
fn a_daemon_that_has_just_started_keeps_the_consent_it_may_have_given() {
    let mut view = cluster(None);
    let topology = ["a", "b"].map(|who| (name(who), format!("http://{who}:8008/patroni")));
    view.failsafe = Some(topology.into());
    let mut observed = observation(replica(), view);
    observed.settings = settings(json!({"failsafe_mode": true, "ttl": 30}));
    let takes = |command: &Command| matches!(command, Command::AcquireLeader);
    let without_position = |stands_aside| {
        move |command: &Command| {
            let Command::AskPeers(peers) = command else {
                return None;
            };
            let answer = |peer: &patroni_ha::command::Peer| PeerAnswer {
                name: peer.name.clone(),
                reply: Err("no answer".to_owned()),
                stands_aside,
            };
            Some(Outcome::Peers(peers.iter().map(answer).collect()))
        }
    };
    let silent = without_position(false);
    let young = play(observed.clone(), Memory::default(), silent);
    assert!(!young.asked(takes));
    // Nobody can lead by a consent when all others say that they stand by, as a leader does that
    // has just stepped down.
    assert!(play(observed.clone(), Memory::default(), nothing).asked(takes));
    let demoted = without_position(true);
    assert!(play(observed.clone(), Memory::default(), demoted).asked(takes));
    observed.now = at(1031);
    assert!(play(observed, young.memory, silent).asked(takes));
}
