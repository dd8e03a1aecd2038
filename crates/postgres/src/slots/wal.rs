//! From where on there is WAL to decode.

use std::fs;
use std::io;
use std::path::Path;

use patroni_core::Lsn;

use crate::archive::{is_segment, wal_dir};
use crate::supervisor::{Supervisor, blocking};

impl Supervisor {
    /// The start of the oldest WAL segment of this node, of whatever timeline.
    ///
    /// What the server itself tells of a slot (`wal_status`) knows only of WAL that this server
    /// process has removed, not of WAL that a copy of the data never had.
    ///
    /// # Errors
    /// The directory cannot be read, or holds no WAL.
    pub async fn wal_start(&self) -> io::Result<Lsn> {
        let dir = wal_dir(&self.data_dir());
        blocking(move || oldest(&dir)).await
    }
}

fn oldest(dir: &Path) -> io::Result<Lsn> {
    let mut first: Option<(u64, String)> = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(number) = number(&name)
            && first.as_ref().is_none_or(|(least, _)| number < *least)
        {
            first = Some((number, name));
        }
    }
    let Some((number, name)) = first else {
        let what = format!("no WAL in {}", dir.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    };
    // A segment has its whole length from its beginning on.
    let size = fs::metadata(dir.join(name))?.len();
    let (high, low) = (number >> 32, number & 0xFFFF_FFFF);
    Ok(Lsn::new((high << 32) + low * size))
}

/// The part of a segment's name behind its timeline, which orders segments of all timelines.
fn number(name: &str) -> Option<u64> {
    is_segment(name).then(|| u64::from_str_radix(&name[8..], 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_segment_counts_whatever_its_timeline() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            oldest(dir.path())
                .unwrap_err()
                .to_string()
                .contains("no WAL")
        );
        for name in [
            "000000020000000100000003",
            "000000010000000100000002",
            "000000030000000000000001.partial",
            "00000002.history",
            "archive_status",
        ] {
            fs::write(dir.path().join(name), vec![0; 1 << 20]).unwrap();
        }
        let expected = (1 << 32) + (2 << 20);
        assert_eq!(oldest(dir.path()).unwrap(), Lsn::new(expected));
    }
}
