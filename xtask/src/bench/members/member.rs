//! One member: what the daemon says to its store in a cycle, without a server to look after.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use patroni_core::{Cluster, Leader, MemberData, MemberName, Scope, Status};
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// The defaults.
pub(super) const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(30),
    loop_wait: Duration::from_secs(10),
    retry_timeout: Duration::from_secs(10),
};

/// Who may take a free lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    /// One that was named.
    Only(MemberName),
    /// All but the one that led, as when all standbys have the same WAL.
    AllBut(MemberName),
}

/// Who a member sees leading, and since when.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) member: usize,
    pub(super) leader: Option<MemberName>,
    pub(super) at: Instant,
}

/// One member.
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) name: MemberName,
    store: Etcd3,
    /// A renewal that was judged before the lock was given back must not take it again.
    turn: tokio::sync::Mutex<()>,
    candidates: Arc<Mutex<Candidates>>,
    tell: UnboundedSender<Seen>,
    /// Cycles that the store did not answer.
    pub(super) failures: AtomicU64,
}

impl Member {
    /// Connects, which gets a lease and begins to follow the store.
    ///
    /// # Errors
    /// etcd does not take it.
    pub(super) async fn connect(
        number: usize,
        scope: &str,
        port: u16,
        candidates: Arc<Mutex<Candidates>>,
        tell: UnboundedSender<Seen>,
    ) -> Result<Self, StoreError> {
        let name = name(number);
        let identity = Identity::new("service", &Scope::new(scope), Some(name.clone()));
        let options = Options::new([format!("127.0.0.1:{port}")]);
        let store = Box::pin(Etcd3::connect(options, identity, TIMINGS)).await?;
        Ok(Self {
            number,
            name,
            store,
            turn: tokio::sync::Mutex::default(),
            candidates,
            tell,
            failures: AtomicU64::new(0),
        })
    }

    /// Cycles, each `loop_wait` after the last or when the store wakes it, until it is dropped.
    pub(super) async fn live(&self) {
        let mut next_run = Instant::now();
        let mut told = None;
        loop {
            let leader = self.cycle(&mut told).await.unwrap_or_else(|_| {
                // As the daemon: it goes on, and looks again.
                self.failures.fetch_add(1, Ordering::Relaxed);
                None
            });
            next_run += TIMINGS.loop_wait;
            let others = leader.filter(|leader| leader.name != self.name);
            let left = next_run.saturating_duration_since(Instant::now());
            if self.store.watch(others.as_ref(), left).await {
                next_run = Instant::now();
            }
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// It is not ours, or etcd does not answer.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.store.delete_leader(None).await
    }

    /// Reads, keeps or takes the lock, publishes itself.
    async fn cycle(&self, told: &mut Option<MemberName>) -> Result<Option<Leader>, StoreError> {
        let turn = self.turn.lock().await;
        let mut cluster = self.look(told).await?;
        match &cluster.leader {
            Some(leader) if leader.name == self.name => {
                self.store.update_leader(leader).await?;
                self.store.write_status(&Status::default()).await?;
            }
            None if self.is_candidate() => {
                match self.store.acquire_leader().await {
                    Err(error) if !error.is_lost_race() => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                // Whoever has won, it is known now.
                cluster = self.look(told).await?;
            }
            Some(_) | None => {}
        }
        drop(turn);
        let judged = cluster.member(&self.name);
        self.store.touch_member(&self.data(), judged).await?;
        Ok(cluster.leader)
    }

    /// Reads the cluster, and tells when another one leads than before.
    async fn look(&self, told: &mut Option<MemberName>) -> Result<Cluster, StoreError> {
        let cluster = self.store.load().await?;
        let leader = cluster.leader_name().cloned();
        if *told != leader {
            told.clone_from(&leader);
            let (member, at) = (self.number, Instant::now());
            // Nobody listens at the end.
            let _ = self.tell.send(Seen { member, leader, at });
        }
        Ok(cluster)
    }

    fn is_candidate(&self) -> bool {
        match &*self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Candidates::Only(name) => *name == self.name,
            Candidates::AllBut(name) => *name != self.name,
        }
    }

    /// As much as a standby that streams says of itself; nothing changes while nothing is written.
    fn data(&self) -> MemberData {
        let (host, number) = (
            format!("10.0.{}.{}", self.number / 250, self.number % 250),
            33_554_432,
        );
        let fields = json!({
            "conn_url": format!("postgres://{host}:5432/postgres"),
            "api_url": format!("http://{host}:8008/patroni"),
            "state": "running", "role": "replica", "version": "4.1.5",
            "xlog_location": number, "replay_lsn": number, "receive_lsn": number,
            "replication_state": "streaming", "timeline": 1,
        });
        MemberData::new(fields.as_object().cloned().unwrap_or_default())
    }
}

/// The name of a member.
pub(super) fn name(number: usize) -> MemberName {
    MemberName::new(format!("node{number:04}"))
}
