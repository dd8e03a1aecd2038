//! The net itself: honest runs are clean, known faults are caught, and every corner is visited.

use std::time::Duration;

use patroni_ha::journal::{self, Line};
use patroni_sim::{Invariant, Mutant, Options, run, sweep, trace};

fn shorter() -> Options {
    Options {
        time: Duration::from_mins(5),
        ..Options::default()
    }
}

/// The first of so many seeds that catches the mutant, and by which invariant.
fn caught(mutant: Mutant, seeds: u64) -> Option<(u64, Invariant)> {
    let options = Options {
        mutant: Some(mutant),
        ..shorter()
    };
    (1..=seeds).find_map(|seed| {
        let broken = run(seed, &options).violation?;
        Some((seed, broken.invariant))
    })
}

#[test]
fn honest_runs_are_clean_and_go_everywhere() {
    let summary = sweep(1, 60, &shorter(), 2, |_| ());
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
        "job: switchover: demote",
        "job: reinitializing due to diverged timelines",
        "job: starting primary after failure",
        "job: shutdown",
        "job: demoting to a standby cluster",
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
    ] {
        assert!(summary.coverage.of(corner) > 0, "never seen: {corner}");
    }
}

#[test]
fn a_lease_that_counts_from_the_answer_is_caught() {
    let found = caught(Mutant::LeaseFromAnswer, 200);
    assert!(found.is_some(), "200 seeds saw nothing");
}

#[test]
fn a_guardian_that_sleeps_is_caught() {
    let found = caught(Mutant::GuardianAsleep, 200);
    assert!(found.is_some(), "200 seeds saw nothing");
}

#[test]
fn a_promotion_before_the_lock_is_caught() {
    let found = caught(Mutant::PromoteBeforeLock, 200);
    assert!(found.is_some(), "200 seeds saw nothing");
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
