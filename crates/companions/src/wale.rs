//! `patroni_wale_restore`: a replica from the latest backup of WAL-E, when that is less work than
//! a copy of the leader. Source: the configuration contract, section 16.6.

mod backup;
mod leader;
mod restore;
mod wal_dir;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use patroni_postgres::Cancel;
use tracing::error;

use crate::program;

/// Makes a replica from the latest backup of WAL-E, unless too much WAL was written since.
///
/// Exit status: 0 done, 1 try again later, 2 another method has to do it, otherwise that of WAL-E.
#[derive(Clone, Debug, Parser, PartialEq, Eq)]
#[command(
    name = "patroni_wale_restore",
    infer_long_args = true,
    rename_all = "snake_case"
)]
pub struct Options {
    /// Name of the cluster.
    #[arg(long)]
    pub scope: String,
    /// The role of the new server.
    #[arg(long)]
    pub role: Option<String>,
    /// The data directory to fill.
    #[arg(long)]
    pub datadir: PathBuf,
    /// How to reach the leader; empty when there is none.
    #[arg(long)]
    pub connstring: String,
    /// How often to try again, one second apart.
    #[arg(long, default_value_t = 1)]
    pub retries: u32,
    /// The folder with the variables of WAL-E, one file each.
    #[arg(long)]
    pub envdir: PathBuf,
    /// Use the backup only while less than this was written since, in MiB.
    #[arg(long, default_value_t = 10_240)]
    pub threshold_megabytes: i64,
    /// Use the backup only while less than this part of its size was written since, in percent.
    #[arg(long, default_value_t = 30)]
    pub threshold_backup_size_percentage: i64,
    /// 1: the credentials are those of the instance's role.
    #[arg(long, default_value_t = 0, value_name = "0|1")]
    pub use_iam: i64,
    /// 1: restore even if the leader cannot be asked.
    #[arg(long, default_value_t = 0, value_name = "0|1")]
    pub no_leader: i64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The data directory is filled.
    Done,
    /// Worth another attempt.
    TryAgain,
    /// Another method has to do it.
    GiveUp,
    /// WAL-E failed with this code.
    Failed(u8),
}

impl End {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::TryAgain => 1,
            Self::GiveUp => 2,
            Self::Failed(code) => code,
        }
    }
}

/// The command line, for manual pages and completions.
pub fn command_line() -> clap::Command {
    Options::command()
}

/// Runs the program with its arguments, the name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(usage) => usage.exit(),
    };
    program::run(None, async {
        let cancel = Cancel::new();
        tokio::select! {
            end = restore::run(&options, &cancel) => end.code(),
            Err(reason) = program::end_on_signal(&cancel) => {
                error!("cannot hear signals: {reason}");
                End::TryAgain.code()
            }
        }
    })
}
