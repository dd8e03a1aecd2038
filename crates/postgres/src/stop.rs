//! Stopping the server.
//!
//! Source of the steps: the supervision contract, section 6.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::server::ControlState;
use patroni_core::{Lsn, State};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use crate::cancel::Cancel;
use crate::controldata::ControlHead;
use crate::hooks;
use crate::process::{self, Postmaster};
use crate::processes;
use crate::supervisor::{Supervisor, lock};

/// How sessions are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Wait until they leave.
    Smart,
    /// Roll them back.
    Fast,
    /// Leave everything to crash recovery.
    Immediate,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The control file says `shut down`; the archiver and senders may still be at work.
    ShutDownState,
    /// The process has ended.
    Exit,
}

/// How to stop.
#[derive(Clone, Debug)]
pub struct StopRequest {
    /// How sessions are treated.
    pub mode: StopMode,
    /// What is waited for.
    pub until: Until,
    /// Patience with each step; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The stop is the first half of a restart: the state stays what the caller has set.
    pub restart: bool,
}

/// What is done before the signal of a stop.
#[derive(Clone, Copy, Debug)]
pub struct StopPreparation {
    /// Take a checkpoint, so that the one of the shutdown is short.
    pub checkpoint: bool,
    /// Patience with the checkpoint; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The stop is the first half of a restart: the state stays what the caller has set.
    pub restart: bool,
}

/// Where a clean shutdown has left the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownPoint {
    /// Location of the shutdown checkpoint.
    pub checkpoint: Lsn,
    /// Location of the record before it when that only switches to another file, else the
    /// checkpoint itself; the supervisor does not read WAL and leaves the checkpoint here.
    pub previous: Lsn,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopOutcome {
    /// What was waited for has come.
    pub stopped: bool,
    /// The shutdown checkpoint, when the control file says `shut down`.
    pub shutdown: Option<ShutdownPoint>,
    /// No client can write any more.
    pub safe_point: bool,
    /// The process has ended after a signal of ours, and no call has told so before. A stop may
    /// take two calls, and the process its time between them.
    pub ended_by_signal: bool,
}

/// A stop under way.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    postmaster: Arc<Postmaster>,
    mode: StopMode,
    /// Somebody was told that it is over.
    told: bool,
}

/// How waiting for the control file ended.
enum ShutDown {
    Reached(Option<ShutdownPoint>),
    Late,
}

impl Supervisor {
    /// What comes before the signal of a stop: the checkpoint, the state, and the script
    /// `before_stop`, which `cancel` ends early. Does nothing without a server and while it stops
    /// already; returns whether the signal is still to come.
    ///
    /// Cancel safe: the server goes on.
    pub async fn prepare_stop(&self, wanted: StopPreparation, cancel: &Cancel) -> bool {
        if !self.is_alive() || self.is_stopping() {
            return false;
        }
        if wanted.checkpoint && !self.state().is_starting() {
            // Logged there; a shutdown without it is only slower.
            let _ = self.checkpoint(wanted.timeout).await;
        }
        if !wanted.restart {
            self.set_state(State::Stopping);
        }
        hooks::run_before_stop(&self.settings(), cancel).await;
        true
    }

    /// Stops the server. A call while a stop of the same or a harder mode is under way sends no
    /// second signal and only waits.
    ///
    /// Dropping the future leaves a server that is stopping; call again to go on waiting.
    pub async fn stop(&self, request: StopRequest) -> StopOutcome {
        let postmaster = match self.postmaster() {
            Ok(Some(postmaster)) => postmaster,
            Ok(None) => {
                let point = self.shutdown_point().await;
                return self.finish_stop(&request, point);
            }
            Err(reason) => {
                warn!("Could not send stop signal to PostgreSQL: {reason}");
                return self.stop_failed();
            }
        };
        self.advances().clear();
        let continued = self.continues(&postmaster, request.mode);
        if !request.restart {
            self.set_state(State::Stopping);
        }
        if !continued && let Err(outcome) = self.signal_stop(&postmaster, &request) {
            return outcome;
        }
        if request.until == Until::ShutDownState && request.mode != StopMode::Immediate {
            match self.shut_down_state(&postmaster, request.timeout).await {
                ShutDown::Reached(Some(point)) => {
                    return StopOutcome {
                        stopped: true,
                        shutdown: Some(point),
                        safe_point: true,
                        ended_by_signal: false,
                    };
                }
                ShutDown::Reached(None) => {}
                ShutDown::Late => return self.abort(&postmaster, &request, Duration::ZERO).await,
            }
        }
        if self.exits(&postmaster, &request).await {
            let point = self.shutdown_point().await;
            return self.finish_stop(&request, point);
        }
        self.abort(&postmaster, &request, request.timeout.unwrap_or_default())
            .await
    }

