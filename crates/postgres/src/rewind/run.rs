//! Running `pg_rewind`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::value;

use super::aside::Aside;
use super::inspect::is_in_recovery;
use super::mark;
use crate::archive;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::{Command, CommandOutcome};
use crate::configured::{config_file, configured};
use crate::replication::{ConnectionError, Session, Target, within};
use patroni_core::Causes;

/// A rewind to be done. The local server must be stopped.
#[derive(Debug)]
pub struct RewindRequest<'a> {
    /// Settings of the local server.
    pub settings: &'a Postgresql,
    /// Its programs.
    pub binaries: &'a Binaries,
    /// Major version of the data directory (15 is 150000).
    pub version: u32,
    /// The leader's name.
    pub leader: &'a str,
    /// The leader with the credentials for rewind, asking for a session that can write.
    pub target: &'a Target,
    /// The same as libpq text without a password.
    pub conninfo: &'a str,
    /// The file with the password, when there is one.
    pub pgpass: Option<PathBuf>,
    /// What is known of the leader's checkpoint.
    pub readiness: LeaderReadiness,
    /// How the local data parted from the leader's history.
    pub parting: Parting,
    /// Bound of each question to the leader.
    pub limit: Duration,
}

/// Whether the leader's control file is on its new timeline. Before that `pg_rewind` would take
/// the old timeline for the leader's and do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderReadiness {
    /// Its member key says so.
    Checkpointed,
    /// Its member key says that the checkpoint is still running.
    Waiting,
    /// It does not say (a remote, or old software): ask it.
    Unknown {
        /// The credentials are the superuser's: just run a checkpoint there.
        may_checkpoint: bool,
    },
}

/// How the local data parted from the leader's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Their timelines have numbers of their own.
    Plain,
    /// One number stands for two timelines: the local WAL files of that timeline are not to be
    /// archived.
    Fork,
    /// The same, and both sides are on such a timeline now.
    SameNumber,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewindOutcome {
    /// The data directory follows the leader's history now.
    Success,
    /// `pg_rewind` failed. Whether the data directory is still usable is for the control file to
    /// say.
    Failed {
        /// The leader is there and takes writes, so it was not its fault.
        leader_healthy: bool,
    },
    /// Nothing was changed; try again later.
    NotYet(NotYet),
}

/// Why a rewind did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotYet {
    /// The leader has not finished the checkpoint after its promotion.
    #[error("the leader has not finished the checkpoint after its promotion")]
    Waiting,
    /// The leader is in recovery.
    #[error("is_in_recovery=true")]
    InRecovery,
    /// The leader's control file is on the old timeline.
    #[error("leader has not run a checkpoint yet")]
    NotCheckpointed,
    /// The leader does not answer.
    #[error("not accessible or not healthy")]
    NotAccessible,
    /// The task was cancelled before anything was changed.
    #[error("cancelled")]
    Cancelled,
}

/// A checkpoint of a busy server may take long, but not for ever.
const CHECKPOINT_LIMIT: Duration = Duration::from_mins(10);

/// Whether `pg_rewind` is there and can be run.
pub async fn can_execute(binaries: &Binaries) -> bool {
    Command::new(binaries.binary("pg_rewind"))
        .arg("--help")
        .capture()
        .deadline(Duration::from_secs(10))
        .run(&Cancel::new())
        .await
        .is_ok_and(|outcome| outcome.is_success())
}

