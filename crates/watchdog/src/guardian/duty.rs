//! The file that says which guardian is on duty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Duty {
    file: PathBuf,
}

impl Duty {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Puts the guardian of this name on duty; whoever was is relieved.
    pub(super) fn take(&self, name: &str) -> io::Result<()> {
        let mut beside = self.file.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, name)?;
        fs::rename(&beside, &self.file)
    }

    /// Nobody is on duty.
    pub(super) fn leave(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Whether the guardian of this name was relieved. A file that cannot be read relieves
    /// nobody.
    pub(super) fn is_relieved(&self, name: &str) -> bool {
        match fs::read_to_string(&self.file) {
            Ok(on_duty) => on_duty != name,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_relieves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let duty = Duty::new(&dir.path().join("guardian"));
        assert!(duty.is_relieved("a"));
        duty.take("a").unwrap();
        assert!(!duty.is_relieved("a") && duty.is_relieved("b"));
        duty.take("b").unwrap();
        assert!(duty.is_relieved("a") && !duty.is_relieved("b"));
        duty.leave().unwrap();
        duty.leave().unwrap();
        assert!(duty.is_relieved("b"));
    }
}
