//! What the groups of a Citus cluster do besides being HA clusters.

mod support;

use patroni_core::RestartConditions;
use patroni_ha::job::{DemotePlan, DemoteReason, Job};
use patroni_ha::memory::Lease;
use patroni_ha::observation::{NodeFacts, WatchdogFacts};
use patroni_ha::{Command, JobContext, JobRun, Memory, Outcome};
use support::*;

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

fn in_group(group: Option<u32>) -> NodeFacts {
    NodeFacts {
        citus_group: group,
        ..node("a")
    }
}

fn keeps_the_table(group: Option<u32>, leader: &str) -> bool {
    let mut observed = observation(primary(), cluster(Some(leader)));
    observed.node = in_group(group);
    let played = play(observed, leading(), nothing);
    played.asked(|command| *command == Command::KeepNodeTable)
}

#[test]
fn the_leader_of_the_coordinator_alone_keeps_the_table_of_nodes() {
    assert!(keeps_the_table(Some(0), "a"));
    assert!(!keeps_the_table(Some(1), "a"));
    assert!(!keeps_the_table(None, "a"));
    assert!(!keeps_the_table(Some(0), "b"));
}

/// How often a task stops the server, and how often it says so to the other groups.
fn stops(job: Job, group: Option<u32>, leader: &str) -> (usize, usize) {
    let context = JobContext {
        node: in_group(group),
        settings: patroni_config::Dynamic::default().into(),
        cluster: Some(cluster(Some(leader)).into()),
        server: primary(),
        watchdog: WatchdogFacts::default(),
        memory: leading(),
    };
    let run = JobRun::begin(job, context, at(1000));
    let view = cluster(Some(leader));
    let transcript = play_job(run, &primary(), &view, at(1000), nothing);
    let count = |text: &str| transcript.matches(text).count();
    (count("> {\"Stop\""), count("\"announce\":true"))
}

fn demotion(reason: DemoteReason) -> Job {
    Job::Demote {
        reason,
        judged: Some(leader("a")),
        plan: DemotePlan::default(),
    }
}

#[test]
fn a_leader_that_goes_in_order_says_so_once() {
    let restart = || Job::Restart(RestartConditions::default());
    for (job, expected) in [
        (demotion(DemoteReason::Switchover), (2, 1)),
        (demotion(DemoteReason::Failover), (2, 1)),
        (demotion(DemoteReason::DemoteCluster), (2, 0)),
        (restart(), (1, 1)),
        (Job::Shutdown, (2, 1)),
    ] {
        for group in [0, 1] {
            assert_eq!(stops(job.clone(), Some(group), "a"), expected, "{job}");
        }
        assert_eq!(stops(job.clone(), None, "a").1, 0, "{job}");
    }
    assert_eq!(stops(restart(), Some(1), "b").1, 0, "no leader");
}
