//! Crashes, partitions, clocks.

use std::time::{Duration, Instant};

use super::world::{LONG, World};
use crate::raft::command::{Condition, Outcome, Write};

#[tokio::test(flavor = "multi_thread")]
async fn three_members_elect_and_every_one_takes_writes() {
    let mut world = World::running(3).await;
    for place in 0..3 {
        let write = World::set(&format!("/k{place}"), "v");
        assert!(matches!(
            world.write(place, write).await,
            Ok(Outcome::Done { .. })
        ));
    }
    for place in 0..3 {
        assert_eq!(world.value(place, "/k0").await.as_deref(), Some("v"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_fast_and_nothing_acknowledged_is_lost() {
    let mut world = World::running(3).await;
    let old = world.leader().await;
    let write = World::set("/kept", "yes");
    world.write(old, write).await.unwrap();
    world.kill(old);
    let began = Instant::now();
    let new = world.leader().await;
    let took = began.elapsed();
    assert_ne!(new, old);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(world.value(new, "/kept").await.as_deref(), Some("yes"));
    world.start(old).await;
    assert_eq!(world.value(old, "/kept").await.as_deref(), Some("yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_the_death_of_all() {
    let mut world = World::running(3).await;
    for round in 0..3 {
        for count in 0..10 {
            let write = World::set(&format!("/{round}/{count}"), "v");
            world.write(count % 3, write).await.unwrap();
        }
        for place in 0..3 {
            world.kill(place);
        }
        for place in 0..3 {
            world.start(place).await;
        }
        world.leader().await;
    }
    for round in 0..3 {
        for count in 0..10 {
            let key = format!("/{round}/{count}");
            assert_eq!(
                world.value(count % 3, &key).await.as_deref(),
                Some("v"),
                "{key}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_hands_the_leadership_over() {
    let mut world = World::running(3).await;
    let old = world.leader().await;
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    let began = Instant::now();
    world.nodes[old].take().unwrap().stop().await;
    let took = began.elapsed();
    world
        .until("a successor", |world| {
            others
                .iter()
                .any(|place| world.node(*place).view().is_leader())
        })
        .await;
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_serves_nobody_and_comes_back_as_a_follower() {
    let mut world = World::running(3).await;
    let old = world.leader().await;
    world.isolate(old, true);
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    world
        .until("another leader", |world| {
            others
                .iter()
                .any(|place| world.node(*place).view().is_leader())
        })
        .await;
    let handle = world.node(old).handle().clone();
    assert!(handle.read(Duration::from_millis(700)).await.is_err());
    let lost = World::set("/lost", "x");
    let budget = Duration::from_millis(700);
    assert!(world.write_within(old, lost, budget).await.is_err());
    let write = World::set("/new", "x");
    world.write(others[0], write).await.unwrap();
    world.isolate(old, false);
    assert_eq!(world.value(old, "/new").await.as_deref(), Some("x"));
    assert!(!world.node(old).view().is_leader());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_cut_off_does_not_depose_the_leader() {
    let mut world = World::running(3).await;
    let leader = world.leader().await;
    let term = world.node(leader).view().term;
    let follower = (leader + 1) % 3;
    world.isolate(follower, true);
    tokio::time::sleep(Duration::from_secs(3)).await; // the length of the cut, twice an election
    world.isolate(follower, false);
    let write = World::set("/after", "x");
    world.write(follower, write).await.unwrap();
    assert_eq!(world.leader().await, leader);
    assert_eq!(world.node(leader).view().term, term);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_when_its_time_is_over_and_not_before() {
    let mut world = World::running(3).await;
    let ttl = Duration::from_millis(1500);
    let write = |condition| Write::Set {
        key: "/lock".to_owned(),
        value: "a".to_owned(),
        ttl_ms: Some(1500),
        condition,
    };
    world.write(0, write(Condition::absent())).await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(ttl / 2).await; // renewals keep it alive
        let renewed = world.write(1, write(Condition::value("a"))).await;
        assert!(matches!(renewed, Ok(Outcome::Done { .. })), "{renewed:?}");
    }
    let began = Instant::now();
    world.write(0, write(Condition::value("a"))).await.unwrap();
    world.value(2, "/lock").await.unwrap(); // member 2 has seen the last renewal
    let mut view = world.node(2).handle().view();
    let gone = view.wait_for(|view| !view.machine.items.contains_key("/lock"));
    tokio::time::timeout(LONG, gone).await.unwrap().unwrap();
    let lived = began.elapsed();
    assert!(lived >= ttl && lived < ttl + LONG / 10, "{lived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_expires_neither_early_nor_a_whole_time_late() {
    let mut world = World::running(3).await;
    let ttl = Duration::from_secs(5);
    let write = Write::Set {
        key: "/lock".to_owned(),
        value: "a".to_owned(),
        ttl_ms: Some(5000),
        condition: Condition::absent(),
    };
    let leader = world.leader().await;
    let asked = Instant::now();
    world.write(leader, write).await.unwrap();
    let survivor = (leader + 1) % 3;
    let mut view = world.node(survivor).handle().view();
    let there = view.wait_for(|view| view.machine.items.contains_key("/lock"));
    tokio::time::timeout(LONG, there).await.unwrap().unwrap();
    tokio::time::sleep(ttl / 2).await; // the lock's age when its holder's member dies
    world.kill(leader);
    let killed = Instant::now();
    let gone = view.wait_for(|view| !view.machine.items.contains_key("/lock"));
    tokio::time::timeout(LONG, gone).await.unwrap().unwrap();
    assert!(asked.elapsed() >= ttl, "{:?}", asked.elapsed());
    assert!(killed.elapsed() < ttl, "{:?}", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_and_a_witness_survive_one_loss_and_not_two() {
    let mut world = World::running(3).await;
    world.kill(0);
    world.leader().await;
    let write = World::set("/a", "x");
    world.write(1, write).await.unwrap();
    world.kill(2);
    let write = World::set("/b", "x");
    let silent = world.write_within(1, write, Duration::from_secs(2)).await;
    assert!(silent.is_err());
    world.start(0).await;
    world.leader().await;
    assert_eq!(world.value(0, "/a").await.as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_through_another_member_is_carried_out_once() {
    use crate::raft::command::Origin;
    let world = World::running(3).await;
    let origin = Origin {
        client: 5,
        sequence: 1,
    };
    let write = Write::set("/once".to_owned(), "x".to_owned(), Condition::absent());
    let first = world
        .node(0)
        .handle()
        .write(origin, write.clone(), LONG)
        .await;
    let again = world.node(1).handle().write(origin, write, LONG).await;
    assert!(matches!(first, Ok(Outcome::Done { .. })));
    assert_eq!(first, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_cluster_writes_nothing() {
    let world = World::running(3).await;
    let leader = world.leader().await;
    let applied = |place| world.node(place).view().machine.applied;
    let before = applied(leader);
    tokio::time::sleep(Duration::from_secs(2)).await; // the length of the idleness
    assert_eq!(applied(leader), before);
}
