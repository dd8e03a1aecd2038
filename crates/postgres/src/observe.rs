//! One look at the local server: facts for one cycle of the HA loop.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::server::{Answer, DataDir, LocalServer, Process, RewindAbility, ServerStatus};
use patroni_core::{Role, State};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, error, info, warn};

use crate::connection::{Named, QueryError};
use crate::controldata::ControlItems;
use crate::data_dir;
use crate::monitor::{self, Ask};
use crate::obstacle::{self, Obstacle};
use crate::programs;
use crate::rewind;
use crate::start::Readiness;
use crate::supervisor::{Supervisor, blocking};

impl Supervisor {
    /// Looks at the server, for at most `limit`. What could not be learnt in that time is
    /// [`Answer::Unknown`], never a wrong guess: a frozen server is neither stopped nor a replica.
    ///
    /// Also moves the state on: from starting to running when connections are accepted, to start
    /// failed when the process has ended, back to starting when a running server rejects us, and to
    /// running when one answers that had ended.
    pub async fn observe(&self, ask: Ask, limit: Duration) -> LocalServer {
        let deadline = Instant::now() + limit;
        self.look_at_start(deadline).await;
        let alive = self.is_alive();
        let disk = self.look_at_disk().await;
        self.tell_of_obstacles(alive, disk);
        let state = self.state();
        let status = if alive && is_queryable(state) {
            self.ask_status(ask, deadline).await
        } else {
            Answer::NotAsked
        };
        if status.known().is_some() && is_over(state) {
            self.note_start_by_others(state).await;
        }
        self.tell_of_promotion(status.known());
        let control = if status.known().is_some() {
            None
        } else {
            timeout_at(deadline, self.pg_controldata())
                .await
                .ok()
                .flatten()
        };
        let rewind = self.rewind_ability(deadline).await;
        let settings = self.settings();
        let major_version = self.major_version();
        let data_dir = &settings.data_dir;
        LocalServer {
            state: self.state(),
            state_since: self.state_since(),
            role: self.role(),
            process: if self.is_alive() {
                Process::Running
            } else {
                Process::Absent
            },
            data_dir: self.data_dir_state(),
            system_id: timeout_at(deadline, self.system_id()).await.ok().flatten(),
            major_version,
            status,
            control,
            has_recovery_signal: data_dir::has_recovery_signal(data_dir, major_version),
            has_backup_label: data_dir.join("backup_label").exists(),
            disk_is_full: matches!(self.told().disk, Some(Obstacle::Full { .. })),
            half_rewound: rewind::is_half_rewound(data_dir),
            rewind,
            pending_restart: self.pending_restart(),
            postmaster_start_time: self.known().postmaster_start_time.clone(),
            callback_ran: self.callback_ran(),
            checkpoint: self.checkpoint_task(),
        }
    }

