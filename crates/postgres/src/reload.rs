//! New settings for a running server.
//!
//! Source of the steps: the configuration contract, section 6.6.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::Role;
use patroni_core::server::PendingParameter;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::conf::files::Files;
use crate::conf::guc_table;
use crate::conf::parameters::Parameters;
use crate::conf::pending;
use crate::conf::units;
use crate::connection::Named;
use crate::process::Postmaster;
use crate::programs;
use crate::supervisor::Supervisor;

/// What new settings led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// The sentences about changed parameters, logged already.
    pub changed: Vec<String>,
    /// Parameters that wait for a restart.
    pub pending_restart: BTreeMap<String, PendingParameter>,
    /// The server was told to reload: the callback `on_reload` is due.
    pub reloaded: bool,
}

impl Supervisor {
    /// Tells the postmaster to read its configuration again.
    ///
    /// # Errors
    /// None runs, or the signal was refused.
    #[expect(
        clippy::unused_async,
        reason = "callers need not know that a signal is enough"
    )]
    pub async fn reload(&self) -> io::Result<()> {
        let postmaster = self.postmaster()?.ok_or(io::ErrorKind::NotFound)?;
        postmaster.signal(Signal::HUP)
    }

    /// Takes new settings into effect: compares them with the running server, writes what
    /// changed, and reloads. `sighup` writes and reloads in any case. While nothing runs, only
    /// the settings are kept for the next start; a start that is under way has them as soon as
    /// the server accepts connections.
    pub async fn apply_settings(&self, new: Postgresql, sighup: bool) -> ReloadReport {
        let access_changed = {
            let old = self.settings();
            old.pg_hba != new.pg_hba || old.pg_ident != new.pg_ident
        };
        self.replace_settings(Arc::new(new));
        self.known().described = None;
        if self.is_in_custom_bootstrap() {
            info!("Skipping PostgreSQL configuration update while in custom bootstrap.");
            return ReloadReport::default();
        }
        if !self.has_read_its_files() {
            self.conf().outdated = self.state().is_starting();
            return ReloadReport::default();
        }
        match self.compare_and_write(sighup, access_changed).await {
            Ok(report) => report,
            Err(reason) => {
                error!("could not take the new PostgreSQL configuration into effect: {reason}");
                ReloadReport::default()
            }
        }
    }

    /// Whether a server runs that a reload reaches. A process that has not written its pid file
    /// yet has perhaps no handler for the signal, and would die of it.
    fn has_read_its_files(&self) -> bool {
        let data_dir = self.settings().data_dir.clone();
        matches!(Postmaster::recognise(&data_dir), Ok(Some(_)))
    }

    /// Brings settings into effect that came while the server was being started.
    pub(crate) async fn catch_up(&self) {
        if !std::mem::take(&mut self.conf().outdated) {
            return;
        }
        match self.compare_and_write(true, true).await {
            Ok(report) => self.conf().unreported_reload |= report.reloaded,
            Err(reason) => {
                error!("could not take the new PostgreSQL configuration into effect: {reason}");
            }
        }
    }

    async fn compare_and_write(
        &self,
        sighup: bool,
        access_changed: bool,
    ) -> io::Result<ReloadReport> {
        let version = self
            .full_version()
            .await
            .ok_or_else(|| io::Error::other("the server's version is not known"))?;
        let parameters = self.server_parameters(self.role() == Role::Primary);
        let text = self.render_main(&parameters, version).await;
        let settings = self.settings();
        let main = Files {
            settings: &settings,
            version,
        }
        .main();
        let before = std::fs::read_to_string(&main).unwrap_or_default();
        let now = pending::read_back(&text);
        let is_compared = |line: &(String, String)| !is_default_path(line, &parameters, &now);
        let mut before_values = pending::read_back(&before);
        before_values.retain(is_compared);
        let accepted: Vec<_> = now
            .iter()
            .filter(|line| is_compared(line))
            .map(|(name, given)| (name.clone(), given.as_str().into()))
            .collect();
        let found = match self.query(Named::Heartbeat, pending::SETTINGS, LIMIT).await {
            Ok(rows) => pending::differences(&accepted, &before_values, &rows),
            Err(reason) => {
                warn!("Exception {reason} when running query");
                pending::Differences {
                    pending: self.pending_restart(),
                    ..pending::Differences::default()
                }
            }
        };
        for sentence in &found.sentences {
            info!("{sentence}");
        }
        warn_of_unknown(&parameters, &now, version);
        // Comments are not compared: the file may be the reference's own.
        let body = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        let conf_changed = body(&text) != body(&before);
        let write_access = access_changed || sighup;
        if !(conf_changed || write_access) {
            info!("No PostgreSQL configuration items changed, nothing to reload.");
            self.conf().pending.clone_from(&found.pending);
            return Ok(ReloadReport {
                changed: found.sentences,
                pending_restart: found.pending,
                reloaded: false,
            });
        }
        if conf_changed || sighup {
            self.write_rendered(text, &parameters, version, false)
                .await?;
        }
        if write_access {
            self.write_access_files(true).await?;
        }
        info!("Reloading PostgreSQL configuration.");
        self.reload().await?;
        let waiting = if version >= 90_500 {
            self.pending_after_reload(&found.pending).await
        } else {
            found.pending
        };
        self.conf().pending.clone_from(&waiting);
        Ok(ReloadReport {
            changed: found.sentences,
            pending_restart: waiting,
            reloaded: true,
        })
    }

    /// What the server itself says waits for a restart, once the reload has taken effect: when
    /// it has seen everything that we expect, or after a second.
    async fn pending_after_reload(
        &self,
        expected: &BTreeMap<String, PendingParameter>,
    ) -> BTreeMap<String, PendingParameter> {
        let begun = Instant::now();
        let mut said = None;
        while begun.elapsed() < SETTLE {
            sleep(STEP).await;
            match self.query(Named::Heartbeat, PENDING, LIMIT).await {
                Ok(rows) => said = Some(rows),
                Err(reason) => {
                    warn!("Exception {reason} when running query");
                    break;
                }
            }
            let has = |name: &String| {
                said.iter()
                    .flatten()
                    .any(|row| row.get(0).is_some_and(|n| n.eq_ignore_ascii_case(name)))
            };
            if !expected.is_empty() && expected.keys().all(has) {
                break;
            }
        }
        let Some(rows) = said else {
            return expected.clone();
        };
        let mut pending = BTreeMap::new();
        for row in rows {
            let (Some(name), Some(old), Some(vartype)) = (row.get(0), row.get(1), row.get(3))
            else {
                continue;
            };
            let unit = row.get(2);
            let future = self.configured(name).await;
            let parameter = PendingParameter {
                old_value: units::human(old, vartype, unit),
                new_value: future.map_or_else(
                    || "?".to_owned(),
                    |text| {
                        let plain = units::parse_int(&text.as_str().into(), unit)
                            .filter(|_| vartype == "integer")
                            .map_or(text, |number| number.to_string());
                        units::human(&plain, vartype, unit)
                    },
                ),
            };
            pending.insert(name.to_owned(), parameter);
        }
        let bypassed: Vec<&str> = pending
            .keys()
            .filter(|name| {
                !expected
                    .keys()
                    .any(|known| known.eq_ignore_ascii_case(name))
            })
            .map(String::as_str)
            .collect();
        if !bypassed.is_empty() {
            info!(
                "PostgreSQL configuration parameters requiring restart ({}) seem to be changed \
                 bypassing Patroni config. Setting 'Pending restart' flag",
                bypassed.join(", ")
            );
        }
        pending
    }

    /// The value that a parameter will have after a restart.
    async fn configured(&self, name: &str) -> Option<String> {
        let settings = self.settings();
        let main = Files {
            settings: &settings,
            version: 0,
        }
        .main();
        let mut config_file = OsString::from("--config-file=");
        config_file.push(main);
        let arguments = [
            OsString::from("-D"),
            settings.data_dir.clone().into_os_string(),
            OsString::from("-C"),
            OsString::from(name),
            config_file,
        ];
        let output = programs::output(&settings, "postgres", &arguments)
            .await
            .ok()?;
        output.status.success().then(|| {
            String::from_utf8_lossy(&output.stdout)
                .trim_end_matches('\n')
                .to_owned()
        })
    }
}

