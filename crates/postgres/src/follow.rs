//! Following a source: comparing and rewriting recovery settings of a running standby.
//!
//! Source of the rules: the supervision contract, section 11.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use patroni_core::Upstream;
use patroni_core::server::WalReceiver;
use serde_json::Value;
use tracing::{debug, info};

use crate::conf::recovery::Recovery;
use crate::conf::units;
use crate::connection::{Named, QueryError, quote_literal};
use crate::conninfo::ConnInfo;
use crate::data_dir;
use crate::supervisor::Supervisor;

/// What following somebody needs, compared with what is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecoveryChange {
    /// Nothing.
    Same,
    /// Writing the settings and a reload.
    Reload,
    /// Writing the settings and a restart.
    Restart,
}

/// A row of `pg_settings`.
struct Current {
    setting: String,
    unit: Option<String>,
    needs_restart: bool,
    /// It comes from a file that is neither ours nor `ALTER SYSTEM`'s.
    foreign: bool,
}

impl Supervisor {
    /// Compares the recovery settings in effect with those for following `upstream`. A server
    /// that gives no answer in two seconds, or does not let us in, is left as it is until it does.
    pub async fn compare_recovery(&self, upstream: &Upstream) -> RecoveryChange {
        let settings = self.settings();
        if !data_dir::has_recovery_signal(&settings.data_dir, self.major_version()) {
            return RecoveryChange::Restart;
        }
        let Some(version) = self.full_version().await else {
            return RecoveryChange::Same;
        };
        let wanted = Recovery::following(&settings, &self.facts(), upstream, version);
        if version < 120_000 {
            let path = settings.data_dir.join("recovery.conf");
            return compare_file(&path, &wanted);
        }
        let receiver = self
            .cached_status()
            .and_then(|cached| cached.status.receiver);
        match self.recovery_in_effect().await {
            Ok(current) => compare(&current, &wanted, receiver.as_ref(), version),
            // Somebody who is not let in learns nothing by a restart either.
            Err(error @ QueryError::Sql { .. }) if !error.is_access_refusal() => {
                debug!("could not read the recovery settings in effect: {error}");
                RecoveryChange::Restart
            }
            Err(error) => {
                debug!("the recovery settings in effect are not known: {error}");
                RecoveryChange::Same
            }
        }
    }

    async fn recovery_in_effect(&self) -> Result<BTreeMap<String, Current>, QueryError> {
        let names: Vec<String> = COMPARED.iter().map(|name| quote_literal(name)).collect();
        let sql = format!(
            "SELECT name, setting, unit, context, sourcefile FROM pg_settings WHERE name IN ({})",
            names.join(", ")
        );
        let rows = self.query(Named::Heartbeat, &sql, LIMIT).await?;
        let ours = format!("{}.conf", self.settings().config_base_name);
        let foreign = |path: &str| {
            let name = Path::new(path).file_name().unwrap_or_default();
            name != ours.as_str() && name != "postgresql.auto.conf"
        };
        Ok(rows
            .iter()
            .filter_map(|row| {
                let current = Current {
                    setting: row.get(1)?.to_owned(),
                    unit: row.get(2).map(str::to_owned),
                    needs_restart: row.get(3) == Some("postmaster"),
                    foreign: row.get(4).is_some_and(foreign),
                };
                Some((row.get(0)?.to_owned(), current))
            })
            .collect())
    }

    /// Writes the settings for following `upstream`, the password file and the signal file. The
    /// caller reloads or restarts.
    ///
    /// # Errors
    /// Any of the system.
    pub async fn write_recovery(&self, upstream: &Upstream) -> std::io::Result<()> {
        let version = self
            .full_version()
            .await
            .ok_or_else(|| std::io::Error::other("the server's version is not known"))?;
        let recovery = Recovery::following(&self.settings(), &self.facts(), upstream, version);
        self.conf().recovery = Some(recovery);
        let parameters = self.server_parameters(false);
        self.write_all(&parameters, version, true).await
    }

    /// Lets a standby go on that paused its replay because a parameter had become smaller.
    /// Servers before 14 stop instead, and are left alone.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn resume_replay(&self) -> Result<(), QueryError> {
        if self.major_version().is_none_or(|version| version < 140_000) {
            return Ok(());
        }
        info!("Resuming paused WAL replay for PostgreSQL 14+");
        self.query(Named::Heartbeat, "SELECT pg_wal_replay_resume()", LIMIT)
            .await?;
        Ok(())
    }
}

fn compare(
    current: &BTreeMap<String, Current>,
    wanted: &Recovery,
    receiver: Option<&WalReceiver>,
    version: u32,
) -> RecoveryChange {
    let mut change = RecoveryChange::Same;
    for (name, row) in current {
        let target = wanted.get(name);
        if target.is_none() && row.foreign && LEFT_ALONE.contains(&name.as_str()) {
            continue;
        }
        let target = target.unwrap_or_default();
        let same = match name.as_str() {
            "primary_conninfo" => same_conninfo(&row.setting, wanted, receiver, version),
            "primary_slot_name" if wanted.conninfo.is_none() => true,
            "primary_slot_name" => {
                let used = receiver
                    .map(|receiver| receiver.slot_name.as_ref().map_or("", |name| name.as_str()));
                used.unwrap_or(&row.setting) == target
            }
            "recovery_min_apply_delay" => {
                let target = if target.is_empty() { "0" } else { &target };
                units::equal(
                    "integer",
                    row.unit.as_deref(),
                    &row.setting,
                    &Value::from(target),
                )
            }
            _ => row.setting == target,
        };
        if !same {
            debug!("recovery setting {name} differs");
            change = change.max(if row.needs_restart {
                RecoveryChange::Restart
            } else {
                RecoveryChange::Reload
            });
        }
    }
    change
}

