//! Starting the server.
//!
//! Source of the steps: the supervision contract, section 5.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::server::PendingParameter;
use patroni_core::{Role, State, Upstream, value};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::archive;
use crate::bootstrap::hba::trust_lines;
use crate::cancel::Cancel;
use crate::conf::files::Files;
use crate::conf::parameters::Parameters;
use crate::conf::recovery::Recovery;
use crate::connection::{Endpoint, Session};
use crate::directories;
use crate::launch::Launch;
use crate::obstacle;
use crate::pidfile::PidFile;
use crate::process::Postmaster;
use crate::programs;
use crate::supervisor::{Supervisor, blocking};

/// How to start.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// The role to start in; all but primary write recovery settings first.
    pub role: Role,
    /// Whom to follow.
    pub upstream: Upstream,
    /// How long to wait for connections; `None` is `pg_ctl_timeout`.
    pub timeout: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It accepts connections.
    Running,
    /// It runs and does not accept connections yet; later looks notice when it does.
    StillStarting,
    /// It ended, or could not be started: the reason.
    Failed(String),
    /// The request was cancelled.
    Cancelled,
}

/// How a server answers to a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It accepts connections (or refuses only this user).
    Ready,
    /// It is there and rejects connections.
    Rejecting,
    /// No answer.
    Silent,
}

impl Supervisor {
    /// Starts the server and waits until it accepts connections, ends, or the time is over.
    ///
    /// Not cancel safe: a future that is dropped half way leaves the server to itself; use
    /// `cancel` to stop waiting. A cancel before the process exists prevents it.
    pub async fn start(&self, request: StartRequest, cancel: &Cancel) -> StartOutcome {
        let _alone = self.inner().change.lock().await;
        self.close_connections();
        if self.is_alive() {
            error!("Cannot start PostgreSQL because one is already running.");
            self.enter_state(State::Starting);
            return StartOutcome::StillStarting;
        }
        self.forget_data();
        self.forget_stop();
        let state = if self.is_in_custom_bootstrap() {
            State::StartingAfterCustomBootstrap
        } else {
            State::Starting
        };
        // What a method made is a primary only when its recovery has ended.
        let role = if self.recovers_to_target() {
            Role::Replica
        } else {
            request.role
        };
        self.set_role(role);
        self.enter_state(state);
        {
            let mut conf = self.conf();
            conf.pending.clear();
            conf.outdated = false;
        }
        let launch = match self.prepare(&request).await {
            Ok(launch) => launch,
            Err(reason) => {
                error!("PostgreSQL was not started: {reason}");
                return self.start_failed(reason);
            }
        };
        if cancel.is_cancelled() {
            info!("PostgreSQL start cancelled.");
            self.set_state(State::StartFailed);
            return StartOutcome::Cancelled;
        }
        let started = blocking(move || Postmaster::open(launch.run()?)).await;
        match started {
            Ok(postmaster) => {
                info!("postmaster pid={}", postmaster.pid());
                self.remember(Some(postmaster));
            }
            Err(reason) => {
                let program = programs::program(&self.settings(), "postgres");
                error!("Failed to execute {}: {reason}", program.display());
                return self.start_failed(reason.to_string());
            }
        }
        self.wait_for_start(request.timeout, cancel).await
    }

    fn start_failed(&self, reason: String) -> StartOutcome {
        self.set_state(State::StartFailed);
        let obstacles = obstacle::of_a_start(&self.settings());
        for obstacle in &obstacles {
            error!("PostgreSQL cannot start: {obstacle}");
        }
        self.told().files = obstacles;
        StartOutcome::Failed(reason)
    }

    /// Writes everything that the server reads at its start.
    async fn prepare(&self, request: &StartRequest) -> Result<Launch, String> {
        let settings = self.settings();
        let version = self
            .full_version()
            .await
            .ok_or("PG_VERSION cannot be read")?;
        directories::ensure(&settings).map_err(|error| error.to_string())?;
        let primary = request.role == Role::Primary;
        if !primary {
            let recovery =
                Recovery::following(&settings, &self.facts(), &request.upstream, version);
            self.conf().recovery = Some(recovery);
        }
        let mut effective = self.server_parameters(primary);
        if self.promotes_itself() {
            effective.set("hot_standby", "off");
        }
        let custom = self.recovers_to_target();
        if !custom && !primary && effective.get("archive_mode").is_some_and(is_on) {
            archive::tell_of_gap(&settings.data_dir);
        }
        if custom || !primary {
            self.raise_to_control_file(&mut effective, version).await;
        }
        self.write_all(&effective, version, custom || !primary)
            .await
            .map_err(|error| format!("could not write the configuration: {error}"))?;
        Ok(launch(&settings, &effective))
    }

