//! Servers that hang, die and forget.

use std::time::Duration;

use patroni_core::MemberData;
use patroni_dcs::zookeeper::{Options, ZooKeeper};
use patroni_dcs::{Store, StoreError, StoreErrorKind, Timings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{HASTY, Server, TIMINGS, eventually, identity, lock_of, show_logs};

/// What a call may take beyond its budget: the time to be scheduled on a busy machine.
const OVERHEAD: Duration = Duration::from_secs(2);

fn is_unreachable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind, StoreErrorKind::Unreachable(_)))
}

async fn within_budget<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = call.await;
    let took = begun.elapsed();
    assert!(
        took <= HASTY.retry_timeout + OVERHEAD,
        "{what} took {took:?}"
    );
    result
}

async fn store_on(servers: &[Server], member: Option<&str>) -> ZooKeeper {
    let hosts = servers.iter().map(|server| server.address.as_str());
    let options = Options::new(hosts);
    // Long enough for an election, and for finding a server that takes part in it.
    let timings = Timings {
        ttl: HASTY.ttl * 2,
        ..HASTY
    };
    ZooKeeper::connect(options, identity(member), timings)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unreachable_in_time_and_is_used_again_after() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let store = server.store_with(Some("a"), HASTY).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    server.freeze();
    let updated = within_budget("update", store.update_leader(&lock)).await;
    assert!(is_unreachable(&updated), "{updated:?}");
    let acquired = within_budget("acquire", store.acquire_leader()).await;
    assert!(is_unreachable(&acquired), "{acquired:?}");
    let data = MemberData::parse("{\"state\":\"running\"}");
    let touched = within_budget("touch", store.touch_member(&data, None)).await;
    assert!(is_unreachable(&touched), "{touched:?}");
    let loaded = within_budget("load", store.load()).await;
    assert!(is_unreachable(&loaded), "{loaded:?}");
    let opened = within_budget("connect", server.store_with(Some("b"), HASTY)).await;
    assert!(is_unreachable(&opened.map(|_| ())));

    server.thaw();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    lock_of(&store, "a").await;
    store.touch_member(&data, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_loses_one_server_after_the_other() {
    show_logs();
    let Some(servers) = Server::ensemble(3).await else {
        return;
    };
    let store = store_on(&servers, Some("a")).await;
    let reader = store_on(&servers, Some("b")).await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    lock_of(&reader, "a").await;

    // Whichever of them it is that hangs, the connected server or the leader of the others: the
    // session goes on, and the lock with it.
    servers[0].freeze();
    eventually("the lock to be kept", || async {
        within_budget("update", store.update_leader(&lock))
            .await
            .ok()
    })
    .await;
    assert_eq!(lock_of(&reader, "a").await.session, lock.session);
    servers[0].thaw();
    servers[1].kill();
    eventually("the lock to be kept", || async {
        within_budget("update", store.update_leader(&lock))
            .await
            .ok()
    })
    .await;
    let wait = reader.watch(Some(&lock), TIMINGS.ttl * 4);
    let release = async {
        eventually("the lock to be released", || async {
            let released = store.delete_leader(Some(&lock)).await;
            released.map_or_else(|error| error.is_lost_race().then_some(()), Some)
        })
        .await;
    };
    let (woken, ()) = tokio::join!(wait, release);
    assert!(woken, "a follower that changed servers is woken, too");

    // Without a majority nothing is confirmed.
    servers[2].kill();
    let acquired = within_budget("acquire", store.acquire_leader()).await;
    assert!(is_unreachable(&acquired), "{acquired:?}");
    eventually("the last server to notice", || async {
        let loaded = within_budget("load", reader.load()).await;
        is_unreachable(&loaded).then_some(())
    })
    .await;
}

/// Takes the lock away from whoever holds it.
async fn remove_lock(server: &Server) {
    let admin = server.admin().await.unwrap();
    admin.delete("/service/demo/leader", None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_lost_is_put_back_or_lost() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let (a, b) = (
        server.store(Some("a")).await.unwrap(),
        server.store(Some("b")).await.unwrap(),
    );
    a.acquire_leader().await.unwrap();
    let lock = lock_of(&a, "a").await;
    remove_lock(&server).await;
    a.update_leader(&lock).await.expect("nobody else took it");
    lock_of(&b, "a").await;

    remove_lock(&server).await;
    b.acquire_leader().await.unwrap();
    let lost = a.update_leader(&lock).await;
    assert!(
        lost.as_ref().is_err_and(StoreError::is_lost_race),
        "{lost:?}"
    );
    lock_of(&a, "b").await;
}

/// The server refuses a session that has seen newer data than its own, without a word, and for as
/// long as the session lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_data_gets_a_new_session() {
    show_logs();
    let Some(mut server) = Server::single().await else {
        return;
    };
    let timings = Timings {
        ttl: Duration::from_secs(20),
        ..HASTY
    };
    let store = server.store_with(Some("a"), timings).await.unwrap();
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;
    server.wipe().await;
    let begun = Instant::now();
    eventually("the lock to be taken again", || async {
        within_budget("acquire", store.acquire_leader()).await.ok()
    })
    .await;
    lock_of(&store, "a").await;
    assert!(begun.elapsed() < timings.ttl / 2, "{:?}", begun.elapsed());
}

/// The whole store is gone for longer than a session lasts, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_is_followed_by_another() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let (a, b) = (
        server.store(Some("a")).await.unwrap(),
        server.store(Some("b")).await.unwrap(),
    );
    let data = MemberData::parse("{\"state\":\"running\"}");
    a.acquire_leader().await.unwrap();
    a.touch_member(&data, None).await.unwrap();
    let lock = lock_of(&b, "a").await;
    a.close().await; // lets the connection go, not the session

    eventually(
        "the others to be woken by the end of the session",
        || async {
            b.watch(Some(&lock), TIMINGS.ttl * 2).await;
            b.load().await.ok()?.is_unlocked().then_some(())
        },
    )
    .await;
    // The next call opens a new session, because the old one cannot be resumed.
    a.update_leader(&lock).await.unwrap();
    assert_ne!(lock_of(&b, "a").await.session, lock.session);
}

/// Answers every connection with these bytes, as long as the value lives.
async fn talk(answer: &'static [u8]) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(answer).await);
        }
    });
    (address, tasks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_another_kind_are_no_store() {
    show_logs();
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\x04\0\0\0\0",
        // A session without an end, and an answer to nothing.
        b"\0\0\0\x25\0\0\0\0\x7f\xff\xff\xff\0\0\0\0\0\0\0\x01\0\0\0\x10aaaaaaaaaaaaaaaa\0\
          \0\0\0\x10\0\0\0\x7f\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for answer in answers {
        let (address, _talking) = talk(answer).await;
        let options = Options::new([address]);
        let connect = ZooKeeper::connect(options, identity(Some("a")), HASTY);
        let opened = within_budget("connect", connect).await;
        let Err(error) = opened else {
            panic!("{answer:?} was taken for a store");
        };
        assert!(
            matches!(
                error.kind,
                StoreErrorKind::Unreachable(_) | StoreErrorKind::Nonsense(_)
            ),
            "{answer:?}: {error}"
        );
    }
}
