//! The snapshot file.

use std::io;
use std::path::Path;

use protobuf::Message as _;
use raft::eraftpb::Snapshot;

use super::directory::replace;
use crate::raft::error::RaftError;

const MAGIC: &[u8; 8] = b"PRSRAFTS";
const VERSION: u8 = 1;
const HEADER: usize = 32;

/// Replaces the snapshot.
pub(super) fn save(path: &Path, snapshot: &Snapshot) -> Result<(), RaftError> {
    let body = snapshot
        .write_to_bytes()
        .map_err(|error| RaftError::Stopped(error.to_string()))?;
    let mut file = MAGIC.to_vec();
    file.extend([VERSION, 0, 0, 0]);
    file.extend(crc32fast::hash(&body).to_le_bytes());
    file.extend((body.len() as u64).to_le_bytes());
    let check = crc32fast::hash(&file);
    file.extend(check.to_le_bytes());
    file.resize(HEADER, 0);
    file.extend(body);
    replace(path, &file)
        .map(drop)
        .map_err(RaftError::file("write", path))
}

/// Reads the snapshot; an empty one when there is none.
pub(super) fn load(path: &Path) -> Result<Snapshot, RaftError> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Snapshot::default()),
        Err(error) => return Err(RaftError::file("read", path)(error)),
    };
    decode(&file).map_err(|why| RaftError::Damaged {
        path: path.to_owned(),
        offset: 0,
        why: why.to_owned(),
    })
}

fn decode(file: &[u8]) -> Result<Snapshot, &'static str> {
    let header = file.get(..HEADER).ok_or("the file is too short")?;
    if !header.starts_with(MAGIC) {
        return Err("this is no raft snapshot");
    }
    if header[8] != VERSION {
        return Err("written by a newer version");
    }
    let word = |at: usize| header[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
    let length = header[16..].first_chunk().map(|b| u64::from_le_bytes(*b));
    if word(24) != Some(crc32fast::hash(&header[..24])) {
        return Err("a wrong checksum in the file header");
    }
    let body = &file[HEADER..];
    if length != Some(body.len() as u64) || word(12) != Some(crc32fast::hash(body)) {
        return Err("a wrong checksum");
    }
    Snapshot::parse_from_bytes(body).map_err(|_| "unreadable")
}
