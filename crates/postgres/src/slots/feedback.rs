//! Forcing `hot_standby_feedback`.

use std::io;
use std::time::Duration;

use patroni_core::{Role, State};

use crate::connection::{Named, QueryError};
use crate::supervisor::Supervisor;

const LIMIT: Duration = Duration::from_millis(2500);

impl Supervisor {
    /// Forces `hot_standby_feedback` to on, or leaves it to the operator's parameters. On a
    /// running server a change is written and reloaded at once; true when that was done.
    ///
    /// # Errors
    /// The file could not be written or the server not be told; the next call tries again.
    pub async fn force_feedback(&self, on: bool) -> io::Result<bool> {
        if self.replace_forced_feedback(on) == on || self.state() != State::Running {
            return Ok(false);
        }
        let told = self.rewrite_and_reload().await;
        if told.is_err() {
            self.replace_forced_feedback(!on);
        }
        told.map(|()| true)
    }

    async fn rewrite_and_reload(&self) -> io::Result<()> {
        let version = self
            .full_version()
            .await
            .ok_or_else(|| io::Error::other("the server's version is not known"))?;
        let parameters = self.server_parameters(self.role() == Role::Primary);
        self.write_all(&parameters, version, false).await?;
        self.reload().await
    }

    /// `hot_standby_feedback` in effect.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn feedback(&self) -> Result<bool, QueryError> {
        let sql = "SELECT current_setting('hot_standby_feedback')::boolean";
        let rows = self.query(Named::Heartbeat, sql, LIMIT).await?;
        Ok(rows.first().is_some_and(|row| row.is_true(0)))
    }
}
