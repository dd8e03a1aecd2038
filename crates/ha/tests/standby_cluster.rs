//! A standby cluster (HA contract 20): its leader streams from a remote and is never promoted.

mod support;

use patroni_core::server::{ControlState, Process};
use patroni_core::{Cluster, Lsn, Role, Status, Upstream};
use patroni_ha::command::{CloneSource, Command, RewindSource};
use patroni_ha::job::{DemotePlan, DemoteReason, Job};
use patroni_ha::memory::{BootstrapPhase, Lease, RewindState};
use patroni_ha::outcome::{LeaderInspection, LocalPosition, LockOutcome};
use patroni_ha::{JobContext, JobRun, Memory, Observation, Outcome};
use serde_json::json;
use support::*;

fn remote(leading: bool) -> Upstream {
    Upstream::Remote {
        host: Some("r1,r2".to_owned()),
        port: Some("5432,5433".to_owned()),
        slot: Some(patroni_core::SlotName::new("west_1")),
        leading,
    }
}

/// The view of a standby cluster, its leader being a standby leader.
fn view(owner: Option<&str>) -> Cluster {
    let mut view = cluster(owner);
    for member in &mut view.members {
        let role = if owner == Some(member.name.as_str()) {
            "standby_leader"
        } else {
            "replica"
        };
        let fields = json!({"role": role, "state": "running", "timeline": 1, "xlog_location": 100});
        *member = member_with(member.name.as_str(), fields);
    }
    view
}

fn observed(server: patroni_core::server::LocalServer, view: Cluster) -> Observation {
    let mut observed = observation(server, view);
    observed.settings = settings(json!({"standby_cluster": {
        "host": "r1,r2",
        "port": "5432,5433",
        "primary_slot_name": "west-1",
        "create_replica_methods": ["basebackup"],
    }}));
    observed
}

fn leading() -> Memory {
    Memory {
        lease: Lease::Until(at(1025)),
        seen_identity: true,
        ..Memory::default()
    }
}

fn nothing(_: &Command) -> Option<Outcome> {
    None
}

fn standby_leader() -> patroni_core::server::LocalServer {
    let mut server = replica();
    server.role = Role::StandbyLeader;
    server
}

fn job(job: Job, observed: Observation) -> JobRun {
    let context = JobContext {
        node: observed.node,
        settings: observed.settings,
        cluster: observed.store.ok(),
        server: observed.server,
        watchdog: observed.watchdog,
        memory: Memory::default(),
    };
    JobRun::begin(job, context, at(1000))
}

fn demote() -> Job {
    Job::Demote {
        reason: DemoteReason::DemoteCluster,
        judged: Some(leader("a")),
        plan: DemotePlan {
            candidates: vec![patroni_ha::command::Peer {
                name: name("b"),
                url: "http://b".to_owned(),
            }],
        },
    }
}