    /// Waits for the end; `true` when it came.
    ///
    /// A server that is shut down waits for each standby to have all its WAL: for one that was cut
    /// off without a word up to `wal_sender_timeout`, a minute. In a restart they get it from the
    /// same server again, so their senders are ended instead.
    async fn exits(&self, postmaster: &Postmaster, request: &StopRequest) -> bool {
        let senders = async {
            if request.restart && request.mode == StopMode::Fast {
                let _reached = self.shut_down_state(postmaster, None).await;
                sleep(TIME_FOR_SENDERS).await;
                process::end_senders(postmaster);
            }
            std::future::pending().await
        };
        tokio::select! {
            exited = postmaster.exits_within(request.timeout) => exited,
            never = senders => never,
        }
    }

    /// Whether this very process has had a stop signal that is at least as hard.
    fn continues(&self, postmaster: &Arc<Postmaster>, mode: StopMode) -> bool {
        let rank = |mode: StopMode| match mode {
            StopMode::Smart => 0,
            StopMode::Fast => 1,
            StopMode::Immediate => 2,
        };
        lock(&self.inner().stopping)
            .as_ref()
            .is_some_and(|stopping| {
                Arc::ptr_eq(&stopping.postmaster, postmaster) && rank(stopping.mode) >= rank(mode)
            })
    }

