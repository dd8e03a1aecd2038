//! What a node does to its slots, read from the commands and sentences of its cycles.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patroni_core::server::{LocalServer, SlotRow};
use patroni_core::{Cluster, Lsn, SlotName, Status, Xid};
use patroni_ha::command::{LeaderAddress, LogicalSlot, SlotChange};
use patroni_ha::job::{Effect, Job, JobEnd, JobReport};
use patroni_ha::observation::FailsafeLeader;
use patroni_ha::outcome::{FetchedSlot, LeaderSlots, PhysicalSlot, SlotChanged};
use patroni_ha::{Command, JobContext, JobRun, Memory, Observation, Outcome};
use serde_json::{Value, json};
use support::*;

fn slot(name: &str) -> SlotName {
    SlotName::new(name)
}

/// The changes in short, and the sentences about slots.
fn story(played: &Played) -> Vec<String> {
    let about_slots = |line: &&String| line.contains("slot") && !line.starts_with('>');
    let mut story: Vec<String> = played.lines.iter().filter(about_slots).cloned().collect();
    story.extend(played.commands.iter().filter_map(|command| match command {
        Command::ChangeSlot(change) => Some(match change {
            SlotChange::Drop(name) => format!("drop {name}"),
            SlotChange::CreatePhysical(name) => format!("create {name}"),
            SlotChange::AdvancePhysical { slot, to } => format!("advance {slot} {}", to.bytes()),
            SlotChange::CreateLogical(slot) => {
                format!("create {} {} {}", slot.name, slot.database, slot.plugin)
            }
        }),
        _ => None,
    }));
    story
}

fn observed(server: LocalServer, rows: Vec<SlotRow>, view: Cluster, doc: Value) -> Observation {
    let mut observed = observation(with_slots(server, rows), view);
    observed.settings = settings(doc);
    observed
}

/// A server that has the slots of both members, with further ones.
fn rows(more: impl IntoIterator<Item = SlotRow>) -> Vec<SlotRow> {
    let members = [physical_row("b"), physical_row("c")];
    members.into_iter().chain(more).collect()
}

fn run(observed: Observation) -> Vec<String> {
    story(&play(observed, Memory::default(), |_| None))
}

const LOGICAL: &str = r#"{"slots": {"log": {"type": "logical", "database": "d", "plugin": "p"}}}"#;

fn logical() -> Value {
    serde_json::from_str(LOGICAL).expect("a literal")
}

#[test]
fn strangers_are_dropped_unless_somebody_else_owns_them() {
    let strangers = || rows([physical_row("x"), logical_row("mine", "d", "pgoutput")]);
    let ignoring = json!({"ignore_slots": [{"type": "logical", "plugin": "pgoutput"}]});
    let view = || cluster(Some("a"));
    assert_eq!(
        run(observed(primary(), strangers(), view(), ignoring)),
        [
            "INFO Trying to drop unknown replication slot 'x'",
            "INFO Dropped replication slot 'x'",
            "drop x"
        ]
    );
    let paused = observed(primary(), strangers(), view(), json!({"pause": true}));
    assert_eq!(run(paused), Vec::<String>::new());
}

/// Nobody would move them, and they would keep WAL for ever.
#[test]
fn without_slots_all_are_dropped_that_nobody_else_owns() {
    let off = json!({
        "postgresql": {"use_slots": false},
        "slots": {"app": {"type": "physical"}},
        "ignore_slots": [{"name": "mine"}],
    });
    let there = rows([physical_row("app"), logical_row("mine", "d", "pgoutput")]);
    let story = run(observed(primary(), there, cluster(Some("a")), off));
    let drops = story.iter().filter(|line| line.starts_with("drop"));
    assert_eq!(drops.collect::<Vec<_>>(), ["drop b", "drop c", "drop app"]);
}

