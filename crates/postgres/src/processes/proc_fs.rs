//! The table of processes as Linux shows it below `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use super::{Row, is_no_process};

/// One process, `None` when there is none of that number.
pub(crate) fn row(pid: i32) -> Option<Row> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process.
pub(crate) fn all() -> Vec<Row> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(row)
        .collect()
}

/// Reads `/proc/<pid>/stat`; births are clock ticks since boot.
fn parse(text: &str) -> Option<Row> {
    let pid = text.split_whitespace().next()?.parse().ok()?;
    // The name in brackets may hold anything, brackets and blanks, too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Row {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        birth: fields.get(19)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}

/// A birth in seconds of the epoch.
pub(crate) fn born_at(row: &Row) -> Option<i64> {
    let boot: u64 = fs::read_to_string("/proc/stat")
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let per_second = u64::try_from(per_second).ok().filter(|ticks| *ticks > 0)?;
    i64::try_from(boot + row.birth / per_second).ok()
}

/// The title of a process (its `argv[0]`), `None` when it has no command line.
pub(crate) fn title_of(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    let title = String::from_utf8_lossy(first).trim_end().to_owned();
    (!title.is_empty()).then_some(title)
}

/// The file of the program that a process runs.
pub(crate) fn program_of(pid: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe"))
}

/// Whether a process of our user has a directory as its working directory, or may have it:
/// `false` is certain.
pub(crate) fn somebody_works_in(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return true;
    };
    let us = nix::unistd::geteuid().as_raw();
    for entry in entries {
        let Ok(entry) = entry else {
            return true;
        };
        let name = entry.file_name();
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        match fs::read_link(entry.path().join("cwd")) {
            Ok(cwd) if cwd == directory => return true,
            Ok(_) => {}
            // It has ended, or is about to: then it works nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_process(&error) => {}
            // Those of others are closed to us, and no servers of ours.
            Err(_) => match entry.metadata() {
                Ok(found) if found.uid() == us => return true,
                Ok(_) | Err(_) => {}
            },
        }
    }
    false
}

/// The processes of our user that have a file open. Its path is canonical.
pub(crate) fn users_of(file: &Path) -> Vec<i32> {
    let has_it = |row: &Row| {
        let open = fs::read_dir(format!("/proc/{}/fd", row.pid));
        open.into_iter()
            .flatten()
            .flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file))
    };
    let all = all().into_iter();
    all.filter(has_it).map(|row| row.pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names_are_read() {
        let tail = "S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 1 1";
        let row = parse(&format!("42 (a) b (c)) {tail}")).unwrap();
        assert_eq!((row.pid, row.parent, row.birth), (42, 7, 5000));
        assert!(!row.is_zombie);
    }
}
