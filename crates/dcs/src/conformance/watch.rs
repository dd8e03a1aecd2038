//! Promises about waking up.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::bench::{Bench, Outcome, expect, ok};
use crate::store::Store;

/// Far longer than any wake-up takes, so that a wait that ends earlier ended for a reason.
const LONG: Duration = Duration::from_secs(20);

/// Long enough for a wake-up that should not come.
const SHORT: Duration = Duration::from_millis(400);

pub(super) async fn a_released_lock_wakes_others(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(b.as_ref(), "a").await?;
    settle(b.as_ref()).await?;
    let wait = b.watch(Some(&lock), LONG);
    let release = async { ok("release", a.delete_leader(Some(&lock))).await };
    let begun = Instant::now();
    let (woken, released) = tokio::join!(wait, release);
    released?;
    expect(woken && begun.elapsed() < LONG, "nobody was woken")?;
    bench
        .soon(b.as_ref(), "no leader", patroni_core::Cluster::is_unlocked)
        .await?;
    Ok(())
}

pub(super) async fn a_changed_configuration_wakes(bench: &Bench<'_>) -> Outcome {
    let (a, control) = (bench.member("a").await?, bench.control().await?);
    let config = |ttl: u32| json!({"ttl": ttl}).as_object().cloned().unwrap_or_default();
    ok("write config", control.write_config(&config(20), None)).await?;
    bench
        .soon(a.as_ref(), "a config", |c| c.config.is_some())
        .await?;
    settle(a.as_ref()).await?;
    let write = async { ok("write config", control.write_config(&config(30), None)).await };
    let (woken, written) = tokio::join!(a.watch(None, LONG), write);
    written?;
    expect(woken, "nobody was woken")
}

pub(super) async fn a_kept_lock_does_not_wake(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    ok("acquire", a.acquire_leader()).await?;
    let lock = bench.lock_of(a.as_ref(), "a").await?;
    bench.lock_of(b.as_ref(), "a").await?;
    settle(a.as_ref()).await?;
    let update = async { ok("update", a.update_leader(&lock)).await };
    let (woken, updated) = tokio::join!(a.watch(Some(&lock), SHORT), update);
    updated?;
    expect(!woken, "the owner was woken by keeping its own lock")
}

pub(super) async fn a_change_between_two_waits_is_not_lost(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    settle(b.as_ref()).await?;
    ok("acquire", a.acquire_leader()).await?;
    expect(b.watch(None, LONG).await, "the change was lost")
}

pub(super) async fn a_quiet_store_lets_the_wait_end(bench: &Bench<'_>) -> Outcome {
    let a = bench.member("a").await?;
    settle(a.as_ref()).await?;
    let begun = Instant::now();
    expect(!a.watch(None, SHORT).await, "woken by nothing")?;
    expect(begun.elapsed() >= SHORT, "the wait ended early")
}

/// Takes in what is there, and lets signals of the past pass by.
async fn settle(store: &dyn Store) -> Outcome {
    ok("load", store.load()).await?;
    while store.watch(None, SHORT).await {
        ok("load", store.load()).await?;
    }
    Ok(())
}
