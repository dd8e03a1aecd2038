//! Beginning, joining, coming back, going.

use std::time::Duration;

use patroni_core::Secret;

use super::world::{LONG, World, free_address};
use crate::raft::error::RaftError;
use crate::raft::input::Membership;
use crate::raft::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_of_founders_is_enough_and_the_late_one_joins() {
    let mut world = World::new(3);
    world.start(0).await;
    assert!(!world.node(0).ready(Duration::from_millis(600)).await);
    world.start(1).await;
    assert!(world.node(0).ready(LONG).await && world.node(1).ready(LONG).await);
    let write = World::set("/a", "x");
    world.write(0, write).await.unwrap();
    world.start(2).await;
    assert!(world.node(2).ready(LONG).await);
    assert_eq!(world.value(2, "/a").await.as_deref(), Some("x"));
    world
        .until("three voters", |w| w.node(0).view().voters.len() == 3)
        .await;
    assert_eq!(world.node(0).view().machine.members.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_alone_is_a_cluster() {
    let mut world = World::running(1).await;
    let write = World::set("/a", "x");
    world.write(0, write).await.unwrap();
    world.kill(0);
    world.start(0).await;
    assert!(world.node(0).ready(LONG).await);
    assert_eq!(world.value(0, "/a").await.as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_disk_comes_back_under_a_new_number() {
    let mut world = World::running(3).await;
    let leader = world.leader().await;
    let lost = (leader + 1) % 3;
    let old = world.node(lost).view().id;
    let write = World::set("/a", "x");
    world.write(leader, write).await.unwrap();
    world.kill(lost);
    world.wipe(lost).await;
    world.start(lost).await;
    assert!(world.node(lost).ready(LONG).await);
    let view = world.node(lost).view();
    assert_ne!(view.id, old);
    assert_eq!(world.value(lost, "/a").await.as_deref(), Some("x"));
    world
        .until("three voters without the old number", |w| {
            let voters = w.node(leader).view().voters;
            voters.len() == 3 && !voters.contains(&old)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_member_joins_online_and_can_be_removed() {
    let mut world = World::new(3);
    world.password = Some(Secret::new("geheim"));
    for place in 0..3 {
        world.start(place).await;
    }
    let leader = world.leader().await;
    let write = World::set("/a", "x");
    world.write(leader, write).await.unwrap();
    world.addresses.push(free_address());
    world.nodes.push(None);
    world.start(3).await;
    assert!(world.node(3).ready(LONG).await);
    assert_eq!(world.value(3, "/a").await.as_deref(), Some("x"));
    world
        .until("four voters", |w| w.node(leader).view().voters.len() == 4)
        .await;

    let fourth = crate::raft::ident::Address::parse(&world.addresses[3]).unwrap();
    loop {
        let leader = world.leader().await;
        let handle = world.node(leader).handle();
        match handle.remove(fourth.clone(), LONG).await.unwrap() {
            Membership::Done => break,
            Membership::Pending | Membership::NotLeader(_) => {}
            Membership::Refused(why) => panic!("{why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let leader = world.leader().await;
    assert_eq!(world.node(leader).view().voters.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_password_stays_outside() {
    let mut world = World::new(3);
    world.password = Some(Secret::new("geheim"));
    world.start(0).await;
    world.start(1).await;
    assert!(world.node(0).ready(LONG).await);
    world.password = Some(Secret::new("falsch"));
    world.start(2).await;
    assert!(!world.node(2).ready(Duration::from_secs(2)).await);
    assert!(world.node(2).view().machine.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_member_catches_up_by_snapshot() {
    let mut world = World::new(3);
    world.tuning.snapshot_entries = 20;
    world.tuning.keep_entries = 5;
    for place in 0..3 {
        world.start(place).await;
    }
    let leader = world.leader().await;
    let late = (leader + 1) % 3;
    let id = world.node(late).view().id;
    world
        .until("three voters", |w| w.node(leader).view().voters.len() == 3)
        .await;
    world.kill(late);
    for count in 0..100 {
        let write = World::set(&format!("/k{}", count % 7), &count.to_string());
        world.write(leader, write).await.unwrap();
    }
    world.start(late).await;
    assert_eq!(world.value(late, "/k1").await.as_deref(), Some("99"));
    assert!(
        world.node(late).view().id == id || id == 0,
        "the same number"
    );
    // Its own snapshots work, too.
    world.kill(late);
    world.start(late).await;
    assert_eq!(world.value(late, "/k1").await.as_deref(), Some("99"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_user_and_one_owner() {
    let world = World::running(1).await;
    let mut second = world.options(0);
    second.bind_addr = Some(free_address());
    let error = Node::start(&second, world.tuning).await.unwrap_err();
    assert!(matches!(error, RaftError::Locked(_)), "{error}");
    let World {
        directory,
        mut nodes,
        tuning,
        ..
    } = world;
    nodes[0].take().unwrap().stop().await;
    second.self_addr = Some(free_address());
    let error = loop {
        let error = Node::start(&second, tuning).await.unwrap_err();
        if !matches!(error, RaftError::Locked(_)) {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(matches!(error, RaftError::Foreign { .. }), "{error}");
    drop(directory);
}

/// A follower that held back writes until the cluster got its name proposed them in the middle of
/// carrying out a `Ready`, which the library answers with a panic.
#[tokio::test(flavor = "multi_thread")]
async fn writes_may_wait_for_the_name_of_the_cluster_on_every_member() {
    for _ in 0..5 {
        let mut world = World::new(3);
        for place in 0..3 {
            world.start(place).await;
        }
        let waiting = (0_u64..3).zip(&world.nodes).map(|(client, node)| {
            let origin = crate::raft::command::Origin {
                client,
                sequence: 1,
            };
            let write = World::set(&format!("/k{client}"), "x");
            node.as_ref().unwrap().handle().write(origin, write, LONG)
        });
        for outcome in futures_util::future::join_all(waiting).await {
            outcome.unwrap();
        }
    }
}