/// Rewinds the stopped local server to the leader (supervision contract, section 14.5, steps 2
/// to 8): archives ready WAL, checks the leader, runs `pg_rewind`, and fetches WAL that it
/// misses from the archive.
///
/// Must not be dropped half way; raise `cancel` instead.
pub async fn run(request: &RewindRequest<'_>, cancel: &Cancel) -> RewindOutcome {
    if request.parting == Parting::Plain {
        archive::archive_ready(request.settings, request.binaries, cancel).await;
    }
    if cancel.is_cancelled() {
        return RewindOutcome::NotYet(NotYet::Cancelled);
    }
    if let Err(reason) = request.leader_is_ready().await {
        match reason {
            NotYet::Waiting => {
                tracing::info!("Waiting for checkpoint on {} before rewind", request.leader);
            }
            NotYet::InRecovery
            | NotYet::NotCheckpointed
            | NotYet::NotAccessible
            | NotYet::Cancelled => {
                tracing::warn!("Can not use {} for rewind: {reason}", request.leader);
            }
        }
        return RewindOutcome::NotYet(reason);
    }
    if request.step_aside_and_rewind(cancel).await {
        if request.version < 110_000 {
            empty(&request.settings.data_dir.join("pg_replslot"));
        }
        request.move_wal().await;
        return RewindOutcome::Success;
    }
    if cancel.is_cancelled() {
        return RewindOutcome::Failed {
            leader_healthy: false,
        };
    }
    let answer = is_in_recovery(request.target, request.limit).await;
    let leader_healthy = matches!(answer, Ok(false));
    if leader_healthy {
        tracing::error!("Failed to rewind from healthy primary: {}", request.leader);
    } else {
        tracing::warn!(
            "Failed to rewind because primary {} become unreachable",
            request.leader
        );
    }
    RewindOutcome::Failed { leader_healthy }
}

