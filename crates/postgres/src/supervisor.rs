//! The handle of one local server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::server::{
    CheckpointTask, ControlData, DataDir, PendingParameter, ServerStatus, WalSender,
};
use patroni_core::{CopyProgress, Lsn, Moment, Role, State, SystemId};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::bootstrap::CustomBootstrap;
use crate::clock::Clock;
use crate::conf::ClusterFacts;
use crate::conf::parameters::SyncChoice;
use crate::conf::recovery::Recovery;
use crate::connection::{Endpoint, Named, NamedConnection, QueryError, Row};
use crate::controldata::{ControlHead, ControlItems};
use crate::data_dir;
use crate::obstacle::Obstacle;
use crate::process::Postmaster;
use crate::programs;
use crate::rest::RestCache;
use crate::senders::Unanswered;
use crate::slots::Advances;
use crate::version;

/// The supervisor of one local server: a cheap handle, all clones see the same server.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

/// What all handles share. Locks are held for a few instructions only, never across a wait; the
/// asynchronous ones serialise work that must not overlap.
pub(crate) struct Inner {
    clock: Clock,
    settings: Mutex<Arc<Postgresql>>,
    facts: Mutex<ClusterFacts>,
    published: watch::Sender<(State, Role)>,
    since: Mutex<Moment>,
    postmaster: watch::Sender<Option<Arc<Postmaster>>>,
    connections: [NamedConnection; 2],
    status: Mutex<Option<CachedStatus>>,
    unanswered: Mutex<Unanswered>,
    told: Mutex<Told>,
    /// Held by the look at the disk, as long as that takes.
    pub(crate) disk_look: Arc<tokio::sync::Mutex<()>>,
    pub(crate) rest: tokio::sync::Mutex<RestCache>,
    conf: Mutex<ConfState>,
    known: Mutex<Known>,
    callback_ran: AtomicBool,
    checkpoint: Mutex<CheckpointTask>,
    copying: Mutex<Option<CopyProgress>>,
    advances: Advances,
    /// Held by a start from its first moment to its end.
    pub(crate) change: tokio::sync::Mutex<()>,
    pub(crate) stopping: Mutex<Option<crate::stop::Stopping>>,
}

/// What the log has been told already, so that it is told once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What is wrong with the disk.
    pub(crate) disk: Option<Obstacle>,
    /// The data directory is being removed.
    pub(crate) removing: bool,
    /// What is wrong with the files of a server that does not run.
    pub(crate) files: Vec<Obstacle>,
    /// Why the server does not let us in.
    pub(crate) refusal: Option<String>,
    /// Since when a promotion is under way, and whether it was told to take long.
    pub(crate) promotion: Option<(Moment, bool)>,
}

/// The last answer to the monitoring query.
#[derive(Clone, Debug)]
pub struct CachedStatus {
    /// The answer.
    pub status: ServerStatus,
    /// When it came.
    pub at: Moment,
}

/// What was written, and what waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfState {
    /// The last word of the HA loop on `synchronous_standby_names`.
    pub(crate) sync_names: SyncChoice,
    /// Recovery settings that were written last.
    pub(crate) recovery: Option<Recovery>,
    /// What a custom bootstrap method wants, from its end until the cluster is ready.
    pub(crate) custom: Option<CustomBootstrap>,
    /// Parameters that wait for a restart.
    pub(crate) pending: BTreeMap<String, PendingParameter>,
    /// New settings came while a server was being started: it may have read the old ones.
    pub(crate) outdated: bool,
    /// The server was reloaded without a [`ReloadReport`](crate::ReloadReport) to the caller.
    pub(crate) unreported_reload: bool,
}

/// Slowly changing facts that are asked for once per server process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) major_version: Option<u32>,
    pub(crate) full_version: Option<u32>,
    pub(crate) described: Option<Arc<Vec<String>>>,
    pub(crate) postmaster_start_time: Option<String>,
    pub(crate) control: Option<Arc<ControlItems>>,
    pub(crate) rewind_works: Option<bool>,
}

