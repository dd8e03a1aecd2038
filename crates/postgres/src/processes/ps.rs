//! The table of processes as `ps` prints it, in the form that POSIX and every BSD share.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Row;

/// Number, parent, group, state, and the birth, which is five words.
const COLUMNS: &str = "pid=,ppid=,pgid=,stat=,lstart=";

/// One process, `None` when there is none of that number.
pub(crate) fn row(pid: i32) -> Option<Row> {
    parse(print(&["-o", COLUMNS, "-p", &pid.to_string()]).ok()?.trim())
}

/// Every process.
pub(crate) fn all() -> Vec<Row> {
    let printed = print(&["-A", "-o", COLUMNS]).unwrap_or_default();
    printed.lines().filter_map(parse).collect()
}

/// A birth in seconds of the epoch.
#[expect(clippy::unnecessary_wraps, reason = "not known everywhere")]
pub(crate) fn born_at(row: &Row) -> Option<i64> {
    Some(i64::try_from(row.birth).unwrap_or(i64::MAX))
}

/// The command line of a process, whose beginning is its title.
pub(crate) fn title_of(pid: i32) -> Option<String> {
    let printed = print(&["-ww", "-o", "command=", "-p", &pid.to_string()]).ok()?;
    let title = printed.trim().to_owned();
    (!title.is_empty()).then_some(title)
}

/// The file of the program that a process runs.
pub(crate) fn program_of(pid: i32) -> io::Result<PathBuf> {
    let printed = print(&["-ww", "-o", "comm=", "-p", &pid.to_string()])?;
    Ok(PathBuf::from(printed.trim()))
}

/// Whether a process of our user works in a directory: nobody can tell here, so it may be.
pub(crate) fn somebody_works_in(_directory: &Path) -> bool {
    true
}

/// The processes that have a file open: nobody can tell here.
pub(crate) fn users_of(_file: &Path) -> Vec<i32> {
    Vec::new()
}

fn parse(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [pid, parent, group, state, birth @ ..] = &words[..] else {
        return None;
    };
    let birth = DateTime::strptime("%a %b %d %H:%M:%S %Y", birth.join(" ")).ok()?;
    let birth = birth.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Row {
        pid: pid.parse().ok()?,
        parent: parent.parse().ok()?,
        group: group.parse().ok()?,
        birth: u64::try_from(birth.as_second()).ok()?,
        is_zombie: state.starts_with('Z'),
    })
}

/// What `ps` prints, with births in universal time and English.
fn print(arguments: &[&str]) -> io::Result<String> {
    let mut ps = Command::new("ps");
    ps.args(arguments).env("LC_ALL", "C").env("TZ", "UTC");
    let output = ps.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let row = parse("  42     7    41 Ss   Thu Jan  1 00:01:40 1970").unwrap();
        assert_eq!((row.pid, row.parent, row.group), (42, 7, 41));
        assert_eq!(born_at(&row), Some(100));
        assert!(
            parse("42 7 41 Z+ Thu Jan 1 00:01:40 1970")
                .unwrap()
                .is_zombie
        );
        assert!(parse("42 7 41").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_tells_what_the_kernel_tells() {
        use super::super::proc_fs;

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (told, known) = (row(pid).unwrap(), proc_fs::row(pid).unwrap());
        assert_eq!(
            (told.pid, told.parent, told.group, told.is_zombie),
            (known.pid, known.parent, known.group, known.is_zombie)
        );
        let apart = born_at(&told).unwrap() - proc_fs::born_at(&known).unwrap();
        assert!(apart.abs() <= 2, "{apart}");
        assert!(all().iter().any(|row| row.pid == pid));
        assert_eq!(title_of(pid).as_deref(), Some("sleep 60"));
        assert!(program_of(pid).unwrap().ends_with("sleep"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(row(pid).is_none());
        assert!(somebody_works_in(Path::new("/")) && users_of(Path::new("/")).is_empty());
    }
}