impl RewindRequest<'_> {
    async fn leader_is_ready(&self) -> Result<(), NotYet> {
        let not_accessible = |error: ConnectionError| {
            tracing::error!("Exception when working with leader: {}", Causes(&error));
            NotYet::NotAccessible
        };
        if self.readiness == LeaderReadiness::Waiting {
            return Err(NotYet::Waiting);
        }
        let in_recovery = is_in_recovery(self.target, self.limit);
        if in_recovery.await.map_err(not_accessible)? {
            return Err(NotYet::InRecovery);
        }
        match self.readiness {
            LeaderReadiness::Checkpointed | LeaderReadiness::Waiting => Ok(()),
            LeaderReadiness::Unknown {
                may_checkpoint: true,
            } => self.checkpoint().await.map_err(not_accessible),
            LeaderReadiness::Unknown {
                may_checkpoint: false,
            } => match self.has_checkpointed().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(NotYet::NotCheckpointed),
                Err(error) => Err(not_accessible(error)),
            },
        }
    }

    /// Lets the leader write a record. The rewound data are consistent from where the leader was
    /// about to insert the next one; after a record that fills its page that is behind the header
    /// of the next page, where nothing is until a record comes. An idle leader writes none, and the
    /// local server would not let anybody in for as long.
    async fn move_wal(&self) {
        // A transaction that has a number ends with a record.
        const QUERY: &str = "SELECT pg_catalog.txid_current()";
        let moved = async {
            let session = Session::open(self.target, self.limit).await?;
            within(self.limit, async {
                let done = session.client.batch_execute(QUERY).await;
                done.map_err(ConnectionError::Postgres)
            })
            .await
        };
        if let Err(error) = moved.await {
            tracing::info!(
                "the rewound data may wait for the next write on {}: {}",
                self.leader,
                Causes(&error)
            );
        }
    }

    async fn checkpoint(&self) -> Result<(), ConnectionError> {
        let session = Session::open(self.target, self.limit).await?;
        within(CHECKPOINT_LIMIT, async {
            // Two messages: the timeout that counts is the one at the beginning of a message.
            for statement in ["SET statement_timeout = 0", "CHECKPOINT"] {
                let done = session.client.batch_execute(statement).await;
                done.map_err(ConnectionError::Postgres)?;
            }
            Ok(())
        })
        .await
    }

    /// Compares the timeline that WAL is written on with the one in the control file.
    async fn has_checkpointed(&self) -> Result<bool, ConnectionError> {
        const QUERY: &str = "SELECT timeline_id = \
             ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(\
              pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int \
             FROM pg_catalog.pg_control_checkpoint()";
        let session = Session::open(self.target, self.limit).await?;
        within(self.limit, async {
            let row = session.client.query_one(QUERY, &[]).await;
            row.and_then(|row| row.try_get(0))
                .map_err(ConnectionError::Postgres)
        })
        .await
    }

    /// `pg_rewind` compares the numbers of the timelines first and does nothing when they are
    /// equal. So data that are on another timeline of the same number get one of their own.
    async fn step_aside_and_rewind(&self, cancel: &Cancel) -> bool {
        if self.parting != Parting::SameNumber {
            return self.rewind(cancel).await;
        }
        let Some(aside) = Aside::step(self.settings, self.binaries, self.version, cancel).await
        else {
            return false;
        };
        let rewound = self.rewind(cancel).await;
        if rewound {
            aside.clean();
        }
        rewound
    }

    /// Runs `pg_rewind` until it succeeds or fails for another reason than a WAL file that the
    /// archive has.
    async fn rewind(&self, cancel: &Cancel) -> bool {
        let restore_command = self.restore_command().await;
        let command = self.command(restore_command.is_some());
        let archive = restore_command.filter(|_| !self.restores_itself());
        let data_dir = &self.settings.data_dir;
        let mut fetched = BTreeSet::new();
        loop {
            if !mark::set(data_dir) {
                return false;
            }
            tracing::info!("running pg_rewind from {}", self.conninfo);
            let Ok(outcome) = command.run(cancel).await else {
                mark::clear(data_dir); // it was not started
                return false;
            };
            tracing::info!("pg_rewind exit code={}", outcome.end.code());
            tracing::info!(" stdout={}", without_progress(&outcome.stdout_text()));
            tracing::info!(" stderr={}", without_progress(&outcome.stderr_text()));
            if outcome.is_success() {
                mark::clear(data_dir);
                return true;
            }
            if has_changed_something(&outcome) {
                tracing::error!(
                    "pg_rewind ended half way: {} is no database until it is rewound or copied anew",
                    data_dir.display()
                );
                return false;
            }
            mark::clear(data_dir);
            let Some((template, wal)) = archive.as_ref().zip(missing_wal(&outcome)) else {
                return false;
            };
            // A file that is there and still missed will not be found the next time either.
            if cancel.is_cancelled() || !fetched.insert(wal.clone()) {
                return false;
            }
            if !self.fetch(template, &wal, cancel).await {
                tracing::info!("Failed to fetch WAL segment {wal} required for pg_rewind");
                return false;
            }
        }
    }

    fn command(&self, has_restore_command: bool) -> Command {
        let mut command = Command::new(self.binaries.binary("pg_rewind"));
        if has_restore_command && self.restores_itself() {
            command = command.arg("--restore-target-wal");
            if self.version >= 150_000 && !self.is_one_directory() {
                let file = config_file(self.settings);
                command = command.arg(format!("--config-file={}", file.display()));
            }
        }
        command
            .arg("-D")
            .arg(&self.settings.data_dir)
            .args(["--source-server", self.conninfo])
            // Its words tell whether it came to change something.
            .arg("--progress")
            .untranslated()
            .env("PGOPTIONS", "-c statement_timeout=0")
            .connecting(self.settings, self.pgpass.as_deref())
            .capture()
    }

    /// Whether `pg_rewind` can be told to use `restore_command`. It reads the configuration
    /// itself, which before 15 it finds only in the data directory.
    fn restores_itself(&self) -> bool {
        self.version >= 150_000 || (self.version >= 130_000 && self.is_one_directory())
    }

    fn is_one_directory(&self) -> bool {
        self.settings.config_dir == self.settings.data_dir
    }

    async fn restore_command(&self) -> Option<String> {
        let command = if self.version >= 120_000 {
            configured(self.settings, self.binaries, "restore_command").await
        } else {
            let given = self.settings.recovery_conf.get("restore_command");
            given
                .filter(|given| value::is_truthy(given))
                .map(value::text)
        };
        command.filter(|command| !command.is_empty())
    }

    async fn fetch(&self, template: &str, wal: &str, cancel: &Cancel) -> bool {
        let command = match archive::restore(template, &self.settings.data_dir, wal) {
            Ok(command) => command,
            Err(error) => {
                tracing::error!("failed to {}", Causes(&error));
                return false;
            }
        };
        tracing::info!("Trying to fetch the missing wal: {command}");
        let outcome = command.run(cancel).await;
        outcome.is_ok_and(|outcome| outcome.is_success())
    }
}

