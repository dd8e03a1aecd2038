//! What the tests on real servers share.

use std::time::Duration;

use patroni_core::Leader;
use patroni_dcs::{Store, StoreError, StoreErrorKind, Timings};
use tokio::time::{Instant, sleep};

/// How long anything may take that does come in the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a call may take beyond its budget: the time to be scheduled on a busy machine.
const OVERHEAD: Duration = Duration::from_millis(700);

/// Short, so that waiting for expiry is short too.
pub(crate) const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(4),
    loop_wait: Duration::from_secs(1),
    retry_timeout: Duration::from_secs(3),
};

/// Tries until there is something, with a deadline.
pub(crate) async fn eventually<T, F, Fut>(what: &str, mut attempt: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Shows what the store logs when a test fails, at the level that `RUST_LOG` says.
pub(crate) fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer();
    drop(logs.try_init());
}

/// The lock as `store` sees it, once it is `name`'s.
pub(crate) async fn lock_of(store: &dyn Store, name: &str) -> Leader {
    eventually("the lock", || async {
        let leader = store.load().await.ok()?.leader?;
        (leader.name.as_str() == name).then_some(leader)
    })
    .await
}

pub(crate) fn is_unreachable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind, StoreErrorKind::Unreachable(_)))
}

/// The result of a call that must end within the budget of one operation.
pub(crate) async fn within_budget<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = call.await;
    let took = begun.elapsed();
    assert!(
        took <= TIMINGS.retry_timeout + OVERHEAD,
        "{what} took {took:?}"
    );
    result
}