#[test]
fn what_became_of_a_drop_is_told() {
    for (outcome, line) in [
        (
            SlotChanged::InUse,
            "WARNING Unable to drop replication slot 'x', slot is active",
        ),
        (
            SlotChanged::Nothing,
            "ERROR Failed to drop replication slot 'x'",
        ),
        (
            SlotChanged::Lost("gone".to_owned()),
            "ERROR Exception when changing replication slots: gone",
        ),
    ] {
        let server = observed(
            primary(),
            vec![physical_row("x")],
            cluster(Some("a")),
            json!({}),
        );
        let played = play(server, Memory::default(), |command| {
            matches!(command, Command::ChangeSlot(SlotChange::Drop(_)))
                .then(|| Outcome::SlotChanged(outcome.clone()))
        });
        let lost = matches!(outcome, SlotChanged::Lost(_));
        let told = story(&played);
        assert_eq!(told[1], line);
        // Without a connection the rest waits for the next cycle.
        assert_eq!(told.contains(&"create b".to_owned()), !lost, "{told:?}");
    }
}

#[test]
fn a_lost_slot_is_made_anew_and_a_changed_one_even_in_a_pause() {
    let lost = SlotRow {
        wal_status: Some("lost".to_owned()),
        restart_lsn: None,
        ..physical_row("app")
    };
    let doc = json!({"slots": {"app": null}});
    assert_eq!(
        run(observed(primary(), rows([lost]), cluster(Some("a")), doc)),
        [
            "INFO Trying to drop replication slot 'app' with wal_status=lost",
            "INFO Dropped replication slot 'app'",
            "drop app",
            "create app"
        ]
    );
    let mut doc = logical();
    doc["pause"] = json!(true);
    doc["ignore_slots"] = json!([{"name": "log"}]);
    let other = logical_row("log", "d", "test_decoding");
    assert_eq!(
        run(observed(primary(), rows([other]), cluster(Some("a")), doc)),
        [
            "INFO Trying to drop replication slot 'log' because value is changing from {'type': \
             'logical', 'database': 'd', 'plugin': 'test_decoding'} to {'type': 'logical', \
             'database': 'd', 'plugin': 'p'}",
            "INFO Dropped replication slot 'log'",
            "drop log",
            "create log d p"
        ]
    );
}

#[test]
fn unusable_entries_are_named() {
    let doc = json!({"slots": {"Bad-name": null, "five": 5, "half": {"type": "logical"},
        "b": {"database": "d", "plugin": "p"}}});
    assert_eq!(
        run(observed(primary(), rows([]), cluster(Some("a")), doc)),
        [
            "ERROR Invalid permanent replication slot name 'Bad-name'",
            "ERROR Bad value for slot 'five' in permanent_slots: 5",
            "ERROR Bad value for slot 'half' in permanent_slots: {'type': 'logical'}",
            "ERROR Permanent logical replication slot {'b': {'database': 'd', 'plugin': 'p'}} is \
             conflicting with physical replication slot for cluster member",
        ]
    );
}

#[test]
fn slots_of_an_old_server_cannot_be_logical() {
    let mut old = observed(primary(), rows([]), cluster(Some("a")), logical());
    old.server.major_version = Some(100_000);
    assert_eq!(
        run(old),
        [
            "ERROR Permanent logical replication slots supported by Patroni only starting from \
          PostgreSQL 11. Following slots will not be created: ['log']."
        ]
    );
}

#[test]
fn unused_slots_follow_the_published_positions() {
    let mut view = cluster(Some("b"));
    view.status.slots = BTreeMap::from([(slot("c"), Lsn::new(70)), (slot("b"), Lsn::new(40))]);
    assert_eq!(
        run(observed(replica(), rows([]), view, json!({}))),
        ["advance c 70"],
        "never backwards"
    );
}

