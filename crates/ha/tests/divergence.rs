//! Timelines of the same number with different histories, and standbys that get no WAL.

mod support;

use patroni_core::Tags;
use patroni_core::server::Answer;
use patroni_core::server::{ControlState, RewindAbility};
use patroni_core::{Lsn, Role};
use patroni_ha::command::{Parting, RewindSource, WipeReason};
use patroni_ha::divergence::{Divergence, Trouble};
use patroni_ha::job::Job;
use patroni_ha::memory::{RewindState, Stall};
use patroni_ha::outcome::{InspectFailure, LeaderInspection, LocalPosition};
use patroni_ha::{Command, JobContext, JobRun, Memory, Observation, Outcome};
use serde_json::json;
use support::*;

/// This node left timeline 1 at 90, and is at `lsn` of its own timeline 2.
fn here(in_recovery: bool, lsn: u64) -> LocalPosition {
    LocalPosition {
        in_recovery,
        timeline: tl(2),
        lsn: Lsn::new(lsn),
        checkpoint_end: None,
        history: Some(vec![(tl(1), Lsn::new(90))]),
        unfinished: false,
    }
}

/// The leader left timeline 1 at `switch`, and is at 200 of its timeline 2.
fn there(switch: u64) -> LeaderInspection {
    LeaderInspection {
        timeline: tl(2),
        history: Some(vec![(tl(1), Lsn::new(switch))]),
        lines: vec![format!("1\t{switch}")],
        flushed: Some(Lsn::new(200)),
    }
}

fn answers(
    local: LocalPosition,
    leader: LeaderInspection,
) -> impl FnMut(&Command) -> Option<Outcome> {
    move |command| match command {
        Command::LocalPosition => Some(Outcome::LocalPosition(Some(local.clone()))),
        Command::InspectLeader(_) => Some(Outcome::LeaderInspected(Ok(leader.clone()))),
        _ => None,
    }
}

/// A running standby of leader `b` without a WAL receiver.
fn silent() -> Observation {
    let mut server = replica();
    let mut status = server.status.known().expect("it answers").clone();
    status.receiver = None;
    status.receiver_timeline = Some(tl(2));
    server.status = Answer::Known(status);
    observation(server, cluster(Some("b")))
}

fn silent_since(seconds: u64) -> Memory {
    Memory {
        stall: Some(Stall {
            since: at(seconds),
            compared: None,
            replayed: Some(Lsn::new(100)),
        }),
        ..Memory::default()
    }
}

fn scheduled(commands: &[Command]) -> Option<&Job> {
    commands.iter().find_map(|command| match command {
        Command::Schedule(job) => Some(job),
        _ => None,
    })
}

