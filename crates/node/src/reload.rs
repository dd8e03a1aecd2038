//! Taking new settings into effect, each part in its order.

use std::sync::Arc;

use patroni_api::BindError;
use patroni_api::server::Server;
use patroni_config::Settings;
use patroni_core::{Causes, Role};
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
    /// Applies the settings in effect. When the local sources were refused just now, or the log
    /// fails, all keep their old settings; calls between nodes and the REST server each go on with
    /// their own, and nothing else waits for them.
    pub(crate) async fn apply(
        &mut self,
        body: &Arc<Body>,
        configuration: &Configuration,
        sighup: bool,
    ) {
        let settings = configuration.settings();
        let failed = |why: String| {
            let path = configuration.path();
            error!("Failed to reload config_file={}: {why}", path.display());
        };
        if let Some(why) = configuration.refused().filter(|_| sighup) {
            return failed(why.to_owned());
        }
        if let Err(failure) = self.log.reload(&LogSettings::from(&settings.log)) {
            return failed(Causes(&failure).to_string());
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
        body.citus.reconfigure();
    }

    /// Certificates may be new without any change of the settings.
    async fn apply_to_rest(&mut self, body: &Body, settings: &Settings, failed: impl Fn(String)) {
        if let Err(failure) = body.rest.reload(&adapt::client(settings)) {
            failed(Causes(&failure).to_string());
        }
        if let Some(server) = &mut self.rest
            && let Err(failure) = server.reload(adapt::server(settings)).await
        {
            failed(why_not_served(&failure));
        }
    }
}

/// Why the REST server cannot be opened. The sentence about an address is the whole one that
/// operators know; all else is told to its cause.
pub(crate) fn why_not_served(failure: &BindError) -> String {
    match failure {
        BindError::Listen { .. } => failure.to_string(),
        other => Causes(other).to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_api::server::{Bound, Listen, ServerSettings, TlsSettings, VerifyClient};
    use patroni_api::tls::IdentityFiles;

    #[tokio::test]
    async fn a_missing_certificate_is_told_to_its_cause() {
        let identity = IdentityFiles {
            certfile: "/nowhere/a.pem".into(),
            keyfile: None,
            keyfile_password: None,
        };
        let mut settings = ServerSettings::new(Listen::parse("127.0.0.1:0").unwrap());
        settings.tls = Some(TlsSettings {
            identity,
            cafile: None,
            verify_client: VerifyClient::None,
            ciphers: None,
        });
        let failure = Bound::bind(settings).await.unwrap_err();
        let why = why_not_served(&failure);
        assert!(why.contains("/nowhere/a.pem"), "{why}");
        assert!(
            why.ends_with("No such file or directory (os error 2)"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn a_taken_address_has_its_known_sentence() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let settings = ServerSettings::new(Listen::parse(&address).unwrap());
        let failure = Bound::bind(settings).await.unwrap_err();
        assert_eq!(
            why_not_served(&failure),
            format!(
                "Couldn't start a service on '{address}', please check your `restapi.listen` configuration"
            )
        );
    }
}