#[test]
fn leftovers_that_hold_back_vacuum_are_made_anew() {
    let holding = || SlotRow {
        xmin: Some(Xid::new(700)),
        ..physical_row("c")
    };
    let server = |view| {
        observed(
            replica(),
            vec![physical_row("b"), holding()],
            view,
            json!({}),
        )
    };
    let expected = [
        "WARNING Dropping physical replication slot c because of its xmin value 700",
        "INFO Dropped replication slot 'c'",
        "drop c",
        "create c",
    ];
    assert_eq!(run(server(cluster(Some("b")))), expected);
    // This node has the lock and is no primary yet: its standbys may be using the slot already.
    let played = play(server(cluster(Some("a"))), Memory::default(), |_| None);
    assert_eq!(story(&played), Vec::<String>::new());
}

#[test]
fn slots_of_external_agents_are_replaced() {
    let external = SlotRow {
        restart_lsn: None,
        ..physical_row("c")
    };
    let told = run(observed(
        replica(),
        vec![physical_row("b"), external],
        cluster(Some("b")),
        json!({}),
    ));
    assert_eq!(
        told,
        [
            "WARNING Dropping physical replication slot c because it has no restart_lsn. This slot \
             was probably not created by Patroni, but by an external agent.",
            "INFO Dropped replication slot 'c'",
            "drop c"
        ]
    );
}

#[test]
fn the_slot_of_an_absent_member_is_kept_for_its_time() {
    let memory = Memory {
        last_seen: BTreeMap::from([(slot("gone"), at(0)), (slot("away"), at(990))]),
        ..Memory::default()
    };
    let present = rows([physical_row("gone"), physical_row("away")]);
    let doc = json!({"member_slots_ttl": 900});
    let played = play(
        observed(primary(), present, cluster(Some("a")), doc),
        memory,
        |_| None,
    );
    assert_eq!(
        story(&played),
        [
            "INFO Replication slot 'gone' for absent cluster member is expired after 900 sec.",
            "INFO Trying to drop unknown replication slot 'gone'",
            "INFO Dropped replication slot 'gone'",
            "drop gone"
        ]
    );
    let published = played.commands.iter().find_map(|command| match command {
        Command::UpdateLeader { status, .. } => status.clone(),
        _ => None,
    });
    let retained = published.map(|status: Status| status.retain_slots);
    assert_eq!(retained, Some(["a", "away", "b", "c"].map(slot).into()));
}

/// A standby beside a primary that published a position of the logical slot.
fn standby(more: impl IntoIterator<Item = SlotRow>) -> Observation {
    let mut view = cluster(Some("b"));
    view.status.slots = BTreeMap::from([(slot("log"), Lsn::new(80))]);
    observed(replica(), rows(more), view, logical())
}

#[test]
fn a_missing_logical_slot_is_copied_from_the_primary() {
    let played = play(standby([]), Memory::default(), |_| None);
    assert_eq!(
        played.verdict.to_string(),
        "Copying logical slots ['log'] from the primary"
    );
    assert!(played.asked(|command| matches!(command, Command::EnforceFeedback(true))));
    let job = played.commands.iter().find_map(|command| match command {
        Command::Schedule(job) => Some(job.to_string()),
        _ => None,
    });
    assert_eq!(job.as_deref(), Some("copy_logical_slots"));
    // A slot whose position nobody has published may not exist yet.
    let mut unpublished = standby([]);
    if let Ok(view) = &mut unpublished.store {
        Arc::make_mut(view).status.slots.clear();
    }
    let played = play(unpublished, Memory::default(), |_| None);
    assert!(played.verdict.result.is_heartbeat());
    // In a failsafe outage nothing is copied, but slots follow what the leader announced.
    let mut outage = standby([logical_row("log", "d", "p")]);
    let view = outage.store.clone().unwrap();
    let mut doc = logical();
    doc["failsafe_mode"] = json!(true);
    outage.settings = settings(doc);
    outage.store = Err("down".to_owned());
    outage.failsafe_leader = Some(FailsafeLeader {
        name: name("b"),
        conn_url: "postgres://b:5432/postgres".to_owned(),
        api_url: "http://b:8008/patroni".to_owned(),
        slots: BTreeMap::from([(slot("log"), Lsn::new(95)), (slot("c"), Lsn::new(91))]),
    });
    let memory = Memory {
        old_view: Some(view),
        ..Memory::default()
    };
    let played = play(outage, memory, |_| None);
    assert_eq!(story(&played), ["advance c 91"]);
    assert_eq!(advanced(&played), [("log".to_owned(), 95)]);
    assert!(!played.asked(|command| matches!(command, Command::Schedule(_))));
}

