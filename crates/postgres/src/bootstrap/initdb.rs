//! A new cluster by `initdb`.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use patroni_config::file::Postgresql;
use patroni_core::Secret;
use serde_json::Value;

use super::section;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, End};
use crate::options::{self, OptionError, Tool};

/// `initdb` made no cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitdbError {
    /// `bootstrap.initdb` holds something that cannot be passed on.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The password could not be handed over.
    #[error("write the password file for initdb")]
    PasswordFile(#[source] io::Error),
    /// `initdb` could not be started.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// `initdb` failed.
    #[error("run initdb: it {end}")]
    Failed {
        /// How it ended.
        end: End,
    },
}

/// Makes a new cluster in the data directory, with `bootstrap.initdb` as options and the
/// superuser of the configuration. The password goes through a file that only we can read and
/// that is gone when this returns.
///
/// What is left of a failed or cancelled run stays in the data directory: the caller moves it
/// aside. Must not be dropped half way; raise `cancel` instead.
///
/// # Errors
/// See [`InitdbError`].
pub async fn run_initdb(
    settings: &Postgresql,
    binaries: &Binaries,
    cancel: &Cancel,
) -> Result<(), InitdbError> {
    let given = section(settings, "initdb").unwrap_or(&Value::Null);
    let (options, refused) = options::arguments(Tool::Initdb, given);
    if let Some(reason) = refused.into_iter().next() {
        return Err(reason.into());
    }
    let mut command = Command::new(binaries.binary("initdb")).args(options);
    if let Some(user) = &settings.superuser.username {
        command = command.arg(format!("--username={user}"));
    }
    let password = match &settings.superuser.password {
        Some(password) => {
            let file = PasswordFile::write(password).map_err(InitdbError::PasswordFile)?;
            command = command.arg(format!("--pwfile={}", file.path.display()));
            Some(file)
        }
        None => None,
    };
    let outcome = command.arg(&settings.data_dir).run(cancel).await?;
    drop(password);
    match outcome.end {
        End::Exited(0) => Ok(()),
        end => Err(InitdbError::Failed { end }),
    }
}

/// A file with a password, removed with this value.
struct PasswordFile {
    path: PathBuf,
}

/// How many names are tried before giving up: somebody may have taken a few.
const NAMES: u32 = 100;

impl PasswordFile {
    /// Writes a new file that nobody else can have prepared: it must not exist before.
    fn write(password: &Secret) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = env::temp_dir().join(format!("initdb-{}-{number}", process::id()));
            match Self::create(&path) {
                Ok(mut file) => {
                    let this = Self { path };
                    file.write_all(password.expose().as_bytes())?;
                    return Ok(this);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn create(path: &Path) -> io::Result<fs::File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("Unable to remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_password_file_is_private_and_goes_away() {
        let file = PasswordFile::write(&Secret::new("s")).unwrap();
        let path = file.path.clone();
        assert_eq!(fs::read(&path).unwrap(), b"s");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_refused_option_starts_nothing() {
        let settings = Postgresql {
            bootstrap: serde_json::json!({"initdb": ["sync-only"]})
                .as_object()
                .cloned(),
            ..Postgresql::default()
        };
        let error = run_initdb(&settings, &Binaries::default(), &Cancel::new())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "sync-only option for initdb is not allowed"
        );
    }
}
