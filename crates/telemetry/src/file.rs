//! A file that is rotated by its size.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use patroni_config::umask;

use crate::error::LogError;
use crate::settings::FileSettings;

/// `patroni.log` and its older brothers `patroni.log.1` (the newest), `.2`, ...
#[derive(Debug)]
pub(crate) struct RotatedFile {
    settings: FileSettings,
    path: PathBuf,
    file: File,
    written: u64,
}

impl RotatedFile {
    pub(crate) fn open(settings: &FileSettings) -> Result<Self, LogError> {
        let path = settings.dir.join("patroni.log");
        let failed = |source| LogError::Open {
            path: path.clone(),
            source,
        };
        let file = open(&path, settings.mode).map_err(failed)?;
        let written = file.metadata().map_err(failed)?.len();
        Ok(Self {
            settings: settings.clone(),
            path,
            file,
            written,
        })
    }

    /// Where it lies, to see whether another place was asked for.
    pub(crate) fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// Takes over other sizes and permissions, the latter for files opened from now on.
    pub(crate) fn adopt(&mut self, settings: &FileSettings) {
        self.settings = settings.clone();
    }

    /// Appends a line, after a rotation if it would reach the size.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let FileSettings { size, keep, .. } = self.settings;
        let length = line.len() as u64;
        if size > 0 && keep > 0 && self.written > 0 && self.written + length >= size {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.written += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.settings.keep).rev() {
            let older = self.numbered(number);
            if older.exists() {
                std::fs::rename(older, self.numbered(number + 1))?;
            }
        }
        std::fs::rename(&self.path, self.numbered(1))?;
        self.file = open(&self.path, self.settings.mode)?;
        self.written = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Without a configured mode a new file gets that of the daemon's first umask, after a rotation,
/// too; one that is there keeps its own.
fn open(path: &Path, mode: Option<u32>) -> io::Result<File> {
    let default = (!path.exists()).then(umask::file_mode);
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if let Some(mode) = mode.or(default) {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_have_the_mode_of_the_first_one() {
        let dir = tempfile::tempdir().unwrap();
        let settings = FileSettings {
            size: 10,
            ..FileSettings::new(dir.path())
        };
        let mut file = RotatedFile::open(&settings).unwrap();
        // What the daemon's stricter umask does to a new file.
        file.file
            .set_permissions(Permissions::from_mode(0o600))
            .unwrap();
        file.write(b"one.......\n").unwrap();
        file.write(b"two\n").unwrap();
        let newest = std::fs::metadata(dir.path().join("patroni.log")).unwrap();
        assert_eq!(newest.permissions().mode() & 0o777, umask::file_mode());
    }

    #[test]
    fn the_newest_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let settings = FileSettings {
            mode: Some(0o640),
            size: 10,
            keep: 2,
            ..FileSettings::new(dir.path())
        };
        let mut file = RotatedFile::open(&settings).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "five\n",
            "six..........\n",
        ] {
            file.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).ok();
        assert_eq!(read("patroni.log").as_deref(), Some("six..........\n"));
        assert_eq!(read("patroni.log.1").as_deref(), Some("five\n"));
        assert_eq!(read("patroni.log.2").as_deref(), Some("four\n"));
        assert_eq!(read("patroni.log.3"), None);
        let mode = std::fs::metadata(dir.path().join("patroni.log")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o640);
    }
}