fn advanced(played: &Played) -> Vec<(String, u64)> {
    let advances = played.commands.iter().filter_map(|command| match command {
        Command::AdvanceLogicalSlots(advances) => Some(advances),
        _ => None,
    });
    advances
        .flatten()
        .map(|advance| (advance.slot.to_string(), advance.to.bytes()))
        .collect()
}

#[test]
fn a_logical_slot_moves_no_further_than_the_own_replay() {
    for (replayed, expected) in [(100, Some(80)), (70, Some(70)), (60, None)] {
        let mut observed = standby([logical_row("log", "d", "p")]);
        if let patroni_core::server::Answer::Known(status) = &mut observed.server.status {
            status.replayed = Some(Lsn::new(replayed));
        }
        let played = play(observed, Memory::default(), |_| None);
        let expected: Vec<_> = expected
            .map(|at| ("log".to_owned(), at))
            .into_iter()
            .collect();
        assert_eq!(advanced(&played), expected);
    }
}

#[test]
fn a_slot_that_was_given_up_is_copied_again() {
    let played = play(
        standby([logical_row("log", "d", "p")]),
        Memory::default(),
        |command| {
            let given_up = || Outcome::SlotsGivenUp(BTreeSet::from([slot("log")]));
            matches!(command, Command::AdvanceLogicalSlots(_)).then(given_up)
        },
    );
    assert_eq!(
        played.verdict.to_string(),
        "Copying logical slots ['log'] from the primary"
    );
    let again = play(
        standby([logical_row("log", "d", "p")]),
        played.memory,
        |_| None,
    );
    assert_eq!(advanced(&again), [], "it stands still until it is copied");
    let mut copied = standby([logical_row("log", "d", "p")]);
    copied.finished = vec![JobReport {
        job: copy_job(),
        end: JobEnd::Success,
        effects: vec![Effect::SlotsCopied(vec![slot("log")])],
    }];
    let played = play(copied, again.memory, |_| None);
    assert_eq!(advanced(&played), [("log".to_owned(), 80)]);
    assert!(played.memory.slots.unready.contains_key("log"));
}

