//! What WAL-E says of a backup.

use patroni_core::Lsn;

/// The latest backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backup {
    /// Bytes that a restore writes.
    pub(super) size: u64,
    /// Where its WAL begins.
    pub(super) start: Lsn,
}

/// A list that is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListError {
    /// Not one backup.
    #[error("wal-e lists {0} backups instead of the latest")]
    NotOne(usize),
    /// A column is not there.
    #[error("the list of wal-e has no column {0}")]
    NoColumn(&'static str),
    /// A column does not read.
    #[error("the column {column} of wal-e does not read: {text:?}")]
    Column {
        /// Its name.
        column: &'static str,
        /// What is there.
        text: String,
    },
}

const SIZE: &str = "expanded_size_bytes";
const SEGMENT: &str = "wal_segment_backup_start";
const OFFSET: &str = "wal_segment_offset_backup_start";

impl Backup {
    /// Reads the output of `backup-list --detail LATEST`: a line of names and one of values, both
    /// separated by tabs.
    pub(super) fn read(list: &str) -> Result<Self, ListError> {
        let mut lines = list.lines().filter(|line| !line.trim().is_empty());
        let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let rows: Vec<&str> = lines.collect();
        let [row] = rows[..] else {
            return Err(ListError::NotOne(rows.len()));
        };
        let values: Vec<&str> = row.split('\t').collect();
        let column = |name: &'static str| {
            let at = names.iter().position(|known| known.trim() == name);
            at.and_then(|at| values.get(at))
                .map(|text| text.trim())
                .ok_or(ListError::NoColumn(name))
        };
        let (size, segment, offset) = (column(SIZE)?, column(SEGMENT)?, column(OFFSET)?);
        let bad = |column: &'static str, text: &str| ListError::Column {
            column,
            text: text.to_owned(),
        };
        let offset: u32 = offset.parse().map_err(|_| bad(OFFSET, offset))?;
        Ok(Self {
            size: size.parse().map_err(|_| bad(SIZE, size))?,
            start: start(segment, offset).ok_or_else(|| bad(SEGMENT, segment))?,
        })
    }
}

/// The position of an offset into a WAL file of 16 MiB, the only size that WAL-E knows.
fn start(segment: &str, offset: u32) -> Option<Lsn> {
    let part = |from: usize| u64::from_str_radix(segment.get(from..from + 8)?, 16).ok();
    let (log, file) = (part(8)?, part(16)?);
    if segment.len() != 24 || file > 0xFF {
        return None;
    }
    Some(Lsn::new((log << 32) + (file << 24) + u64::from(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = include_str!("../../tests/golden/wale-backup-list.tsv");

    #[test]
    fn the_list_of_the_latest_backup_is_read() {
        assert_eq!(
            Backup::read(LIST),
            Ok(Backup {
                size: 53_687_091_200,
                start: "5/80000028".parse().unwrap(),
            })
        );
    }

    #[test]
    fn other_lists_say_what_is_wrong() {
        let header = LIST.lines().next().unwrap();
        let row = LIST.lines().nth(1).unwrap();
        for (list, expected) in [
            (String::new(), ListError::NotOne(0)),
            (header.to_owned(), ListError::NotOne(0)),
            (format!("{LIST}{row}\n"), ListError::NotOne(2)),
            (
                LIST.replace("expanded_size_bytes", "size"),
                ListError::NoColumn("expanded_size_bytes"),
            ),
            (
                LIST.replace("000000010000000500000080", "x"),
                ListError::Column {
                    column: "wal_segment_backup_start",
                    text: "x".to_owned(),
                },
            ),
        ] {
            assert_eq!(Backup::read(&list), Err(expected), "{list}");
        }
    }
}
