//! Setting `synchronous_standby_names`.
//!
//! Source: the supervision contract, sections 3 and 12.

use std::io;
use std::time::Duration;

use patroni_core::{Role, State, SyncNames};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::conf::parameters::SyncChoice;
use crate::connection::Named;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Sets the names, `None` to remove the parameter; `true` when that was a change. On a
    /// running server the file is written and reloaded; on a primary this returns when the new
    /// value is in effect (or after a second) and WAL has moved, so that standbys answer.
    ///
    /// # Errors
    /// The file could not be written or the server not be told.
    pub async fn set_sync_names(&self, names: Option<SyncNames>) -> io::Result<bool> {
        let choice = names.clone().map_or(SyncChoice::Removed, SyncChoice::Names);
        let before = std::mem::replace(&mut self.conf().sync_names, choice.clone());
        if before == choice {
            return Ok(false);
        }
        if self.state() != State::Running {
            return Ok(true);
        }
        let version = self
            .full_version()
            .await
            .ok_or_else(|| io::Error::other("the server's version is not known"))?;
        let parameters = self.server_parameters(self.role() == Role::Primary);
        let written = self.write_all(&parameters, version, false).await;
        let told = match written {
            Ok(()) => self.reload().await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            // Said again by the next cycle, not taken for done.
            self.conf().sync_names = before;
            return Err(error);
        }
        let star = names.as_ref().is_some_and(|names| names.star);
        if self.role() == Role::Primary && !star {
            let wanted = names.map(|names| names.to_string()).unwrap_or_default();
            self.await_sync_names(&wanted).await;
            self.move_wal().await;
        }
        Ok(true)
    }

    /// A reload takes effect a moment after it was asked for.
    async fn await_sync_names(&self, wanted: &str) {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(10);
        while begun.elapsed() < LIMIT {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let sql = "SELECT current_setting('synchronous_standby_names')";
            match self.query(Named::Heartbeat, sql, left).await {
                Ok(rows) if rows.first().and_then(|row| row.get(0)) == Some(wanted) => return,
                Ok(_) => {}
                Err(_) => return,
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Writes a little WAL, without waiting for anybody, so that standbys report their position
    /// under the new rule.
    pub async fn move_wal(&self) {
        let sql = "DO $$BEGIN SET local synchronous_commit = 'off'; PERFORM * FROM pg_catalog.txid_current(); END;$$";
        if let Err(error) = self.query(Named::Heartbeat, sql, LIMIT).await {
            warn!("could not write WAL after a change of synchronous_standby_names: {error}");
        }
    }
}

const LIMIT: Duration = Duration::from_secs(1);
