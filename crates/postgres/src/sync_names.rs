//! Setting `synchronous_standby_names`.
//!
//! Source: the supervision contract, sections 3 and 12.

use std::io;
use std::time::Duration;

use patroni_core::{Role, State, SyncNames};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::conf::ClusterFacts;
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
        if names.is_some() {
            // Who chose them may know earlier than the settings here that the mode is on.
            self.note_synchronous();
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

    /// A daemon that starts goes on with the names that its predecessor wrote: while the `sync`
    /// key lets standbys be elected, the server must not acknowledge commits without them, not
    /// even until the first cycle. The HA loop changes the names in the order that is safe.
    pub(crate) fn keep_sync_names(&self) {
        let path = self.settings().config_dir.join("postgresql.conf");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(names) = written_names(&text) {
            self.conf().sync_names = SyncChoice::Names(names);
            // Until the mode is known it counts as on.
            self.note_synchronous();
        }
    }

    fn note_synchronous(&self) {
        let facts = self.facts();
        self.set_cluster_facts(ClusterFacts {
            synchronous: true,
            ..facts
        });
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

/// The last `synchronous_standby_names` of a file in our form.
fn written_names(text: &str) -> Option<SyncNames> {
    let lines = text.lines().rev();
    let value = lines.filter_map(|line| {
        let quoted = line.strip_prefix("synchronous_standby_names = '")?;
        Some(quoted.strip_suffix('\'')?.replace("''", "'"))
    });
    let names = SyncNames::parse(&value.into_iter().next()?).ok()?;
    (names != SyncNames::off()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_written_are_read_back() {
        let file = "include 'postgresql.base.conf'\n\nsynchronous_standby_names = 'ANY 1 (\"node-2\",b)'\nwal_level = 'replica'\n";
        let names = written_names(file).unwrap();
        assert_eq!(names.to_string(), "ANY 1 (b,\"node-2\")", "in order");
        for nothing in [
            "",
            "synchronous_standby_names = ''\n",
            "# synchronous_standby_names = 'a'\n",
        ] {
            assert_eq!(written_names(nothing), None, "{nothing}");
        }
    }
}
