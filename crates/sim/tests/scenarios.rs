//! Where the reference was measured weak: one fault each, with a known answer.

use std::time::Duration;

use patroni_sim::{Coverage, Faults, Options, Scenario, run};

/// Runs a scenario with many seeds and looks at each; nothing may be broken in any.
fn each(scenario: Scenario, look: impl Fn(&Coverage)) {
    for seed in 1..=20 {
        let options = Options {
            members: Some(3),
            time: Duration::from_mins(2),
            scenario: Some(scenario),
            faults: Faults {
                operators: false,
                ..Faults::default()
            },
            ..Options::default()
        };
        let report = run(seed, &options);
        assert_eq!(report.violation, None, "{scenario:?}, seed {seed}");
        look(&report.coverage);
    }
}

#[test]
fn a_short_cut_from_the_store_changes_nothing() {
    each(Scenario::ShortCut, |coverage| {
        assert_eq!(coverage.of("promotion: done"), 0);
        assert_eq!(coverage.of("verdict: DemotedStoreDown"), 0);
        assert!(coverage.of("verdict: LeaseLasts") > 0);
    });
}

#[test]
fn an_isolated_primary_is_replaced_and_writes_nothing_beside_the_next() {
    each(Scenario::Isolated, |coverage| {
        assert_eq!(coverage.of("promotion: done"), 1);
        assert!(coverage.of("verdict: DemotedStoreDown") > 0);
    });
}

#[test]
fn a_primary_whose_daemon_stands_still_is_ended_by_its_guardian() {
    each(Scenario::DaemonStandsStill, |coverage| {
        assert_eq!(coverage.of("guardian: stopped a primary"), 1);
        assert_eq!(coverage.of("promotion: done"), 1);
    });
}

#[test]
fn a_server_that_hangs_is_given_up() {
    each(Scenario::ServerHangs, |coverage| {
        assert_eq!(coverage.of("verdict: DemotedSilent"), 1);
        assert_eq!(coverage.of("promotion: done"), 1);
    });
}
