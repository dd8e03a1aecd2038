//! A voting Raft member without PostgreSQL: the third vote of two nodes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use patroni_config::{ConfigError, Environment, Local, WitnessSettings};
use patroni_core::version;
use patroni_dcs::connect::raft_options;
use patroni_dcs::raft::witness;
use patroni_telemetry::{Handle, LogSettings, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A voting member of the embedded Raft store, without PostgreSQL.
#[derive(Parser)]
#[command(name = "patroni_raft_controller", version = version::COMPATIBLE_TEXT)]
struct Cli {
    /// The configuration: a YAML file or a folder of them. Without one, the environment.
    configfile: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("{refusal:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let log = Telemetry::init(&LogSettings::before_configuration())?;
    let environment = Environment::of_process();
    let local = Local::load(cli.configfile.as_deref(), &environment).and_then(Local::require);
    let local = local.inspect_err(explain)?;
    let settings = WitnessSettings::read(&local)?;
    log.reload(&LogSettings::from(&settings.log))?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(vote(&settings, &local, &environment, &log));
    log.flush(LAST_LINES);
    ended
}

/// Votes until a signal ends it.
async fn vote(
    settings: &WitnessSettings,
    local: &Local,
    environment: &Environment,
    log: &Handle,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    log.start_writer()?;
    let options = raft_options(&settings.raft);
    let voting = witness::run(&options, stop);
    tokio::pin!(voting);
    loop {
        tokio::select! {
            ended = &mut voting => return Ok(ended?),
            _ = hangup.recv() => {
                if let Err(failure) = reload_log(local, environment, log) {
                    error!("the log settings stay as they were: {failure:#}");
                }
            }
        }
    }
}

/// Membership needs a restart; the log does not.
fn reload_log(local: &Local, environment: &Environment, log: &Handle) -> anyhow::Result<()> {
    let local = local.reload(environment).inspect_err(explain)?;
    log.reload(&LogSettings::from(&WitnessSettings::read(&local)?.log))?;
    info!("log settings were read again");
    Ok(())
}

fn explain(refusal: &ConfigError) {
    if let Some(line) = refusal.log_line() {
        error!("{line}");
    }
}
