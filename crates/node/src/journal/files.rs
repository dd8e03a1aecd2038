//! The files of a journal: one is written, older ones stay beside it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use patroni_core::{MemberName, Scope};

/// Only the daemon's user reads decisions.
const MODE: u32 = 0o600;

/// Where the files lie and how large they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file that is written; older ones have `.1` (the newest), `.2` and so on behind.
    pub(super) path: PathBuf,
    /// It is rotated before it gets larger than so many bytes.
    pub(super) max_size: u64,
    /// So many older files are kept.
    pub(super) keep: usize,
}

/// `demo-node1.journal`: several members may share a folder.
pub(super) fn name(scope: &Scope, member: &MemberName) -> String {
    let plain = |text: &str| -> String {
        let safe = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        text.chars()
            .map(|c| if safe(c) { c } else { '_' })
            .collect()
    };
    format!(
        "{}-{}.journal",
        plain(scope.as_str()),
        plain(member.as_str())
    )
}

/// The file that is written, positioned at its end.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    file: File,
    length: u64,
}

impl Files {
    /// Opens the file, makes it (and its folder) where it is missing, and cuts what a crash left
    /// unfinished at its end. Gives the number of bytes that were cut.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn open(place: Place) -> io::Result<(Self, u64)> {
        if let Some(dir) = place.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = create(&place.path)?;
        let length = file.metadata()?.len();
        let mut files = Self {
            place,
            file,
            length,
        };
        let whole = files.end_of_last_line()?;
        let torn = files.length - whole;
        if torn > 0 {
            files.file.set_len(whole)?;
            files.length = whole;
        }
        files.prune();
        Ok((files, torn))
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Takes other sizes.
    pub(super) fn resize(&mut self, place: Place) {
        self.place = place;
        self.prune();
    }

    /// Appends a line, after a rotation when it would not fit. A line that is written only in
    /// part is taken back.
    ///
    /// # Errors
    /// Those of the file system. Nothing of the line stays.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let size = line.len() as u64 + 1;
        if self.length > 0 && self.length + size > self.place.max_size {
            self.rotate()?;
        }
        let mut text = String::with_capacity(line.len() + 1);
        text.push_str(line);
        text.push('\n');
        if let Err(failure) = self.file.write_all(text.as_bytes()) {
            self.file.set_len(self.length)?;
            return Err(failure);
        }
        self.length += size;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.place.keep == 0 {
            self.file.set_len(0)?;
            self.length = 0;
            return Ok(());
        }
        for number in (1..self.place.keep).rev() {
            let older = numbered(&self.place.path, number);
            if older.exists() {
                std::fs::rename(older, numbered(&self.place.path, number + 1))?;
            }
        }
        std::fs::rename(&self.place.path, numbered(&self.place.path, 1))?;
        self.file = create(&self.place.path)?;
        self.length = 0;
        self.prune();
        Ok(())
    }

    /// Removes older files than are to be kept. What cannot be removed is tried again later.
    fn prune(&self) {
        for number in self.place.keep + 1.. {
            let older = numbered(&self.place.path, number);
            if !older.exists() || std::fs::remove_file(older).is_err() {
                return;
            }
        }
    }

    /// Where the last whole line ends. A line that is no JSON (a power loss can leave blocks of
    /// zeroes) is not whole either.
    fn end_of_last_line(&mut self) -> io::Result<u64> {
        let mut end = self.length;
        let mut tail = Vec::new();
        while end > 0 {
            // A line is seldom larger; if it is, the next round takes twice as much.
            let size = (tail.len() as u64 * 2).max(256 << 10).min(end);
            self.file.seek(SeekFrom::Start(end - size))?;
            tail.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
            self.file.read_exact(&mut tail)?;
            let Some(newline) = tail.iter().rposition(|byte| *byte == b'\n') else {
                if size == end {
                    return Ok(0);
                }
                continue;
            };
            let start = tail[..newline].iter().rposition(|byte| *byte == b'\n');
            if start.is_none() && size < end {
                continue;
            }
            let line = &tail[start.map_or(0, |at| at + 1)..newline];
            let after = end - size + newline as u64 + 1;
            if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok() {
                return Ok(after);
            }
            end = after - (line.len() as u64 + 1);
            tail.clear();
        }
        Ok(0)
    }
}

