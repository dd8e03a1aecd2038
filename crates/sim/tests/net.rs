//! The net itself: honest runs are clean, known faults are caught, and every corner is visited.

use std::time::Duration;

use patroni_ha::journal::{self, Line};
use patroni_ha::mutant::Mutant as Rule;
use patroni_sim::{
    Bounds, Invariant, Mutant, Options, Question, Scene, exhaust, hunt, run, shrink, sweep, trace,
};

fn shorter() -> Options {
    Options {
        time: Duration::from_mins(10),
        ..Options::default()
    }
}

/// The invariant that catches the mutant first, within so many seeds.
fn caught(mutant: Mutant, seeds: u64) -> Option<Invariant> {
    let options = Options {
        mutant: Some(mutant),
        ..shorter()
    };
    let report = hunt(0, seeds, &options, 2)?;
    report.violation.map(|broken| broken.invariant)
}

#[test]
fn honest_runs_are_clean_and_go_everywhere() {
    let summary = sweep(1, 80, &shorter(), 2, |_| ());
    assert_eq!(summary.violations, []);
    for corner in [
        "promotion: done",
        "guard: stopped a primary",
        "watchdog: fired",
        "guardian: stopped a primary",
        "verdict: LeaseLasts",
        "fault: server silent",
        "job: rewind",
        "job: clone",
        "job: promote",
        "job: switchover",
        "job: reinitialize, diverged",
        "job: start of a primary",
        "job: shutdown",
        "job: demotion of the cluster",
        "promotion: remote",
        "verdict: StandbyLeader",
        "verdict: FollowingStandbyLeader",
        "commit: promised",
        "verdict: FailsafeLeader",
        "verdict: DemotedStoreDown",
        "verdict: DemotingWithoutLock",
        "command: single-user recovery",
        "fault: lost replies",
        "fault: daemon frozen",
        "fault: machine frozen",
        "fault: power off",
        "fault: disk stalls",
        "store: lease (etcd)",
        "store: session with lock-delay (Consul)",
        "store: ephemeral nodes (ZooKeeper)",
        "store: judged by its clients (Kubernetes)",
        "store: ticks of the log (Raft)",
    ] {
        assert!(summary.coverage.of(corner) > 0, "never seen: {corner}");
    }
}

/// A server was told to promote, the disk stalled, and a query that timed out was taken for the
/// end of the promotion; the restart that somebody asked for then came up as a primary on the
/// old timeline.
#[test]
fn a_promotion_that_a_restart_interrupts_writes_no_second_history() {
    let options = Options {
        time: Duration::from_mins(14),
        ..Options::default()
    };
    assert_eq!(run(37, &options).violation, None);
}

/// A former primary came back with more WAL on the old timeline than the new one had in all, and
/// in a switchover that position was taken for the shutdown checkpoint.
#[test]
fn a_position_on_a_branch_that_was_left_is_no_reason_to_hand_over() {
    assert_eq!(run(83, &Options::default()).violation, None);
}

#[test]
fn faults_of_the_body_are_caught() {
    for (mutant, by) in [
        (Mutant::LeaseFromAnswer, Invariant::OneHolder),
        (Mutant::LeaseOfNewTtl, Invariant::OneHolder),
        (Mutant::PromoteBeforeLock, Invariant::OneHolder),
        (Mutant::ReleaseBeforeStop, Invariant::OneHolder),
        (Mutant::SyncKeyLate, Invariant::SyncKey),
    ] {
        assert_eq!(caught(mutant, 200), Some(by), "{mutant:?}");
    }
}

/// It takes a daemon that stands still for longer than its lease, so longer lives.
#[test]
fn a_guardian_that_sleeps_is_caught() {
    let options = Options {
        time: Duration::from_mins(20),
        mutant: Some(Mutant::GuardianAsleep),
        ..Options::default()
    };
    let report = hunt(0, 60, &options, 2).expect("60 seeds saw nothing");
    let broken = report.violation.map(|broken| broken.invariant);
    assert_eq!(broken, Some(Invariant::OnePrimary));
}

