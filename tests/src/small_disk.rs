//! A disk that can be filled: a file system in memory in the place of a folder.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::proc;

/// Room for what etcd reserves for its log, twice 64 MB.
const SIZE: &str = "size=192m";

/// The disk; it is gone when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Moves everything in a folder, which nobody must use meanwhile, to a disk at its place.
    /// `None` for who may not mount one, with a line that goes past the test runner's capture.
    ///
    /// # Errors
    /// What is there cannot be copied.
    pub fn under(folder: &Path) -> Result<Option<Self>> {
        let before = folder.with_extension("before");
        std::fs::rename(folder, &before)?;
        std::fs::create_dir(folder)?;
        let mount = ["-t", "tmpfs", "-o", SIZE, "patroni-test"];
        if let Err(error) = run(Command::new("mount").args(mount).arg(folder)) {
            let skipped = "skipped: no disk of its own for a server";
            let _ = writeln!(std::io::stderr(), "{skipped}: {error:#}");
            std::fs::remove_dir(folder)?;
            std::fs::rename(&before, folder)?;
            return Ok(None);
        }
        let disk = Self {
            folder: folder.to_owned(),
        };
        proc::give_to_runner(folder)?;
        // What a log has reserved, but not written, is a hole here: it needs room when it is used.
        run(Command::new("cp")
            .args(["-a", "--sparse=always"])
            .arg(before.join("."))
            .arg(folder))?;
        std::fs::remove_dir_all(&before)?;
        Ok(Some(disk))
    }

    /// Leaves no room.
    ///
    /// # Errors
    /// The disk refuses for another reason than that.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        let piece = vec![1; 1 << 20];
        loop {
            match file.write(&piece) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                other => return other.map(drop).context("fill the disk"),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Errors
    /// It was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Out of sight at once, and gone when its last user is.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.folder));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", error.trim());
    Ok(())
}
