//! The synchronous modes in whole cycles: what is set, what is written, and in which order.

mod support;

use std::cell::RefCell;
use std::time::Duration;

use patroni_core::server::{Answer, LocalServer, WalSender};
use patroni_core::{Cluster, Revision, SyncNames, SyncState};
use patroni_ha::memory::{Lease, SyncMemory};
use patroni_ha::observation::{Observation, PeerAnswer};
use patroni_ha::outcome::Written;
use patroni_ha::{Command, Memory, Outcome};
use serde_json::{Value, json};
use support::*;

fn leading() -> Memory {
    Memory {
        lease: Lease::Until(at(1025)),
        seen_identity: true,
        ..Memory::default()
    }
}

/// Knows the names in effect, and that these standbys have caught up.
fn knowing(names: &str, ready: &[&str]) -> Memory {
    Memory {
        sync: SyncMemory {
            names: names.to_owned(),
            changed_at: patroni_core::Lsn::new(100),
            ready: ready.iter().map(|name| (*name).to_owned()).collect(),
            ..SyncMemory::default()
        },
        ..leading()
    }
}

/// A primary with these standbys and these names in effect. As on a real one, what the senders
/// are called depends on the names.
fn serving(names: &str, senders: &[WalSender]) -> LocalServer {
    let mut server = primary();
    let setting = SyncNames::parse(names).expect("valid names");
    if let Answer::Known(status) = &mut server.status {
        names.clone_into(&mut status.synchronous_standby_names);
        status.wal_senders = senders.to_vec();
        for sender in &mut status.wal_senders {
            let listed = setting.star || setting.has(&sender.application_name);
            let state = if names.starts_with("ANY") {
                "quorum"
            } else {
                "sync"
            };
            sender.sync_state = String::from(if listed { state } else { "async" });
        }
    }
    server
}

fn key(view: &mut Cluster, leader: &str, quorum: usize, standbys: &str) {
    let text = json!({"leader": leader, "quorum": quorum, "sync_standby": standbys});
    view.sync = SyncState::parse(&text.to_string(), Some(Revision::new(5)));
}

fn observed(server: LocalServer, view: Cluster, settings_doc: Value) -> Observation {
    let mut observed = observation(server, view);
    observed.settings = settings(settings_doc);
    observed
}

/// Plays a cycle in a world where names that are set are in effect, and `senders` tells what the
/// standbys have by then.
fn play_live(
    observed: Observation,
    memory: Memory,
    senders: impl Fn(usize) -> Vec<WalSender>,
) -> Played {
    let Answer::Known(status) = &observed.server.status else {
        panic!("a primary that answers");
    };
    let names = RefCell::new(status.synchronous_standby_names.clone());
    let looks = RefCell::new(0);
    play(observed, memory, |command| match command {
        Command::SetSyncNames(wished) => {
            *names.borrow_mut() = wished.to_string();
            Some(Outcome::Success(true))
        }
        Command::Requery => {
            *looks.borrow_mut() += 1;
            let server = serving(&names.borrow(), &senders(*looks.borrow()));
            Some(Outcome::Server(Box::new(server)))
        }
        Command::AskPeers(peers) => {
            let silent = |peer: &patroni_ha::command::Peer| PeerAnswer {
                name: peer.name.clone(),
                reply: Err("timed out".to_owned()),
                stands_aside: false,
            };
            Some(Outcome::Peers(peers.iter().map(silent).collect()))
        }
        _ => None,
    })
}

/// The steps that change key or names, in words.
fn steps(played: &Played) -> Vec<String> {
    let step = |command: &Command| match command {
        Command::SetSyncNames(names) => Some(format!("names '{names}'")),
        Command::WriteSync { state, .. } => Some(format!("key {}", state.to_json())),
        _ => None,
    };
    played.commands.iter().filter_map(step).collect()
}

fn quorum() -> Value {
    json!({"synchronous_mode": "quorum"})
}

fn both(lsn: u64) -> Vec<WalSender> {
    vec![sender("b", "async", lsn), sender("C", "async", lsn)]
}

