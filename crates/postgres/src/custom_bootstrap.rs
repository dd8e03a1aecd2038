//! The first life of data that a custom bootstrap method has made.
//!
//! From the end of the method until `post_bootstrap` has run the server recovers to its target
//! and lets nobody in but us; then it gets its real configuration. Source of the rules: the
//! configuration contract, section 9.2, and the supervision contract, section 10.4.

use std::io;
use std::time::Duration;

use patroni_core::{Role, State, Upstream};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::bootstrap::CustomBootstrap;
use crate::cancel::Cancel;
use crate::conf::files::Files;
use crate::conf::recovery::Recovery;
use crate::connection::{Endpoint, Named, QueryError, Session};
use crate::data_dir;
use crate::start::{StartOutcome, StartRequest};
use crate::stop::{StopMode, StopPreparation, StopRequest, Until};
use crate::supervisor::{Supervisor, blocking};

impl Supervisor {
    /// Whether the data are those of a custom method and not ready yet.
    pub(crate) fn is_in_custom_bootstrap(&self) -> bool {
        self.conf().custom.is_some()
    }

    /// Whether what a custom method made recovers first, by its own settings or by ours.
    pub(crate) fn recovers_to_target(&self) -> bool {
        let ours = {
            let conf = self.conf();
            if conf.custom.is_none() {
                return false;
            }
            conf.recovery.is_some()
        };
        ours || data_dir::has_recovery_signal(&self.settings().data_dir, self.major_version())
    }

    /// Whether the server becomes a primary by itself at its target; nobody must get in before.
    pub(crate) fn promotes_itself(&self) -> bool {
        let conf = self.conf();
        let action = || {
            let recovery = conf.recovery.as_ref()?;
            recovery.get("recovery_target_action")
        };
        conf.custom.as_ref().is_some_and(|custom| {
            custom.keep_existing_recovery_conf || action().as_deref() == Some("promote")
        })
    }

    /// A custom method has succeeded: its files are completed, and what it wants is kept for the
    /// first start.
    pub(crate) async fn take_over_custom(&self, custom: CustomBootstrap) -> Result<(), String> {
        self.forget_data();
        let version = self.full_version().await.ok_or_else(|| {
            let dir = self.data_dir();
            format!(
                "the bootstrap method left no PG_VERSION in {}",
                dir.display()
            )
        })?;
        let keep = custom.keep_existing_recovery_conf;
        let recovery = custom
            .recovery_conf
            .as_ref()
            .filter(|section| !keep && !section.is_empty())
            .map(|section| Recovery::custom(section, version));
        let has_target = recovery.is_some();
        {
            let mut conf = self.conf();
            (conf.custom, conf.recovery) = (Some(custom), recovery);
        }
        self.restore_configuration_files().await;
        // The access file is replaced until the cluster is ready.
        self.save_configuration_files().await;
        self.remove_trigger_file();
        if keep || has_target {
            return Ok(());
        }
        let settings = self.settings();
        let files = Files {
            settings: &settings,
            version,
        };
        files
            .remove_recovery()
            .map_err(|reason| format!("could not remove the recovery settings: {reason}"))
    }

    /// Removes a trigger file that came with copied data.
    pub(crate) fn remove_trigger_file(&self) {
        let settings = self.settings();
        let files = Files {
            settings: &settings,
            version: self.major_version().unwrap_or_default(),
        };
        if let Err(reason) = files.remove_trigger_file() {
            warn!("could not remove the trigger file: {reason}");
        }
    }

    /// The cluster is ready: its real access rules and parameters take effect, by a restart where
    /// a reload is not enough. Does nothing when no custom method made the data.
    pub(crate) async fn settle_custom(&self, cancel: &Cancel) -> Result<(), String> {
        let was_closed = self.promotes_itself();
        if self.conf().custom.take().is_none() {
            return Ok(());
        }
        let relocated = self
            .write_real_configuration()
            .await
            .map_err(|reason| format!("could not write the configuration: {reason}"))?;
        // What is on the command line stays until a restart, whatever the files say.
        if relocated || was_closed || !self.conf().pending.is_empty() {
            return self.restart_settled(cancel).await;
        }
        info!("Reloading PostgreSQL configuration.");
        let before = self.load_time().await;
        self.reload()
            .await
            .map_err(|reason| format!("could not reload the configuration: {reason}"))?;
        self.close_connections();
        match before {
            Ok(before) => self.wait_for_reload(before.as_deref()).await,
            // Without the time before nothing tells the one after it from it.
            Err(reason) => warn!("cannot tell when the new access rules are in effect: {reason}"),
        }
        Ok(())
    }

