//! Taking over what is there when the daemon starts.
//!
//! Source: the supervision contract, section 4.

use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_config::umask;
use patroni_core::server::DataDir;
use patroni_core::{Role, State};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::conf::files::Files;
use crate::conf::recovery::Recovery;
use crate::conf::write::Modes;
use crate::connection::Named;
use crate::connection::tls::{self, TlsError};
use crate::directories::{self, DirectoryError};
use crate::start::Readiness;
use crate::supervisor::{Supervisor, blocking};

/// Why the daemon cannot start on this node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// A directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A user's key or certificate can never be used.
    #[error("postgresql.authentication.{user}: failed to {source}")]
    Tls {
        /// Whose.
        user: &'static str,
        /// Why not.
        source: TlsError,
    },
}

impl Supervisor {
    /// Looks at the data directory and takes over a running server, without restarting it.
    ///
    /// Takes at most some seconds: a server that does not answer is left in the state `starting`
    /// and looked at again by every [`Supervisor::observe`]. Sets the process's umask to what the
    /// data directory asks for.
    ///
    /// # Errors
    /// A configured directory cannot be used.
    pub async fn adopt(settings: Postgresql, clock: Clock) -> Result<Self, AdoptError> {
        directories::ensure(&settings)?;
        refuse_unusable_keys(&settings)?;
        umask::at_start(); // before it changes
        rustix::process::umask(Modes::of(&settings.data_dir).umask());
        let supervisor = Self::new(settings, clock);
        let role = match supervisor.data_dir_state() {
            DataDir::Present => supervisor.role_by_data_dir(),
            DataDir::Empty | DataDir::Inaccessible(_) => Role::Uninitialized,
        };
        supervisor.set_role(role);
        supervisor.keep_sync_names();
        if !supervisor.is_alive() {
            if role == Role::Primary {
                supervisor.set_role(Role::Demoted);
            }
            return Ok(supervisor);
        }
        supervisor.conf().recovery = supervisor.written_recovery();
        supervisor.set_state(State::Starting);
        supervisor.end_trust().await;
        if supervisor.readiness(PATIENCE).await == Readiness::Ready {
            supervisor.started().await;
            supervisor.adopt_running().await;
        }
        Ok(supervisor)
    }

    /// Ends the access of a custom bootstrap whose daemon has died. Nothing else is written yet:
    /// the server may still recover by settings that only the method's tool knows.
    async fn end_trust(&self) {
        let settings = self.settings();
        let files = Files {
            settings: &settings,
            version: self.major_version().unwrap_or_default(),
        };
        if !files.has_trust_hba() {
            return;
        }
        if let Err(reason) = self.refresh_access_files().await {
            error!("could not end the access that was only for a custom bootstrap: {reason}");
        }
    }

    /// The server answers: its role is asked for, and our files are brought up to date.
    async fn adopt_running(&self) {
        let asked = self
            .query(Named::Heartbeat, "SELECT pg_is_in_recovery()", PATIENCE)
            .await;
        match asked {
            Ok(rows) => {
                let standby = rows.first().is_some_and(|row| row.is_true(0));
                self.set_role(if standby {
                    Role::Replica
                } else {
                    Role::Primary
                });
            }
            Err(reason) => warn!("could not ask the running server for its role: {reason}"),
        }
        let old = self
            .major_version()
            .is_some_and(|version| version < 120_000);
        let result = if self.role() == Role::Primary || old {
            let settings = (*self.settings()).clone();
            let report = self.apply_settings(settings, false).await;
            self.conf().unreported_reload = report.reloaded;
            Ok(())
        } else {
            self.refresh_access_files().await
        };
        if let Err(reason) = result {
            error!("could not write the access files of the running server: {reason}");
        }
    }

    /// Rewrites managed access files; the server is told only when one has changed.
    async fn refresh_access_files(&self) -> std::io::Result<()> {
        if self.write_access_files(false).await? {
            self.reload().await?;
            self.conf().unreported_reload = true;
        }
        Ok(())
    }

    /// Writes managed access files whose content differs, or all of them; `true` when one was.
    pub(crate) async fn write_access_files(&self, all: bool) -> std::io::Result<bool> {
        let parameters = self.server_parameters(self.role() == Role::Primary);
        let settings = self.settings();
        let version = self.major_version().unwrap_or_default();
        blocking(move || {
            let files = Files {
                settings: &settings,
                version,
            };
            let distrusted = files.end_trust(&parameters)?;
            let hba = (all || files.hba_differs()) && files.write_hba(&parameters)?;
            let ident = (all || files.ident_differs()) && files.write_ident(&parameters)?;
            Ok(distrusted || hba || ident)
        })
        .await
    }

    /// The recovery block that an earlier daemon wrote, so that a rewrite does not lose it.
    fn written_recovery(&self) -> Option<Recovery> {
        let settings = self.settings();
        let files = Files {
            settings: &settings,
            version: self.major_version()?,
        };
        Recovery::read_back(&std::fs::read_to_string(files.main()).ok()?)
    }
}

fn refuse_unusable_keys(settings: &Postgresql) -> Result<(), AdoptError> {
    let users = [
        ("superuser", Some(&settings.superuser)),
        ("replication", Some(&settings.replication)),
        ("rewind", settings.rewind.as_ref()),
    ];
    for (user, credentials) in users {
        if let Some(credentials) = credentials {
            tls::refuse_unusable(credentials).map_err(|source| AdoptError::Tls { user, source })?;
        }
    }
    Ok(())
}

/// How long a running server is waited for at the start of the daemon.
const PATIENCE: Duration = Duration::from_secs(3);
