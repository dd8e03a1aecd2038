//! What all programs begin with: the log, the TLS library, the runtime.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use patroni_postgres::Cancel;
use patroni_telemetry::{LogSettings, Telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a program until it gives its exit code. Messages from INFO on go to standard error, or to
/// the end of a file. What keeps it from running at all is said on standard error, and the code
/// is 1.
pub(crate) fn run(log_file: Option<&Path>, program: impl Future<Output = u8>) -> ExitCode {
    match prepare(log_file) {
        Ok(runtime) => ExitCode::from(runtime.block_on(program)),
        Err(reason) => {
            eprintln!("cannot begin: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(log_file: Option<&Path>) -> io::Result<tokio::runtime::Runtime> {
    if let Some(path) = log_file {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        nix::unistd::dup2_stderr(&file)?;
    }
    Telemetry::init(&LogSettings::default()).map_err(io::Error::other)?;
    // Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Raises `cancel` at the signal that asks the program to end; otherwise never ends. Cancel safe.
///
/// # Errors
/// The system refuses to tell of signals.
pub(crate) async fn end_on_signal(cancel: &Cancel) -> io::Result<std::convert::Infallible> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    }
}