/// Only what is wanted is compared: more in the current value does no harm.
fn same_conninfo(
    setting: &str,
    wanted: &Recovery,
    receiver: Option<&WalReceiver>,
    version: u32,
) -> bool {
    let Some(target) = &wanted.conninfo else {
        return setting.is_empty();
    };
    let Some(mut current) = ConnInfo::parse(setting) else {
        return false;
    };
    // The connection in use tells more than the setting, but the server masks these two.
    if let Some(used) = receiver.and_then(|receiver| ConnInfo::parse(&receiver.conninfo)) {
        let mut used = used;
        for keyword in ["dbname", "password"] {
            used.remove(keyword);
            used.set(keyword, current.get(keyword).map(str::to_owned));
        }
        current = used;
    }
    current.set_defaults(version);
    target.items().all(|(keyword, item)| match keyword {
        "dbname" if version < 170_000 => true,
        "passfile" => {
            let file = current.get("passfile");
            wanted.pgpass.as_ref().is_some_and(|pgpass| {
                file.is_some_and(|file| pgpass.is_in(Path::new(file)))
                    || current.get("password") == Some(pgpass.password.expose())
            })
        }
        _ => current.get(keyword) == Some(item),
    })
}

/// Before 12 the file is all there is to compare, and every change needs a restart.
fn compare_file(path: &Path, wanted: &Recovery) -> RecoveryChange {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let current: BTreeMap<&str, String> = text
        .lines()
        .filter_map(|line| {
            let (name, given) = line.split_once('=')?;
            let given = given
                .trim()
                .trim_matches('\'')
                .replace("''", "'")
                .replace("\\\\", "\\");
            Some((name.trim(), given))
        })
        .filter(|(name, _)| !name.starts_with('#'))
        .collect();
    let names = COMPARED.iter().chain(&["trigger_file", "standby_mode"]);
    let same = names.into_iter().all(|name| {
        current.get(name).map_or("", String::as_str) == wanted.get(name).unwrap_or_default()
    });
    if same {
        RecoveryChange::Same
    } else {
        RecoveryChange::Restart
    }
}

const LIMIT: Duration = Duration::from_secs(2);

/// What is compared; how a recovery target is treated when it is reached, is not.
const COMPARED: [&str; 13] = [
    "archive_cleanup_command",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];

/// Left alone when they come from an operator's own file and we have no value for them.
const LEFT_ALONE: [&str; 5] = [
    "archive_cleanup_command",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "restore_command",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(setting: &str, needs_restart: bool) -> Current {
        Current {
            setting: setting.to_owned(),
            unit: None,
            needs_restart,
            foreign: false,
        }
    }

    fn wanted(conninfo: &str) -> Recovery {
        Recovery {
            parameters: vec![("primary_slot_name".to_owned(), Value::from("a2"))],
            conninfo: ConnInfo::parse(conninfo),
            ..Recovery::default()
        }
    }

    #[test]
    fn only_wanted_items_count() {
        let target = wanted("user=r host=h port=1 sslmode=prefer");
        for (setting, same) in [
            ("user=r host=h port=1 extra=x", true),
            ("user=r host=other port=1", false),
            ("postgres://h", false),
        ] {
            assert_eq!(
                same_conninfo(setting, &target, None, 150_000),
                same,
                "{setting}"
            );
        }
        let nobody = Recovery::default();
        assert!(same_conninfo("", &nobody, None, 150_000));
        assert!(!same_conninfo("host=h", &nobody, None, 150_000));
    }

    #[test]
    fn the_receiver_s_connection_goes_before_the_setting() {
        let target = wanted("user=r host=h port=1");
        let receiver = WalReceiver {
            status: "streaming".to_owned(),
            slot_name: None,
            conninfo: "user=r host=old port=1 dbname=replication password=********".to_owned(),
        };
        assert!(!same_conninfo(
            "user=r host=h port=1",
            &target,
            Some(&receiver),
            150_000
        ));
        let mut current = BTreeMap::new();
        current.insert("primary_slot_name".to_owned(), row("a2", false));
        assert_eq!(
            compare(&current, &target, None, 150_000),
            RecoveryChange::Same
        );
        assert_eq!(
            compare(&current, &target, Some(&receiver), 150_000),
            RecoveryChange::Reload
        );
    }

    #[test]
    fn the_context_decides_between_reload_and_restart() {
        let mut current = BTreeMap::new();
        current.insert("restore_command".to_owned(), row("old", true));
        assert_eq!(
            compare(&current, &Recovery::default(), None, 130_000),
            RecoveryChange::Restart
        );
        current.insert("restore_command".to_owned(), row("", true));
        assert_eq!(
            compare(&current, &Recovery::default(), None, 130_000),
            RecoveryChange::Same
        );
        let mut foreign = row("cp", false);
        foreign.foreign = true;
        current.insert("restore_command".to_owned(), foreign);
        assert_eq!(
            compare(&current, &Recovery::default(), None, 150_000),
            RecoveryChange::Same
        );
    }
}