#[test]
fn quorum_mode_begins_with_the_names_and_then_announces_the_voters() {
    let mut view = cluster(Some("a"));
    view.members[2].name = name("C");
    let played = play_live(
        observed(serving("", &both(100)), view, quorum()),
        leading(),
        |_| both(100),
    );
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn a_new_leader_keeps_the_electorate_and_waits_for_standbys_to_come() {
    let mut view = cluster(Some("a"));
    key(&mut view, "b", 1, "a,c");
    let played = play_live(
        observed(serving("ANY 1 (b,c)", &[]), view.clone(), quorum()),
        leading(),
        |_| Vec::new(),
    );
    assert_eq!(
        steps(&played),
        [r#"key {"leader":"a","quorum":1,"sync_standby":"b,c"}"#]
    );
    // For a loop_wait nothing is taken away from those who have not come yet.
    key(&mut view, "a", 1, "b,c");
    let again = observed(serving("ANY 1 (b,c)", &[]), view.clone(), quorum());
    let quiet = play_live(again, played.memory.clone(), |_| Vec::new());
    assert_eq!(steps(&quiet), [] as [String; 0]);
    // Then nobody is waited for any more: the key first.
    let mut later = observed(serving("ANY 1 (b,c)", &[]), view, quorum());
    later.now = at(1011);
    let over = play_live(later, quiet.memory, |_| Vec::new());
    assert_eq!(
        steps(&over),
        [
            r#"key {"leader":"a","quorum":0,"sync_standby":null}"#,
            "names ''"
        ]
    );
}

#[test]
fn before_a_promotion_in_quorum_mode_the_electorate_stays() {
    for (quorum_of_key, leader, standbys, names, voters) in [
        (1, "b", "a,c", "ANY 1 (b,c)", Some("b,c")),
        (0, "b", "a,c", "ANY 2 (b,c)", Some("b,c")),
        // An outsider waits for one more, because it is in no group of voters.
        (1, "b", "c,d", "ANY 2 (b,c,d)", Some("b,c,d")),
        (0, "a", "", "", None),
    ] {
        let mut view = cluster(None);
        key(&mut view, leader, quorum_of_key, standbys);
        let observed = observed(replica(), view.clone(), quorum());
        let played = play(observed, Memory::default(), |command| match command {
            Command::LoadCluster => {
                let mut view = view.clone();
                view.leader = Some(support::leader("a"));
                Some(Outcome::Cluster(Ok(view.into())))
            }
            _ => None,
        });
        assert!(played.asked(|c| matches!(c, Command::AcquireLeader)));
        let key = voters.map(|voters| {
            let quorum = quorum_of_key;
            format!(r#"key {{"leader":"a","quorum":{quorum},"sync_standby":"{voters}"}}"#)
        });
        let names = format!("names '{names}'");
        assert_eq!(
            steps(&played),
            [names].into_iter().chain(key).collect::<Vec<_>>()
        );
        assert!(played.memory.sync.elected);
    }
}

#[test]
fn a_key_that_a_lagging_standby_could_win_by_waits_until_it_has_caught_up() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 1, "b,c");
    // b, which had confirmed everything, is gone; c is there again and has less.
    let c = |lsn| vec![sender("c", "quorum", lsn)];
    let server = serving("ANY 1 (b,c)", &c(50));
    let memory = knowing("ANY 1 (b,c)", &["b", "c"]);
    let begun = observed(server, view, quorum());
    let played = play_live(begun.clone(), memory.clone(), |looks| {
        c(if looks < 4 { 50 } else { 100 })
    });
    assert_eq!(
        steps(&played),
        [
            "names 'ANY 1 (c)'",
            r#"key {"leader":"a","quorum":0,"sync_standby":"c"}"#
        ]
    );
    let waits = |c: &&Command| matches!(c, Command::Wait(_));
    assert_eq!(played.commands.iter().filter(waits).count(), 3);
    // If it never does, the key stays: c alone can not be elected by it.
    let stuck = play_live(begun, memory, |_| c(50));
    assert_eq!(steps(&stuck), ["names 'ANY 1 (c)'"]);
}

#[test]
fn a_key_that_somebody_else_wrote_ends_the_round() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 0, "b");
    let server = serving("ANY 1 (b)", &[sender("b", "", 100), sender("c", "", 100)]);
    let observed = observed(server, view, quorum());
    let memory = knowing("ANY 1 (b)", &["b"]);
    let played = play(observed, memory, |command| match command {
        Command::WriteSync { .. } => Some(Outcome::SyncWritten(Err(Written::LostRace))),
        _ => None,
    });
    assert_eq!(
        steps(&played),
        [r#"key {"leader":"a","quorum":1,"sync_standby":"b,c"}"#]
    );
    assert!(
        played
            .transcript()
            .contains("Synchronous replication key updated by someone else.")
    );
}

#[test]
fn a_strict_quorum_never_goes_on_alone() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 0, "b");
    let doc = json!({"synchronous_mode": "quorum", "synchronous_mode_strict": true});
    let observed = observed(serving("ANY 1 (b)", &[]), view, doc);
    let played = play_live(observed, knowing("ANY 1 (b)", &["b"]), |_| Vec::new());
    insta::assert_snapshot!(played.transcript());
}