    /// Whether the end of the present server, if it came, was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.inner().stopping).is_some()
    }

    /// A new server has had no signal yet.
    pub(crate) fn forget_stop(&self) {
        *lock(&self.inner().stopping) = None;
    }

    fn signal_stop(
        &self,
        postmaster: &Arc<Postmaster>,
        request: &StopRequest,
    ) -> Result<(), StopOutcome> {
        if postmaster.is_single_user() {
            warn!(
                "Cannot stop server; single-user server is running (PID: {})",
                postmaster.pid()
            );
            return Err(self.stop_failed());
        }
        let signal = match request.mode {
            StopMode::Smart => Signal::TERM,
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        match postmaster.signal(signal) {
            Ok(()) => {
                *lock(&self.inner().stopping) = Some(Stopping {
                    postmaster: Arc::clone(postmaster),
                    mode: request.mode,
                    told: false,
                });
                Ok(())
            }
            Err(_) if !postmaster.is_alive() => Ok(()),
            Err(reason) => {
                warn!("Could not send stop signal to PostgreSQL: {reason}");
                Err(self.stop_failed())
            }
        }
    }

    /// Waits until the control file says that the server is shut down, or the process has ended.
    async fn shut_down_state(&self, postmaster: &Postmaster, limit: Option<Duration>) -> ShutDown {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.control_state().await {
                Some(ControlState::ShutDown) => {
                    return ShutDown::Reached(self.shutdown_point().await);
                }
                Some(ControlState::ShutDownInRecovery) => return ShutDown::Reached(None),
                _ if !postmaster.is_alive() => return ShutDown::Reached(None),
                _ => {}
            }
            if limit.is_some_and(|limit| begun.elapsed() >= limit) {
                return ShutDown::Late;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = postmaster.exited() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The cluster state, from the file itself where its layout is known.
    pub(crate) async fn control_state(&self) -> Option<ControlState> {
        match ControlHead::read(&self.settings().data_dir) {
            Some(head) => Some(head.state),
            None => self.control_items().await?.state(),
        }
    }

    /// The shutdown checkpoint, from the file itself where its layout is known.
    async fn shutdown_point(&self) -> Option<ShutdownPoint> {
        let head = ControlHead::read(&self.settings().data_dir);
        let (state, checkpoint) = if let Some(head) = head {
            (head.state, head.checkpoint)
        } else {
            let data = self.pg_controldata().await?;
            (data.state, data.checkpoint)
        };
        let checkpoint = checkpoint.filter(|_| state == ControlState::ShutDown)?;
        Some(ShutdownPoint {
            checkpoint,
            previous: checkpoint,
        })
    }

    /// Patience is over: SIGQUIT, and after the same time SIGKILL for all of them.
    async fn abort(
        &self,
        postmaster: &Arc<Postmaster>,
        request: &StopRequest,
        patience: Duration,
    ) -> StopOutcome {
        warn!("Timeout during postmaster stop, aborting Postgres.");
        if request.mode != StopMode::Immediate {
            let harder = StopRequest {
                mode: StopMode::Immediate,
                ..request.clone()
            };
            if let Err(outcome) = self.signal_stop(postmaster, &harder) {
                return outcome;
            }
            if postmaster.exits_within(Some(patience)).await {
                return self.finish_stop(request, None);
            }
        }
        process::kill_with_children(postmaster);
        if postmaster.exits_within(Some(AFTER_KILL)).await {
            self.finish_stop(request, None)
        } else {
            self.stop_failed()
        }
    }

    fn finish_stop(&self, request: &StopRequest, shutdown: Option<ShutdownPoint>) -> StopOutcome {
        self.close_connections();
        self.cache_status(None);
        if !request.restart {
            self.set_state(State::Stopped);
        }
        let mut stopping = lock(&self.inner().stopping);
        let untold = stopping.as_mut().filter(|stopping| !stopping.told);
        StopOutcome {
            stopped: true,
            shutdown,
            safe_point: true,
            ended_by_signal: untold.map(|stopping| stopping.told = true).is_some(),
        }
    }

    fn stop_failed(&self) -> StopOutcome {
        warn!("pg_ctl stop failed");
        self.set_state(State::StopFailed);
        StopOutcome {
            stopped: false,
            shutdown: None,
            safe_point: false,
            ended_by_signal: false,
        }
    }

    /// Waits, after a stop signal, until no client's process is left: nobody can write any more
    /// and a watchdog may be disarmed. `true` when that point was reached within `limit`.
    /// Cancel safe.
    pub async fn wait_safe_point(&self, limit: Option<Duration>) -> bool {
        let Ok(Some(postmaster)) = self.postmaster() else {
            return !self.is_alive();
        };
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let clients = client_backends(&postmaster);
            if clients.is_empty() || !postmaster.is_alive() {
                return true;
            }
            if let Some(limit) = limit.filter(|limit| begun.elapsed() >= *limit) {
                let titles = clients.join(", ");
                warn!("Backends still alive after {}: {titles}", limit.as_secs());
                return false;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = postmaster.exited() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs CHECKPOINT on a connection of its own without statement timeout.
    ///
    /// # Errors
    /// See [`crate::connection::QueryError`]; logged already.
    pub async fn checkpoint(
        &self,
        limit: Option<Duration>,
    ) -> Result<(), crate::connection::QueryError> {
        let endpoint = crate::connection::Endpoint {
            statement_timeout: None,
            ..crate::connection::Endpoint::local(&self.settings(), "Patroni")
        };
        let limit = limit.unwrap_or(FOR_EVER);
        let work = async {
            let session =
                crate::connection::Session::connect(&endpoint, limit.min(CONNECT)).await?;
            session.query("CHECKPOINT", limit).await
        };
        match work.await {
            Ok(_) => Ok(()),
            Err(reason) => {
                error!("Exception during CHECKPOINT: {reason}");
                Err(reason)
            }
        }
    }
}

/// Titles of the postmaster's children that serve clients.
fn client_backends(postmaster: &Postmaster) -> Vec<String> {
    processes::children_of(postmaster.pid(), false)
        .into_iter()
        .filter_map(processes::title_of)
        .filter(|title| !process::is_auxiliary(title))
        .collect()
}

/// The floor of a fast shutdown is some tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What is left of the WAL when a server is shut down takes a standby that is there much less.
const TIME_FOR_SENDERS: Duration = Duration::from_secs(3);

/// The kernel ends a killed process at once unless it hangs in a device.
const AFTER_KILL: Duration = Duration::from_mins(1);

const CONNECT: Duration = Duration::from_secs(3);

/// "No limit" where the clock needs a number.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

impl Supervisor {
    /// Stops the server at once, whatever else is going on: its clients must not write any more.
    /// Nothing is waited for but the end of the process; what stays after `patience` is killed.
    pub async fn fence(&self, patience: Duration) {
        let request = StopRequest {
            mode: StopMode::Immediate,
            until: Until::Exit,
            timeout: Some(patience),
            restart: false,
        };
        self.stop(request).await;
    }
}
