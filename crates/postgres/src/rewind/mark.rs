//! The mark of a rewind that has begun and is not known to have ended well.
//!
//! `pg_rewind` changes one file after the other and the control file last. What it leaves when it
//! ends in between (its source or this machine died) is a mixture of two histories, on which a
//! server starts and waits for ever for WAL that nobody has. So a file `<data_dir>.rewinding`
//! stands beside the data directory, out of reach of `pg_rewind`, from before it begins. It holds
//! what tells the control file of that moment from any other: a copy made by hand, or a rewind
//! that came to its end, makes the mark void.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::bootstrap::is_forbidden;

/// Whether a rewind of these data began, changed something, and did not end.
pub fn is_half_rewound(data_dir: &Path) -> bool {
    let marked = fs::read_to_string(path(data_dir));
    marked.is_ok_and(|marked| control_file(data_dir).is_ok_and(|found| marked == found))
}

/// Puts the mark there before `pg_rewind` begins. A data directory that is a mount point may have a
/// parent that is not ours to write to: its rewind goes on without a mark, and the log says so.
/// False when the mark could not be written for another reason, which is in the log.
pub(super) fn set(data_dir: &Path) -> bool {
    let error = match write(data_dir) {
        Ok(()) => return true,
        Err(error) => error,
    };
    let forbidden = is_forbidden(&error);
    let path = path(data_dir);
    if forbidden {
        tracing::warn!(
            "Unable to write {}: {error}; a rewind that ends half way will not be recognised",
            path.display()
        );
    } else {
        tracing::error!("Unable to write {}: {error}", path.display());
    }
    forbidden
}

fn write(data_dir: &Path) -> io::Result<()> {
    let path = path(data_dir);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(control_file(data_dir)?.as_bytes())?;
    file.sync_all()?;
    // The name has to outlive a power cut, too.
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Takes the mark away: the data are a whole, or gone.
pub(crate) fn clear(data_dir: &Path) {
    let path = path(data_dir);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!("Unable to remove {}: {error}", path.display()),
    }
}

fn path(data_dir: &Path) -> PathBuf {
    let mut path = OsString::from(data_dir.components().as_path());
    path.push(".rewinding");
    path.into()
}

/// What changes when the control file is written or replaced.
fn control_file(data_dir: &Path) -> io::Result<String> {
    let found = fs::metadata(data_dir.join("global/pg_control"))?;
    Ok(format!(
        "{} {}.{:09}\n",
        found.ino(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_control_file_makes_the_mark_void() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        fs::create_dir_all(dir.join("global")).unwrap();
        let control = dir.join("global/pg_control");
        fs::write(&control, "old").unwrap();
        assert!(!is_half_rewound(&dir));
        assert!(set(&dir));
        assert!(is_half_rewound(&dir));
        assert!(is_half_rewound(&home.path().join("data/")));

        // The last thing that a rewind writes.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
        let file = File::options().write(true).open(&control).unwrap();
        file.set_modified(later).unwrap();
        assert!(!is_half_rewound(&dir));

        // The rewind began only after the mark was on the disk.
        fs::write(home.path().join("data.rewinding"), "12").unwrap();
        assert!(!is_half_rewound(&dir));
        assert!(set(&dir));
        assert!(is_half_rewound(&dir));
        clear(&dir);
        clear(&dir);
        assert!(!is_half_rewound(&dir));
    }
}