#[test]
fn faults_of_the_rules_are_caught() {
    for (rule, by) in [
        (Rule::KeyBeforeSetting, Invariant::SyncKey),
        (Rule::UnconditionalSync, Invariant::JudgedRevision),
        (Rule::WatchdogForgotten, Invariant::Watchdog),
        (Rule::RemoveUnderServer, Invariant::DataDirectory),
        (Rule::StandstillIsEnd, Invariant::Handover),
        (Rule::DivergenceIgnored, Invariant::Healing),
    ] {
        assert_eq!(caught(Mutant::Rule(rule), 200), Some(by), "{rule:?}");
    }
}

#[test]
fn a_failing_scenario_shrinks_and_still_fails() {
    let options = Options {
        mutant: Some(Mutant::Rule(Rule::ReleaseFirst)),
        ..shorter()
    };
    let found = hunt(0, 50, &options, 2).expect("no seed fails");
    let small = shrink(found.seed, &options).expect("the seed fails no more");
    let invariant = |report: &patroni_sim::Report| report.violation.clone().unwrap().invariant;
    assert_eq!(invariant(&small.report), invariant(&found));
    assert!(small.disturbances.len() < 4, "{:?}", small.disturbances);
    assert_eq!(run(found.seed, &small.options), small.report);
}

#[test]
fn the_first_interleavings_of_a_small_world_are_clean_and_a_planted_fault_is_found() {
    let question = Question {
        scene: Scene::Lock,
        bounds: Bounds {
            cycles: 1,
            faults: 1,
            writes: 1,
            spans: 2,
            states: 4000,
        },
        mutant: None,
    };
    let clean = exhaust(&question);
    assert_eq!(clean.broken, None);
    assert_eq!((clean.states, clean.complete), (4000, false));
    let planted = exhaust(&Question {
        mutant: Some(Mutant::LockWithoutCondition),
        ..question
    });
    let broken = planted.broken.expect("the planted fault was not found");
    assert_eq!(broken.invariant, Invariant::OneHolder);
    assert!(!broken.way.is_empty());
}

#[test]
fn a_trace_tells_the_story_of_a_run_and_ends_as_the_run_did() {
    let options = Options {
        time: Duration::from_secs(30),
        ..Options::default()
    };
    let mut text = Vec::new();
    let told = trace(5, &options, &mut text).unwrap();
    let quiet = run(5, &options);
    assert_eq!(
        (told.violation, told.coverage),
        (quiet.violation, quiet.coverage)
    );
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.lines()
            .any(|line| line.contains("initialized a new cluster"))
    );
}

/// Runs under faults give journals of thousands of decisions; each comes out the same again, and
/// one that saw something else does not.
#[test]
fn decisions_under_faults_replay_equal() {
    let options = Options {
        journal: true,
        ..shorter()
    };
    let (mut replayed, mut tasks, mut noticed) = (0, 0, 0);
    for seed in 1..=6 {
        for text in run(seed, &options).journal {
            let line = Line::parse(&text).unwrap();
            let record = line.record().unwrap();
            if let Err(difference) = journal::replay(&record) {
                panic!("seed {seed}, record {}: {difference}", line.account.number);
            }
            replayed += 1;
            if record.verdict().is_none() {
                tasks += 1;
                continue;
            }
            // Another node's data: every cycle that gets as far as that decides otherwise.
            let stranger = text.replace("\"system_id\":\"7", "\"system_id\":\"6");
            if stranger != text {
                let record = Line::parse(&stranger).unwrap().record().unwrap();
                if let Err(difference) = journal::replay(&record) {
                    assert_ne!(difference.recorded, difference.found);
                    noticed += 1;
                }
            }
        }
    }
    assert!(
        replayed >= 1000 && tasks >= 20,
        "{replayed} records, {tasks} tasks"
    );
    assert!(noticed * 2 > replayed, "{noticed} of {replayed}");
}
