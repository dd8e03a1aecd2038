//! The lock that keeps copies apart and marks what is unfinished.
//!
//! A file `<data_dir>.copying` stands beside the data directory while a copy is made. It is
//! locked by us and by the running command, which inherits the open file: even after the daemon
//! was killed and started again, no second copy begins before the first command has ended. What
//! such a command makes is for nobody, so it is ended where its daemon is known to be dead: the
//! file tells whose copy it is. And as long as the file exists, what is in the data directory is
//! no database ([`is_interrupted`]).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::clone::CloneError;
use crate::processes::{self, Handle};

/// Whether a copy into this directory was begun and neither finished nor cleaned up, because the
/// daemon or the machine died in between. Its content must then not be started, only replaced.
pub fn is_interrupted(data_dir: &Path) -> bool {
    lock_path(data_dir).exists()
}

/// The right to copy into a data directory, given back when dropped.
pub(super) struct CopyLock {
    file: Arc<File>,
    /// The file to remove when nothing partial is left; `None` when a directory is the lock.
    path: Option<PathBuf>,
}

impl CopyLock {
    /// Takes the lock or fails at once.
    pub(super) fn take(data_dir: &Path) -> Result<Self, CloneError> {
        let path = lock_path(data_dir);
        let failed = |source| CloneError::Lock {
            path: path.clone(),
            source,
        };
        loop {
            let (file, is_ours) = match open(&path) {
                Ok(file) => (file, true),
                Err(error) if is_forbidden(&error) => (open_parent(&path).map_err(failed)?, false),
                Err(error) => return Err(failed(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if is_ours && end_orphans(&path) => continue,
                Err(TryLockError::WouldBlock) => return Err(CloneError::Busy { path }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The holder before us may have removed the file after we had opened it.
            if !is_ours || is_same(&file, &path) {
                if is_ours {
                    sign(&file).map_err(failed)?;
                }
                return Ok(Self {
                    file: Arc::new(file),
                    path: is_ours.then_some(path),
                });
            }
        }
    }

    /// The locked file, for the command to inherit.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Removes the mark: the data directory holds a finished copy, or nothing.
    pub(super) fn lift(self) {
        if let Some(path) = self.path
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::error!("Unable to remove {}: {error}", path.display());
        }
    }
}

fn lock_path(data_dir: &Path) -> PathBuf {
    let mut path = OsString::from(data_dir.components().as_path());
    path.push(".copying");
    path.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Writes down whose copy it is.
fn sign(mut file: &File) -> io::Result<()> {
    let us = i32::try_from(std::process::id()).ok();
    let Some(row) = us.and_then(processes::row) else {
        return Ok(());
    };
    file.set_len(0)?;
    file.write_all(format!("{} {}\n", row.pid, row.birth).as_bytes())
}

/// Whether the daemon whose copy it is has died.
fn is_orphaned(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let signed = text.trim().split_once(' ');
    let Some((Ok(pid), Ok(birth))) =
        signed.map(|(pid, birth)| (pid.parse::<i32>(), birth.parse::<u64>()))
    else {
        return false;
    };
    processes::row(pid).is_none_or(|row| row.birth != birth || row.is_zombie)
}

/// Ends the processes of a copy whose daemon has died, and tells whether all of them are gone.
/// Blocks for the moment that a kill takes.
fn end_orphans(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else {
        return false;
    };
    if !is_orphaned(&path) {
        return false;
    }
    let us = i32::try_from(std::process::id()).unwrap_or_default();
    let left: Vec<i32> = processes::users_of(&path)
        .into_iter()
        .filter(|pid| *pid != us)
        .collect();
    // A daemon that has just taken the lock may not have signed yet.
    let ours = std::env::current_exe().ok();
    let is_daemon = |pid: &i32| ours.is_some() && processes::program_of(*pid).ok() == ours;
    if left.is_empty() || left.iter().any(is_daemon) {
        return false;
    }
    tracing::warn!("a copy still runs whose daemon has died, ending its processes {left:?}");
    left.into_iter().all(|pid| {
        // One that is gone already is what is wanted.
        let held = Pid::from_raw(pid).and_then(|pid| Handle::open(pid).ok());
        held.is_none_or(|held| {
            let _ = held.signal(Signal::KILL);
            held.ends_within(KILLED_WITHIN)
        })
    })
}

/// A killed process that has not ended by then hangs in its disk.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// A data directory that is a mount point may have a parent that is not ours to write to. The
/// parent itself is the lock then; it keeps copies apart but marks nothing.
fn open_parent(path: &Path) -> io::Result<File> {
    File::open(path.parent().unwrap_or(Path::new("/")))
}

/// Whether the place beside the data directory is not ours to write to.
pub(crate) fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => held.ino() == found.ino() && held.dev() == found.dev(),
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_until_it_is_lifted() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let lock = CopyLock::take(&dir).unwrap();
        assert!(matches!(CopyLock::take(&dir), Err(CloneError::Busy { .. })));
        drop(lock);
        assert!(is_interrupted(&dir));
        CopyLock::take(&dir).unwrap().lift();
        assert!(!is_interrupted(&dir));
    }

    #[test]
    fn a_command_keeps_the_place_of_a_daemon_that_has_died() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let lock = CopyLock::take(&dir).unwrap();
        let mut command = std::process::Command::new("sleep")
            .arg("60")
            .stdin(lock.file().try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(lock);
        assert!(matches!(CopyLock::take(&dir), Err(CloneError::Busy { .. })));
        command.kill().unwrap();
        command.wait().unwrap();
        CopyLock::take(&dir).unwrap().lift();
    }

    #[test]
    fn what_a_dead_daemon_left_is_ended() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let lock = CopyLock::take(&dir).unwrap();
        let mut command = std::process::Command::new("sleep")
            .arg("60")
            .stdin(lock.file().try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(lock);
        // The number of a process that has ended.
        let mut daemon = std::process::Command::new("true").spawn().unwrap();
        daemon.wait().unwrap();
        fs::write(lock_path(&dir), format!("{} 1\n", daemon.id())).unwrap();
        CopyLock::take(&dir).unwrap().lift();
        assert!(!command.wait().unwrap().success());
    }
}