    /// The parameters of the server as they should be now.
    pub(crate) fn server_parameters(&self, primary: bool) -> Parameters {
        let sync_names = self.conf().sync_names.clone();
        let mut parameters = Parameters::of_server(
            &self.settings(),
            &self.facts(),
            &sync_names,
            primary,
            self.major_version(),
        );
        if self.is_in_custom_bootstrap() {
            // The access file of that time is always ours.
            parameters.remove("hba_file");
        }
        parameters
    }

    /// A standby must not have less of what its primary had when the WAL was written. Source:
    /// the configuration contract, section 6.7.
    async fn raise_to_control_file(&self, effective: &mut Parameters, version: u32) {
        let Some(items) = self.control_items().await else {
            return;
        };
        for (name, item, since) in CONTROL_SETTINGS {
            if version < since {
                continue;
            }
            let Some(there) = items.get(item).and_then(|text| text.parse::<i64>().ok()) else {
                warn!("{item} is missing from pg_controldata output");
                continue;
            };
            let Some(here) = effective.get(name).and_then(value::parse_int) else {
                continue;
            };
            if there > here {
                info!(
                    "{name} value in pg_controldata: {there}, in the global configuration: {here}. \
                     pg_controldata value will be used. Setting 'Pending restart' flag"
                );
                effective.set(name, Value::from(there));
                let pending = PendingParameter {
                    old_value: there.to_string(),
                    new_value: here.to_string(),
                };
                self.conf().pending.insert(name.to_owned(), pending);
            }
        }
    }

    /// Writes the main file, the access files and, for a standby, what makes it one.
    pub(crate) async fn write_all(
        &self,
        effective: &Parameters,
        version: u32,
        standby: bool,
    ) -> std::io::Result<()> {
        let text = self.render_main(effective, version).await;
        self.write_rendered(text, effective, version, standby).await
    }

