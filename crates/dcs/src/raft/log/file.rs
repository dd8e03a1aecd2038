//! The log file: records appended into prepared space.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::directory::replace;
use super::record;
use crate::raft::error::RaftError;
use crate::raft::ident;

const MAGIC: &[u8; 8] = b"PRSRAFTL";
const VERSION: u8 = 1;
const HEADER: usize = 32;
/// Space is prepared in pieces of this size.
const CHUNK: u64 = 256 << 10;

/// An open log file. After a failed write or sync nothing is known about its end any more, so it
/// must not be used again: [`LogFile::append`] takes care of that.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    salt: u32,
    number: u32,
    end: u64,
    prepared: u64,
    broken: bool,
}

impl LogFile {
    /// Puts a new file with one record in the place of the old one.
    pub(super) fn create(path: &Path, payload: &[u8]) -> Result<Self, RaftError> {
        let salt = u32::try_from(ident::random_id() >> 32).unwrap_or(0);
        let mut start = header(salt);
        start.extend(record::encode(payload, salt, 0));
        let end = start.len() as u64;
        let prepared = end.next_multiple_of(CHUNK);
        start.resize(usize::try_from(prepared).unwrap_or(start.len()), 0);
        let file = replace(path, &start).map_err(RaftError::file("write", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            salt,
            number: 1,
            end,
            prepared,
            broken: false,
        })
    }

    /// Opens a file, cuts off a torn record, and gives back the payloads.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), RaftError> {
        let bytes = std::fs::read(path).map_err(RaftError::file("read", path))?;
        let damaged = |offset: usize, why: &str| RaftError::Damaged {
            path: path.to_owned(),
            offset: offset as u64,
            why: why.to_owned(),
        };
        let salt = salt_of(&bytes).map_err(|why| damaged(0, why))?;
        let scan = record::scan(&bytes, HEADER, salt).map_err(|d| damaged(d.offset, d.why))?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(RaftError::file("open", path))?;
        let mut log = Self {
            file,
            path: path.to_owned(),
            salt,
            number: u32::try_from(scan.payloads.len()).unwrap_or(u32::MAX),
            end: scan.end as u64,
            prepared: bytes.len() as u64,
            broken: false,
        };
        if scan.torn {
            tracing::warn!(
                file = %path.display(),
                offset = scan.end,
                "cut off a record that was being written when the machine stopped"
            );
            log.cut().map_err(RaftError::file("cut", path))?;
        }
        let payloads = scan.payloads.into_iter().map(|at| bytes[at].to_vec());
        Ok((log, payloads.collect()))
    }

    /// Appends one record and returns when it is on the disk.
    pub(super) fn append(&mut self, payload: &[u8]) -> Result<(), RaftError> {
        if self.broken {
            let why = "an earlier write to the raft log failed".to_owned();
            return Err(RaftError::Stopped(why));
        }
        self.broken = true;
        let bytes = record::encode(payload, self.salt, self.number);
        self.write(&bytes)
            .map_err(RaftError::file("append to", &self.path))?;
        self.broken = false;
        self.number += 1;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Bytes in use.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if end > self.prepared {
            self.prepare(end.next_multiple_of(CHUNK))?;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.file.sync_data()
    }

    /// Fills space with zeros ahead of time, so that a sync has no size or block map to write.
    fn prepare(&mut self, until: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(until - self.prepared).unwrap_or(0)];
        self.file.write_all_at(&zeros, self.prepared)?;
        self.file.sync_all()?;
        self.prepared = until;
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.prepared = self.end;
        self.prepare((self.end + 1).next_multiple_of(CHUNK))?;
        self.file.flush()
    }
}

fn header(salt: u32) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend([VERSION, 0, 0, 0]);
    header.extend(salt.to_le_bytes());
    let check = crc32fast::hash(&header);
    header.extend(check.to_le_bytes());
    header.resize(HEADER, 0);
    header
}

fn salt_of(bytes: &[u8]) -> Result<u32, &'static str> {
    let header = bytes.get(..HEADER).ok_or("the file is too short")?;
    if !header.starts_with(MAGIC) {
        return Err("this is no raft log");
    }
    if header[8] != VERSION {
        return Err("written by a newer version");
    }
    let word = |at: usize| header[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
    if word(16) != Some(crc32fast::hash(&header[..16])) {
        return Err("a wrong checksum in the file header");
    }
    word(12).ok_or("the file is too short")
}
