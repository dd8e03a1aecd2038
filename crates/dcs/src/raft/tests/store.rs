//! The store trait, over members and for observers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_core::{Cluster, MemberName, Revision, Scope, Secret, SyncState};

use super::world::{LONG, World};
use crate::raft::store::{RaftClient, RaftStore};
use crate::raft::{Node, Options, RaftRole, Tuning};
use crate::store::{Identity, Store, Timings};

const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(3),
    loop_wait: Duration::from_secs(1),
    retry_timeout: Duration::from_secs(4),
};

fn identity(name: Option<&str>) -> Identity {
    Identity::new("service", &Scope::new("demo"), name.map(MemberName::new))
}

fn store(node: Node, name: &str) -> Arc<dyn Store> {
    Arc::new(RaftStore::over(node, identity(Some(name)), TIMINGS))
}

async fn three() -> (World, Vec<Arc<dyn Store>>) {
    let mut world = World::running(3).await;
    let nodes: Vec<Node> = world.nodes.iter_mut().filter_map(Option::take).collect();
    let stores = nodes.into_iter().zip(["a", "b", "c"]);
    let stores = stores.map(|(node, name)| store(node, name)).collect();
    (world, stores)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_has_one_holder_until_it_expires() {
    let (_world, stores) = three().await;
    let [a, b, _] = &stores[..] else { panic!() };
    a.acquire_leader().await.unwrap();
    assert!(b.acquire_leader().await.unwrap_err().is_lost_race());
    let cluster = b.load().await.unwrap();
    let leader = cluster.leader.unwrap();
    assert_eq!(leader.name.as_str(), "a");
    a.update_leader(&leader).await.unwrap();
    assert!(b.update_leader(&leader).await.unwrap_err().is_lost_race());
    b.load().await.unwrap();
    let began = Instant::now();
    assert!(b.watch(Some(&leader), Duration::from_secs(10)).await);
    assert!(began.elapsed() + Duration::from_millis(500) >= TIMINGS.ttl);
    b.acquire_leader().await.unwrap();
    assert!(a.update_leader(&leader).await.unwrap_err().is_lost_race());
    let leader = b.load().await.unwrap().leader.unwrap();
    b.delete_leader(Some(&leader)).await.unwrap();
    a.update_leader(&leader).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_writes_compare_revisions() {
    let (_world, stores) = three().await;
    let state = SyncState::new(Some(MemberName::new("a")), 0, std::iter::empty().collect());
    let first = stores[0].write_sync(&state, None).await.unwrap();
    let second = stores[1].write_sync(&state, Some(&first)).await.unwrap();
    assert_ne!(first, second);
    let late = stores[2].write_sync(&state, Some(&first)).await;
    assert!(late.unwrap_err().is_lost_race());
    let of_no_raft = Revision::new("x");
    let strange = stores[2].write_sync(&state, Some(&of_no_raft)).await;
    assert!(strange.unwrap_err().is_lost_race());
    assert_eq!(stores[2].load().await.unwrap().sync.revision, Some(second));
    stores[0].begin_initialize().await.unwrap();
    assert!(
        stores[1]
            .begin_initialize()
            .await
            .unwrap_err()
            .is_lost_race()
    );
    stores[0].delete_cluster().await.unwrap();
    assert_eq!(stores[1].load().await.unwrap(), Cluster::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_between_two_calls_wakes_the_next_watch() {
    let (_world, stores) = three().await;
    let [a, b, _] = &stores[..] else { panic!() };
    let config = serde_json::Map::new();
    a.write_config(&config, None).await.unwrap();
    b.load().await.unwrap();
    a.write_config(&config, None).await.unwrap();
    assert!(b.watch(None, Duration::from_secs(5)).await);
    b.load().await.unwrap();
    assert!(!b.watch(None, Duration::from_millis(200)).await);
    a.acquire_leader().await.unwrap();
    assert!(b.watch(None, Duration::from_secs(5)).await);
    let leader = b.load().await.unwrap().leader.unwrap();
    a.update_leader(&leader).await.unwrap();
    assert!(
        !b.watch(Some(&leader), Duration::from_millis(300)).await,
        "a renewal wakes nobody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_sees_and_writes_through_any_member() {
    let (world, stores) = three().await;
    stores[0].acquire_leader().await.unwrap();
    let options = Options {
        partner_addrs: world.addresses.clone(),
        ..Options::default()
    };
    let observer = RaftClient::connect(options, identity(None), TIMINGS)
        .await
        .unwrap();
    let cluster = observer.load().await.unwrap();
    assert_eq!(cluster.leader_name().unwrap().as_str(), "a");
    let config = serde_json::Map::new();
    observer.write_config(&config, None).await.unwrap();
    assert!(stores[1].load().await.unwrap().config.is_some());
    assert!(observer.acquire_leader().await.is_err());
    observer.load().await.unwrap();
    stores[2].write_config(&config, None).await.unwrap();
    assert!(observer.watch(None, Duration::from_secs(5)).await);
    stores[0].close().await;
    stores[0].load().await.unwrap_err();
    assert!(observer.load().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_load_is_unreachable_and_not_old() {
    let (_world, mut stores) = three().await;
    let last = stores.pop().unwrap();
    last.set_timings(Timings {
        retry_timeout: Duration::from_secs(1),
        ..TIMINGS
    });
    last.load().await.unwrap();
    drop(stores);
    let error = last.load().await.unwrap_err();
    let unreachable = matches!(error.kind, crate::error::StoreErrorKind::Unreachable(_));
    assert!(unreachable, "{error}");
}

/// With heartbeats further apart than the whole test takes, nothing may wait for one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_heartbeat() {
    const HEARTBEATS: Duration = Duration::from_secs(5);
    let mut world = World::new(3);
    let tick = Duration::from_millis(50);
    let beats = usize::try_from(HEARTBEATS.as_millis() / tick.as_millis()).unwrap();
    world.tuning = Tuning {
        tick,
        heartbeat_ticks: beats,
        ..Tuning::default()
    };
    // The first election is over before the first heartbeat is due.
    world.tuning.election_ticks = beats + 1;
    world.tuning.election_ticks_end = beats + 40;
    for place in 0..3 {
        world.start(place).await;
    }
    for place in 0..3 {
        assert!(world.node(place).ready(LONG).await);
    }
    let nodes = world.nodes.iter().flatten().zip(["a", "b", "c"]);
    let stores: Vec<RaftStore> = nodes
        .map(|(node, name)| RaftStore::beside(node, identity(Some(name)), TIMINGS))
        .collect();
    for writer in &stores {
        for waiter in stores.iter().filter(|store| !std::ptr::eq(*store, writer)) {
            waiter.load().await.unwrap();
            let began = Instant::now();
            let woken = waiter.watch(None, HEARTBEATS);
            let (woken, written) = tokio::join!(woken, writer.acquire_leader());
            written.unwrap();
            assert!(woken);
            let took = began.elapsed();
            assert!(took < HEARTBEATS / 5, "woken after {took:?}");
            writer.delete_leader(None).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_removes_a_member_through_any_other() {
    let (world, mut stores) = three().await;
    let gone = stores.pop().unwrap();
    gone.close().await;
    let options = Options {
        partner_addrs: world.addresses.clone(),
        ..Options::default()
    };
    let observer = RaftClient::connect(options, identity(None), TIMINGS)
        .await
        .unwrap();
    observer.remove_member("nonsense").await.unwrap_err();
    // The member that went may have led: then its successor must be found first.
    let deadline = Instant::now() + LONG;
    while let Err(error) = observer.remove_member(&world.addresses[2]).await {
        assert!(Instant::now() < deadline, "{error}");
    }
    observer.remove_member(&world.addresses[2]).await.unwrap();
    // Two members are left, and both are needed now.
    stores[0].acquire_leader().await.unwrap();
    drop(stores.pop());
    stores[0].set_timings(Timings {
        retry_timeout: Duration::from_secs(1),
        ..TIMINGS
    });
    assert!(stores[0].load().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_to_an_observer() {
    let mut world = World::new(1);
    world.password = Some(Secret::new("geheim"));
    world.start(0).await;
    assert!(world.node(0).ready(LONG).await);
    let options = Options {
        partner_addrs: world.addresses.clone(),
        password: Some(Secret::new("falsch")),
        ..Options::default()
    };
    let timings = Timings {
        retry_timeout: Duration::from_secs(1),
        ..TIMINGS
    };
    let observer = RaftClient::connect(options, identity(None), timings)
        .await
        .unwrap();
    let error = observer.load().await.unwrap_err().to_string();
    let expected = format!(
        "raft member {}: the other side has another password",
        world.addresses[0]
    );
    assert!(error.contains(&expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_votes_and_who_answers() {
    let mut world = World::running(3).await;
    let leader = world.leader().await;
    let dead = (leader + 1) % 3;
    world
        .until("three voters", |w| w.node(leader).view().voters.len() == 3)
        .await;
    world.kill(dead);
    let alive = (leader + 2) % 3;
    let observer = Options {
        self_addr: None,
        partner_addrs: vec![world.addresses[alive].clone()],
        ..world.options(alive)
    };
    let store = RaftClient::connect(observer, identity(None), TIMINGS)
        .await
        .unwrap();
    let members = store.members().await.unwrap();
    let mut addresses = world.addresses.clone();
    addresses.sort();
    let listed: Vec<_> = members.iter().map(|m| m.address.clone()).collect();
    assert_eq!(listed, addresses);
    for member in &members {
        let place = world.addresses.iter().position(|a| *a == member.address);
        let expected = if place == Some(leader) {
            RaftRole::Leader
        } else {
            RaftRole::Voter
        };
        assert_eq!(member.role, expected, "{member:?}");
        assert_eq!(member.progress.is_some(), place != Some(dead), "{member:?}");
    }
}
