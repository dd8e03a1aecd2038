//! A member without node, store and PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hyper::StatusCode;
use patroni_api::Unavailable;
use patroni_api::server::{Member, Retry};
use patroni_api::wire::failsafe::FailsafeVote;
use patroni_api::wire::reinitialize::ReinitOutcome;
use patroni_api::wire::restart::RestartOutcome;
use patroni_api::wire::{
    Answer, CachedView, Durations, FailoverBody, FailsafeBody, JournalPage, JournalQuery, MppEvent,
    ReinitRequest, RestartRequest, Row, ServerFacts, ServerRow, Snapshot,
};
use patroni_core::{Account, Cluster, Lsn, MemberData, MemberName, Role, Scope, State};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// Answers everything from memory.
pub(crate) struct FakeMember {
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) facts: ArcSwap<ServerFacts>,
    pub(crate) reloads: AtomicUsize,
    pub(crate) journal: ArcSwap<Vec<Account>>,
    durations: Durations,
}

impl FakeMember {
    /// The leader of a cluster of one.
    pub(crate) fn leader() -> Arc<Self> {
        let mut snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("node1"));
        let later = Instant::now() + Duration::from_mins(10);
        snapshot.lock_until = Some(later);
        snapshot.next_run = Some(Instant::now());
        let me =
            r#"{"api_url":"http://127.0.0.1:8008/patroni","state":"running","role":"primary"}"#;
        let mut cluster = Cluster::default();
        cluster.members.push(patroni_core::Member {
            name: MemberName::new("node1"),
            session: None,
            data: MemberData::parse(me),
        });
        snapshot.view = Some(CachedView {
            cluster: Arc::new(cluster),
            asked_at: Instant::now(),
            until: later,
            other_groups: Arc::new([]),
        });
        let row = ServerRow {
            server_version: 150_018,
            flushed: Lsn::new(0x300_0000),
            ..ServerRow::default()
        };
        let facts = ServerFacts {
            state: State::Running,
            role: Role::Primary,
            row: Row::Known(Box::new(row)),
            copy: None,
        };
        Arc::new(Self {
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            facts: ArcSwap::from_pointee(facts),
            reloads: AtomicUsize::new(0),
            journal: ArcSwap::default(),
            durations: Durations::default(),
        })
    }

    /// Publishes a changed snapshot.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot
            .send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }
}

#[async_trait]
impl Member for FakeMember {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    async fn status(&self, _retry: Retry) -> Arc<ServerFacts> {
        self.facts.load_full()
    }

    fn durations(&self) -> &Durations {
        &self.durations
    }

    fn journal(&self, query: &JournalQuery) -> JournalPage {
        JournalPage {
            member: MemberName::new("node1"),
            enabled: true,
            oldest: None,
            newest: Some(u64::try_from(query.limit).unwrap()),
            lost: 0,
            records: self.journal.load().to_vec(),
        }
    }

    async fn load_cluster(&self) -> Result<Arc<Cluster>, Unavailable> {
        match &self.snapshot.borrow().view {
            Some(view) => Ok(view.cluster.clone()),
            None => Err(Unavailable("no store".to_owned())),
        }
    }

    async fn patch_config(&self, patch: Map<String, Value>) -> Answer {
        Answer::json(StatusCode::OK, &patch)
    }

    async fn put_config(&self, config: Map<String, Value>) -> Answer {
        Answer::json(StatusCode::OK, &config)
    }

    fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    async fn restart(&self, _request: RestartRequest) -> Answer {
        RestartOutcome::ConditionsNotMet.into()
    }

    async fn cancel_restart(&self) -> Answer {
        RestartOutcome::NoneScheduled.into()
    }

    async fn reinitialize(&self, _request: ReinitRequest) -> Answer {
        ReinitOutcome::IsLeader.into()
    }

    async fn switchover(&self, request: FailoverBody) -> Answer {
        let text = format!(
            "{} is not possible: no good candidates have been found",
            request.action
        );
        Answer::text(StatusCode::PRECONDITION_FAILED, text)
    }

    async fn cancel_switchover(&self) -> Answer {
        Answer::error_page(StatusCode::CONFLICT)
    }

    async fn failsafe(&self, _announcement: FailsafeBody) -> Answer {
        FailsafeVote::Accepted(Some(Lsn::new(42))).into()
    }

    async fn mpp_event(&self, event: MppEvent) -> Result<(), Unavailable> {
        match event.group {
            1 => Ok(()),
            _ => Err(Unavailable("away".to_owned())),
        }
    }
}
