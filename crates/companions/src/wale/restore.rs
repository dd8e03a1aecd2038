//! Attempts at a restore.

use std::time::Duration;

use patroni_core::Causes;
use patroni_core::Lsn;
use patroni_postgres::Cancel;
use patroni_postgres::command::{Command, End as CommandEnd};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::backup::{Backup, ListError};
use super::leader::written_since;
use super::{End, Options, wal_dir};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a storage may take to list its backups.
const LIST: Duration = Duration::from_mins(5);

/// Restores; one attempt, and `--retries` more while that is worth it. Must not be dropped half
/// way; raise `cancel` instead.
pub(super) async fn run(options: &Options, cancel: &Cancel) -> End {
    if !options.envdir.is_dir() {
        error!("there is no folder {}", options.envdir.display());
        return End::GiveUp;
    }
    let mut left = options.retries;
    loop {
        let end = attempt(options, cancel).await;
        if end != End::TryAgain || left == 0 || cancel.is_cancelled() {
            return end;
        }
        left -= 1;
        pause(cancel).await;
    }
}

async fn attempt(options: &Options, cancel: &Cancel) -> End {
    let list = wal_e(options)
        .args(["backup-list", "--detail", "LATEST"])
        .capture()
        .deadline(LIST);
    let outcome = match list.run(cancel).await {
        Ok(outcome) if outcome.is_success() => outcome,
        Ok(outcome) => {
            let said = outcome.stderr_text();
            error!("{list} {}: {}", outcome.end, said.trim_end());
            return End::TryAgain;
        }
        // Without the program no other attempt can do better.
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            return End::GiveUp;
        }
    };
    let backup = match Backup::read(&outcome.stdout_text()) {
        Ok(backup) => backup,
        Err(reason @ ListError::NotOne(_)) => {
            warn!("{reason}");
            return End::GiveUp;
        }
        Err(reason) => {
            error!("{reason}");
            return End::TryAgain;
        }
    };
    let Some(written) = difference(options, backup.start, cancel).await else {
        return End::GiveUp;
    };
    if !is_worth_it(options, backup.size, written) {
        return End::GiveUp;
    }
    fetch(options, cancel).await
}

/// What the leader has written since the backup began; `None` when it must be known and is not.
async fn difference(options: &Options, start: Lsn, cancel: &Cancel) -> Option<u64> {
    if options.connstring.is_empty() {
        return Some(0);
    }
    let mut left = options.retries;
    loop {
        match written_since(&options.connstring, start).await {
            Ok(written) => return Some(written),
            Err(reason) => warn!("failed to {}", Causes(&reason)),
        }
        if left == 0 || cancel.is_cancelled() {
            break;
        }
        left -= 1;
        pause(cancel).await;
    }
    if options.no_leader == 0 {
        error!("the leader did not say how much was written since the backup");
        return None;
    }
    info!("restoring without asking the leader");
    Some(0)
}

fn is_worth_it(options: &Options, size: u64, written: u64) -> bool {
    let mebibytes = i128::from(options.threshold_megabytes) * 1024 * 1024;
    let percentage = i128::from(options.threshold_backup_size_percentage);
    let (size, written) = (i128::from(size), i128::from(written));
    let share = size * percentage / 100;
    let facts = format!(
        "{written} bytes written since a backup of {size} bytes, limits {mebibytes} and {share} bytes"
    );
    if written < mebibytes && written < share {
        info!("Thresholds are OK, using wal-e basebackup: {facts}");
        return true;
    }
    info!(
        "wal-e backup size diff is over threshold, falling back to other means of restore: {facts}"
    );
    false
}

async fn fetch(options: &Options, cancel: &Cancel) -> End {
    let fetch = wal_e(options)
        .arg("backup-fetch")
        .arg(&options.datadir)
        .arg("LATEST");
    match fetch.run(cancel).await {
        Ok(outcome) if outcome.is_success() => {}
        Ok(outcome) => {
            error!("{fetch} {}", outcome.end);
            return match outcome.end {
                CommandEnd::Exited(code) => End::Failed(u8::try_from(code).unwrap_or(u8::MAX)),
                // As a shell says it.
                CommandEnd::Signaled(signal) => {
                    End::Failed(u8::try_from(128 + signal).unwrap_or(u8::MAX))
                }
                CommandEnd::Cancelled | CommandEnd::TimedOut(_) => End::TryAgain,
            };
        }
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            return End::TryAgain;
        }
    }
    if let Err(reason) = wal_dir::ensure(&options.datadir) {
        error!("could not make the WAL directory: {reason}");
        return End::GiveUp;
    }
    End::Done
}

fn wal_e(options: &Options) -> Command {
    let command = Command::new("envdir").arg(&options.envdir).arg("wal-e");
    if options.use_iam == 1 {
        command.arg("--aws-instance-profile")
    } else {
        command
    }
}

async fn pause(cancel: &Cancel) {
    tokio::select! {
        () = sleep(PAUSE) => {}
        () = cancel.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(more: &[&str]) -> Options {
        let given = [
            "x",
            "--scope=a",
            "--datadir=/d",
            "--connstring=",
            "--envdir=/e",
        ];
        Options::try_parse_from(given.iter().chain(more)).unwrap()
    }

    #[test]
    fn both_limits_must_hold() {
        const GIB: u64 = 1 << 30;
        let standard = options(&[]);
        assert!(is_worth_it(&standard, 10 * GIB, 3 * GIB - 1));
        assert!(!is_worth_it(&standard, 10 * GIB, 3 * GIB));
        assert!(is_worth_it(&standard, 1000 * GIB, 10 * GIB - 1));
        assert!(!is_worth_it(&standard, 1000 * GIB, 10 * GIB));
        assert!(!is_worth_it(&standard, 0, 0), "nothing is in the backup");
        let wide = options(&["--threshold_megabytes=0"]);
        assert!(!is_worth_it(&wide, 10 * GIB, 0));
    }

    #[test]
    fn the_command_lines_are_those_of_wal_e() {
        let list = |options: &Options| wal_e(options).arg("backup-list").argv();
        assert_eq!(list(&options(&[])), "envdir /e wal-e backup-list");
        assert_eq!(
            list(&options(&["--use_iam=1"])),
            "envdir /e wal-e --aws-instance-profile backup-list"
        );
    }
}
