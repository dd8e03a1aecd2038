//! `patroni --generate-sample-config` and `--generate-config`: the text of a configuration file.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use patroni_config::Environment;
use patroni_config::file::Postgresql;
use patroni_config::generate::{self, Host};
use patroni_postgres::programs;
use patroni_postgres::survey::{Source, SurveyError, survey};
use serde_json::Value;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The sample is for the server that is installed here.
    #[error("Failed to get postgres version: {0}")]
    Version(io::Error),
    /// The running server cannot be described.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The password could not be asked for.
    #[error("Failed to read the password: {0}")]
    Password(io::Error),
    /// The file cannot be written.
    #[error("Failed to write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// The text of a file to begin with, for the server that is installed here. Whatever makes it
/// incomplete is said by `warn`.
///
/// # Errors
/// There is no PostgreSQL where the environment and PATH say.
pub async fn sample(
    environment: &Environment,
    warn: impl FnMut(&str),
) -> Result<String, GenerateError> {
    let settings = server_settings(environment);
    let installed = programs::server_version(&settings).await;
    let version = installed.map_err(GenerateError::Version)?;
    let document = generate::sample(&host(warn), version, environment);
    Ok(generate::to_text(&document))
}

/// The text of a file that describes the running server which the connection string, or the
/// variables of libpq, lead to. It must run on this machine. A password that neither of them has
/// is asked for.
///
/// # Errors
/// No connection, no superuser, or files of the server that cannot be read.
pub async fn from_server(
    dsn: Option<&str>,
    environment: &Environment,
    password: impl FnOnce() -> io::Result<String>,
    warn: impl FnMut(&str),
) -> Result<String, GenerateError> {
    let mut source = Source::new(dsn, |name| std::env::var(name).ok())?;
    if !source.has_password() {
        source.set_password(password().map_err(GenerateError::Password)?);
    }
    let (version, server) = survey(&source).await?;
    let document = generate::from_server(&host(warn), version, environment, &server);
    Ok(generate::to_text(&document))
}

/// Writes the file, for its owner alone: there are passwords in it. Folders are made as needed.
///
/// # Errors
/// They cannot be made, or the file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::Write {
        path: path.display().to_string(),
        source,
    };
    if let Some(folder) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Where the programs are, as far as the environment says it.
fn server_settings(environment: &Environment) -> Postgresql {
    let said = |key: &str| environment.settings.get("postgresql")?.get(key);
    let renamed = said("bin_name").and_then(|names| names.get("postgres"));
    Postgresql {
        bin_dir: said("bin_dir").and_then(Value::as_str).map(Into::into),
        bin_name: renamed
            .and_then(Value::as_str)
            .map(|name| ("postgres".to_owned(), name.to_owned()))
            .into_iter()
            .collect(),
        ..Postgresql::default()
    }
}

/// This machine: its name and the first address of that, IPv4 before IPv6.
fn host(mut warn: impl FnMut(&str)) -> Host {
    let found = || -> io::Result<Host> {
        let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
        let addresses = (name.as_str(), 0).to_socket_addrs()?;
        let mut addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
        addresses.sort_by_key(std::net::IpAddr::is_ipv6);
        Ok(Host {
            name: Some(name),
            address: addresses.first().map(ToString::to_string),
        })
    };
    found().unwrap_or_else(|error| {
        warn(&format!("Failed to obtain address: {error}"));
        Host::default()
    })
}