/// Whether a `pg_rewind` that failed, or was killed, may have begun to change files. It says how
/// much there is to copy just before.
fn has_changed_something(outcome: &CommandOutcome) -> bool {
    let said = |text: String| text.contains("need to copy") || text.lines().any(is_progress);
    said(outcome.stderr_text()) || said(outcome.stdout_text())
}

/// A line that tells how much was copied so far, one each second.
fn is_progress(line: &str) -> bool {
    line.contains(" kB (") && line.ends_with(" copied")
}

/// The words of `pg_rewind` without its progress, for the log.
fn without_progress(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
    lines.join("\n")
}

/// The WAL file that `pg_rewind` did not find:
/// `could not open file "<data_dir>/pg_wal/<24 characters>": `.
fn missing_wal(outcome: &CommandOutcome) -> Option<String> {
    [outcome.stderr_text(), outcome.stdout_text()]
        .iter()
        .find_map(|text| {
            text.split("could not open file \"")
                .skip(1)
                .find_map(|rest| {
                    let (path, _) = rest.split_once("\": ")?;
                    let path = Path::new(path);
                    let dir = path.parent()?.file_name()?.to_str()?;
                    let name = path.file_name()?.to_str()?;
                    let is_wal = matches!(dir, "pg_wal" | "pg_xlog") && name.len() == 24;
                    is_wal.then(|| name.to_owned())
                })
        })
}

/// Empties a directory; what remains is logged.
fn empty(dir: &Path) {
    let removed = fs::read_dir(dir).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    });
    if let Err(error) = removed {
        tracing::warn!("Unable to clean {}: {error}", dir.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::End;

    fn request<'a>(
        settings: &'a Postgresql,
        target: &'a Target,
        binaries: &'a Binaries,
        version: u32,
    ) -> RewindRequest<'a> {
        RewindRequest {
            settings,
            binaries,
            version,
            leader: "t2",
            target,
            conninfo: "dbname=postgres user=rw",
            pgpass: None,
            readiness: LeaderReadiness::Checkpointed,
            parting: Parting::Plain,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_archive_is_used_where_pg_rewind_can() {
        let target = Target {
            config: tokio_postgres::Config::new(),
            tls: None,
        };
        let binaries = Binaries::default();
        let plain = Postgresql {
            data_dir: "/d".into(),
            config_dir: "/d".into(),
            config_base_name: "postgresql".to_owned(),
            ..Postgresql::default()
        };
        let apart = Postgresql {
            config_dir: "/c".into(),
            ..plain.clone()
        };
        let tail = "-D /d --source-server 'dbname=postgres user=rw' --progress";
        for (settings, version, restoring, options) in [
            (&plain, 150_000, false, ""),
            (&plain, 150_000, true, "--restore-target-wal "),
            (&plain, 130_000, true, "--restore-target-wal "),
            (&plain, 120_000, true, ""),
            (&apart, 140_000, true, ""),
            (
                &apart,
                150_000,
                true,
                "--restore-target-wal --config-file=/c/postgresql.conf ",
            ),
        ] {
            let request = request(settings, &target, &binaries, version);
            assert_eq!(
                request.command(restoring).argv(),
                format!("pg_rewind {options}{tail}")
            );
        }
    }

    #[test]
    fn a_missing_segment_is_found_in_the_output() {
        let outcome = |stderr: &str| CommandOutcome {
            end: End::Exited(1),
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
        };
        let error = "pg_rewind: error: could not open file \"/d/postgresql.x\": No such file\n\
                     could not open file \"/d/pg_wal/000000010000000000000003\": No such file";
        assert_eq!(
            missing_wal(&outcome(error)).as_deref(),
            Some("000000010000000000000003")
        );
        assert_eq!(
            missing_wal(&outcome("could not open file \"/d/x\": no")),
            None
        );
    }
}
