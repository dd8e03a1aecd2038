//! `patroni_barman`: restores and configuration switches through the API of Barman. Source: the
//! configuration contract, section 16.8.

mod api;
mod arguments;
mod recover;
mod switch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use patroni_core::Causes;
use tracing::error;

use self::api::Api;
use crate::program;

/// Makes Barman restore a backup, or switch the configuration of a server, through its API.
///
/// Exit status beside those of the commands: 254 the API is not reachable or not well, 255 no
/// command. Arguments that are not known are ignored, because the daemon passes its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "patroni_barman", infer_long_args = true)]
pub struct Options {
    /// Address of the API.
    #[arg(long)]
    pub api_url: String,
    /// Certificate of the client.
    #[arg(long)]
    pub cert_file: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// Seconds between two attempts at a request that had no useful answer.
    #[arg(long, default_value_t = 2)]
    pub retry_wait: u32,
    /// How often such a request is made.
    #[arg(long, default_value_t = 5)]
    pub max_retries: u32,
    /// File for the messages, instead of standard error.
    #[arg(long)]
    pub log_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Restore a backup to this machine. Exit status: 0 done, 1 failed, 2 no useful answer.
    Recover(Recover),
    /// Switch the configuration of a server, as a callback of a role change. Exit status: 0 done,
    /// 1 not called for, 2 failed, 3 no useful answer, 4 bad arguments.
    ConfigSwitch(ConfigSwitch),
}

/// Restores a backup.
#[derive(Clone, Debug, clap::Args)]
pub struct Recover {
    /// Name of the server in Barman.
    #[arg(long)]
    pub barman_server: String,
    /// Which backup.
    #[arg(long, default_value = "latest")]
    pub backup_id: String,
    /// How Barman reaches this machine.
    #[arg(long)]
    pub ssh_command: String,
    /// The data directory to fill.
    #[arg(long, alias = "datadir")]
    pub data_directory: String,
    /// Seconds between two questions how far it is.
    #[arg(long, default_value_t = 10)]
    pub loop_wait: u32,
}

/// Switches the configuration of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigSwitch {
    /// The callback.
    pub action: Action,
    /// The new role of the member.
    pub role: Role,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the server in Barman.
    #[arg(long)]
    pub barman_server: String,
    /// The configuration model to apply.
    #[arg(long)]
    pub barman_model: Option<String>,
    /// Takes the configuration model away.
    #[arg(long)]
    pub reset: bool,
    /// After which role changes.
    #[arg(long)]
    pub switch_when: SwitchWhen,
}

impl Task {
    /// A switch with neither a model nor `--reset`, or with both, cannot be asked for.
    fn is_contradictory(&self) -> bool {
        match self {
            Self::Recover(_) => false,
            Self::ConfigSwitch(wanted) => wanted.barman_model.is_some() == wanted.reset,
        }
    }
}

/// The one callback that a switch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Action {
    /// The role has changed.
    OnRoleChange,
}

/// The role of a member, as callbacks are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It is about to take writes.
    Promoted,
    /// It leads a standby cluster.
    StandbyLeader,
    /// It follows.
    Replica,
    /// It took writes until now.
    Demoted,
}

/// After which role changes to switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SwitchWhen {
    /// To primary.
    Promoted,
    /// To replica.
    Demoted,
    /// Any.
    Always,
}

/// The API is not well.
const API_NOT_OK: u8 = 254;

/// There is nothing to do.
const NO_COMMAND: u8 = 255;

/// The arguments contradict each other.
const BAD_ARGUMENTS: u8 = 4;

/// The command line, for manual pages and completions.
pub fn command_line() -> clap::Command {
    Options::command()
}

/// Runs the program with its arguments, the name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let known = arguments::known(&command_line(), args);
    let options = match Options::try_parse_from(known) {
        Ok(options) => options,
        Err(usage) => usage.exit(),
    };
    let Some(task) = options.task.clone() else {
        // A terminal that is gone needs no help.
        let _ = command_line().print_help();
        return ExitCode::from(NO_COMMAND);
    };
    program::run(options.log_file.as_deref(), run(&options, &task))
}

async fn run(options: &Options, task: &Task) -> u8 {
    if task.is_contradictory() {
        error!("give either --barman-model or --reset");
        return BAD_ARGUMENTS;
    }
    let api = match Api::new(options) {
        Ok(api) => api,
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            return API_NOT_OK;
        }
    };
    match api.status().await {
        Ok(status) if status == "OK" => {}
        Ok(status) => {
            error!("the API is not well: {status}");
            return API_NOT_OK;
        }
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            return reason.code(API_NOT_OK);
        }
    }
    match task {
        Task::Recover(wanted) => recover::run(&api, wanted).await,
        Task::ConfigSwitch(wanted) => switch::run(&api, wanted).await,
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

#[cfg(test)]
mod tests;
