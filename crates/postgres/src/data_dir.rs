//! The data directory: is it there, whose is it, and getting rid of it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use patroni_core::Role;
use patroni_core::server::DataDir;
use tracing::info;

use crate::bootstrap;
use crate::rewind::mark;

/// What is known of a data directory. Source: the supervision contract, section 9.
pub(crate) fn look(data_dir: &Path) -> DataDir {
    if bootstrap::is_interrupted(data_dir) {
        return DataDir::Empty; // an unfinished copy is no database, however much of it is there
    }
    if data_dir.join("global/pg_control").exists() {
        return DataDir::Present;
    }
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return DataDir::Empty,
        Err(error) => return DataDir::Inaccessible(error.to_string()),
    };
    for entry in entries {
        match entry {
            Ok(entry) => {
                let name = entry.file_name();
                if name != "lost+found" && !name.as_encoded_bytes().starts_with(b".") {
                    return DataDir::Present;
                }
            }
            Err(error) => return DataDir::Inaccessible(error.to_string()),
        }
    }
    DataDir::Empty
}

/// The role that the files tell: nothing or no control file is uninitialised, a signal file a
/// replica, else a primary.
pub(crate) fn role(data_dir: &Path, major_version: Option<u32>) -> Role {
    if look(data_dir) != DataDir::Present || !data_dir.join("global/pg_control").exists() {
        Role::Uninitialized
    } else if has_recovery_signal(data_dir, major_version) {
        Role::Replica
    } else {
        Role::Primary
    }
}

/// Whether a file says that the data belong to a standby.
pub(crate) fn has_recovery_signal(data_dir: &Path, major_version: Option<u32>) -> bool {
    let exists = |name: &str| data_dir.join(name).exists();
    if major_version.is_some_and(|version| version < 120_000) {
        exists("recovery.conf")
    } else {
        exists("standby.signal") || exists("recovery.signal")
    }
}

/// Removes a data directory and what its links point to: WAL and tablespaces.
///
/// # Errors
/// Any of the system; part of the data may be gone then.
pub(crate) fn remove(data_dir: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(data_dir) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    info!("Removing data directory: {}", data_dir.display());
    if !found.is_dir() {
        return fs::remove_file(data_dir);
    }
    for target in link_targets(data_dir) {
        let what = target.kind.as_str();
        info!("Removing {what}: {}", target.path.display());
        if target.path.exists() {
            fs::remove_dir_all(&target.path)?;
        }
    }
    fs::remove_dir_all(data_dir)?;
    mark::clear(data_dir);
    Ok(())
}

/// Puts a data directory aside as `<dir>.failed`, with WAL and tablespaces that lie elsewhere.
///
/// # Errors
/// Any of the system.
pub(crate) fn move_aside(data_dir: &Path) -> io::Result<()> {
    if !data_dir.is_dir() {
        return Ok(());
    }
    for target in link_targets(data_dir) {
        let aside = with_suffix(&target.path);
        info!(
            "renaming {} and updating symlink: {}",
            target.kind.as_str(),
            target.path.display()
        );
        replace(&target.path, &aside)?;
        fs::remove_file(&target.link)?;
        symlink(&aside, &target.link)?;
    }
    let aside = with_suffix(data_dir);
    info!("renaming data directory to {}", aside.display());
    replace(data_dir, &aside)
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(from, to)
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".failed");
    PathBuf::from(name)
}

#[derive(Clone, Copy)]
enum TargetKind {
    Wal,
    Tablespace,
}

impl TargetKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Wal => "WAL directory",
            Self::Tablespace => "user defined tablespace directory",
        }
    }
}

struct Target {
    kind: TargetKind,
    link: PathBuf,
    path: PathBuf,
}

/// Directories outside that links in the data directory point to.
fn link_targets(data_dir: &Path) -> Vec<Target> {
    let wal = ["pg_wal", "pg_xlog"].map(|name| (TargetKind::Wal, data_dir.join(name)));
    let spaces = fs::read_dir(data_dir.join("pg_tblspc"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .map(|entry| (TargetKind::Tablespace, entry.path()));
    wal.into_iter()
        .chain(spaces)
        .filter_map(|(kind, link)| {
            fs::read_link(&link).ok()?;
            let path = fs::canonicalize(&link).ok()?;
            Some(Target { kind, link, path })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_links(root: &Path) -> PathBuf {
        let data = root.join("data");
        fs::create_dir_all(data.join("global")).unwrap();
        fs::create_dir_all(data.join("pg_tblspc")).unwrap();
        fs::write(data.join("global/pg_control"), "x").unwrap();
        for (target, link) in [("wal", "pg_wal"), ("space", "pg_tblspc/16384")] {
            fs::create_dir(root.join(target)).unwrap();
            symlink(root.join(target), data.join(link)).unwrap();
        }
        data
    }

    #[test]
    fn emptiness_ignores_hidden_names() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(&dir.path().join("none")), DataDir::Empty);
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        fs::write(dir.path().join(".hidden"), "").unwrap();
        assert_eq!(look(dir.path()), DataDir::Empty);
        assert_eq!(role(dir.path(), None), Role::Uninitialized);
        fs::write(dir.path().join("x"), "").unwrap();
        assert_eq!(look(dir.path()), DataDir::Present);
        let file = dir.path().join("x");
        assert!(matches!(look(&file), DataDir::Inaccessible(_)));
    }

    #[test]
    fn removal_follows_links() {
        let root = tempfile::tempdir().unwrap();
        let data = with_links(root.path());
        assert_eq!(role(&data, Some(150_000)), Role::Primary);
        remove(&data).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn moving_aside_keeps_everything_together() {
        let root = tempfile::tempdir().unwrap();
        let data = with_links(root.path());
        fs::create_dir(root.path().join("wal.failed")).unwrap();
        move_aside(&data).unwrap();
        let aside = root.path().join("data.failed");
        assert!(!data.exists());
        assert_eq!(
            fs::read_link(aside.join("pg_wal")).unwrap(),
            fs::canonicalize(root.path().join("wal.failed")).unwrap()
        );
        assert!(aside.join("pg_tblspc/16384").is_dir());
    }
}
