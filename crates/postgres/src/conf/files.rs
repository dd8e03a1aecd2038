//! The files of one server: names, rules for touching them, and the copies kept of them.
//!
//! Source of the rules: the configuration contract, section 6.8.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use patroni_config::file::Postgresql;
use patroni_core::value;
use serde_json::Value;
use tracing::{error, warn};

use super::auto_conf;
use super::guc;
use super::guc_table::{self, Lookup};
use super::parameters::{ClusterFacts, Parameters};
use super::recovery::{Purpose, Recovery};
use super::write::{self, PostgresqlConf};

/// The files of one server.
pub(crate) struct Files<'a> {
    pub(crate) settings: &'a Postgresql,
    /// `server_version_num` as far as it is known.
    pub(crate) version: u32,
}

impl Files<'_> {
    /// `postgresql.conf` (or what `config_base_name` makes of it).
    pub(crate) fn main(&self) -> PathBuf {
        self.in_config_dir(&format!("{}.conf", self.settings.config_base_name))
    }

    fn base_name(&self) -> String {
        format!("{}.base.conf", self.settings.config_base_name)
    }

    fn in_config_dir(&self, name: &str) -> PathBuf {
        self.settings.config_dir.join(name)
    }

    /// Whether a name that the table does not accept makes it worth asking the server.
    pub(crate) fn needs_description(&self, parameters: &Parameters) -> bool {
        parameters.iter().any(|(name, _)| {
            !name.contains('.')
                && !guc_table::is_recovery(name)
                && !matches!(guc_table::parameter(name, self.version), Lookup::Found(_))
        })
    }

    /// The accepted parameters, as they are written.
    pub(crate) fn accepted(
        &self,
        parameters: &Parameters,
        facts: &ClusterFacts,
        described: &[String],
    ) -> Vec<(String, Value)> {
        let known = |name: &str| {
            described
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        };
        let mut accepted: Vec<(String, Value)> = parameters
            .iter()
            .filter(|(name, _)| {
                !(facts.hot_standby_feedback && name.eq_ignore_ascii_case("hot_standby_feedback"))
            })
            .filter_map(|(name, given)| {
                let written = guc::accept(name, given, self.version, known)?;
                Some((name.to_owned(), written))
            })
            .collect();
        if facts.hot_standby_feedback {
            accepted.push(("hot_standby_feedback".to_owned(), Value::from("on")));
        }
        accepted
    }

    /// The text of `postgresql.conf`.
    pub(crate) fn render(
        &self,
        accepted: &[(String, Value)],
        recovery: Option<&Recovery>,
    ) -> String {
        let is_set = |name: &str| {
            accepted
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let hba = self.in_config_dir("pg_hba.conf");
        let ident = self.in_config_dir("pg_ident.conf");
        let base = self.base_name();
        let custom = self
            .settings
            .custom_conf
            .as_ref()
            .map(|path| path.to_string_lossy());
        PostgresqlConf {
            include: custom.as_deref().unwrap_or(&base),
            parameters: accepted,
            hba_file: (!is_set("hba_file")).then_some(hba.as_path()),
            ident_file: (!is_set("ident_file")).then_some(ident.as_path()),
            recovery: recovery
                .filter(|_| self.version >= 120_000)
                .map(|recovery| recovery.parameters.as_slice()),
        }
        .render()
    }

    /// Writes `postgresql.conf`; the first time the file that was there becomes the base.
    pub(crate) fn write_main(&self, text: &str) -> io::Result<()> {
        let (main, base) = (self.main(), self.in_config_dir(&self.base_name()));
        if self.settings.custom_conf.is_none() && !base.exists() {
            match fs::rename(&main, &base) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        write::write_file(&main, text, &self.settings.data_dir)
    }

    /// Takes recovery parameters out of `postgresql.auto.conf`, where they would win over ours. A
    /// failure does not stop a start: the value may be harmless.
    pub(crate) fn clean_auto_conf(&self) {
        if self.version < 120_000 {
            return;
        }
        let path = self.settings.data_dir.join("postgresql.auto.conf");
        let Ok(text) = fs::read_to_string(&path) else {
            return;
        };
        if let Some(clean) = auto_conf::without_recovery(&text)
            && let Err(cause) = write::write_file(&path, &clean, &self.settings.data_dir)
        {
            error!(
                "Failed to remove some unwanted parameters from {}: {cause}",
                path.display()
            );
        }
    }

    /// Writes `pg_hba.conf` when it is managed.
    pub(crate) fn write_hba(&self, parameters: &Parameters) -> io::Result<bool> {
        self.write_list("pg_hba.conf", "hba_file", &self.settings.pg_hba, parameters)
    }

    /// Writes the access file for the time after a custom bootstrap.
    pub(crate) fn write_trust_hba(&self, lines: &[String]) -> io::Result<()> {
        let path = self.in_config_dir("pg_hba.conf");
        let text = write::render_bootstrap_lines(lines);
        write::write_file(&path, &text, &self.settings.data_dir)
    }

    /// Whether the access file is the one for the time of a custom bootstrap. A file that cannot
    /// be read is not.
    pub(crate) fn has_trust_hba(&self) -> bool {
        is_trust_hba(&self.in_config_dir("pg_hba.conf"))
    }

    /// Puts the real access file where a custom bootstrap that never ended has left its own:
    /// without a password everybody on this machine is a superuser by it. `true` when it did.
    ///
    /// # Errors
    /// The file is neither managed nor elsewhere, and has no copy.
    pub(crate) fn end_trust(&self, parameters: &Parameters) -> io::Result<bool> {
        if !self.has_trust_hba() {
            return Ok(false);
        }
        let has_another = self.hba_copy().exists()
            || !self.settings.pg_hba.is_empty()
            || self.is_hba_relocated(parameters);
        if !has_another {
            return Err(io::Error::other(
                "pg_hba.conf was only for a custom bootstrap that did not end, and there is no \
                 pg_hba.conf.backup: set postgresql.pg_hba, or write a pg_hba.conf",
            ));
        }
        self.bring_back_hba()?;
        warn!("pg_hba.conf was only for a custom bootstrap that did not end: replaced it");
        Ok(true)
    }

    /// Replaces the access file by its copy; `false` when there is none, and then no file at all.
    pub(crate) fn bring_back_hba(&self) -> io::Result<bool> {
        let (path, data_dir) = (self.in_config_dir("pg_hba.conf"), &self.settings.data_dir);
        remove(&path)?;
        match fs::read_to_string(self.hba_copy()) {
            Ok(text) => write::write_file(&path, &text, data_dir).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn hba_copy(&self) -> PathBuf {
        self.settings.data_dir.join("pg_hba.conf.backup")
    }

    /// Writes `pg_ident.conf` when it is managed.
    pub(crate) fn write_ident(&self, parameters: &Parameters) -> io::Result<bool> {
        self.write_list(
            "pg_ident.conf",
            "ident_file",
            &self.settings.pg_ident,
            parameters,
        )
    }

    /// Whether the access file differs from the list, its comments aside.
    pub(crate) fn hba_differs(&self) -> bool {
        self.list_differs("pg_hba.conf", &self.settings.pg_hba)
    }

    /// The same for `pg_ident.conf`.
    pub(crate) fn ident_differs(&self) -> bool {
        self.list_differs("pg_ident.conf", &self.settings.pg_ident)
    }

    fn list_differs(&self, file: &str, lines: &[String]) -> bool {
        let text = fs::read_to_string(self.in_config_dir(file)).unwrap_or_default();
        text.lines()
            .skip(2)
            .ne(write::render_lines(lines).lines().skip(2))
    }

    fn write_list(
        &self,
        file: &str,
        parameter: &str,
        lines: &[String],
        parameters: &Parameters,
    ) -> io::Result<bool> {
        if lines.is_empty() || self.is_relocated(file, parameter, parameters) {
            return Ok(false);
        }
        let path = self.in_config_dir(file);
        write::write_file(&path, &write::render_lines(lines), &self.settings.data_dir)?;
        Ok(true)
    }

    fn is_relocated(&self, file: &str, parameter: &str, parameters: &Parameters) -> bool {
        parameters
            .get(parameter)
            .is_some_and(|path| Path::new(&value::text(path)) != self.in_config_dir(file))
    }

    /// Writes what tells the server to be a standby: the password file, and `recovery.conf` or
    /// the signal file.
    pub(crate) fn write_recovery(&self, recovery: &Recovery) -> io::Result<()> {
        let data_dir = &self.settings.data_dir;
        if let Some(pgpass) = &recovery.pgpass {
            pgpass.write(&self.settings.pgpass)?;
        }
        if self.version < 120_000 {
            let text = write::render_recovery_conf(&recovery.parameters);
            return write::write_file(&data_dir.join("recovery.conf"), &text, data_dir);
        }
        let (standby, target) = (
            data_dir.join("standby.signal"),
            data_dir.join("recovery.signal"),
        );
        let signal = match recovery.purpose {
            Purpose::Standby => standby,
            // The server would prefer the other file.
            Purpose::Target => {
                if standby.exists() {
                    fs::remove_file(&standby)?;
                }
                target
            }
        };
        if signal.exists() {
            return Ok(());
        }
        write::write_file(&signal, "", data_dir)
    }

    /// Removes everything that would make the server start in recovery.
    pub(crate) fn remove_recovery(&self) -> io::Result<()> {
        for name in ["recovery.conf", "recovery.signal", "standby.signal"] {
            remove(&self.settings.data_dir.join(name))?;
        }
        Ok(())
    }

    /// Removes the file by which an operator promotes a server before 16: one that came with
    /// copied data would promote the copy.
    pub(crate) fn remove_trigger_file(&self) -> io::Result<()> {
        if self.version >= 160_000 {
            return Ok(());
        }
        let name = if self.version < 120_000 {
            "trigger_file"
        } else {
            "promote_trigger_file"
        };
        let configured = self
            .settings
            .recovery_conf
            .get(name)
            .and_then(Value::as_str);
        let file = configured.unwrap_or("promote");
        remove(&self.settings.data_dir.join(file))
    }

    /// Whether the operator has the access file elsewhere.
    pub(crate) fn is_hba_relocated(&self, parameters: &Parameters) -> bool {
        self.is_relocated("pg_hba.conf", "hba_file", parameters)
    }

    /// Keeps copies of the files in the data directory, from which a clone is completed.
    pub(crate) fn save_copies(&self, parameters: &Parameters) {
        let result = self
            .copies(parameters)
            .into_iter()
            .try_for_each(|(file, copy)| {
                if !file.exists() || is_trust_hba(&file) {
                    return Ok(());
                }
                let text = fs::read_to_string(&file)?;
                write::write_file(&copy, &text, &self.settings.data_dir)
            });
        if let Err(cause) = result {
            error!("unable to create backup copies of configuration files: {cause}");
        }
    }

    /// Brings back files that are missing from their copies.
    pub(crate) fn restore_copies(&self, parameters: &Parameters) {
        let result = self
            .copies(parameters)
            .into_iter()
            .try_for_each(|(file, copy)| {
                if file.exists() {
                    return Ok(());
                }
                let text = match fs::read_to_string(&copy) {
                    Ok(text) => text,
                    Err(_) if file.ends_with("pg_ident.conf") => String::new(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(error),
                };
                write::write_file(&file, &text, &self.settings.data_dir)
            });
        if let Err(cause) = result {
            error!("unable to restore configuration files from backup: {cause}");
        }
    }

    fn copies(&self, parameters: &Parameters) -> Vec<(PathBuf, PathBuf)> {
        let mut names = vec![format!("{}.conf", self.settings.config_base_name)];
        if self.settings.custom_conf.is_none() {
            names.push(self.base_name());
        }
        for (file, parameter) in [("pg_hba.conf", "hba_file"), ("pg_ident.conf", "ident_file")] {
            if !self.is_relocated(file, parameter, parameters) {
                names.push(file.to_owned());
            }
        }
        names
            .into_iter()
            .map(|name| {
                let copy = self.settings.data_dir.join(format!("{name}.backup"));
                (self.in_config_dir(&name), copy)
            })
            .collect()
    }
}

fn is_trust_hba(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(write::BOOTSTRAP_HEADER))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