impl Supervisor {
    pub(crate) fn new(settings: Postgresql, clock: Clock) -> Self {
        let inner = Inner {
            clock,
            settings: Mutex::new(Arc::new(settings)),
            facts: Mutex::default(),
            published: watch::Sender::new((State::Stopped, Role::Uninitialized)),
            since: Mutex::new(clock.now()),
            postmaster: watch::Sender::new(None),
            connections: Named::ALL.map(NamedConnection::new),
            status: Mutex::new(None),
            unanswered: Mutex::default(),
            told: Mutex::default(),
            disk_look: Arc::default(),
            rest: tokio::sync::Mutex::default(),
            conf: Mutex::default(),
            known: Mutex::default(),
            callback_ran: AtomicBool::new(false),
            checkpoint: Mutex::new(CheckpointTask::Idle),
            copying: Mutex::new(None),
            advances: Advances::default(),
            change: tokio::sync::Mutex::new(()),
            stopping: Mutex::new(None),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The settings in effect.
    pub fn settings(&self) -> Arc<Postgresql> {
        Arc::clone(&lock(&self.inner.settings))
    }

    pub(crate) fn replace_settings(&self, settings: Arc<Postgresql>) {
        *lock(&self.inner.settings) = settings;
    }

    /// What the cluster's configuration means for the files; takes effect at the next write.
    /// `hot_standby_feedback` stays as it is, see [`Supervisor::force_feedback`].
    pub fn set_cluster_facts(&self, facts: ClusterFacts) {
        let mut known = lock(&self.inner.facts);
        *known = ClusterFacts {
            hot_standby_feedback: known.hot_standby_feedback,
            ..facts
        };
    }

    /// Notes whether `hot_standby_feedback` is forced; gives what was noted before.
    pub(crate) fn replace_forced_feedback(&self, on: bool) -> bool {
        std::mem::replace(&mut lock(&self.inner.facts).hot_standby_feedback, on)
    }

    pub(crate) fn advances(&self) -> &Advances {
        &self.inner.advances
    }

    pub(crate) fn facts(&self) -> ClusterFacts {
        lock(&self.inner.facts).clone()
    }

    pub(crate) fn conf(&self) -> MutexGuard<'_, ConfState> {
        lock(&self.inner.conf)
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.inner.told)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.inner.known)
    }

    pub(crate) fn now(&self) -> Moment {
        self.inner.clock.now()
    }

    /// What the server is doing.
    pub fn state(&self) -> State {
        self.inner.published.borrow().0
    }

    /// When it got into that state.
    pub fn state_since(&self) -> Moment {
        *lock(&self.inner.since)
    }

    /// Sets the state and, when it is another one, its time.
    pub fn set_state(&self, state: State) {
        self.inner.published.send_if_modified(|published| {
            let changed = published.0 != state;
            if changed {
                *lock(&self.inner.since) = self.now();
                published.0 = state;
            }
            changed
        });
    }

    /// Starts the time of the present state anew.
    pub(crate) fn enter_state(&self, state: State) {
        *lock(&self.inner.since) = self.now();
        self.set_state(state);
    }

    /// What the server is in the cluster.
    pub fn role(&self) -> Role {
        self.inner.published.borrow().1
    }

    /// Sets the role.
    pub fn set_role(&self, role: Role) {
        self.inner.published.send_if_modified(|published| {
            let changed = published.1 != role;
            published.1 = role;
            changed
        });
    }

    /// State and role as they change.
    pub fn subscribe(&self) -> watch::Receiver<(State, Role)> {
        self.inner.published.subscribe()
    }

    /// Whether any callback has run since the daemon started.
    pub fn callback_ran(&self) -> bool {
        self.inner.callback_ran.load(Ordering::Relaxed)
    }

    /// Remembers that a callback was attempted.
    pub fn note_callback(&self) {
        self.inner.callback_ran.store(true, Ordering::Relaxed);
    }

    /// The checkpoint that follows a promotion.
    pub fn checkpoint_task(&self) -> CheckpointTask {
        *lock(&self.inner.checkpoint)
    }

    /// Notes how the checkpoint that follows a promotion stands.
    pub fn set_checkpoint_task(&self, task: CheckpointTask) {
        *lock(&self.inner.checkpoint) = task;
    }

    /// How far the copy is that is being made, a second after it has begun.
    pub fn copy_progress(&self) -> Option<CopyProgress> {
        *lock(&self.inner.copying)
    }

    pub(crate) fn set_copy_progress(&self, progress: Option<CopyProgress>) {
        *lock(&self.inner.copying) = progress;
    }

    /// The remembered postmaster while it lives; else the one that the pid file tells of.
    ///
    /// # Errors
    /// Whether one lives cannot be told now.
    pub(crate) fn postmaster(&self) -> std::io::Result<Option<Arc<Postmaster>>> {
        let remembered = self.inner.postmaster.borrow().clone();
        if let Some(postmaster) = remembered.filter(|postmaster| postmaster.is_alive()) {
            return Ok(Some(postmaster));
        }
        let found = Postmaster::recognise(&self.settings().data_dir)?;
        Ok(self.remember(found))
    }

    /// Remembers a postmaster, or that there is none; what was known of the old one is forgotten.
    pub(crate) fn remember(&self, found: Option<Postmaster>) -> Option<Arc<Postmaster>> {
        let found = found.map(Arc::new);
        let had = self.inner.postmaster.borrow().is_some();
        if had || found.is_some() {
            *self.known() = Known::default();
            self.inner.postmaster.send_replace(found.clone());
        }
        found
    }

    /// Whether a postmaster lives. A question without an answer counts as yes: nothing is ever
    /// done to data because descriptors have run out.
    pub fn is_alive(&self) -> bool {
        match self.postmaster() {
            Ok(found) => found.is_some(),
            Err(reason) => {
                warn!(
                    "could not tell whether the postmaster runs, assuming that it does: {reason}"
                );
                true
            }
        }
    }

    /// Resolves when the postmaster that is known to run has ended; pends while none is known to
    /// run. Cancel safe.
    pub async fn postmaster_exited(&self) {
        let mut changes = self.inner.postmaster.subscribe();
        loop {
            let current = changes.borrow_and_update().clone();
            match current {
                Some(postmaster) => {
                    postmaster.exited().await;
                    return;
                }
                None => {
                    // The sender lives as long as `self`.
                    let _ = changes.changed().await;
                }
            }
        }
    }

    /// Runs a statement on one of the kept connections, for at most `limit` in all.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(
        &self,
        connection: Named,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Row>, QueryError> {
        let settings = self.settings();
        let endpoint = || Endpoint::local(&settings, &format!("Patroni {connection}"));
        self.inner.connections[connection as usize]
            .query(endpoint, sql, limit)
            .await
    }

    /// Closes the kept connections.
    pub fn close_connections(&self) {
        let closed = self
            .inner
            .connections
            .iter()
            .filter(|connection| connection.close())
            .count();
        if closed > 0 {
            info!("closed patroni connections to postgres");
        }
    }

    /// The last answer to the monitoring query, whatever its age.
    pub fn cached_status(&self) -> Option<CachedStatus> {
        lock(&self.inner.status).clone()
    }

    /// Completes a look at the WAL senders by what the look before showed.
    pub(crate) fn note_unanswered(&self, position: Lsn, senders: &mut [WalSender]) {
        let now = self.now();
        lock(&self.inner.unanswered).note(now, position, senders);
    }

    pub(crate) fn cache_status(&self, status: Option<ServerStatus>) {
        let at = self.now();
        *lock(&self.inner.status) = status.map(|status| CachedStatus { status, at });
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.settings().data_dir.clone()
    }

    /// What is known of the data directory.
    pub fn data_dir_state(&self) -> DataDir {
        data_dir::look(&self.settings().data_dir)
    }

    /// The role that the files tell.
    pub fn role_by_data_dir(&self) -> Role {
        data_dir::role(&self.settings().data_dir, self.major_version())
    }

    /// The server's major version as an integer (15 is 150000), from `PG_VERSION`.
    pub fn major_version(&self) -> Option<u32> {
        if let Some(version) = self.known().major_version {
            return Some(version);
        }
        let dir = self.settings().data_dir.clone();
        match version::major_version(&dir) {
            Ok(version) => {
                self.known().major_version = version;
                version
            }
            Err(reason) => {
                error!("Failed to read PG_VERSION from {}: {reason}", dir.display());
                None
            }
        }
    }

    /// `server_version_num` as far as it can be known: of the program when it fits the data.
    pub(crate) async fn full_version(&self) -> Option<u32> {
        let major = self.major_version()?;
        if let Some(version) = self.known().full_version {
            return Some(version);
        }
        let version = self
            .program_version()
            .await
            .filter(|version| version::same_major(*version, major))
            .unwrap_or(major);
        self.known().full_version = Some(version);
        Some(version)
    }

    /// `server_version_num` of the program, whatever data there are.
    pub(crate) async fn program_version(&self) -> Option<u32> {
        programs::server_version(&self.settings()).await.ok()
    }

    /// The items of `pg_controldata`, `None` when the tool has nothing to read or failed.
    pub async fn control_items(&self) -> Option<ControlItems> {
        let settings = self.settings();
        if self.state() == State::CreatingReplica || self.major_version().is_none() {
            return None;
        }
        let arguments = [settings.data_dir.clone().into_os_string()];
        let failed = match programs::output(&settings, "pg_controldata", &arguments).await {
            Ok(output) if output.status.success() => {
                let items = ControlItems::parse(&String::from_utf8_lossy(&output.stdout));
                return (!items.is_empty()).then_some(items);
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(reason) => reason.to_string(),
        };
        error!("Error when calling pg_controldata: {failed}");
        None
    }

    /// The facts of the control file that decisions need.
    pub async fn pg_controldata(&self) -> Option<ControlData> {
        self.control_items().await?.control_data()
    }

    /// The identity of the local cluster, when its control file can be read.
    pub async fn system_id(&self) -> Option<SystemId> {
        if let Some(head) = ControlHead::read(&self.settings().data_dir) {
            return head.system_id;
        }
        self.control_items().await?.system_id()
    }

    /// Removes the data directory; what cannot be removed is put aside. The caller has made sure
    /// that no server runs on it and knows why it must go.
    pub async fn remove_data_dir(&self) {
        self.set_role(Role::Uninitialized);
        self.forget_data();
        let dir = self.data_dir();
        self.told().removing = true;
        let removed = blocking(move || data_dir::remove(&dir)).await;
        self.told().removing = false;
        if let Err(reason) = removed {
            error!(
                "Could not remove data directory {}: {reason}",
                self.data_dir().display()
            );
            self.move_data_dir_aside().await;
        }
    }

    /// Puts the data directory aside as `<dir>.failed`, unless a server runs on it.
    pub async fn move_data_dir_aside(&self) {
        if self.is_alive() {
            return;
        }
        self.forget_data();
        let dir = self.data_dir();
        let moved = blocking(move || data_dir::move_aside(&dir)).await;
        if let Err(reason) = moved {
            error!(
                "Could not rename data directory {}: {reason}",
                self.data_dir().display()
            );
        }
    }

    /// Forgets what was known of the data; called when they are replaced.
    pub fn forget_data(&self) {
        *self.known() = Known::default();
        self.cache_status(None);
    }

    /// Whether the server was reloaded at its adoption or after its start, so that the callback
    /// `on_reload` is due; the next question is answered with no.
    pub fn take_unreported_reload(&self) -> bool {
        std::mem::take(&mut self.conf().unreported_reload)
    }

    /// Parameters that wait for a restart.
    pub fn pending_restart(&self) -> BTreeMap<String, PendingParameter> {
        self.conf().pending.clone()
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor")
            .field("data_dir", &self.settings().data_dir)
            .field("state", &self.state())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}

/// Takes a lock; a panic of another holder leaves nothing half-written behind in these.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs file work on a thread that may block.
pub(crate) async fn blocking<T, F>(work: F) -> std::io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> std::io::Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}
