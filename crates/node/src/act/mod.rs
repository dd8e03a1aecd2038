//! Carrying out what the core asks for. Nothing is decided here.

mod citus;
mod replica_timeline;
mod server;
mod slots;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use patroni_api::client::Client;
use patroni_api::wire::{CachedView, Durations, FailsafeBody, Snapshot};
use patroni_config::Settings;
use patroni_core::server::{LocalServer, ServerStatus};
use patroni_core::{Cluster, MemberName, Moment, Tags, Timeline};
use patroni_dcs::{Store, Timings};
use patroni_ha::command::{Command, Wait};
use patroni_ha::lease::consent;
use patroni_ha::observation::FailsafeLeader;
use patroni_ha::outcome::Outcome;
use patroni_postgres::{Cancel, Clock, Supervisor};
use patroni_watchdog::{Guardian, Watchdog};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::error;

pub(crate) use store::explain;
use store::written;

use self::replica_timeline::ReplicaTimeline;
use crate::background::Background;
use crate::callbacks::Callbacks;
use crate::citus::Part;
use crate::journal::Journal;
use crate::lease_guard::Lease;
use crate::lock_turn::LockTurn;
use crate::measured_store::MeasuredStore;
use crate::peers;
use crate::phases::Phases;
use crate::publish::Addresses;
use crate::wake::Wakes;

/// Everything of this node that commands act upon. Shared by the loop, the executor and REST.
pub(crate) struct Body {
    pub(crate) name: MemberName,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) supervisor: Supervisor,
    pub(crate) callbacks: Callbacks,
    pub(crate) rest: Client,
    /// What this node is to the other groups of a Citus cluster.
    pub(crate) citus: Part,
    pub(crate) watchdog: Mutex<Watchdog>,
    guardian: Mutex<Guardian>,
    pub(crate) lease: Lease,
    /// Lock operations go out one after the other, and none that was judged before a release
    /// goes out after it.
    pub(crate) lock_turn: LockTurn,
    pub(crate) wakes: Arc<Wakes>,
    /// How long things took.
    pub(crate) durations: Arc<Durations>,
    phases: Phases,
    /// What was decided, and why.
    pub(crate) journal: Journal,
    /// Short work that nobody waits for.
    pub(crate) background: Background,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    facts: Mutex<Facts>,
    replica_timeline: ReplicaTimeline,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

/// What was last observed, for everything that is built from it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Addresses this node publishes.
    pub(crate) addresses: Addresses,
    /// Its configured tags.
    pub(crate) tags: Tags,
    /// The server as last observed; state and role may have moved on.
    pub(crate) server: LocalServer,
    /// No task other than a promotion is changing the server.
    pub(crate) positions_are_stable: bool,
    /// The timeline of a standby without a WAL receiver, and that of the leader when it was asked.
    pub(crate) asked_timeline: Option<(Option<Timeline>, Timeline)>,
    /// The noted restart, as published.
    pub(crate) scheduled_restart: Option<Map<String, Value>>,
    /// A leader that announced itself without a store, and until when that counts.
    pub(crate) failsafe_leader: Option<(FailsafeLeader, Moment)>,
    /// The store was silent, and is waited for until then by a leader whose lease runs down.
    pub(crate) store_until: Option<Moment>,
    /// Since when the server leaves new connections without an answer.
    pub(crate) silent_since: Option<Moment>,
}

impl Facts {
    /// The server with its newest state and role.
    pub(crate) fn server_now(&self, supervisor: &Supervisor) -> LocalServer {
        LocalServer {
            state: supervisor.state(),
            role: supervisor.role(),
            ..self.server.clone()
        }
    }
}

/// The parts of a body.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) supervisor: Supervisor,
    pub(crate) rest: Client,
    pub(crate) watchdog: Watchdog,
    pub(crate) settings: Arc<Settings>,
    pub(crate) server: LocalServer,
}