    /// When the postmaster has read its configuration, as a new connection has it from it.
    async fn load_time(&self) -> Result<Option<String>, QueryError> {
        let endpoint = Endpoint::local(&self.settings(), "Patroni");
        let session = Session::connect(&endpoint, CONNECT).await?;
        let rows = session.query(LOAD_TIME, CONNECT).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Waits until the postmaster has read its files again: a connection that it admits after
    /// that knows a new time, or is refused by the new rules.
    async fn wait_for_reload(&self, before: Option<&str>) {
        let begun = Instant::now();
        while begun.elapsed() < RELOAD {
            match self.load_time().await {
                Ok(now) if now.as_deref() != before => {
                    return self.complain_of_access_rules().await;
                }
                Err(refusal) if refusal.is_access_refusal() => {
                    return warn!("the access rules do not let the superuser in: {refusal}");
                }
                Ok(_) | Err(_) => sleep(STEP).await,
            }
        }
        warn!("the server has not read its new access rules after {RELOAD:?}");
    }

    /// With a rule that cannot be read the server keeps the rules from before, and everybody on
    /// this machine is let in by those.
    async fn complain_of_access_rules(&self) {
        if self.major_version().is_none_or(|version| version < 100_000) {
            return;
        }
        let found = self.query(Named::Heartbeat, BAD_RULES, CONNECT).await;
        for row in found.iter().flatten() {
            let (line, reason) = (row.get(0).unwrap_or("?"), row.get(1).unwrap_or("?"));
            error!(
                "line {line} of pg_hba.conf is not valid ({reason}): the server goes on with the \
                 access rules of the bootstrap, which ask for no password"
            );
        }
    }

    /// Returns whether the access file is another than the one of the time before.
    async fn write_real_configuration(&self) -> io::Result<bool> {
        let unknown = || io::Error::other("the server's version is not known");
        let version = self.full_version().await.ok_or_else(unknown)?;
        let real = self.server_parameters(true);
        let (parameters, settings) = (real.clone(), self.settings());
        let relocated = blocking(move || {
            let files = Files {
                settings: &settings,
                version,
            };
            files.remove_recovery()?;
            let relocated = files.is_hba_relocated(&parameters);
            if !files.bring_back_hba()? && settings.pg_hba.is_empty() && !relocated {
                error!(
                    "there is no pg_hba.conf.backup to bring back: set postgresql.pg_hba, or let \
                     the bootstrap method restore a pg_hba.conf"
                );
            }
            Ok(relocated)
        })
        .await?;
        self.write_all(&real, version, false).await?;
        if !relocated {
            self.save_configuration_files().await;
        }
        Ok(relocated)
    }

    async fn restart_settled(&self, cancel: &Cancel) -> Result<(), String> {
        self.set_state(State::Restarting);
        let preparation = StopPreparation {
            checkpoint: true,
            timeout: None,
            restart: true,
        };
        self.prepare_stop(preparation, cancel).await;
        let stopped = self.stop(StopRequest {
            mode: StopMode::Fast,
            until: Until::Exit,
            timeout: None,
            restart: true,
        });
        if !stopped.await.stopped {
            return Err("could not stop the server to give it its configuration".to_owned());
        }
        let request = StartRequest {
            role: Role::Primary,
            upstream: Upstream::None,
            timeout: None,
        };
        match self.start(request, cancel).await {
            StartOutcome::Running | StartOutcome::StillStarting => Ok(()),
            StartOutcome::Failed(reason) => {
                Err(format!("restart with its configuration: {reason}"))
            }
            StartOutcome::Cancelled => Err("restart with its configuration: cancelled".to_owned()),
        }
    }
}

/// How long the postmaster may take to read its files.
const RELOAD: Duration = Duration::from_secs(10);

/// The pause between two looks at it.
const STEP: Duration = Duration::from_millis(20);

/// One connection attempt, and one statement.
const CONNECT: Duration = Duration::from_secs(3);

const LOAD_TIME: &str = "SELECT pg_catalog.pg_conf_load_time()";

const BAD_RULES: &str = "SELECT line_number, error FROM pg_catalog.pg_hba_file_rules \
     WHERE error IS NOT NULL ORDER BY line_number";
