//! Every sentence of the decision core in a recorded run of the reference is a row of our
//! tables, word for word.

use patroni_core::{Lsn, MemberName, SlotName, Timeline};
use patroni_ha::command::{LeaderAddress, RewindSource};
use patroni_ha::sentence::{Action, NameList, OrNone, Text};
use patroni_ha::verdict::CycleResult;
use patroni_ha::{Job, Verdict};

fn n(text: &str) -> MemberName {
    MemberName::new(text)
}

fn rewind_source(text: &str) -> RewindSource {
    RewindSource::Member(LeaderAddress {
        name: n(text),
        conn_url: format!("postgres://{text}:5432/postgres"),
    })
}

fn verdict(result: CycleResult) -> Verdict {
    Verdict {
        paused: true,
        result,
        exit: None,
        rule: patroni_ha::Rule::Start,
        refused: Vec::new(),
        again: None,
    }
}

fn tl(number: u32) -> Timeline {
    Timeline::new(number).expect("not zero")
}

/// Each line of the recording beside the value that says it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<(&'static str, String)> {
    use CycleResult as R;
    let action = |text: &str| text.to_owned();
    let (me, leader) = (n("node2"), n("node1"));
    vec![
        (
            "Lock owner: None; I am node1",
            Text::LockOwner {
                owner: OrNone(None),
                me: n("node1"),
            }
            .to_string(),
        ),
        (
            "Lock owner: node1; I am node2",
            Text::LockOwner {
                owner: OrNone(Some(n("node1"))),
                me: n("node2"),
            }
            .to_string(),
        ),
        (
            "trying to bootstrap a new cluster",
            R::Bootstrapping.to_string(),
        ),
        (
            "not healthy enough for leader race",
            Text::NotHealthyEnough.to_string(),
        ),
        (
            "bootstrap in progress",
            R::InProgress {
                action: Job::Bootstrap.to_string(),
            }
            .to_string(),
        ),
        (
            "bootstrap from leader 'node1' in progress",
            R::InProgress {
                action: action("bootstrap from leader 'node1'"),
            }
            .to_string(),
        ),
        (
            "running post_bootstrap",
            R::RunningPostBootstrap.to_string(),
        ),
        ("initialized a new cluster", R::Initialized.to_string()),
        (
            "trying to bootstrap from leader 'node1'",
            R::Cloning {
                source: action("from leader 'node1'"),
            }
            .to_string(),
        ),
        (
            "bootstrapped from leader 'node1'",
            Text::Bootstrapped {
                message: action("from leader 'node1'"),
            }
            .to_string(),
        ),
        (
            "no action. I am (node2), the leader with the lock",
            R::Leader { me: me.clone() }.to_string(),
        ),
        (
            "PAUSE: no action. I am (node2), the leader with the lock",
            verdict(R::Leader { me: me.clone() }).to_string(),
        ),
        (
            "no action. I am (node2), a secondary, and following a leader (node1)",
            R::Following {
                me: me.clone(),
                leader: leader.clone(),
            }
            .to_string(),
        ),
        (
            "PAUSE: no action. I am (node2), a secondary, and following a leader (node1)",
            verdict(R::Following {
                me: me.clone(),
                leader: leader.clone(),
            })
            .to_string(),
        ),
        (
            "no action. I am (node2), the standby leader with the lock",
            R::StandbyLeader { me: me.clone() }.to_string(),
        ),
        (
            "no action. I am (node2), a secondary, and following a standby leader (node1)",
            R::FollowingStandbyLeader { me, leader }.to_string(),
        ),
        (
            "Enabled synchronous replication",
            Text::SyncEnabled.to_string(),
        ),
        (
            "Assigning synchronous standby status to ['node2', 'node3']",
            Text::SyncAssigning {
                names: NameList::of(["node2", "node3"]),
            }
            .to_string(),
        ),
        (
            "Assigning synchronous standby status to ['node2']",
            Text::SyncAssigning {
                names: NameList::of(["node2"]),
            }
            .to_string(),
        ),
        (
            "Synchronous standby status assigned to ['node2', 'node3']",
            Text::SyncAssigned {
                names: NameList::of(["node2", "node3"]),
            }
            .to_string(),
        ),
        (
            "Synchronous standby status assigned to ['node2']",
            Text::SyncAssigned {
                names: NameList::of(["node2"]),
            }
            .to_string(),
        ),
        (
            "Disabled synchronous replication",
            Text::SyncDisabled.to_string(),
        ),
        (
            "updated leader lock during restart",
            R::LockUpdatedDuring {
                action: action("restart"),
            }
            .to_string(),
        ),
        (
            "updated leader lock during promote",
            R::LockUpdatedDuring {
                action: Job::Promote.to_string(),
            }
            .to_string(),
        ),
        (
            "restart in progress",
            R::InProgress {
                action: action("restart"),
            }
            .to_string(),
        ),
        (
            "switchover: demote in progress",
            R::InProgress {
                action: action("switchover: demote"),
            }
            .to_string(),
        ),
        (
            "switchover: demoting myself",
            R::DemotingMyself {
                action: Action::Switchover.to_string(),
            }
            .to_string(),
        ),
        (
            "Demoting self (graceful)",
            Text::Demoting {
                mode: action("graceful"),
            }
            .to_string(),
        ),
        (
            "Demoting self (demote-cluster)",
            Text::Demoting {
                mode: action("demote-cluster"),
            }
            .to_string(),
        ),
        ("Leader key released", Text::LeaderKeyReleased.to_string()),
        (
            "Cleaning up failover key after acquiring leader lock...",
            Text::CleaningFailoverKeyAfterLock.to_string(),
        ),
        (
            "promoted self to leader by acquiring session lock",
            R::PromotedByRace.to_string(),
        ),
        (
            "promoted self to leader because I had the session lock",
            R::PromotedWithLock.to_string(),
        ),
        (
            "acquired session lock as a leader",
            R::AcquiredAsLeader.to_string(),
        ),
        (
            "following new leader after trying and failing to obtain lock",
            R::FollowingWithoutLock.to_string(),
        ),
        (
            "following a different leader because i am not the healthiest node",
            R::FollowingNotHealthiest.to_string(),
        ),
        (
            "node2 has equally tolerable WAL position and priority 2, while this node has priority 1",
            Text::PeerPriority {
                name: n("node2"),
                theirs: 2,
                mine: 1,
            }
            .to_string(),
        ),
        (
            "Local timeline=2 lsn=0/5000028",
            Text::LocalTimeline {
                timeline: tl(2),
                lsn: Lsn::new(0x500_0028),
            }
            .to_string(),
        ),
        (
            "primary_timeline=3",
            Text::PrimaryTimeline { timeline: tl(3) }.to_string(),
        ),
        (
            "primary: history=1\t0/40004C0\tno recovery target specified",
            Text::PrimaryHistory {
                lines: action("1\t0/40004C0\tno recovery target specified"),
            }
            .to_string(),
        ),
        (
            "running pg_rewind from node3",
            R::Rewinding {
                leader: rewind_source("node3"),
            }
            .to_string(),
        ),
        (
            "doing crash recovery in a single user mode",
            R::SingleUserRecovery.to_string(),
        ),
        ("starting as a secondary", R::StartingSecondary.to_string()),
        (
            "Postgresql is not running.",
            Text::PostgresqlNotRunning.to_string(),
        ),
        (
            "Error communicating with DCS",
            Text::StoreUnreachable.to_string(),
        ),
        ("DCS is not accessible", R::StoreDown.to_string()),
        (
            "demoted self because PostgreSQL does not answer new connections",
            R::DemotedSilent.to_string(),
        ),
        (
            "demoting self because PostgreSQL has not answered new connections for 31 seconds",
            Text::ServerSilent { seconds: 31 }.to_string(),
        ),
        (
            "DCS is not accessible, continue to run as a leader while the lease lasts (12 seconds left)",
            R::LeaseLasts { seconds: 12 }.to_string(),
        ),
        (
            "continue to run as a leader because failsafe mode is enabled and all members are accessible",
            R::FailsafeLeader.to_string(),
        ),
        (
            "trying to bootstrap a new standby leader",
            R::BootstrappingStandbyLeader.to_string(),
        ),
        (
            "bootstrap_standby_leader in progress",
            R::InProgress {
                action: Job::BootstrapStandbyLeader.to_string(),
            }
            .to_string(),
        ),
        (
            "cannot be a real primary in standby cluster",
            R::NoRealPrimaryStandbyCluster.to_string(),
        ),
        (
            "demoting to a standby cluster in progress",
            R::InProgress {
                action: action("demoting to a standby cluster"),
            }
            .to_string(),
        ),
        (
            "promoted self to a standby leader by acquiring session lock",
            R::PromotedStandbyLeaderByRace.to_string(),
        ),
        (
            "Copying logical slots ['perm_log'] from the primary",
            R::CopyingSlots {
                slots: NameList::of(["perm_log"]),
            }
            .to_string(),
        ),
        (
            "Logical slot perm_log is safe to be used after a failover",
            Text::LogicalSlotSafe {
                slot: SlotName::new("perm_log"),
            }
            .to_string(),
        ),
        (
            "Trying to drop unknown replication slot 'perm_phys'",
            Text::DroppingUnknownSlot {
                slot: SlotName::new("perm_phys"),
            }
            .to_string(),
        ),
        (
            "Dropped replication slot 'perm_phys'",
            Text::SlotDropped {
                slot: SlotName::new("perm_phys"),
            }
            .to_string(),
        ),
        (
            "failover: candidates list is empty",
            Text::CandidatesEmpty {
                action: Action::Failover,
            }
            .to_string(),
        ),
        (
            "Member node3 is not reachable",
            Text::MemberIs {
                name: n("node3"),
                reason: action("not reachable"),
            }
            .to_string(),
        ),
        (
            "Awaiting switchover at 2025-01-01T00:02:34+00:00 (in 3480 seconds)",
            Text::Awaiting {
                action: action("switchover"),
                at: action("2025-01-01T00:02:34+00:00"),
                seconds: 3480,
            }
            .to_string(),
        ),
        (
            "Awaiting restart at 2025-01-01T00:02:34+00:00 (in 3480 seconds)",
            Text::Awaiting {
                action: action("restart"),
                at: action("2025-01-01T00:02:34+00:00"),
                seconds: 3480,
            }
            .to_string(),
        ),
        (
            "Got response from node1 http://10.0.0.1:8008/patroni: {}",
            Text::GotResponse {
                name: n("node1"),
                url: action("http://10.0.0.1:8008/patroni"),
                body: action("{}"),
            }
            .to_string(),
        ),
        (
            "Request failed to node3: GET http://10.0.0.3:8008/patroni ('xlog')",
            Text::RequestFailed {
                name: n("node3"),
                url: action("http://10.0.0.3:8008/patroni"),
                error: action("'xlog'"),
            }
            .to_string(),
        ),
    ]
}

#[test]
fn every_sentence_is_word_for_word() {
    for (recorded, ours) in table() {
        assert_eq!(ours, recorded);
    }
}

/// A sentence without its values.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for letter in text.chars() {
        let kept = if letter.is_ascii_digit() { '0' } else { letter };
        if !(kept == '0' && shape.ends_with('0')) {
            shape.push(kept);
        }
    }
    let shape = shape.replace("sb0", "node0");
    match shape.split_once(" lsn=") {
        Some((before, _)) => format!("{before} lsn="),
        None => shape,
    }
}

#[test]
fn the_recorded_run_says_nothing_else() {
    let known: Vec<String> = table().iter().map(|(text, _)| shape(text)).collect();
    let missing: Vec<&str> = include_str!("golden/recorded-sentences.txt")
        .lines()
        .filter(|line| !known.contains(&shape(line)))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
