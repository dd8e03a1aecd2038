//! The daemon: command line, log, runtime, and then one running member.

mod cli;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use cli::Cli;
use patroni_config::validate::{ListenPorts, SystemProbe, validate};
use patroni_config::{Environment, Local, yaml};
use patroni_node::{Start, StartError, init};
use patroni_telemetry::{LogSettings, Telemetry};
use serde_json::Value;

fn main() -> ExitCode {
    if let Some(end) = patroni_node::run_as_guardian(std::env::args_os().skip(1)) {
        return match end {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("guardian: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if init::is_first_process() {
        return first_process();
    }
    if let Err(refusal) = init::hear_signals() {
        eprintln!("cannot hear signals: {refusal}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    if let Some(journal) = &cli.replay {
        return replay(journal);
    }
    if cli.json_schema {
        return print(&format!("{:#}\n", patroni_config::json_schema()));
    }
    let environment = Environment::of_process();
    if cli.validate_config {
        return check(&cli, &environment);
    }
    let ended = if cli.generate_config || cli.generate_sample_config {
        generate(&cli, &environment).map(|()| 0)
    } else {
        run(cli, environment)
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            let shown = refusal.downcast_ref().is_some_and(StartError::was_shown);
            if !shown {
                eprintln!("{refusal:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn first_process() -> ExitCode {
    let ended = Telemetry::init(&LogSettings::before_configuration())
        .map_err(anyhow::Error::from)
        .and_then(|_log| Ok(init::run_as_first_process()?));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            eprintln!("cannot run the daemon as a child of process 1: {refusal:#}");
            ExitCode::FAILURE
        }
    }
}

fn install_tls() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed"))
}

#[tokio::main(flavor = "current_thread")]
async fn generate(cli: &Cli, environment: &Environment) -> anyhow::Result<()> {
    install_tls()?;
    let warn = |warning: &str| eprintln!("{warning}");
    let text = if cli.generate_sample_config {
        patroni_node::generate::sample(environment, warn).await?
    } else {
        patroni_node::generate::from_server(cli.dsn.as_deref(), environment, password, warn).await?
    };
    match &cli.configfile {
        Some(path) => patroni_node::generate::write(path, &text)?,
        None => write_out(&text)?,
    }
    Ok(())
}

/// Asks for the password at the terminal; without one the first line of the standard input is it.
fn password() -> io::Result<String> {
    const PROMPT: &str = "Please enter the user password:";
    rpassword::prompt_password(PROMPT).or_else(|_no_terminal| {
        eprintln!("{PROMPT}");
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    })
}

fn run(cli: Cli, environment: Environment) -> anyhow::Result<u8> {
    let log = Telemetry::init(&LogSettings::before_configuration())?;
    install_tls()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("patroni")
        .enable_all()
        .build()?;
    let start = Start {
        path: cli.configfile,
        environment,
        log,
    };
    Ok(runtime.block_on(patroni_node::run(start))?)
}

fn replay(journal: &Path) -> ExitCode {
    match patroni_node::replay::file(journal) {
        Ok(count) => print(&format!(
            "{}: {count} records replay equal\n",
            journal.display()
        )),
        Err(failure) => {
            let failure = anyhow::Error::from(failure);
            eprintln!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what was asked for.
fn print(text: &str) -> ExitCode {
    match write_out(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write to the standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to the standard output. A reader that has seen enough of it is no failure.
fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn check(cli: &Cli, environment: &Environment) -> ExitCode {
    if let Some(path) = cli.configfile.as_deref().filter(|path| !path.exists()) {
        eprintln!(
            "config path {} does not exist, only the environment counts",
            path.display()
        );
    }
    let local = match Local::load(cli.configfile.as_deref(), environment) {
        Ok(local) => local,
        Err(refusal) => {
            if let Some(line) = refusal.log_line() {
                eprintln!("{line}");
            }
            eprintln!("{refusal}");
            return ExitCode::FAILURE;
        }
    };
    for error in &local.errors {
        eprintln!("{error}");
    }
    let ports = if cli.ignore_listen_port {
        ListenPorts::Ignored
    } else {
        ListenPorts::MustBeFree
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let faults = validate(&local, ports, &SystemProbe::new(&path));
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        return ExitCode::FAILURE;
    }
    if cli.print {
        let settings = Value::Object(local.settings);
        return print(&yaml::to_block(&settings, yaml::Options::default()));
    }
    ExitCode::SUCCESS
}
