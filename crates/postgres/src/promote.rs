//! Promoting the server.
//!
//! Source: the supervision contract, section 7.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use patroni_core::Role;
use patroni_core::server::{CheckpointTask, ControlState};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::controldata::ControlHead;
use crate::process::Postmaster;
use crate::programs;
use crate::supervisor::Supervisor;

/// Why no promotion was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromoteError {
    /// There is no server to promote.
    #[error("find a running postmaster")]
    NotRunning,
    /// The control file says that it is no standby.
    #[error("promote a server that is not a standby (its state is {0:?})")]
    NotStandby(ControlState),
    /// The system refused.
    #[error("tell the postmaster to promote")]
    System(#[from] io::Error),
    /// The tool refused; its words.
    #[error("promote with pg_ctl: {0}")]
    Tool(String),
}

impl Supervisor {
    /// Issues the promotion and returns at once; the role becomes promoted. Success without any
    /// act when the role is primary or promoted already.
    ///
    /// # Errors
    /// Nothing was issued; the role is what it was.
    pub async fn promote(&self) -> Result<(), PromoteError> {
        if matches!(self.role(), Role::Primary | Role::Promoted) {
            return Ok(());
        }
        let postmaster = self.postmaster()?.ok_or(PromoteError::NotRunning)?;
        match ControlHead::read(&self.settings().data_dir).map(|head| head.state) {
            Some(ControlState::InArchiveRecovery) => self.request_promotion(&postmaster)?,
            Some(other) => return Err(PromoteError::NotStandby(other)),
            // A layout that is not known here: the tool of that version knows it.
            None => self.promote_by_tool().await?,
        }
        // The checkpoint after an earlier promotion says nothing about this one.
        self.set_checkpoint_task(CheckpointTask::Idle);
        self.advances().clear();
        self.cache_status(None);
        self.set_role(Role::Promoted);
        Ok(())
    }

    /// What `pg_ctl promote -W` does: a file, and a signal to look for it.
    fn request_promotion(&self, postmaster: &Postmaster) -> io::Result<()> {
        let request = self.data_dir().join(REQUEST);
        // Not synced: after a crash of the machine nobody wants it any more.
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&request)?;
        postmaster.signal(Signal::USR1).inspect_err(|_| {
            // Left behind it would promote the server at its next start.
            let _ = std::fs::remove_file(&request);
        })
    }

    async fn promote_by_tool(&self) -> Result<(), PromoteError> {
        let settings = self.settings();
        let mut arguments = vec![OsString::from("promote"), OsString::from("-D")];
        arguments.push(settings.data_dir.clone().into_os_string());
        arguments.push(OsString::from("-W"));
        let output = programs::output(&settings, "pg_ctl", &arguments).await?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(PromoteError::Tool(words.trim().to_owned()))
    }

    /// Waits, for at most `limit`, until the control file says that the server takes writes; the
    /// role becomes primary then. Meanwhile the server is reminded of the promotion. Cancel safe.
    pub async fn wait_production(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let state = self.control_state().await;
            if state == Some(ControlState::InProduction) {
                self.forget_request();
                self.cache_status(None);
                self.set_role(Role::Primary);
                return true;
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() || !self.is_alive() {
                return false;
            }
            if begun.elapsed() >= PATIENCE && state == Some(ControlState::InArchiveRecovery) {
                self.remind_of_promotion();
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks again. When a promotion arrives between recovery's wish for a connection to the former
    /// primary and the start of that connection, recovery takes the wish back and sleeps for the
    /// rest of `wal_retrieve_retry_interval` (5 s); whatever wakes it ends that sleep.
    fn remind_of_promotion(&self) {
        if self.role() != Role::Promoted {
            return;
        }
        if let Ok(Some(postmaster)) = self.postmaster()
            && let Err(error) = self.request_promotion(&postmaster)
        {
            tracing::debug!(%error, "promotion not asked for again");
        }
    }

    /// The last reminder may have come too late to be looked at.
    fn forget_request(&self) {
        let _ = std::fs::remove_file(self.data_dir().join(REQUEST));
    }
}

/// The file by which a promotion is asked for.
const REQUEST: &str = "promote";

/// So long an ordinary promotion takes at most on a machine that is not busy.
const PATIENCE: Duration = Duration::from_millis(100);

/// A promotion takes some tens of milliseconds on an idle machine.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

const LONGEST_PAUSE: Duration = Duration::from_millis(100);
