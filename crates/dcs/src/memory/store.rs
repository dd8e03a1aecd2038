//! The model behind the [`Store`] trait, on tokio's clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Moment, Revision,
    Status, SyncState, SystemId,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::model::Model;
use super::session::Session;
use crate::codec::Keys;
use crate::error::StoreError;
use crate::store::{Identity, Store, Timings};

/// A server in this process, shared by all stores that were made from it (or its clones).
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Instant,
    model: Mutex<Model>,
    changed: Notify,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// An empty server; its time begins now.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                origin: Instant::now(),
                model: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// A client of this server.
    pub fn store(&self, identity: &Identity, timings: Timings) -> MemoryStore {
        MemoryStore {
            server: self.clone(),
            session: Mutex::new(Session::new(identity, timings.ttl)),
        }
    }

    /// Looks at or changes the model, above all its faults. Whoever waits is told.
    pub fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        let result = {
            let mut model = self
                .shared
                .model
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            model.advance(self.now());
            act(&mut model)
        };
        self.shared.changed.notify_waiters();
        result
    }

    fn now(&self) -> Moment {
        Moment::new(self.shared.origin.elapsed())
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.shared.origin + moment.since_origin()
    }
}

/// One client of a [`Server`].
pub struct MemoryStore {
    server: Server,
    session: Mutex<Session>,
}

impl MemoryStore {
    fn act<T>(&self, act: impl FnOnce(&mut Session, &mut Model, Moment) -> T) -> T {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.server.with(|model| {
            let now = model.now();
            act(&mut session, model, now)
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        self.act(Session::load).map(Arc::unwrap_or_clone)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        self.act(|session, model, now| session.keys(model, now))
    }

    async fn acquire_leader(&self) -> Result<(), StoreError> {
        self.act(Session::acquire_leader)
    }

    async fn update_leader(&self, judged: &Leader) -> Result<(), StoreError> {
        self.act(|session, model, now| session.update_leader(model, now, judged))
    }

    async fn take_leader(&self) -> Result<(), StoreError> {
        self.act(Session::take_leader)
    }

    async fn delete_leader(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        self.act(|session, model, now| session.delete_leader(model, now, judged))
    }

    async fn touch_member(
        &self,
        data: &MemberData,
        judged: Option<&Member>,
    ) -> Result<(), StoreError> {
        self.act(|session, model, now| session.touch_member(model, now, data, judged))
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        self.act(Session::begin_initialize)
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        self.act(|session, model, now| session.set_system_id(model, now, id))
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        self.act(Session::cancel_initialize)
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        self.act(|session, model, now| session.write_failover(model, now, request, judged))
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        self.act(|session, model, now| session.write_config(model, now, data, judged))
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        self.act(|session, model, now| session.write_sync(model, now, state, judged))
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        self.act(|session, model, now| session.delete_sync(model, now, judged))
    }

    async fn write_status(&self, status: &Status) -> Result<(), StoreError> {
        self.act(|session, model, now| session.write_status(model, now, status))
    }

    async fn write_history(&self, history: &History) -> Result<(), StoreError> {
        self.act(|session, model, now| session.write_history(model, now, history))
    }

    async fn write_failsafe(
        &self,
        members: &BTreeMap<MemberName, String>,
    ) -> Result<(), StoreError> {
        self.act(|session, model, now| session.write_failsafe(model, now, members))
    }

    async fn delete_cluster(&self) -> Result<(), StoreError> {
        self.act(Session::delete_cluster)
    }

    async fn watch(&self, _leader: Option<&Leader>, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        loop {
            let changed = self.server.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (woken, next) = {
                let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
                let mut model = self
                    .server
                    .shared
                    .model
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                model.advance(self.server.now());
                (session.wakes(&model), model.next_event())
            };
            if woken {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            let event = next.map_or(end, |moment| self.server.instant(moment));
            tokio::select! {
                () = changed => {}
                () = sleep_until(event.min(end)) => {}
            }
        }
    }

    fn ttl(&self) -> Duration {
        self.act(|session, _, _| session.ttl())
    }

    fn set_timings(&self, timings: Timings) {
        self.act(|session, _, _| session.set_ttl(timings.ttl));
    }
}