/// A line that we add ourselves, where the operator says nothing of the file.
fn is_default_path(
    line: &(String, String),
    parameters: &Parameters,
    now: &[(String, String)],
) -> bool {
    matches!(line.0.as_str(), "hba_file" | "ident_file")
        && parameters.get(&line.0).is_none()
        && now.contains(line)
}

/// Warns of names that did not pass, neither by the table nor by the server's own list.
fn warn_of_unknown(parameters: &Parameters, written: &[(String, String)], version: u32) {
    for name in unknown(parameters, written, version) {
        warn!("Removing invalid parameter `{name}` from postgresql.parameters");
    }
}

/// What is neither written nor a parameter of this version. Where it is one, its value did not
/// pass, and that was said already.
fn unknown<'p>(
    parameters: &'p Parameters,
    written: &[(String, String)],
    version: u32,
) -> impl Iterator<Item = &'p str> {
    let names = parameters.iter().map(|(name, _)| name);
    names.filter(move |name| {
        let is_written = |(known, _): &(String, String)| known.eq_ignore_ascii_case(name);
        let is_known = matches!(
            guc_table::parameter(name, version),
            guc_table::Lookup::Found(_)
        );
        !written.iter().any(is_written) && !is_known && !guc_table::is_recovery(name)
    })
}

const PENDING: &str = "SELECT name, setting, unit, vartype FROM pg_settings WHERE pending_restart";

const LIMIT: Duration = Duration::from_secs(2);

/// How long a reload may take to be seen.
const SETTLE: Duration = Duration::from_secs(1);

const STEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, given: &str) -> (String, String) {
        (name.to_owned(), given.to_owned())
    }

    #[test]
    fn a_bad_value_makes_no_parameter_unknown() {
        let mut parameters = Parameters::default();
        for name in ["bonjour", "no_such_name", "work_mem", "restore_command"] {
            parameters.set(name, "x");
        }
        let written = [pair("Work_mem", "x")];
        let found: Vec<&str> = unknown(&parameters, &written, 150_000).collect();
        assert_eq!(found, ["no_such_name"]);
    }

    #[test]
    fn the_path_of_an_access_file_is_compared_when_somebody_chose_it() {
        let mut parameters = Parameters::default();
        let (ours, theirs) = (pair("hba_file", "/d/hba"), pair("hba_file", "/x"));
        let now = [ours.clone()];
        assert!(is_default_path(&ours, &parameters, &now));
        assert!(!is_default_path(&theirs, &parameters, &now));
        parameters.set("hba_file", "/d/hba");
        assert!(!is_default_path(&ours, &parameters, &now));
    }
}
