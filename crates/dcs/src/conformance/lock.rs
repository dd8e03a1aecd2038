//! Promises about the lock.

use std::time::Duration;

use futures_util::future::join_all;
use patroni_core::MemberName;

use super::bench::{Bench, Outcome, data, expect, leads, lost, ok};
use crate::store::Timings;

pub(super) async fn one_racer_wins(bench: &Bench<'_>) -> Outcome {
    let names = ["a", "b", "c", "d", "e"];
    let mut stores = Vec::new();
    for name in names {
        stores.push(bench.member(name).await?);
    }
    let results = join_all(stores.iter().map(|store| store.acquire_leader())).await;
    let winners: Vec<&str> = names
        .iter()
        .zip(&results)
        .filter_map(|(name, result)| result.is_ok().then_some(*name))
        .collect();
    for result in results.iter().filter_map(|result| result.as_ref().err()) {
        expect(result.is_lost_race(), &format!("a loser got {result}"))?;
    }
    let [winner] = winners.as_slice() else {
        return Err(format!("winners: {winners:?}"));
    };
    for store in &stores {
        bench.lock_of(store.as_ref(), winner).await?;
    }
    Ok(())
}

pub(super) async fn a_held_lock_is_not_taken(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    lost("acquire by another", b.acquire_leader()).await?;
    bench.lock_of(b.as_ref(), "a").await?;
    Ok(())
}

pub(super) async fn the_lock_is_kept_and_carries_a_session(bench: &Bench<'_>) -> Outcome {
    let a = bench.member("a").await?;
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    ok("update", a.update_leader(&lock)).await?;
    let again = bench.lock_of(a.as_ref(), "a").await?;
    expect(
        again.session == lock.session,
        "an update changed the session",
    )
}

pub(super) async fn a_changed_ttl_keeps_the_lock(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    let timings = bench.timings();
    a.set_timings(Timings {
        ttl: timings.ttl + Duration::from_secs(1),
        ..timings
    });
    expect(
        a.watch(None, timings.ttl).await,
        "a changed ttl wakes at once",
    )?;
    ok("update after a changed ttl", a.update_leader(&lock)).await?;
    lost("acquire by another", b.acquire_leader()).await?;
    // With a session of its own in the store, the lock must hang on the new one.
    let what = "the lock on the new session";
    let renewed = |session: &Option<String>| session.is_none() || *session != lock.session;
    let cluster = bench.soon(b.as_ref(), what, |c| {
        leads(c, "a") && c.leader.as_ref().is_some_and(|l| renewed(&l.session))
    });
    cluster.await?;
    Ok(())
}

pub(super) async fn a_removed_lock_is_put_back_by_its_owner(bench: &Bench<'_>) -> Outcome {
    let a = bench.member("a").await?;
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    ok("release", a.delete_leader(Some(&lock))).await?;
    bench
        .soon(a.as_ref(), "no leader", patroni_core::Cluster::is_unlocked)
        .await?;
    ok("update of the removed lock", a.update_leader(&lock)).await?;
    bench.lock_of(a.as_ref(), "a").await?;
    Ok(())
}

pub(super) async fn a_lock_of_another_is_a_lost_race(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    ok("release", a.delete_leader(Some(&lock))).await?;
    ok("acquire by another", b.acquire_leader()).await?;
    bench.lock_of(a.as_ref(), "b").await?;
    lost("update with an old judgement", a.update_leader(&lock)).await?;
    bench.lock_of(b.as_ref(), "b").await?;
    Ok(())
}

pub(super) async fn only_the_owner_releases_the_lock(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(b.as_ref(), "a").await?;
    lost("release by another", b.delete_leader(Some(&lock))).await?;
    bench.lock_of(a.as_ref(), "a").await?;
    ok("release", a.delete_leader(Some(&lock))).await?;
    bench
        .soon(b.as_ref(), "no leader", patroni_core::Cluster::is_unlocked)
        .await?;
    Ok(())
}

pub(super) async fn an_abandoned_lock_and_member_expire(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    ok("touch", a.touch_member(&data("running"), None)).await?;
    bench.lock_of(b.as_ref(), "a").await?;
    a.close().await;
    drop(a);
    let name = MemberName::new("a");
    bench
        .until(
            b.as_ref(),
            "lock and member to expire",
            bench.expiry(),
            |c| c.is_unlocked() && bench.is_gone(c, &name),
        )
        .await?;
    ok("acquire after expiry", b.acquire_leader()).await
}

pub(super) async fn bootstrap_takes_the_lock_in_any_case(bench: &Bench<'_>) -> Outcome {
    let a = bench.member("a").await?;
    ok("take", a.take_leader()).await?;
    ok("take again", a.take_leader()).await?;
    bench.lock_of(a.as_ref(), "a").await?;
    Ok(())
}

/// Two lives of the ttl long; refreshing the lock alone must keep the member key of stores with
/// one session per process.
pub(super) async fn keeping_the_lock_keeps_the_member(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    bench.lock_of(b.as_ref(), "a").await?;
    let pause = bench.timings().ttl / 4;
    for _ in 0..8 {
        ok("touch", a.touch_member(&data("running"), None)).await?;
        ok("update", a.update_leader(&lock)).await?;
        a.watch(None, pause).await;
        let cluster = ok("load", b.load()).await?;
        expect(leads(&cluster, "a"), "the lock was lost while it was kept")?;
    }
    Ok(())
}
