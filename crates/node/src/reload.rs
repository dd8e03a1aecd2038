//! Taking new settings into effect, each part in its order.

use std::sync::Arc;

use patroni_api::server::Server;
use patroni_core::Role;
use patroni_ha::command::CallbackEvent;
use patroni_telemetry::LogSettings;
use sd_notify::NotifyState;
use tracing::error;

use crate::act::Body;
use crate::adapt;
use crate::configuration::{Configuration, timings};
use crate::publish::Addresses;

/// What settings are applied to, beside the body.
pub(crate) struct Reloader {
    pub(crate) log: patroni_telemetry::Handle,
    pub(crate) rest: Option<Server>,
}

impl Reloader {
    /// Applies the settings in effect. A part that fails keeps its old settings, and so do the
    /// parts behind it.
    pub(crate) async fn apply(
        &mut self,
        body: &Arc<Body>,
        configuration: &Configuration,
        sighup: bool,
    ) {
        if let Err(failure) = self.try_apply(body, configuration, sighup).await {
            error!(
                "Failed to reload config_file={}: {failure}",
                configuration.path().display()
            );
        }
    }

    async fn try_apply(
        &mut self,
        body: &Arc<Body>,
        configuration: &Configuration,
        sighup: bool,
    ) -> Result<(), String> {
        let settings = configuration.settings();
        let text = |failure: &dyn std::fmt::Display| failure.to_string();
        self.log
            .reload(&LogSettings::from(&settings.log))
            .map_err(|failure| text(&failure))?;
        if sighup {
            body.rest
                .reload(&adapt::client(&settings))
                .map_err(|failure| text(&failure))?;
        }
        if let (Some(rest), true) = (&mut self.rest, sighup) {
            rest.reload(adapt::server(&settings))
                .await
                .map_err(|failure| text(&failure))?;
        }
        {
            let mut facts = body.facts();
            facts.addresses = Addresses::of(&settings);
            facts.tags = settings.tags.clone();
        }
        let (watchdog, timing) = adapt::watchdog(&settings);
        body.watchdog().reload(watchdog, timing);
        body.journal.reload(&settings);
        body.settings.send_replace(Arc::clone(&settings));
        body.callbacks.reconfigure(&settings.postgresql.callbacks);
        body.supervisor
            .set_cluster_facts(adapt::cluster_facts(&settings));
        let report = body
            .supervisor
            .apply_settings(settings.postgresql.clone(), sighup)
            .await;
        if report.reloaded {
            let role = body.supervisor.role();
            if role != Role::Uninitialized {
                body.callbacks.run(CallbackEvent::Reload, role);
            }
        }
        body.store.set_timings(timings(&settings.dynamic));
        body.store.reconfigure(&settings.dcs);
        Ok(())
    }
}

/// Tells the service manager that a reload begins.
pub(crate) fn announce() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    let _ = sd_notify::notify(&states);
}

/// Tells it that the reload is over.
pub(crate) fn done() {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}