#[test]
fn a_copy_is_safe_once_the_primary_holds_back_enough() {
    let mine = |catalog_xmin| SlotRow {
        catalog_xmin: Some(Xid::new(catalog_xmin)),
        ..logical_row("log", "d", "p")
    };
    let answer = |physical, logical| {
        move |command: &Command| {
            matches!(command, Command::InspectSlots { .. }).then(|| {
                Outcome::LeaderSlots(Ok(LeaderSlots {
                    physical,
                    logical: BTreeMap::from([(slot("log"), Xid::new(logical))]),
                }))
            })
        }
    };
    let first = play(
        standby([mine(700)]),
        Memory::default(),
        answer(PhysicalSlot::Absent, 700),
    );
    assert_eq!(
        story(&first),
        ["WARNING Physical slot a does not exist on the primary"]
    );
    let off = play(
        standby([mine(700)]),
        first.memory,
        |command| match command {
            Command::ReadFeedback => Some(Outcome::Feedback(Ok(false))),
            other => answer(PhysicalSlot::HoldsNothing, 700)(other),
        },
    );
    let expected = r#"Logical slot failover requires "hot_standby_feedback". Please check postgresql.auto.conf"#;
    assert!(off.transcript().contains(expected), "{}", off.transcript());
    let behind = PhysicalSlot::Holds(Xid::new(699));
    let early = play(standby([mine(700)]), off.memory, answer(behind, 700));
    assert_eq!(story(&early), Vec::<String>::new());
    assert_eq!(
        early.memory.slots.unready.get("log"),
        Some(&Some(Xid::new(700)))
    );
    let beyond = PhysicalSlot::Holds(Xid::new(702));
    let late = play(standby([mine(701)]), early.memory, answer(beyond, 800));
    assert_eq!(
        story(&late),
        Vec::<String>::new(),
        "the own slot is behind what is kept"
    );
    let enough = PhysicalSlot::Holds(Xid::new(702));
    let safe = play(standby([mine(702)]), late.memory, answer(enough, 800));
    assert_eq!(
        story(&safe),
        ["INFO Logical slot log is safe to be used after a failover"]
    );
    assert!(safe.memory.slots.unready.is_empty());
    let asked = |played: &Played| played.asked(|c| matches!(c, Command::InspectSlots { .. }));
    let after = play(standby([mine(702)]), safe.memory, |_| None);
    assert!(!asked(&after), "nothing is left to prove");
    // Another server process: it starts anew.
    let mut restarted = standby([mine(702)]);
    restarted.server.postmaster_start_time = Some("later".to_owned());
    assert!(asked(&play(restarted, after.memory, |_| None)));
}

#[test]
fn a_copy_whose_wal_is_not_here_is_not_safe() {
    let row = SlotRow {
        catalog_xmin: Some(Xid::new(700)),
        restart_lsn: Some(Lsn::new(0x50)),
        ..logical_row("log", "d", "p")
    };
    let answer = |from: Result<Lsn, String>| {
        move |command: &Command| match command {
            Command::ReadWalStart => Some(Outcome::WalStart(from.clone())),
            Command::InspectSlots { .. } => Some(Outcome::LeaderSlots(Ok(LeaderSlots {
                physical: PhysicalSlot::Holds(Xid::new(700)),
                logical: BTreeMap::from([(slot("log"), Xid::new(700))]),
            }))),
            _ => None,
        }
    };
    let lacking = play(
        standby([row.clone()]),
        Memory::default(),
        answer(Ok(Lsn::new(0x51))),
    );
    assert_eq!(
        story(&lacking),
        [
            "INFO Logical slot log is not safe to be used after a failover yet: it needs WAL from \
             0/50 on, and this node has it from 0/51 on"
        ]
    );
    let further = answer(Ok(Lsn::new(0x52)));
    let lacking = play(standby([row.clone()]), lacking.memory, further);
    assert_eq!(story(&lacking), Vec::<String>::new(), "told once");
    let unknown = play(
        standby([row.clone()]),
        lacking.memory,
        answer(Err("no such file".to_owned())),
    );
    assert_eq!(
        story(&unknown),
        [
            "ERROR Failed to find out whether this node has the WAL that its logical slots need: \
             no such file"
        ]
    );
    let safe = play(standby([row]), unknown.memory, answer(Ok(Lsn::new(0x50))));
    assert_eq!(
        story(&safe),
        ["INFO Logical slot log is safe to be used after a failover"]
    );
}

fn copy_job() -> Job {
    Job::CopyLogicalSlots {
        leader: LeaderAddress {
            name: name("b"),
            conn_url: "postgres://b:5432/postgres".to_owned(),
        },
        slots: vec![LogicalSlot {
            name: slot("log"),
            database: "d".to_owned(),
            plugin: "p".to_owned(),
        }],
    }
}

/// The copy as a long task; the leader's slot is confirmed up to `confirmed`.
fn copy(confirmed: u64, plugin: &str) -> String {
    copy_over(Memory::default(), confirmed, plugin)
}

