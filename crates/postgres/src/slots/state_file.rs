//! Putting the state file of a slot in its place while no server runs.
//!
//! A server that finds a damaged state file does not start, so what came over the network is
//! checked first: magic number, length, and the server's own checksum. The layout is that of
//! PostgreSQL since 9.4: four numbers of 32 bits (magic, checksum, version, length of the rest),
//! then the rest; the checksum is CRC-32C of everything behind itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use patroni_core::SlotName;
use tracing::error;

use crate::conf::write::Modes;
use crate::supervisor::{Supervisor, blocking};

/// The state file of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFile {
    /// Of which slot.
    pub name: SlotName,
    /// Its content.
    pub state: Vec<u8>,
}

/// Why bytes are not the state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadState {
    /// The name is none that a server accepts.
    #[error("the name of the slot is not valid")]
    Name,
    /// It is too short, or does not begin as such a file does.
    #[error("it is no state file of a slot")]
    Magic,
    /// The length that it tells is not its own.
    #[error("it is cut off or has something behind its end")]
    Length,
    /// It was damaged on the way, or read while it was written.
    #[error("its checksum is wrong")]
    Checksum,
}

const MAGIC: u32 = 0x0105_1CA1;
const HEADER: usize = 16;
const CHECKED_FROM: usize = 8;

impl SlotFile {
    /// Checks the bytes as the server will.
    ///
    /// # Errors
    /// The server would not start with them.
    pub fn check(&self) -> Result<(), BadState> {
        if !self.name.is_valid() {
            return Err(BadState::Name);
        }
        let number = |at: usize| {
            let bytes = self.state.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (Some(magic), Some(checksum), Some(length)) = (number(0), number(4), number(12)) else {
            return Err(BadState::Magic);
        };
        if magic != MAGIC {
            return Err(BadState::Magic);
        }
        let rest = self.state.len().saturating_sub(HEADER);
        if rest == 0 || usize::try_from(length) != Ok(rest) {
            return Err(BadState::Length);
        }
        if crc32c(&self.state[CHECKED_FROM..]) != checksum {
            return Err(BadState::Checksum);
        }
        Ok(())
    }
}

impl Supervisor {
    /// Puts the files in their places, each in one step that a crash leaves done or not done.
    /// The caller has stopped the server. False when one could not be installed; logged.
    pub async fn install_slots(&self, files: Vec<SlotFile>) -> bool {
        if self.is_alive() {
            error!("not installing replication slots while PostgreSQL runs");
            return false;
        }
        let mut all = true;
        for file in files {
            let name = file.name.clone();
            if let Err(reason) = file.check() {
                error!("Failed to install the logical replication slot '{name}': {reason}");
                all = false;
                continue;
            }
            let data_dir = self.data_dir();
            if let Err(reason) = blocking(move || install(&data_dir, &file)).await {
                error!("Failed to install the logical replication slot '{name}': {reason}");
                all = false;
            }
        }
        all
    }
}

fn install(data_dir: &Path, file: &SlotFile) -> io::Result<()> {
    let modes = Modes::of(data_dir);
    let parent = data_dir.join("pg_replslot");
    let place = parent.join(file.name.as_str());
    // The server clears away directories of this name when it starts.
    let beside = parent.join(format!("{}.tmp", file.name));
    remove(&beside)?;
    DirBuilder::new().mode(modes.directory).create(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(modes.directory))?;
    let mut state = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(modes.file)
        .open(beside.join("state"))?;
    state.write_all(&file.state)?;
    state.set_permissions(fs::Permissions::from_mode(modes.file))?;
    state.sync_all()?;
    sync_directory(&beside)?;
    remove(&place)?;
    fs::rename(&beside, &place)?;
    sync_directory(&place)?;
    sync_directory(&parent)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => Err(reason),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// CRC-32C (Castagnoli), bit by bit: the input is short.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x82F6_3B78;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, rest: &[u8]) -> SlotFile {
        let mut checked = 5u32.to_ne_bytes().to_vec();
        checked.extend(u32::try_from(rest.len()).unwrap().to_ne_bytes());
        checked.extend(rest);
        let mut state = MAGIC.to_ne_bytes().to_vec();
        state.extend(crc32c(&checked).to_ne_bytes());
        state.extend(checked);
        SlotFile {
            name: SlotName::new(name),
            state,
        }
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn only_whole_files_are_taken() {
        let good = file("s", b"data of a slot");
        assert_eq!(good.check(), Ok(()));
        let with = |change: &dyn Fn(&mut SlotFile)| {
            let mut changed = good.clone();
            change(&mut changed);
            changed.check()
        };
        assert_eq!(with(&|f| f.state[0] ^= 1), Err(BadState::Magic));
        assert_eq!(with(&|f| f.state.truncate(7)), Err(BadState::Magic));
        assert_eq!(with(&|f| f.state.truncate(20)), Err(BadState::Length));
        assert_eq!(with(&|f| f.state.push(0)), Err(BadState::Length));
        assert_eq!(with(&|f| f.state[20] ^= 1), Err(BadState::Checksum));
        assert_eq!(
            with(&|f| f.name = SlotName::new("../x")),
            Err(BadState::Name)
        );
        assert_eq!(with(&|f| f.state.clear()), Err(BadState::Magic));
    }

    #[test]
    fn a_file_replaces_the_slot_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let slots = dir.path().join("pg_replslot");
        fs::create_dir_all(slots.join("s")).unwrap();
        fs::write(slots.join("s/state"), "old").unwrap();
        fs::create_dir_all(slots.join("s.tmp")).unwrap();
        let mode = |path: &str| {
            let found = fs::metadata(slots.join(path)).unwrap();
            found.permissions().mode() & 0o777
        };
        let new = file("s", b"new");
        for (directory, dir_mode, file_mode) in [(0o700, 0o700, 0o600), (0o750, 0o750, 0o640)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(directory)).unwrap();
            install(dir.path(), &new).unwrap();
            assert_eq!(fs::read(slots.join("s/state")).unwrap(), new.state);
            assert_eq!((mode("s"), mode("s/state")), (dir_mode, file_mode));
            assert!(!slots.join("s.tmp").exists());
        }
    }
}