    /// Moves a start on that nobody waits for any more.
    async fn look_at_start(&self, deadline: Instant) {
        {
            // One that is under way has its process a moment after its state.
            let Ok(_alone) = self.inner().change.try_lock() else {
                return;
            };
            if !self.state().is_starting() {
                return;
            }
            if !self.is_alive() {
                self.set_state(State::StartFailed);
                return;
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.readiness(left / 2).await {
            Readiness::Ready => self.started().await,
            Readiness::Rejecting | Readiness::Silent => {}
        }
    }

    /// A server that answers runs, whoever has started it: in a pause a person may.
    async fn note_start_by_others(&self, state: State) {
        let Ok(_alone) = self.inner().change.try_lock() else {
            return;
        };
        if self.state() == state && self.is_alive() {
            info!("PostgreSQL was {state} and runs: somebody has started it");
            self.forget_stop();
            self.started().await;
        }
    }

    async fn ask_status(&self, ask: Ask, deadline: Instant) -> Answer<ServerStatus> {
        let Some(version) = self.major_version() else {
            return Answer::Unknown("the server's version is not known".to_owned());
        };
        let sql = monitor::statement(ask, version);
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut result = self.query(Named::Heartbeat, &sql, left()).await;
        if let Err(error) = &result
            && error.is_connection_problem()
        {
            // The kept connection may be left over from before a restart: a new one decides.
            debug!("monitoring query failed, trying once more: {error}");
            result = self.query(Named::Heartbeat, &sql, left()).await;
        }
        match result {
            Ok(rows) => match rows.first() {
                Some(row) => {
                    let (mut status, started) = monitor::read(row);
                    self.note_unanswered(status.position, &mut status.wal_senders);
                    self.known().postmaster_start_time = started;
                    if self.told().refusal.take().is_some() {
                        info!("PostgreSQL lets the daemon in again");
                    }
                    self.cache_status(Some(status.clone()));
                    Answer::Known(status)
                }
                None => Answer::Unknown("the monitoring query gave no row".to_owned()),
            },
            Err(error) => {
                self.note_rejection(&error);
                self.cache_status(None);
                Answer::Unknown(error.to_string())
            }
        }
    }

    /// A disk that hangs holds up one thread, and this cycle for a moment; the next ones not at all.
    async fn look_at_disk(&self) -> DiskLook {
        let Ok(turn) = Arc::clone(&self.inner().disk_look).try_lock_owned() else {
            return DiskLook::Silent;
        };
        let data_dir = self.data_dir();
        let look = blocking(move || {
            let _turn = turn;
            Ok(obstacle::of_the_disk(&data_dir).into_iter().next())
        });
        match timeout(DISK_PATIENCE, look).await {
            Ok(Ok(seen)) => DiskLook::Seen(seen),
            Ok(Err(_)) | Err(_) => DiskLook::Silent,
        }
    }

    /// Says what is wrong with the disk, and with the files of a server that does not run, when
    /// it is something else than before.
    fn tell_of_obstacles(&self, alive: bool, disk: DiskLook) {
        let data_dir = self.data_dir();
        // What is being made or removed is not whole, and need not be.
        let should_be_whole = !alive
            && !self.told().removing
            && has_data(self.state())
            && data_dir::look(&data_dir) == DataDir::Present;
        let files = if should_be_whole {
            obstacle::of_the_files(&data_dir)
        } else {
            Vec::new()
        };
        let mut told = self.told();
        let is_new = |obstacle: &&Obstacle| !told.files.contains(obstacle);
        for obstacle in files.iter().filter(is_new) {
            error!("PostgreSQL cannot start: {obstacle}");
        }
        told.files = files;
        let DiskLook::Seen(disk) = disk else { return };
        match (&told.disk, &disk) {
            (None, Some(obstacle)) => warn!("PostgreSQL cannot write: {obstacle}"),
            (Some(_), None) => info!("there is room for PostgreSQL on its disk again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        told.disk = disk;
    }

    /// A server that was told to promote itself and does not come to it: it has the lock, and
    /// nobody can write.
    fn tell_of_promotion(&self, status: Option<&ServerStatus>) {
        let now = self.now();
        let mut told = self.told();
        if self.role() != Role::Promoted || !status.is_some_and(ServerStatus::in_recovery) {
            if let Some((since, true)) = told.promotion.take() {
                let seconds = now.since(since).as_secs();
                info!("the promotion is over after {seconds} s");
            }
            return;
        }
        let (since, was_told) = told.promotion.get_or_insert((now, false));
        let length = now.since(*since);
        if length >= LONG_PROMOTION && !*was_told {
            *was_told = true;
            warn!(
                "PostgreSQL was told to promote itself {} s ago and is still in recovery, so nobody \
                 can write: its log and its startup process tell why (a disk, a restore_command). If \
                 that process stands still, kill it: PostgreSQL is then started again",
                length.as_secs()
            );
        }
    }

    /// The server is there and does not let us in: until it does the loop knows nothing new.
    fn tell_of_refusal(&self, error: &QueryError) {
        let text = match error {
            QueryError::Sql { message, .. } => message.clone(),
            other => other.to_string(),
        };
        let mut told = self.told();
        if told.refusal.as_ref() != Some(&text) {
            error!(
                "PostgreSQL does not let the daemon in ({text}): look at \
                 postgresql.authentication.superuser and at pg_hba.conf, and reload"
            );
            told.refusal = Some(text);
        }
    }

    fn note_rejection(&self, error: &QueryError) {
        let role = self.role();
        if error.is_access_refusal() {
            self.tell_of_refusal(error);
        }
        if error.is_rejection() && self.state() == State::Running {
            self.set_state(State::Starting);
        } else if matches!(role, Role::Primary | Role::Promoted) {
            warn!(
                "Failed to determine PostgreSQL state from the connection, falling back to cached role"
            );
        }
    }

    /// Whether `pg_rewind` could be used here: switched on, installed, and the data allow it.
    async fn rewind_ability(&self, deadline: Instant) -> RewindAbility {
        if !self.settings().use_pg_rewind {
            return RewindAbility::Disabled;
        }
        let impossible = |reason: &str| RewindAbility::Impossible(reason.to_owned());
        match timeout_at(deadline, self.rewind_works()).await {
            Ok(true) => {}
            Ok(false) => return impossible("pg_rewind cannot be run"),
            Err(_) => return impossible("pg_rewind does not answer"),
        }
        let Ok(Some(items)) = timeout_at(deadline, self.remembered_control_items()).await else {
            return impossible("the control file cannot be read");
        };
        let hints = items.get("wal_log_hints setting") == Some("on");
        let checksums = items
            .get("Data page checksum version")
            .is_some_and(|kind| kind != "0");
        if hints || checksums {
            RewindAbility::Possible
        } else {
            impossible("neither wal_log_hints nor data checksums are on")
        }
    }

    async fn rewind_works(&self) -> bool {
        let known = self.known().rewind_works;
        if let Some(works) = known {
            return works;
        }
        let ended = programs::output(&self.settings(), "pg_rewind", &["--help".into()]).await;
        let works = ended.is_ok_and(|output| output.status.success());
        self.known().rewind_works = Some(works);
        works
    }

    /// The control file's items as they were once in this server's life: for what does not
    /// change while it runs.
    async fn remembered_control_items(&self) -> Option<Arc<ControlItems>> {
        let known = self.known().control.clone();
        if known.is_some() {
            return known;
        }
        let items = Arc::new(self.control_items().await?);
        self.known().control = Some(Arc::clone(&items));
        Some(items)
    }
}

/// A disk that lives tells its room in far less.
const DISK_PATIENCE: Duration = Duration::from_millis(500);

/// A look at the disk.
enum DiskLook {
    /// It does not answer.
    Silent,
    /// What is wrong with it, if anything is.
    Seen(Option<Obstacle>),
}

/// An ordinary promotion takes a fraction of a second, and one on a busy machine a few.
const LONG_PROMOTION: Duration = Duration::from_secs(10);

/// States of a server that has its data directory to itself.
fn has_data(state: State) -> bool {
    match state {
        State::Running
        | State::Restarting
        | State::RestartFailed
        | State::Starting
        | State::StartFailed
        | State::Stopping
        | State::Stopped
        | State::StopFailed
        | State::Crashed => true,
        State::InitializingNewCluster
        | State::InitdbFailed
        | State::RunningCustomBootstrap
        | State::CustomBootstrapFailed
        | State::CreatingReplica
        | State::StartingAfterCustomBootstrap => false,
    }
}

/// States of a server that ended, and that nobody is about to start or stop.
fn is_over(state: State) -> bool {
    match state {
        State::Stopped
        | State::StopFailed
        | State::StartFailed
        | State::RestartFailed
        | State::Crashed => true,
        State::Running
        | State::Restarting
        | State::Starting
        | State::Stopping
        | State::InitializingNewCluster
        | State::InitdbFailed
        | State::RunningCustomBootstrap
        | State::CustomBootstrapFailed
        | State::CreatingReplica
        | State::StartingAfterCustomBootstrap => false,
    }
}

/// States in which a server that lives may answer.
fn is_queryable(state: State) -> bool {
    has_data(state) && state != State::Starting
}
