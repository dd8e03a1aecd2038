//! Taking new settings into effect, each part in its order.

use std::sync::Arc;

use patroni_api::server::Server;
use patroni_config::Settings;
use patroni_core::Role;
use patroni_ha::command::CallbackEvent;
use patroni_telemetry::LogSettings;
use sd_notify::NotifyState;
use tracing::error;

use crate::act::Body;
use crate::adapt;
use crate::configuration::{Configuration, timings};
use crate::peers::with_causes;
use crate::publish::Addresses;

/// What settings are applied to, beside the body.
pub(crate) struct Reloader {
    pub(crate) log: patroni_telemetry::Handle,
    pub(crate) rest: Option<Server>,
}

impl Reloader {
    /// Applies the settings in effect. When the log fails all keep their old settings; calls
    /// between nodes and the REST server each go on with their own, and nothing else waits for
    /// them.
    pub(crate) async fn apply(
        &mut self,
        body: &Arc<Body>,
        configuration: &Configuration,
        sighup: bool,
    ) {
        let settings = configuration.settings();
        let failed = |failure: &dyn std::error::Error| {
            error!(
                "Failed to reload config_file={}: {}",
                configuration.path().display(),
                with_causes(failure)
            );
        };
        if let Err(failure) = self.log.reload(&LogSettings::from(&settings.log)) {
            return failed(&failure);
        }
        if sighup {
            self.apply_to_rest(body, &settings, failed).await;
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
    }

    /// Certificates may be new without any change of the settings.
    async fn apply_to_rest(
        &mut self,
        body: &Body,
        settings: &Settings,
        failed: impl Fn(&dyn std::error::Error),
    ) {
        if let Err(failure) = body.rest.reload(&adapt::client(settings)) {
            failed(&failure);
        }
        if let Some(server) = &mut self.rest
            && let Err(failure) = server.reload(adapt::server(settings)).await
        {
            failed(&failure);
        }
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