#[test]
fn the_first_node_copies_the_remote_and_announces_itself_without_a_watchdog() {
    let mut nobody = view(None);
    nobody.initialize = None;
    nobody.status = Status::default();
    nobody.members.clear();
    let first = play(
        observed(empty(), nobody.clone()),
        Memory::default(),
        nothing,
    );
    assert_eq!(
        first.verdict.to_string(),
        "trying to bootstrap a new standby leader"
    );
    let run = job(
        Job::BootstrapStandbyLeader,
        observed(empty(), nobody.clone()),
    );
    let mut source = None;
    let told = play_job(run, &empty(), &nobody, at(1000), |command| {
        if let Command::CloneFrom(from) = command {
            source = Some(from.clone());
        }
        None
    });
    assert_eq!(source, Some(CloneSource::Remote));
    assert!(
        told.contains("INFO bootstrapped clone from remote member postgresql://r1,r2:5432,5433"),
        "{told}"
    );
    assert!(
        told.contains(r#""leading":true"#) && told.contains(r#""role":"standby_leader""#),
        "{told}"
    );
    let mut memory = first.memory;
    memory.bootstrap = BootstrapPhase::Creating;
    let announced = play(observed(standby_leader(), nobody), memory, nothing);
    assert_eq!(announced.verdict.to_string(), "initialized a new cluster");
    assert!(!announced.asked(|command| *command == Command::WatchdogActivate));
    assert!(!announced.asked(|command| *command == Command::StartCheckpoint));
}

#[test]
fn the_standby_leader_follows_the_remote_and_never_says_that_it_has_checkpointed() {
    let mut server = standby_leader();
    // A checkpoint after an earlier promotion of this node says nothing about the remote.
    server.checkpoint = patroni_core::server::CheckpointTask::Done;
    let played = play(observed(server, view(Some("a"))), leading(), nothing);
    assert_eq!(
        played.verdict.to_string(),
        "no action. I am (a), the standby leader with the lock"
    );
    assert!(played.asked(|command| *command == Command::CompareRecovery(remote(true))));
    assert!(played.asked(|command| matches!(
        command,
        Command::TouchMember(notes) if notes.awaits_checkpoint
    )));
    assert!(!played.asked(|command| matches!(
        command,
        Command::WriteHistory(_) | Command::WriteSync { .. } | Command::Promote
    )));
}

#[test]
fn replicas_cascade_and_without_a_leader_all_follow_the_remote() {
    let cascaded = play(
        observed(replica(), view(Some("b"))),
        Memory::default(),
        nothing,
    );
    assert_eq!(
        cascaded.verdict.to_string(),
        "no action. I am (a), a secondary, and following a standby leader (b)"
    );
    assert!(cascaded.asked(|command| matches!(
        command,
        Command::CompareRecovery(Upstream::Member { name: who, .. }) if *who == name("b")
    )));
    let mut stopped = stopped(Role::Replica, ControlState::ShutDownInRecovery);
    stopped.has_recovery_signal = true;
    let alone = play(observed(stopped, view(None)), Memory::default(), nothing);
    assert_eq!(
        alone.verdict.to_string(),
        "trying to follow a remote member because standby cluster is unhealthy"
    );
    let mut homeless = view(Some("b"));
    homeless.members.retain(|member| member.name != name("b"));
    let old = play(observed(replica(), homeless), Memory::default(), nothing);
    assert_eq!(
        old.verdict.to_string(),
        "continue following the old known standby leader"
    );
}

#[test]
fn the_winner_of_the_race_becomes_standby_leader() {
    let mut taken = view(Some("a"));
    taken.members[0] = member("a", "replica");
    let played = play(
        observed(replica(), view(None)),
        Memory::default(),
        |command| {
            (*command == Command::LoadCluster).then(|| Outcome::Cluster(Ok(taken.clone().into())))
        },
    );
    assert_eq!(
        played.verdict.to_string(),
        "promoted self to a standby leader by acquiring session lock",
        "{}",
        played.transcript()
    );
    assert!(played.asked(|command| *command == Command::SetRole(Role::StandbyLeader)));
}

#[test]
fn a_primary_demotes_when_its_cluster_becomes_a_standby() {
    let played = play(observed(primary(), cluster(Some("a"))), leading(), nothing);
    assert_eq!(
        played.verdict.to_string(),
        "cannot be a real primary in standby cluster"
    );
    assert!(played.asked(|command| matches!(
        command,
        Command::Schedule(Job::Demote {
            reason: DemoteReason::DemoteCluster,
            ..
        })
    )));
}

#[test]
fn a_crashed_primary_is_not_started_as_one_when_its_cluster_has_become_a_standby() {
    let mut server = stopped(Role::Primary, ControlState::InProduction);
    server.state = patroni_core::State::Crashed;
    let played = play(observed(server, cluster(Some("a"))), leading(), nothing);
    assert!(
        !played.asked(|command| matches!(command, Command::Schedule(Job::StartPrimary { .. })))
    );
    assert_eq!(
        played.verdict.to_string(),
        "doing crash recovery in a single user mode"
    );
}

#[test]
fn with_an_archive_the_key_is_kept_and_the_end_is_archived() {
    let run = job(demote(), observed(primary(), cluster(Some("a"))));
    let mut after = primary();
    after.process = Process::Absent;
    let told = play_job(run, &after, &cluster(Some("a")), at(1000), |command| {
        (*command == Command::IsArchiving).then_some(Outcome::Success(true))
    });
    assert!(
        !told.contains("ReleaseLeader") && !told.contains("AskPeers"),
        "{told}"
    );
    insta::assert_snapshot!(told);
}

#[test]
fn without_an_archive_a_candidate_that_has_everything_gets_the_lock() {
    let run = job(demote(), observed(primary(), cluster(Some("a"))));
    let told = play_job(run, &primary(), &view(Some("b")), at(1000), nothing);
    assert!(told.contains("ReleaseLeader"), "{told}");
    assert!(
        told.contains(
            "INFO Not archiving latest checkpoint WAL file. Archiving is not configured."
        ),
        "{told}"
    );
    assert!(told.contains(r#""role":"replica""#), "{told}");
}

#[test]
fn a_primary_without_the_lock_gives_nothing_back() {
    let others = cluster(Some("b"));
    let mut observed = observed(primary(), others.clone());
    observed.store = Ok(others.clone().into());
    let run = job(demote(), observed);
    let told = play_job(run, &primary(), &others, at(1000), nothing);
    assert!(
        !told.contains("ReleaseLeader") && !told.contains("UpdateLeader"),
        "{told}"
    );
    assert!(told.contains(r#""role":"replica""#), "{told}");
}

#[test]
fn a_lock_lost_during_the_demotion_makes_it_a_replica() {
    let run = job(demote(), observed(primary(), cluster(Some("a"))));
    let told = play_job(
        run,
        &primary(),
        &cluster(Some("a")),
        at(1000),
        |command| match command {
            Command::IsArchiving => Some(Outcome::Success(true)),
            Command::UpdateLeader { .. } => Some(Outcome::Lock(LockOutcome::Refused)),
            _ => None,
        },
    );
    assert!(told.contains(r#""role":"replica""#), "{told}");
}

#[test]
fn a_diverged_standby_leader_is_rewound_to_the_remote() {
    let mut server = stopped(Role::Demoted, ControlState::ShutDown);
    server.callback_ran = true;
    let played = play(
        observed(server, view(Some("a"))),
        leading(),
        |command| match command {
            Command::LocalPosition => Some(Outcome::LocalPosition(Some(LocalPosition {
                in_recovery: false,
                timeline: tl(1),
                lsn: Lsn::new(300),
                checkpoint_end: Some(Lsn::new(320)),
                history: Some(Vec::new()),
                unfinished: false,
            }))),
            Command::InspectLeader(_) => Some(Outcome::LeaderInspected(Ok(LeaderInspection {
                timeline: tl(2),
                history: Some(vec![(tl(1), Lsn::new(200))]),
                lines: vec!["1\t0/C8".to_owned()],
                flushed: Some(Lsn::new(400)),
            }))),
            _ => None,
        },
    );
    assert_eq!(
        played.verdict.to_string(),
        "running pg_rewind from remote member postgresql://r1,r2:5432,5433",
        "{}",
        played.transcript()
    );
    assert_eq!(played.memory.rewind, RewindState::Need);
    assert!(played.asked(|command| matches!(
        command,
        Command::Schedule(Job::Rewind {
            source: RewindSource::Remote { .. },
            ..
        })
    )));
}

#[test]
fn a_replica_that_is_past_its_standby_leader_asks_the_remote() {
    let played = play(
        observed(replica(), view(Some("b"))),
        Memory::default(),
        |command| (*command == Command::HasHistory(tl(2))).then_some(Outcome::Success(true)),
    );
    assert!(played.asked(|command| *command == Command::LocalPosition));
}

#[test]
fn promote_cluster_promotes_the_holder_of_the_lock() {
    let played = play(
        observation(standby_leader(), view(Some("a"))),
        leading(),
        nothing,
    );
    assert_eq!(
        played.verdict.to_string(),
        "promoted self to leader because I had the session lock"
    );
    assert!(played.asked(|command| *command == Command::Schedule(Job::Promote)));
}
