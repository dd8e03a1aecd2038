//! The WAL directory of restored data, which a backup does not hold.

use std::fs;
use std::io;
use std::path::Path;

/// Makes the WAL directory when it is missing, also where a link points into the void.
///
/// # Errors
/// Any of the system.
pub(super) fn ensure(datadir: &Path) -> io::Result<()> {
    let version = fs::read_to_string(datadir.join("PG_VERSION"))?;
    // Before 10 versions have two numbers: 9.6.
    let name = if version.trim().contains('.') {
        "pg_xlog"
    } else {
        "pg_wal"
    };
    let path = datadir.join(name);
    if path.exists() {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        tracing::info!("replacing {}, a link to nothing", path.display());
        fs::remove_file(&path)?;
    }
    fs::create_dir(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_and_a_dangling_link_replaced() {
        for (version, name) in [("15\n", "pg_wal"), ("9.6\n", "pg_xlog")] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(name);
            assert!(ensure(home.path()).is_err(), "no data at all");
            fs::write(home.path().join("PG_VERSION"), version).unwrap();
            ensure(home.path()).unwrap();
            assert!(path.is_dir());
            fs::remove_dir(&path).unwrap();
            std::os::unix::fs::symlink("/nonexistent/wal", &path).unwrap();
            ensure(home.path()).unwrap();
            assert!(path.symlink_metadata().unwrap().is_dir());
            let kept = home.path().join("elsewhere");
            fs::rename(&path, &kept).unwrap();
            std::os::unix::fs::symlink(&kept, &path).unwrap();
            ensure(home.path()).unwrap();
            assert!(path.symlink_metadata().unwrap().is_symlink());
        }
    }
}
