//! `patroni_raft_controller [--version] [CONFIGFILE]`: a voting Raft member without PostgreSQL.

use std::path::PathBuf;

use clap::Parser;
use patroni_dcs::raft::witness;
use tokio::signal::unix::{Signal, SignalKind, signal};

mod settings;

/// A voting member of the embedded Raft store without PostgreSQL.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The configuration file; without it the settings come from the environment.
    configfile: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let options = settings::read(cli.configfile.as_deref(), |name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        Ok(witness::run(&options, stop).await?)
    })
}

/// The first SIGTERM or SIGINT. SIGHUP is for the log settings and never ends the process.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload: Signal = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = reload.recv() => tracing::info!("nothing to reload"),
            }
        }
    })
}