#[test]
fn standbys_that_may_not_lead_vote_only_where_others_are_missing() {
    let mut view = cluster(Some("a"));
    view.members[1] = member_with(
        "b",
        json!({"role": "replica", "state": "running", "tags": {"nofailover": true}}),
    );
    let two = || vec![sender("b", "", 100), sender("c", "", 100)];
    let begun = observed(serving("", &two()), view.clone(), quorum());
    let played = play_live(begun, leading(), |_| two());
    assert_eq!(
        steps(&played).last().unwrap(),
        r#"key {"leader":"a","quorum":0,"sync_standby":"c"}"#
    );
    let one = || vec![sender("b", "", 100)];
    let begun = observed(serving("", &one()), view, quorum());
    let played = play_live(begun, leading(), |_| one());
    assert_eq!(
        steps(&played).last().unwrap(),
        r#"key {"leader":"a","quorum":0,"sync_standby":"b"}"#
    );
}

#[test]
fn from_quorum_to_priority_mode_the_voters_are_dropped_first() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 1, "b,c");
    let two = |lsn| vec![sender("b", "", 100), sender("c", "", lsn)];
    let begun = observed(
        serving("ANY 1 (b,c)", &two(50)),
        view,
        json!({"synchronous_mode": true, "synchronous_node_count": 2}),
    );
    let memory = knowing("ANY 1 (b,c)", &["b", "c"]);
    let played = play_live(begun.clone(), memory.clone(), |_| two(50));
    assert_eq!(
        steps(&played),
        [
            r#"key {"leader":"a","quorum":0,"sync_standby":null}"#,
            "names '2 (b,c)'",
            // c was counted as ready for ANY, and has not everything.
            r#"key {"leader":"a","quorum":0,"sync_standby":"b"}"#,
        ]
    );
    let played = play_live(begun, memory, |_| two(100));
    assert_eq!(
        steps(&played).last().unwrap(),
        r#"key {"leader":"a","quorum":0,"sync_standby":"b,c"}"#
    );
}

#[test]
fn from_priority_to_quorum_mode_the_names_are_said_in_other_words_first() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 0, "b");
    let two = || vec![sender("b", "", 100), sender("c", "", 100)];
    let begun = observed(serving("b", &two()), view, quorum());
    let played = play_live(begun, knowing("b", &["b"]), |_| two());
    assert_eq!(
        steps(&played),
        [
            "names 'ANY 1 (b)'",
            r#"key {"leader":"a","quorum":1,"sync_standby":"b,c"}"#,
            "names 'ANY 1 (b,c)'",
        ]
    );
}

#[test]
fn a_silent_standby_is_replaced_by_one_that_answers() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 0, "b");
    let silent = |millis| {
        let mut b = sender("b", "sync", 90);
        b.unanswered = Some(Duration::from_millis(millis));
        vec![b, sender("c", "async", 100)]
    };
    let doc = json!({"synchronous_mode": true});
    let memory = knowing("b", &["b"]);
    let begun = observed(serving("b", &silent(1200)), view.clone(), doc.clone());
    let played = play_live(begun, memory.clone(), |_| silent(3200));
    assert_eq!(
        steps(&played),
        [
            r#"key {"leader":"a","quorum":0,"sync_standby":null}"#,
            "names 'c'",
            r#"key {"leader":"a","quorum":0,"sync_standby":"c"}"#,
        ]
    );
    // Not for a moment's delay, and not without another one.
    let begun = observed(serving("b", &silent(300)), view.clone(), doc.clone());
    assert_eq!(
        steps(&play_live(begun, memory.clone(), |_| silent(300))),
        [] as [String; 0]
    );
    let begun = observed(serving("b", &silent(9000)[..1]), view, doc);
    assert_eq!(
        steps(&play_live(begun, memory, |_| silent(9000))),
        [] as [String; 0]
    );
}

#[test]
fn without_the_mode_the_key_goes_before_the_names() {
    let mut view = cluster(Some("a"));
    key(&mut view, "a", 1, "b,c");
    let begun = observed(serving("ANY 1 (b,c)", &[]), view, json!({}));
    let played = play_live(begun, leading(), |_| Vec::new());
    let at = |what: fn(&Command) -> bool| played.commands.iter().position(what).unwrap();
    let deleted = at(|c| matches!(c, Command::DeleteSync { .. }));
    assert!(deleted < at(|c| matches!(c, Command::SetSyncNames(_))));
}
