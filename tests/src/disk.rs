//! A small file system of a test's own: it can be filled, write-protected and made larger.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{kernel, proc};

/// What may be done with the files of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only reading.
    Read,
    /// Everything.
    Write,
}

/// A mounted file system in memory; it is unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Whether this process may mount. When not, one line says which test is skipped; it goes past
    /// the test runner's capture, because a skipped test must not look like a passed one.
    pub fn is_permitted(test: &str) -> bool {
        let tried = tempfile::tempdir()
            .map_err(anyhow::Error::from)
            .and_then(|dir| Self::mount(dir.path(), 1));
        if let Err(error) = &tried {
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {error:#}");
        }
        tried.is_ok()
    }

    /// Mounts one of so many MiB at a folder, which is made.
    ///
    /// # Errors
    /// The system refuses.
    pub fn mount(path: &Path, mib: u32) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let disk = Self {
            path: path.to_owned(),
        };
        disk.set(false, Access::Write, &format!("size={mib}m"))?;
        proc::give_to_runner(path)?;
        Ok(disk)
    }

    /// Moves everything in a folder, which nobody must use meanwhile, to one mounted at its place.
    ///
    /// # Errors
    /// The system refuses, or what is there cannot be copied.
    pub fn under(folder: &Path, mib: u32) -> Result<Self> {
        let before = folder.with_extension("before");
        std::fs::rename(folder, &before)?;
        let disk = Self::mount(folder, mib)?;
        // What a log has reserved, but not written, is a hole here: it needs room when it is used.
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]);
        let status = copy.arg(before.join(".")).arg(folder).status()?;
        ensure!(status.success(), "copy to {}: {status}", folder.display());
        std::fs::remove_dir_all(&before)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the room that is left, all of it.
    ///
    /// # Errors
    /// Anything but a full disk.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        for piece in [1 << 20, 1 << 12] {
            loop {
                match ballast.write_all(&vec![0; piece]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives that room back.
    ///
    /// # Errors
    /// The system refuses.
    pub fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    /// Removes all files.
    ///
    /// # Errors
    /// The system refuses.
    pub fn empty(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// Gives it another size.
    ///
    /// # Errors
    /// The system refuses.
    pub fn resize(&self, mib: u32) -> Result<()> {
        self.set(true, Access::Write, &format!("size={mib}m"))
    }

    /// Write-protects it, or ends that. Nobody may have a file of it open for writing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        let access = if read_only {
            Access::Read
        } else {
            Access::Write
        };
        self.set(true, access, "")
    }

    fn set(&self, anew: bool, access: Access, options: &str) -> Result<()> {
        kernel::mount_in_memory(&self.path, anew, access, options)
            .with_context(|| format!("mount a small file system at {}", self.path.display()))
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = kernel::unmount(&self.path);
    }
}
