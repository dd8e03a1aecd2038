//! One look at the local server: facts for one cycle of the HA loop.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::server::{Answer, LocalServer, Process, RewindAbility, ServerStatus};
use patroni_core::{Role, State};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use crate::connection::{Named, QueryError};
use crate::controldata::ControlItems;
use crate::data_dir;
use crate::monitor::{self, Ask};
use crate::programs;
use crate::rewind;
use crate::start::Readiness;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Looks at the server, for at most `limit`. What could not be learnt in that time is
    /// [`Answer::Unknown`], never a wrong guess: a frozen server is neither stopped nor a replica.
    ///
    /// Also moves the state on: from starting to running when connections are accepted, to start
    /// failed when the process has ended, back to starting when a running server rejects us.
    pub async fn observe(&self, ask: Ask, limit: Duration) -> LocalServer {
        let deadline = Instant::now() + limit;
        let alive = self.is_alive();
        if self.state().is_starting() {
            self.look_at_start(alive, deadline).await;
        }
        let status = if alive && is_queryable(self.state()) {
            self.ask_status(ask, deadline).await
        } else {
            Answer::NotAsked
        };
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
            half_rewound: rewind::is_half_rewound(data_dir),
            rewind,
            pending_restart: self.pending_restart(),
            postmaster_start_time: self.known().postmaster_start_time.clone(),
            callback_ran: self.callback_ran(),
            checkpoint: self.checkpoint_task(),
        }
    }

    async fn look_at_start(&self, alive: bool, deadline: Instant) {
        if !alive {
            self.set_state(State::StartFailed);
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.readiness(left / 2).await {
            Readiness::Ready => self.started().await,
            Readiness::Rejecting | Readiness::Silent => {}
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

    fn note_rejection(&self, error: &QueryError) {
        let role = self.role();
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

/// States in which a server that lives may answer.
fn is_queryable(state: State) -> bool {
    match state {
        State::Running
        | State::Restarting
        | State::RestartFailed
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
        | State::Starting
        | State::StartingAfterCustomBootstrap => false,
    }
}