    /// The same with a main file that has been rendered, which warns of what it leaves out or
    /// changes: a caller that has looked at it does not render it again.
    pub(crate) async fn write_rendered(
        &self,
        main: String,
        effective: &Parameters,
        version: u32,
        standby: bool,
    ) -> std::io::Result<()> {
        let (recovery, custom) = {
            let conf = self.conf();
            (conf.recovery.clone(), conf.custom.clone())
        };
        let settings = self.settings();
        let trusted = match &custom {
            Some(_) => Some(trust_lines(&settings).await),
            None => None,
        };
        let keep = custom.is_some_and(|custom| custom.keep_existing_recovery_conf);
        let effective = effective.clone();
        blocking(move || {
            let files = Files {
                settings: &settings,
                version,
            };
            files.write_main(&main)?;
            if !keep {
                files.clean_auto_conf();
            }
            if let Some(lines) = trusted {
                files.write_trust_hba(&lines)?;
            } else {
                files.end_trust(&effective)?;
                files.write_hba(&effective)?;
            }
            files.write_ident(&effective)?;
            if let Some(recovery) = recovery.filter(|_| standby) {
                files.write_recovery(&recovery)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn render_main(&self, effective: &Parameters, version: u32) -> String {
        let settings = self.settings();
        let files = Files {
            settings: &settings,
            version,
        };
        let described = if files.needs_description(effective) {
            self.described().await
        } else {
            Arc::default()
        };
        let accepted = files.accepted(effective, &self.facts(), &described);
        let recovery = self.conf().recovery.clone();
        files.render(&accepted, recovery.as_ref())
    }

    /// The names that the server itself knows.
    async fn described(&self) -> Arc<Vec<String>> {
        if let Some(known) = self.known().described.clone() {
            return known;
        }
        let arguments = [OsString::from("--describe-config")];
        let printed = programs::output(&self.settings(), "postgres", &arguments).await;
        let names: Vec<String> = printed
            .map(|output| {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.lines()
                    .filter_map(|line| Some(line.split('\t').next()?.to_owned()))
                    .collect()
            })
            .unwrap_or_default();
        let names = Arc::new(names);
        self.known().described = Some(Arc::clone(&names));
        names
    }

    async fn wait_for_start(&self, limit: Option<Duration>, cancel: &Cancel) -> StartOutcome {
        let begun = Instant::now();
        let patience = limit.unwrap_or_else(|| self.settings().pg_ctl_timeout);
        let mut pause = FIRST_PAUSE;
        let mut seen = Readiness::Silent;
        loop {
            if cancel.is_cancelled() {
                return StartOutcome::Cancelled;
            }
            if !self.is_alive() {
                if self.is_stopping() {
                    // Somebody stopped it on purpose and sets the state himself.
                    return StartOutcome::Cancelled;
                }
                error!("postmaster is not running");
                return self.start_failed("postmaster is not running".to_owned());
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                if seen == Readiness::Silent {
                    warn!("Timed out waiting for PostgreSQL to start");
                }
                return StartOutcome::StillStarting;
            }
            let answer = self.readiness(left.min(CONNECT)).await;
            if answer == Readiness::Ready {
                self.started().await;
                return StartOutcome::Running;
            }
            if answer != Readiness::Silent {
                seen = answer;
            }
            tokio::select! {
                () = sleep(pause.min(left)) => {}
                () = cancel.cancelled() => {}
                () = self.postmaster_exited() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The server accepts connections for the first time.
    pub(crate) async fn started(&self) {
        self.catch_up().await;
        self.set_state(State::Running);
        if !self.is_in_custom_bootstrap() {
            self.save_configuration_files().await;
        }
    }

    /// Keeps copies of the configuration files in the data directory.
    pub(crate) async fn save_configuration_files(&self) {
        let parameters = self.server_parameters(self.role() == Role::Primary);
        let settings = self.settings();
        let version = self.major_version().unwrap_or_default();
        // Copies that could not be made are logged by the one who makes them.
        let _ = blocking(move || {
            let files = Files {
                settings: &settings,
                version,
            };
            files.save_copies(&parameters);
            Ok(())
        })
        .await;
    }

    /// Brings back configuration files that a copy of another member lacks.
    pub async fn restore_configuration_files(&self) {
        let parameters = self.server_parameters(false);
        let settings = self.settings();
        let version = self.major_version().unwrap_or_default();
        let _ = blocking(move || {
            let files = Files {
                settings: &settings,
                version,
            };
            files.restore_copies(&parameters);
            Ok(())
        })
        .await;
    }

    /// How the server answers to a connection attempt of our own, made within `limit`.
    pub(crate) async fn readiness(&self, limit: Duration) -> Readiness {
        let endpoint = Endpoint::local(&self.settings(), "Patroni");
        let answer = Session::connect(&endpoint, limit).await;
        if self.has_no_port_yet() {
            return Readiness::Silent;
        }
        match answer {
            Ok(_) => Readiness::Ready,
            Err(error) if error.is_rejection() => Readiness::Rejecting,
            // A refusal for any other reason comes from a server that is up.
            Err(error) if error.came_from_server() => Readiness::Ready,
            Err(_) => Readiness::Silent,
        }
    }

    /// Whether our server, by its own pid file, cannot be the one that answers: one that found
    /// its port taken lives on for a moment, and whoever has the port answers in its place.
    pub(crate) fn has_no_port_yet(&self) -> bool {
        match PidFile::read(&self.data_dir()) {
            Ok(Some(file))
                if self
                    .major_version()
                    .is_none_or(|version| version >= 100_000) =>
            {
                matches!(file.status.as_str(), "" | "starting")
            }
            Ok(Some(_)) | Err(_) => false,
            Ok(None) => true,
        }
    }
}

/// `always` is another case: then a standby archives.
fn is_on(mode: &Value) -> bool {
    matches!(
        value::text(mode).to_ascii_lowercase().as_str(),
        "on" | "true" | "yes" | "1"
    )
}

/// The command line of the postmaster.
fn launch(settings: &Postgresql, effective: &Parameters) -> Launch {
    let files = Files {
        settings,
        version: 0,
    };
    let mut config_file = OsString::from("--config-file=");
    config_file.push(files.main());
    let mut arguments = vec![
        OsString::from("-D"),
        settings.data_dir.clone().into_os_string(),
        config_file,
    ];
    arguments.extend(effective.command_line().into_iter().map(OsString::from));
    let grandparent = Postmaster::impostor(&settings.data_dir);
    if let Some(pid) = grandparent {
        info!("Telling pg_ctl that it is safe to ignore postmaster.pid for process {pid}");
    }
    Launch {
        program: programs::program(settings, "postgres").into_os_string(),
        arguments,
        grandparent,
    }
}

/// Parameters whose value in the control file a standby must reach, with the item's name and the
/// version that brought it.
const CONTROL_SETTINGS: [(&str, &str, u32); 5] = [
    ("max_connections", "max_connections setting", 0),
    ("max_prepared_transactions", "max_prepared_xacts setting", 0),
    ("max_locks_per_transaction", "max_locks_per_xact setting", 0),
    (
        "max_worker_processes",
        "max_worker_processes setting",
        90_400,
    ),
    ("max_wal_senders", "max_wal_senders setting", 120_000),
];

/// A small server is up within some tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A server that replays WAL for minutes is not asked more often than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One connection attempt.
const CONNECT: Duration = Duration::from_secs(3);
