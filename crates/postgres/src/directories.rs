//! Directories that must exist and be writable before the server can start.
//!
//! Source: the configuration contract, section 2.2.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use patroni_config::file::Postgresql;
use patroni_core::server::DataDir;
use patroni_core::value;

use crate::conf::write::Modes;
use crate::data_dir;

/// A directory that cannot be used; the text is the operator's sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A directory is none, or cannot be made or written to.
    #[error("'{}' is defined in {setting}, {reason}", path.display())]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The password file is something else.
    #[error(
        "'{}' exists and it's not a file, check your `postgresql.pgpass` configuration",
        path.display()
    )]
    PgPass {
        /// Its path.
        path: PathBuf,
    },
}

/// Creates what is missing and tests that it can be written to.
pub(crate) fn ensure(settings: &Postgresql) -> Result<(), DirectoryError> {
    if settings.data_dir.exists() && !settings.data_dir.is_dir() {
        return Err(DirectoryError::Unusable {
            path: settings.data_dir.clone(),
            setting: "`postgresql.data_dir`",
            reason: "is not a directory",
        });
    }
    let mode = Modes::of(&settings.data_dir).directory;
    for (setting, path) in wanted(settings) {
        ensure_one(&path, mode).map_err(|reason| DirectoryError::Unusable {
            path,
            setting,
            reason,
        })?;
    }
    if settings.pgpass.exists() && !settings.pgpass.is_file() {
        let path = settings.pgpass.clone();
        return Err(DirectoryError::PgPass { path });
    }
    Ok(())
}

fn wanted(settings: &Postgresql) -> Vec<(&'static str, PathBuf)> {
    let empty = data_dir::look(&settings.data_dir) == DataDir::Empty;
    let mut wanted = Vec::new();
    for setting in ["unix_socket_directories", "stats_temp_directory"] {
        let given = settings
            .parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(setting));
        let Some((_, given)) = given else { continue };
        for entry in value::text(given).split(',').map(str::trim) {
            // An abstract socket has no directory.
            if !entry.is_empty() && !entry.starts_with('@') {
                let path = settings.data_dir.join(entry);
                // Creating something inside would make an empty directory look used.
                if !(empty && path.starts_with(&settings.data_dir)) {
                    wanted.push((setting, path));
                }
            }
        }
    }
    if settings.krbsrvname.is_none()
        && let Some(parent) = settings.pgpass.parent().filter(|dir| *dir != Path::new(""))
    {
        wanted.push(("`postgresql.pgpass`", parent.to_owned()));
    }
    wanted
}

/// A new one is as closed as the data directory. One that is there is the operator's: who wants
/// others to reach the socket makes it first.
fn ensure_one(path: &Path, mode: u32) -> Result<(), &'static str> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => return Err("is not a directory"),
        Ok(_) => {}
        Err(_) => DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(|_| "couldn't create the directory")?,
    }
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK)
        .map_err(|_| "the directory is not writable")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use serde_json::json;

    #[test]
    fn missing_directories_are_made_and_files_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Postgresql {
            data_dir: dir.path().join("data"),
            pgpass: dir.path().join("secrets/pgpass"),
            ..Postgresql::default()
        };
        let sockets = dir.path().join("sockets");
        settings.parameters.insert(
            "unix_socket_directories".to_owned(),
            json!(format!("{}, inside", sockets.display())),
        );
        ensure(&settings).unwrap();
        for made in [&sockets, &dir.path().join("secrets")] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode(), 0o40_700);
        }
        assert!(
            !settings.data_dir.exists(),
            "an empty data directory stays empty"
        );
        fs::remove_dir(&sockets).unwrap();
        fs::write(&sockets, "").unwrap();
        let refused = ensure(&settings).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "'{}' is defined in unix_socket_directories, is not a directory",
                sockets.display()
            )
        );
    }

    #[test]
    fn a_file_is_no_data_directory_and_a_directory_no_password_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        let refused = |data_dir: &Path, pgpass: &Path| {
            let settings = Postgresql {
                data_dir: data_dir.to_owned(),
                pgpass: pgpass.to_owned(),
                ..Postgresql::default()
            };
            ensure(&settings).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&file, &file),
            format!(
                "'{}' is defined in `postgresql.data_dir`, is not a directory",
                file.display()
            )
        );
        assert_eq!(
            refused(&folder, &folder),
            format!(
                "'{}' exists and it's not a file, check your `postgresql.pgpass` configuration",
                folder.display()
            )
        );
    }
}
