//! The control tool: everything is in the library, here is only the process.

use std::process::ExitCode;
use std::sync::Arc;

use patroni_ctl::{Environment, Outside, Stdio, Surroundings, SystemClock};

fn main() -> ExitCode {
    // fails only when somebody installed one before, and nobody did
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: Failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let surroundings = Surroundings {
        environment,
        settings: Box::new(patroni_ctl::find),
        world: Arc::new(Outside),
        console: Box::new(Stdio),
        clock: Arc::new(SystemClock::default()),
    };
    let code = runtime.block_on(patroni_ctl::run(&arguments, surroundings, interrupt()));
    // a question may still wait for its answer on another thread: do not wait for it
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Ctrl-C. Without a handler for it there is never one: then the signal ends the process.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
