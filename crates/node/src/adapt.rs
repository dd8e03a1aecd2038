//! From settings to what the other crates want to be told.

use patroni_api::client::{ClientSettings, Verification};
use patroni_api::server::{
    Credentials, Listen, ServerSettings, ServerTokens, TlsSettings, VerifyClient,
};
use patroni_api::tls::IdentityFiles;
use patroni_config::Settings;
use patroni_config::file::restapi;
use patroni_config::file::watchdog::{WatchdogDriver, WatchdogMode};
use patroni_postgres::ClusterFacts;
use patroni_watchdog::{Timing, WatchdogSettings};

use crate::publish::Addresses;

/// The REST server of these settings.
pub(crate) fn server(settings: &Settings) -> ServerSettings {
    let section = &settings.restapi;
    let host = Some(section.listen.host.clone()).filter(|host| !host.is_empty() && host != "*");
    let mut server = ServerSettings::new(Listen {
        host,
        port: section.listen.port,
    });
    server.backlog = section.request_queue_size.max(128);
    server.credentials = section.auth.as_ref().map(|auth| Credentials {
        username: auth.username.clone(),
        password: auth.password.clone(),
    });
    let verify_client = match &section.verify_client {
        restapi::VerifyClient::None => VerifyClient::None,
        restapi::VerifyClient::Optional => VerifyClient::Optional,
        restapi::VerifyClient::Required => VerifyClient::Required,
        restapi::VerifyClient::Unknown(text) => {
            tracing::error!("Bad value in the \"restapi.verify_client\": {text}");
            VerifyClient::None
        }
    };
    server.tls = section.certfile.as_ref().map(|certfile| TlsSettings {
        identity: IdentityFiles {
            certfile: certfile.clone(),
            keyfile: section.keyfile.clone(),
            keyfile_password: section.keyfile_password.clone(),
        },
        cafile: section.cafile.clone(),
        verify_client,
        ciphers: section.ciphers.clone().filter(|list| !list.is_empty()),
    });
    server.allowlist.clone_from(&section.allowlist);
    server.allowlist_include_members = section.allowlist_include_members;
    server.http_headers = section.http_extra_headers.clone().into_iter().collect();
    server.https_headers = section.https_extra_headers.clone().into_iter().collect();
    server.server_tokens = match section.server_tokens {
        restapi::ServerTokens::Original => ServerTokens::Original,
        restapi::ServerTokens::ProductOnly => ServerTokens::ProductOnly,
        restapi::ServerTokens::Minimal => ServerTokens::Minimal,
    };
    server.ui = section.ui;
    server
}

/// The client for calls to other nodes: their certificates are not verified, unless we show one
/// of our own; then the chain is.
pub(crate) fn client(settings: &Settings) -> ClientSettings {
    let (ctl, restapi) = (&settings.ctl, &settings.restapi);
    let auth = ctl.auth.as_ref().or(restapi.auth.as_ref());
    let identity = ctl.certfile.as_ref().map(|certfile| IdentityFiles {
        certfile: certfile.clone(),
        keyfile: ctl.keyfile.clone(),
        keyfile_password: ctl.keyfile_password.clone(),
    });
    ClientSettings {
        credentials: auth.map(|auth| (auth.username.clone(), auth.password.clone())),
        verification: if identity.is_some() {
            Verification::Chain
        } else {
            Verification::None
        },
        identity,
        cacert: ctl.cacert.clone().or_else(|| restapi.cafile.clone()),
    }
}

/// What PostgreSQL's files must know of the cluster.
pub(crate) fn cluster_facts(settings: &Settings) -> ClusterFacts {
    ClusterFacts {
        synchronous: settings.dynamic.is_synchronous(),
        strict: settings.dynamic.synchronous_mode_strict,
        standby_cluster: settings.dynamic.standby_cluster.clone(),
        hot_standby_feedback: false,
        nostream: settings.tags.nostream(),
    }
}

impl Addresses {
    /// The addresses that these settings publish.
    pub(crate) fn of(settings: &Settings) -> Self {
        let postgresql = &settings.postgresql;
        Self {
            conn_url: postgresql.conn_url(),
            api_url: settings.restapi.api_url(),
            proxy_url: postgresql
                .proxy_address
                .as_ref()
                .map(|address| postgresql.url(address)),
        }
    }
}

/// The watchdog of these settings.
pub(crate) fn watchdog(settings: &Settings) -> (WatchdogSettings, Timing) {
    let section = &settings.watchdog;
    let watchdog = WatchdogSettings {
        mode: match section.mode {
            WatchdogMode::Off => patroni_watchdog::Mode::Off,
            WatchdogMode::Automatic => patroni_watchdog::Mode::Automatic,
            WatchdogMode::Required => patroni_watchdog::Mode::Required,
        },
        device: section.device.clone(),
        safety_margin: section.safety_margin,
        driver: match section.driver {
            WatchdogDriver::Default => patroni_watchdog::Driver::Linux,
            WatchdogDriver::Testing => patroni_watchdog::Driver::Testing,
        },
    };
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let timing = Timing {
        ttl: seconds(settings.dynamic.ttl),
        loop_wait: seconds(settings.dynamic.loop_wait),
    };
    (watchdog, timing)
}