#[test]
fn a_node_promoted_by_hand_is_rewound_although_the_numbers_are_equal() {
    let server = stopped(Role::Demoted, ControlState::ShutDown);
    let played = play(
        observation(server, cluster(Some("b"))),
        Memory::default(),
        answers(here(false, 150), there(100)),
    );
    let Some(Job::Rewind { parting, source }) = scheduled(&played.commands) else {
        panic!("{}", played.transcript());
    };
    assert_eq!(
        (*parting, source.to_string()),
        (Parting::SameNumber, "b".to_owned())
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_fork_is_seen_before_a_crashed_primary_could_follow_and_overwrite_its_wal() {
    let unfinished = || LocalPosition {
        unfinished: true,
        ..here(false, 120)
    };
    let adopted = || observation(primary(), cluster(Some("b")));
    let forked = play(
        adopted(),
        Memory::default(),
        answers(unfinished(), there(100)),
    );
    assert_eq!(scheduled(&forked.commands), None, "{}", forked.transcript());
    assert_eq!(forked.memory.rewind, RewindState::Need);
    // Its crash is recovered first, and then it is rewound.
    let crashed = observation(
        stopped(Role::Demoted, ControlState::InProduction),
        cluster(Some("b")),
    );
    let recovered = play(crashed, forked.memory, |_| None);
    assert_eq!(scheduled(&recovered.commands), Some(&Job::CrashRecovery));
    let clean = observation(
        stopped(Role::Demoted, ControlState::ShutDown),
        cluster(Some("b")),
    );
    let rewound = play(clean, recovered.memory, |_| None);
    assert!(matches!(
        scheduled(&rewound.commands),
        Some(Job::Rewind {
            parting: Parting::SameNumber,
            ..
        })
    ));
    // Without a fork it follows at once, and is judged when it runs.
    let plain = play(
        adopted(),
        Memory::default(),
        answers(unfinished(), there(90)),
    );
    assert!(matches!(
        scheduled(&plain.commands),
        Some(Job::StartReplica { .. })
    ));
    assert_eq!(plain.memory.rewind, RewindState::Check);
}

#[test]
fn the_archive_gets_nothing_of_a_fork() {
    let server = stopped(Role::Demoted, ControlState::ShutDown);
    let view = cluster(Some("b"));
    for (parting, archives) in [
        (Parting::Plain, true),
        (Parting::Fork, false),
        (Parting::SameNumber, false),
    ] {
        let job = Job::Rewind {
            source: RewindSource::Member(patroni_ha::command::LeaderAddress {
                name: name("b"),
                conn_url: "postgres://b:5432/postgres".to_owned(),
            }),
            parting,
        };
        let observed = observation(server.clone(), view.clone());
        let context = JobContext {
            node: observed.node,
            settings: observed.settings,
            cluster: Some(view.clone().into()),
            server: server.clone(),
            watchdog: observed.watchdog,
            memory: Memory::default(),
        };
        let run = JobRun::begin(job, context, at(1000));
        let told = play_job(run, &server, &view, at(1000), |_| None);
        assert_eq!(told.contains("ArchiveReadyWal"), archives, "{told}");
        assert!(told.contains("PgRewind"), "{told}");
    }
}

#[test]
fn a_standby_without_wal_compares_histories_after_a_while() {
    let soon = play(
        silent(),
        silent_since(995),
        answers(here(true, 150), there(100)),
    );
    assert!(!soon.asked(|command| matches!(command, Command::InspectLeader(_))));
    assert_eq!(soon.memory.trouble, None);
    let later = play(
        silent(),
        silent_since(900),
        answers(here(true, 150), there(100)),
    );
    assert!(
        matches!(scheduled(&later.commands), Some(Job::Rewind { .. })),
        "{}",
        later.transcript()
    );
    assert_eq!(later.verdict.to_string(), "running pg_rewind from b");
}

#[test]
fn a_standby_that_cannot_replay_what_it_streams_compares_histories_too() {
    // It took over the leader's WAL in the middle of its own.
    let stuck = |replayed| {
        let mut observed = observation(replica(), cluster(Some("b")));
        let mut status = observed.server.status.known().expect("it answers").clone();
        (status.received, status.replayed) = (Some(Lsn::new(180)), Some(Lsn::new(replayed)));
        observed.server.status = Answer::Known(status);
        observed
    };
    let moves = play(
        stuck(120),
        silent_since(900),
        answers(here(true, 120), there(100)),
    );
    assert_eq!(scheduled(&moves.commands), None);
    let played = play(
        stuck(100),
        silent_since(900),
        answers(here(true, 100), there(110)),
    );
    assert!(
        matches!(scheduled(&played.commands), Some(Job::Rewind { .. })),
        "{}",
        played.transcript()
    );
    // A replay that waits for a query or a delay is nobody's fault.
    let waits = play(
        stuck(100),
        silent_since(900),
        answers(here(true, 100), there(90)),
    );
    assert_eq!(
        (scheduled(&waits.commands), waits.memory.trouble),
        (None, None)
    );
}

#[test]
fn what_agrees_and_still_does_not_stream_is_told() {
    let played = play(
        silent(),
        silent_since(900),
        answers(here(true, 150), there(90)),
    );
    assert_eq!(scheduled(&played.commands), None);
    let trouble = played.memory.trouble.clone().expect("a reason");
    assert!(
        trouble
            .to_string()
            .contains("the history agrees with that of b")
    );
    assert!(
        played
            .transcript()
            .contains("WARNING this node does not receive WAL")
    );
    // Nothing is asked again before a ttl is over.
    let again = play(silent(), played.memory, answers(here(true, 150), there(90)));
    assert!(!again.asked(|command| matches!(command, Command::InspectLeader(_))));
}

/// Below the leader of a standby cluster the remote is asked for its history, and is not the one
/// that is silent.
#[test]
fn who_sends_nothing_is_told_apart_from_whose_history_was_looked_at() {
    let mut below = silent();
    below.settings = settings(json!({"standby_cluster": {"host": "far", "port": 5432}}));
    let agrees = play(
        below.clone(),
        silent_since(900),
        answers(here(true, 150), there(90)),
    );
    let told = |played: &Played| played.memory.trouble.clone().expect("a reason").to_string();
    assert_eq!(
        told(&agrees),
        "nothing comes from b, although the history agrees with that of remote member \
         postgresql://far:5432; the log of PostgreSQL tells why"
    );
    let refused = play(below, silent_since(900), |command| match command {
        Command::LocalPosition => Some(Outcome::LocalPosition(Some(here(true, 150)))),
        Command::InspectLeader(_) => Some(Outcome::LeaderInspected(Err(InspectFailure::Failed(
            "refused".to_owned(),
        )))),
        _ => None,
    });
    assert_eq!(
        told(&refused),
        "nothing comes from b, and remote member postgresql://far:5432 does not tell its history"
    );
    assert!(!refused.transcript().contains("Exception"));
}

#[test]
fn more_than_the_leader_has_is_copied_anew_only_where_that_is_configured() {
    let reported = play(
        silent(),
        silent_since(900),
        answers(here(true, 250), there(90)),
    );
    assert_eq!(
        scheduled(&reported.commands),
        None,
        "{}",
        reported.transcript()
    );
    assert_eq!(reported.memory.rewind, RewindState::Failed);
    let member = reported
        .commands
        .iter()
        .rev()
        .find_map(|command| match command {
            Command::TouchMember(notes) => notes.trouble.clone(),
            _ => None,
        });
    let told = member.expect("the member object tells it").to_string();
    assert!(told.contains("of timeline 2, the leader only at"), "{told}");

    let mut configured = silent();
    configured.node.wipe_on_rewind_failure = true;
    let copied = play(
        configured,
        silent_since(900),
        answers(here(true, 250), there(90)),
    );
    assert!(matches!(
        scheduled(&copied.commands),
        Some(Job::Reinitialize { diverged: true, .. })
    ));
}

/// The leader has written past the end of the fork, and its history shows nothing any more.
#[test]
fn a_fork_that_the_leader_has_passed_is_still_told() {
    let ahead = answers(here(true, 250), there(90));
    let known = play(silent(), silent_since(900), ahead).memory;
    let mut later = known.clone();
    later.stall = silent_since(900).stall;
    let passed = play(silent(), later, answers(here(true, 150), there(90)));
    assert!(known.trouble.is_some());
    assert_eq!(passed.memory.trouble, known.trouble);
}

#[test]
fn a_fork_is_reported_where_nothing_may_be_done_about_it() {
    let mut observed = silent();
    observed.server.rewind = RewindAbility::Disabled;
    let played = play(
        observed,
        silent_since(900),
        answers(here(true, 150), there(100)),
    );
    assert_eq!(scheduled(&played.commands), None);
    assert!(played.memory.trouble.is_some());
    assert!(
        played
            .transcript()
            .contains("WARNING pg_rewind cannot repair this"),
        "{}",
        played.transcript()
    );
}

#[test]
fn a_rewind_that_did_not_help_is_not_repeated_for_ever() {
    let fork = Divergence::Fork {
        after: tl(1),
        ours: Lsn::new(90),
        theirs: Lsn::new(100),
        same_number: true,
    };
    let memory = Memory {
        rewound: Some(fork),
        ..silent_since(900)
    };
    let played = play(
        silent(),
        memory.clone(),
        answers(here(true, 150), there(100)),
    );
    assert_eq!(scheduled(&played.commands), None);
    assert!(played.memory.trouble.is_some());
    let mut configured = silent();
    configured.node.wipe_on_divergence = true;
    let copied = play(configured, memory, answers(here(true, 150), there(100)));
    assert!(matches!(
        scheduled(&copied.commands),
        Some(Job::Reinitialize { .. })
    ));
}

#[test]
fn streaming_ends_the_trouble() {
    let memory = Memory {
        trouble: Some(Trouble::NoStream {
            from: None,
            source: RewindSource::Remote {
                host: "r".to_owned(),
                port: None,
            },
        }),
        ..silent_since(900)
    };
    let played = play(observation(replica(), cluster(Some("b"))), memory, |_| None);
    assert_eq!((played.memory.stall, played.memory.trouble), (None, None));
}

/// A memory of data that left the history of `b` on timeline 1, and cannot be mended.
fn diverged() -> Memory {
    Memory {
        trouble: Some(Trouble::Diverged {
            source: RewindSource::Member(patroni_ha::command::LeaderAddress {
                name: name("b"),
                conn_url: "postgres://b:5432/postgres".to_owned(),
            }),
            why: Divergence::Fork {
                after: tl(1),
                ours: Lsn::new(90),
                theirs: Lsn::new(100),
                same_number: true,
            },
        }),
        ..silent_since(900)
    }
}

fn published_tags(played: &Played) -> Option<Tags> {
    played.commands.iter().find_map(|command| match command {
        Command::TouchMember(notes) => Some(notes.overlay(&Tags::default())),
        _ => None,
    })
}

/// PostgreSQL streams WAL of the same timeline number without looking whose it is, so a stream
/// proves nothing. Such data do not lead, and nobody waits for them.
#[test]
fn a_stream_does_not_end_a_divergence() {
    let still = answers(here(true, 150), there(100));
    let played = play(
        observation(replica(), cluster(Some("b"))),
        diverged(),
        still,
    );
    assert!(played.memory.has_diverged(), "{}", played.transcript());
    let tags = published_tags(&played).expect("the member key");
    assert!(tags.nofailover() && tags.nosync());
}

/// By another history that agrees, or one that shows no more, it is past it once it replays what
/// comes after its end.
#[test]
fn what_is_replayed_of_a_history_that_agrees_ends_a_divergence() {
    let agrees = || answers(here(true, 150), there(90));
    let mut server = replica();
    let played = play(
        observation(server.clone(), cluster(Some("b"))),
        diverged(),
        agrees(),
    );
    assert!(played.memory.has_diverged(), "nothing was replayed");
    let Answer::Known(status) = &mut server.status else {
        panic!("it answers");
    };
    (status.received, status.replayed) = (Some(Lsn::new(150)), Some(Lsn::new(150)));
    let played = play(
        observation(server, cluster(Some("b"))),
        diverged(),
        agrees(),
    );
    assert!(!played.memory.has_diverged(), "{}", played.transcript());
    let next = play(
        observation(replica(), cluster(Some("b"))),
        played.memory,
        |_| None,
    );
    assert_eq!(published_tags(&next), Some(Tags::default()));
}

#[test]
fn diverged_data_do_not_take_a_free_lock() {
    let races = |memory| {
        let mut observed = observation(replica(), cluster(None));
        observed.node.may_bootstrap = false;
        play(observed, memory, |_| None).asked(|command| *command == Command::AcquireLeader)
    };
    assert!(races(Memory::default()));
    assert!(!races(diverged()));
}

#[test]
fn a_wipe_names_the_setting_that_allows_it() {
    let server = replica();
    let view = cluster(Some("b"));
    for (on_divergence, expected) in [
        (true, WipeReason::Diverged),
        (false, WipeReason::RewindFailed),
    ] {
        let mut observed = observation(server.clone(), view.clone());
        observed.node.wipe_on_divergence = on_divergence;
        assert_eq!(reason_of_wipe(observed), Some(expected));
    }
}

fn reason_of_wipe(observed: Observation) -> Option<WipeReason> {
    let (server, view) = (
        observed.server.clone(),
        observed.store.clone().expect("a view"),
    );
    let job = Job::Reinitialize {
        source: patroni_ha::command::CloneSource::Nobody,
        diverged: true,
    };
    let context = JobContext {
        node: observed.node,
        settings: observed.settings,
        cluster: Some(view.clone()),
        server: server.clone(),
        watchdog: observed.watchdog,
        memory: Memory::default(),
    };
    let mut why = None;
    let run = JobRun::begin(job, context, at(1000));
    play_job(run, &server, &view, at(1000), |command| {
        if let Command::RemoveDataDir(reason) = command {
            why = Some(*reason);
        }
        None
    });
    why
}