/// The newest whole lines, oldest first: about as many bytes as asked for, from the file that is
/// written and the one before it.
pub(super) fn newest_lines(path: &Path, bytes: u64) -> Vec<String> {
    let newest = tail(path, bytes);
    let have: u64 = newest.iter().map(|line| line.len() as u64).sum();
    let mut lines = match bytes.checked_sub(have) {
        Some(left) if left > 0 => tail(&numbered(path, 1), left),
        Some(_) | None => Vec::new(),
    };
    lines.extend(newest);
    lines
}

fn tail(path: &Path, bytes: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let begin = length.saturating_sub(bytes);
        file.seek(SeekFrom::Start(begin))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        if begin > 0 {
            let first = text.iter().position(|byte| *byte == b'\n');
            text.drain(..first.map_or(text.len(), |at| at + 1));
        }
        Ok(text)
    };
    // A journal that cannot be read is one that begins now.
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::to_owned).collect()
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path, max_size: u64, keep: usize) -> Place {
        Place {
            path: dir.join("sub/demo-a.journal"),
            max_size,
            keep,
        }
    }

    fn read(place: &Place, number: usize) -> Option<String> {
        let path = match number {
            0 => place.path.clone(),
            number => numbered(&place.path, number),
        };
        std::fs::read_to_string(path).ok()
    }

    #[test]
    fn size_and_number_of_files_are_bounded_and_only_the_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path(), 10, 2);
        let (mut files, _) = Files::open(place.clone()).unwrap();
        for line in [
            "1111",
            "2222",
            "3333",
            "4444",
            "5555",
            "6666666666666",
            "7777",
        ] {
            files.append(line).unwrap();
        }
        assert_eq!(read(&place, 0).unwrap(), "7777\n");
        assert_eq!(read(&place, 1).unwrap(), "6666666666666\n");
        assert_eq!(read(&place, 2).unwrap(), "5555\n");
        assert_eq!(read(&place, 3), None);
        let mode = std::fs::metadata(&place.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(newest_lines(&place.path, 25), ["6666666666666", "7777"]);
        assert_eq!(newest_lines(&place.path, 5), ["7777"]);
        files.resize(Place {
            keep: 0,
            ..place.clone()
        });
        assert_eq!((read(&place, 1), read(&place, 2)), (None, None));
        files.append("88888888").unwrap();
        assert_eq!(read(&place, 0).unwrap(), "88888888\n");
    }

    #[test]
    fn an_unfinished_end_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path(), 1 << 20, 1);
        drop(Files::open(place.clone()).unwrap());
        let long = format!("[\"{}\"]\n", "x".repeat(600 << 10));
        for (text, whole) in [
            ("", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"a\":", "{}\n"),
            ("{\"a\":", ""),
            ("{}\n\0\0\0\n", "{}\n"),
            ("{}\n\0\n{\"a\"", "{}\n"),
            (&format!("{{}}\n{long}{{"), &format!("{{}}\n{long}")),
            (&format!("{long}{}", "y".repeat(300 << 10)), &long),
        ] {
            std::fs::write(&place.path, text).unwrap();
            let (_, cut) = Files::open(place.clone()).unwrap();
            assert_eq!(cut, (text.len() - whole.len()) as u64);
            assert_eq!(read(&place, 0).unwrap(), whole);
        }
    }

    #[test]
    fn names_of_members_make_names_of_files() {
        let name = name(&Scope::new("de/mo"), &MemberName::new("../n 1"));
        assert_eq!(name, "de_mo-.._n_1.journal");
    }
}
