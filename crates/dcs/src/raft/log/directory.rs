//! The data directory: the lock, and who the member is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::raft::error::RaftError;
use crate::raft::ident::Address;

/// A locked data directory. The lock ends with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Who the member is. Written after log and snapshot: without it the member never spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Format of this file.
    pub(crate) version: u32,
    /// The number in Raft.
    pub(crate) id: u64,
    /// The address that the number was made of.
    pub(crate) address: Address,
    /// The set of founders by configuration.
    pub(crate) founders: u64,
    /// The cluster, 0 until the first leader has named it.
    pub(crate) cluster: u64,
    /// Whether we came to a cluster that existed.
    pub(crate) joined: bool,
}

const META_VERSION: u32 = 1;

impl Meta {
    /// A member that has not heard of a cluster yet.
    pub(crate) fn new(id: u64, address: Address, founders: u64, joined: bool) -> Self {
        Self {
            version: META_VERSION,
            id,
            address,
            founders,
            cluster: 0,
            joined,
        }
    }
}

impl Directory {
    /// Makes the directory if needed and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, RaftError> {
        fs::create_dir_all(path).map_err(RaftError::file("create", path))?;
        let name = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(RaftError::file("open", &name))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RaftError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(RaftError::file("lock", name)(source)),
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn snapshot(&self) -> PathBuf {
        self.path.join("snapshot")
    }

    fn meta(&self) -> PathBuf {
        self.path.join("meta")
    }

    /// Who the member is; `None` when it never spoke. What a crash during the founding left
    /// behind is removed then.
    pub(crate) fn load_meta(&self, address: &Address) -> Result<Option<Meta>, RaftError> {
        let path = self.meta();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.clear_unfinished()?;
                return Ok(None);
            }
            Err(error) => return Err(RaftError::file("read", path)(error)),
        };
        let damaged = |why: &str| RaftError::Damaged {
            path: path.clone(),
            offset: 0,
            why: why.to_owned(),
        };
        let (line, check) = text.split_once('\n').ok_or_else(|| damaged("too short"))?;
        if check.trim_end() != checksum(line) {
            return Err(damaged("a wrong checksum"));
        }
        let meta: Meta = serde_json::from_str(line).map_err(|_| damaged("unreadable"))?;
        if meta.version != META_VERSION {
            return Err(damaged("written by a newer version"));
        }
        if meta.address != *address {
            return Err(RaftError::Foreign {
                path: self.path.clone(),
                owner: meta.address,
                wanted: address.clone(),
            });
        }
        Ok(Some(meta))
    }

    /// Writes who the member is.
    pub(crate) fn save_meta(&self, meta: &Meta) -> Result<(), RaftError> {
        let line = serde_json::to_string(meta).expect("plain data");
        let text = format!("{line}\n{}\n", checksum(&line));
        let path = self.meta();
        replace(&path, text.as_bytes())
            .map(drop)
            .map_err(RaftError::file("write", path))
    }

    /// A log with more than one record has been used: then the missing `meta` was lost, and
    /// taking the directory for an empty one would forget votes.
    fn clear_unfinished(&self) -> Result<(), RaftError> {
        if self.log().exists() {
            let (_, payloads) = super::file::LogFile::open(&self.log())?;
            if payloads.len() > 1 {
                return Err(RaftError::Damaged {
                    path: self.meta(),
                    offset: 0,
                    why: "the file is missing, but the log has been used".to_owned(),
                });
            }
        }
        for path in [self.log(), self.snapshot()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RaftError::file("remove", path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn checksum(line: &str) -> String {
    format!("{:08x}", crc32fast::hash(line.as_bytes()))
}

/// Puts new content in the place of a file, so that after a crash either the old or the new one
/// is there.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()?;
    Ok(file)
}