/// The same with a memory. The leader's slot needs WAL from 0/50 on, this node has it from 0/51.
fn copy_over(memory: Memory, confirmed: u64, plugin: &str) -> String {
    let observed = standby([]);
    let (server, view) = (
        observed.server.clone(),
        observed.store.clone().expect("a view"),
    );
    let context = JobContext {
        node: observed.node,
        settings: observed.settings,
        cluster: Some(view.clone()),
        server: server.clone(),
        watchdog: observed.watchdog,
        memory,
    };
    let run = JobRun::begin(copy_job(), context, at(1000));
    play_job(run, &server, &view, at(1000), |command| match command {
        Command::FetchSlots { .. } => Some(Outcome::SlotsFetched(Ok(vec![FetchedSlot {
            name: slot("log"),
            kind: logical_row("log", "d", plugin).kind,
            confirmed: Lsn::new(confirmed),
            restart: Lsn::new(0x50),
            state: vec![1, 2],
        }]))),
        Command::ReadWalStart => Some(Outcome::WalStart(Ok(Lsn::new(0x51)))),
        _ => None,
    })
}

#[test]
fn a_copy_is_installed_while_the_server_is_down() {
    let transcript = copy(90, "p");
    let at = |what: &str| {
        transcript
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {transcript}"))
    };
    assert!(at("\"Stop\"") < at("\"InstallSlots\"") && at("\"InstallSlots\"") < at("\"Start\""));
    assert!(transcript.ends_with(r#"= copy_logical_slots: Success [{"SlotsCopied":["log"]}]"#));
}

#[test]
fn a_slot_beyond_the_own_replay_is_not_installed() {
    let transcript = copy(101, "p");
    assert!(!transcript.contains("\"Stop\""), "{transcript}");
    assert!(transcript.contains(
        "INFO Not copying the logical slot log yet: it is confirmed up to 0/65, and this node has \
         replayed up to 0/64"
    ));
}

#[test]
fn a_slot_that_cannot_move_is_not_replaced_by_one_that_cannot_either() {
    let mut memory = Memory::default();
    memory.slots.stale.insert(slot("log"));
    let transcript = copy_over(memory, 90, "p");
    assert!(!transcript.contains("\"Stop\""), "{transcript}");
    assert!(transcript.contains("it needs WAL from 0/50 on, and this node has it from 0/51 on"));
    // A missing one is copied all the same: its consumer shall see the gap.
    assert!(copy(90, "p").contains("\"InstallSlots\""));
}

#[test]
fn another_slot_of_that_name_is_not_copied() {
    let transcript = copy(90, "q");
    assert!(!transcript.contains("\"Stop\""), "{transcript}");
    assert!(transcript.contains(
        "WARNING Will not copy the logical slot \"log\" due to the configuration mismatch: \
         configuration={'type': 'logical', 'database': 'd', 'plugin': 'p'}, slot on the \
         primary={'type': 'logical', 'database': 'd', 'plugin': 'q'}"
    ));
}

#[test]
fn a_promotion_warns_of_slots_that_are_not_proven() {
    let observed = standby([]);
    let (server, view) = (
        observed.server.clone(),
        observed.store.clone().expect("a view"),
    );
    let mut memory = Memory {
        lease: patroni_ha::memory::Lease::Until(at(2000)),
        ..Memory::default()
    };
    memory.slots.unready = [(slot("y"), None), (slot("x"), None)].into();
    // Proven once, and unable to move since; and one that was never proven.
    memory.slots.stale = [slot("w"), slot("y")].into();
    let context = JobContext {
        node: observed.node,
        settings: observed.settings,
        cluster: Some(view.clone()),
        server: server.clone(),
        watchdog: observed.watchdog,
        memory,
    };
    let run = JobRun::begin(Job::Promote, context, at(1000));
    let transcript = play_job(run, &server, &view, at(1000), |_| None);
    let warning = "WARNING Logical replication slots that might be unsafe to use after promote: {'w', 'x', 'y'}";
    assert!(transcript.contains(warning), "{transcript}");
}