impl Body {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            clock,
            store,
            supervisor,
            rest,
            watchdog,
            settings,
            server,
        } = parts;
        let snapshot = Snapshot::new(settings.scope.clone(), settings.name.clone());
        let journal = Journal::start(&settings);
        let durations = Arc::<Durations>::default();
        let callbacks = Callbacks::new(supervisor.clone(), settings.scope.clone());
        let facts = Facts {
            addresses: Addresses::of(&settings),
            tags: settings.tags.clone(),
            server,
            positions_are_stable: true,
            asked_timeline: None,
            scheduled_restart: None,
            failsafe_leader: None,
            store_until: None,
            silent_since: None,
        };
        let name = settings.name.clone();
        let settings = watch::Sender::new(settings);
        Self {
            name,
            clock,
            store: Arc::new(MeasuredStore::new(store, Arc::clone(&durations))),
            supervisor,
            callbacks,
            citus: Part::of(settings.subscribe(), &rest),
            rest,
            watchdog: Mutex::new(watchdog),
            guardian: Mutex::default(),
            lease: Lease::default(),
            lock_turn: LockTurn::default(),
            wakes: Arc::default(),
            phases: Phases::new(Arc::clone(&durations)),
            durations,
            journal,
            background: Background::default(),
            settings,
            facts: Mutex::new(facts),
            replica_timeline: ReplicaTimeline::default(),
            snapshot: watch::Sender::new(Arc::new(snapshot)),
        }
    }

    /// The settings in effect.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// The timings in effect.
    pub(crate) fn timings(&self) -> Timings {
        let dynamic = &self.settings.borrow().dynamic;
        Timings {
            ttl: dynamic.ttl,
            loop_wait: dynamic.loop_wait,
            retry_timeout: dynamic.retry_timeout,
        }
    }

    /// What was last observed.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watchdog.
    pub(crate) fn watchdog(&self) -> MutexGuard<'_, Watchdog> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guardian process.
    pub(crate) fn guardian(&self) -> MutexGuard<'_, Guardian> {
        self.guardian.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What REST shows.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Publishes a changed snapshot.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot
            .send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }

    /// Notes the server as it was just observed.
    pub(crate) fn note_server(&self, server: &LocalServer) {
        self.facts().server.clone_from(server);
        let timeline = server.status.known().and_then(ServerStatus::timeline);
        if timeline.is_some() && timeline != self.snapshot.borrow().timeline {
            self.publish(|snapshot| snapshot.timeline = timeline);
        }
    }

    /// Publishes state and role of the server the moment they change. For ever.
    pub(crate) async fn publish_server(&self) {
        let mut server = self.supervisor.subscribe();
        loop {
            let (state, role) = *server.borrow_and_update();
            self.phases.role_is(role, Instant::now());
            self.publish(|snapshot| {
                snapshot.server_state = state;
                snapshot.server_role = role;
            });
            if server.changed().await.is_err() {
                return;
            }
        }
    }

    /// Publishes the view that REST answers from, by a read that began at `asked_at`. Reads of
    /// the loop and of REST overlap; that of the later one stays.
    fn publish_view(&self, cluster: Arc<Cluster>, asked_at: Instant) {
        let until = Instant::now() + self.timings().ttl;
        self.publish(|snapshot| {
            let known = snapshot.view.as_ref();
            if known.is_some_and(|known| known.asked_at > asked_at) {
                return;
            }
            snapshot.dcs_last_seen = jiff::Timestamp::now().as_second();
            snapshot.failsafe_members.clone_from(&cluster.failsafe);
            let coordinator = self.citus.coordinator();
            let other_groups = coordinator.map_or_else(|| Arc::from([]), |part| part.other_apis());
            snapshot.view = Some(CachedView {
                cluster,
                asked_at,
                until,
                other_groups,
            });
        });
    }

    /// The view as last published.
    pub(crate) fn view(&self) -> Option<Arc<Cluster>> {
        self.snapshot
            .borrow()
            .view
            .as_ref()
            .map(|view| Arc::clone(&view.cluster))
    }

    /// Reads the store and publishes the view.
    pub(crate) async fn load_view(&self) -> Result<Arc<Cluster>, String> {
        let asked_at = Instant::now();
        match self.within_patience(self.store.load()).await {
            Ok(cluster) => {
                let cluster = Arc::new(cluster);
                self.publish_view(Arc::clone(&cluster), asked_at);
                Ok(cluster)
            }
            Err(error) => {
                self.publish(|snapshot| snapshot.view = None);
                let why = explain(&error);
                error!("get_cluster: {why}");
                Err(why)
            }
        }
    }

    /// Remembers the announcement of a leader without a store, which counts on it for `ttl`.
    pub(crate) fn note_failsafe_leader(&self, leader: FailsafeLeader, ttl: Option<Duration>) {
        let lasts = consent(self.timings().ttl, ttl);
        self.facts().failsafe_leader = Some((leader, self.clock.now() + lasts));
        self.publish(|snapshot| snapshot.failsafe_until = Some(Instant::now() + lasts));
    }

    /// Does one thing and tells what became of it.
    ///
    /// Not cancel safe: a command that was begun must be waited for. `cancel` ends long ones.
    pub(crate) async fn carry_out(&self, command: Command, cancel: &Cancel) -> Outcome {
        use Command as C;
        match command {
            C::LoadCluster => self.load_cluster().await,
            C::TouchMember(notes) => self.touch_member(notes).await,
            C::AcquireLeader => self.acquire_leader().await,
            C::UpdateLeader {
                judged,
                status,
                failsafe,
            } => {
                self.update_leader(&judged, status.as_ref(), failsafe.as_ref())
                    .await
            }
            C::TakeLeader => self.take_leader().await,
            C::ReleaseLeader { judged, status } => {
                self.release_leader(judged.as_ref(), status.as_ref()).await
            }
            C::BeginInitialize => {
                written_outcome("create initialize key", self.store.begin_initialize().await)
            }
            C::SetSystemId(id) => {
                written_outcome("write initialize key", self.store.set_system_id(&id).await)
            }
            C::CancelInitialize => written_outcome(
                "remove initialize key",
                self.store.cancel_initialize().await,
            ),
            C::WriteFailover { request, judged } => {
                let result = self.store.write_failover(&request, judged.as_ref()).await;
                written_outcome("write failover key", result)
            }
            C::WriteConfig { data, judged } => {
                let result = self.store.write_config(&data, judged.as_ref()).await;
                written_outcome("write config key", result)
            }
            C::WriteSync { state, judged } => self.write_sync(&state, judged.as_ref()).await,
            C::DeleteSync { judged } => written_outcome(
                "delete sync key",
                self.store.delete_sync(judged.as_ref()).await,
            ),
            C::WriteHistory(history) => written_outcome(
                "write history key",
                self.store.write_history(&history).await,
            ),
            C::AskPeers(peers) => Outcome::Peers(peers::ask(&self.rest, &peers).await),
            C::AnnounceFailsafe(peers) => {
                let announcement = self.announcement();
                Outcome::Failsafe(peers::announce(&self.rest, &peers, &announcement).await)
            }
            C::WatchdogActivate => Outcome::Success(self.watchdog().activate().may_promote()),
            C::WatchdogKeepAlive => {
                self.watchdog().keepalive();
                Outcome::Done
            }
            C::WatchdogDisable => {
                self.watchdog().disable();
                Outcome::Done
            }
            C::KeepNodeTable => {
                self.keep_node_table();
                Outcome::Done
            }
            C::Wait(wait) => Outcome::Waited(self.wait(wait, cancel).await),
            C::Schedule(_) | C::CancelJob | C::DropScheduledRestart => {
                unreachable!("the loop keeps the executor and carries these out itself")
            }
            C::ChangeSlot(_)
            | C::AdvanceLogicalSlots(_)
            | C::EnforceFeedback(_)
            | C::ReadFeedback
            | C::ReadWalStart
            | C::InspectSlots { .. }
            | C::FetchSlots { .. }
            | C::InstallSlots(_) => self.carry_out_on_slots(command).await,
            other => self.carry_out_on_server(other, cancel).await,
        }
    }

    fn announcement(&self) -> FailsafeBody {
        let dynamic = self.settings().dynamic.clone();
        let facts = self.facts();
        let positions = patroni_ha::slot_positions(&facts.server, &dynamic, &self.name);
        FailsafeBody {
            name: self.name.clone(),
            conn_url: Some(facts.addresses.conn_url.clone()),
            api_url: Some(facts.addresses.api_url.clone()),
            slots: Some(positions),
            ttl: Some(self.timings().ttl),
        }
    }

    async fn wait(&self, wait: Wait, cancel: &Cancel) -> bool {
        let wait = async {
            match wait {
                Wait::For(time) => {
                    tokio::time::sleep(time).await;
                    true
                }
                Wait::StoreChange { at_most } => tokio::time::timeout(at_most, self.other_leader())
                    .await
                    .is_ok(),
            }
        };
        tokio::select! {
            ended = wait => ended,
            () = cancel.cancelled() => false,
        }
    }

    /// Waits until a view shows another leader than now. The loop alone waits at the store, so
    /// that nobody takes a wake-up away from it; what it reads is published.
    async fn other_leader(&self) {
        let leader = |snapshot: &Snapshot| {
            snapshot
                .view
                .as_ref()
                .and_then(|view| view.cluster.leader_name().cloned())
        };
        let mut snapshots = self.snapshot.subscribe();
        let before = leader(&snapshots.borrow_and_update());
        // The sender lives in this value, so the wait cannot fail.
        let _ = snapshots
            .wait_for(|snapshot| leader(snapshot) != before)
            .await;
    }

    /// What REST shows, as it changes.
    pub(crate) fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }
}

/// The outcome of a soft write.
fn written_outcome(what: &str, result: Result<(), patroni_dcs::StoreError>) -> Outcome {
    Outcome::Write(written(what, result))
}

/// How long a look at the local server may take: the statement's own limit and a little more.
pub(crate) const LOOK: Duration = Duration::from_millis(2500);
