//! A store whose calls are timed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use patroni_api::wire::durations::{Durations, StoreOperation as Op};
use patroni_api::wire::histogram::Histogram;
use patroni_config::file::Dcs;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId,
};
use patroni_dcs::codec::Keys;
use patroni_dcs::{Store, StoreError, Timings};
use serde_json::{Map, Value};

/// Passes every call on, and records how long it took: also one that failed, or that somebody
/// stopped waiting for.
pub(crate) struct MeasuredStore {
    inner: Arc<dyn Store>,
    durations: Arc<Durations>,
}

/// Records the time until it is dropped.
struct Timer<'a> {
    histogram: &'a Histogram,
    begun: Instant,
}

impl MeasuredStore {
    pub(crate) fn new(inner: Arc<dyn Store>, durations: Arc<Durations>) -> Self {
        Self { inner, durations }
    }

    async fn timed<T>(&self, operation: Op, call: impl Future<Output = T>) -> T {
        let _timer = Timer {
            histogram: self.durations.store(operation),
            begun: Instant::now(),
        };
        call.await
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.record(self.begun.elapsed());
    }
}

type Done = Result<(), StoreError>;

#[async_trait]
impl Store for MeasuredStore {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        self.timed(Op::Load, self.inner.load()).await
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        self.timed(Op::Load, self.inner.keys()).await
    }

    async fn groups(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.timed(Op::Load, self.inner.groups()).await
    }

    async fn acquire_leader(&self) -> Done {
        self.timed(Op::AcquireLeader, self.inner.acquire_leader())
            .await
    }

    async fn update_leader(&self, judged: &Leader) -> Done {
        self.timed(Op::UpdateLeader, self.inner.update_leader(judged))
            .await
    }

    async fn take_leader(&self) -> Done {
        self.timed(Op::AcquireLeader, self.inner.take_leader())
            .await
    }

    async fn delete_leader(&self, judged: Option<&Leader>) -> Done {
        self.timed(Op::DeleteLeader, self.inner.delete_leader(judged))
            .await
    }

    async fn touch_member(&self, data: &MemberData, judged: Option<&Member>) -> Done {
        self.timed(Op::TouchMember, self.inner.touch_member(data, judged))
            .await
    }

    async fn begin_initialize(&self) -> Done {
        self.timed(Op::Initialize, self.inner.begin_initialize())
            .await
    }

    async fn set_system_id(&self, id: &SystemId) -> Done {
        self.timed(Op::Initialize, self.inner.set_system_id(id))
            .await
    }

    async fn cancel_initialize(&self) -> Done {
        self.timed(Op::Initialize, self.inner.cancel_initialize())
            .await
    }

    async fn write_failover(&self, request: &FailoverRequest, judged: Option<&Revision>) -> Done {
        let call = self.inner.write_failover(request, judged);
        self.timed(Op::WriteFailover, call).await
    }

    async fn write_config(&self, data: &Map<String, Value>, judged: Option<&Revision>) -> Done {
        let call = self.inner.write_config(data, judged);
        self.timed(Op::WriteConfig, call).await
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        self.timed(Op::WriteSync, self.inner.write_sync(state, judged))
            .await
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Done {
        self.timed(Op::WriteSync, self.inner.delete_sync(judged))
            .await
    }

    async fn write_status(&self, status: &Status) -> Done {
        self.timed(Op::WriteStatus, self.inner.write_status(status))
            .await
    }

    async fn write_history(&self, history: &History) -> Done {
        self.timed(Op::WriteHistory, self.inner.write_history(history))
            .await
    }

    async fn write_failsafe(&self, members: &BTreeMap<MemberName, String>) -> Done {
        self.timed(Op::WriteFailsafe, self.inner.write_failsafe(members))
            .await
    }

    /// For the control tool; a node never does it.
    async fn delete_cluster(&self) -> Done {
        self.inner.delete_cluster().await
    }

    async fn watch(&self, leader: Option<&Leader>, timeout: Duration) -> bool {
        self.inner.watch(leader, timeout).await
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn set_timings(&self, timings: Timings) {
        self.inner.set_timings(timings);
    }

    fn reconfigure(&self, dcs: &Dcs) {
        self.inner.reconfigure(dcs);
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests {
    use patroni_core::Scope;
    use patroni_dcs::Identity;
    use patroni_dcs::memory::Server;

    use super::*;

    #[tokio::test]
    async fn each_call_is_recorded_under_its_kind_also_when_it_fails() {
        let timings = Timings {
            ttl: Duration::from_secs(30),
            loop_wait: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(10),
        };
        let server = Server::new();
        let durations = Arc::new(Durations::default());
        let member = |name| {
            let identity = Identity::new("service", &Scope::new("demo"), Some(name));
            Arc::new(server.store(&identity, timings))
        };
        let first = MeasuredStore::new(member(MemberName::new("a")), durations.clone());
        let second = MeasuredStore::new(member(MemberName::new("b")), durations.clone());
        first.acquire_leader().await.unwrap();
        assert!(second.acquire_leader().await.is_err());
        assert_eq!(
            first.load().await.unwrap().leader_name().unwrap().as_str(),
            "a"
        );
        let dropped = tokio::time::timeout(
            Duration::ZERO,
            first.timed(Op::WriteSync, std::future::pending::<()>()),
        );
        assert!(dropped.await.is_err());
        let counts = Op::ALL.map(|operation| durations.store(operation).read().count());
        assert_eq!(counts, [1, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }
}
