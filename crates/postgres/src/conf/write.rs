//! The bytes of the configuration files, and writing them.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use patroni_config::umask;
use patroni_core::value;
use rustix::fs::Mode;
use serde_json::Value;

/// The two comment lines at the top of every file that we write.
pub(crate) const HEADER: &str = "# This file is written by patroni-rs and will be overwritten.\n\
     # Change the settings of the cluster with patronictl edit-config instead.\n";

/// The two comment lines of an access file that is only for the time of a custom bootstrap. By
/// them the file is known for what it is when the daemon has died in that time.
pub(crate) const BOOTSTRAP_HEADER: &str = "# This file is written by patroni-rs and will be replaced.\n\
     # It is only for the time until the bootstrap of the cluster has ended.\n";

/// What `postgresql.conf` holds.
pub(crate) struct PostgresqlConf<'a> {
    /// File that is included first.
    pub(crate) include: &'a str,
    /// Accepted parameters.
    pub(crate) parameters: &'a [(String, Value)],
    /// `hba_file` line, unless it is a parameter.
    pub(crate) hba_file: Option<&'a Path>,
    /// `ident_file` line, unless it is a parameter.
    pub(crate) ident_file: Option<&'a Path>,
    /// The recovery block, when recovery parameters are known and live in this file.
    pub(crate) recovery: Option<&'a [(String, Value)]>,
}

impl PostgresqlConf<'_> {
    /// The text of the file.
    pub(crate) fn render(&self) -> String {
        let mut out = HEADER.to_owned();
        line(
            &mut out,
            format_args!("include '{}'\n", quote(self.include)),
        );
        for (name, given) in sorted(self.parameters) {
            setting(&mut out, name, &value::text(given));
        }
        for (name, path) in [("hba_file", self.hba_file), ("ident_file", self.ident_file)] {
            if let Some(path) = path {
                setting(&mut out, name, &path.to_string_lossy());
            }
        }
        if let Some(recovery) = self.recovery {
            out.push_str("\n# recovery.conf\n");
            for (name, given) in sorted(recovery) {
                setting(&mut out, name, &value::text(given));
            }
        }
        out
    }
}

/// The text of `recovery.conf` of servers before 12.
pub(crate) fn render_recovery_conf(recovery: &[(String, Value)]) -> String {
    let mut out = HEADER.to_owned();
    for (name, given) in sorted(recovery) {
        setting(&mut out, name, &value::text(given));
    }
    out
}

/// The text of a file that is a list of lines (`pg_hba.conf`, `pg_ident.conf`).
pub(crate) fn render_lines(lines: &[String]) -> String {
    listed(HEADER, lines)
}

/// The text of the access file for the time of a custom bootstrap.
pub(crate) fn render_bootstrap_lines(lines: &[String]) -> String {
    listed(BOOTSTRAP_HEADER, lines)
}

fn listed(header: &str, lines: &[String]) -> String {
    let mut out = header.to_owned();
    for item in lines {
        out.push_str(item);
        out.push('\n');
    }
    out
}

/// The inside of a quoted value: `'` and `\` doubled.
pub(crate) fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

fn setting(out: &mut String, name: &str, text: &str) {
    line(out, format_args!("{name} = '{}'", quote(text)));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string");
    out.push('\n');
}

fn sorted(parameters: &[(String, Value)]) -> Vec<&(String, Value)> {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

/// Permissions of what is written below the data directory: the group may read when it may read
/// the directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    /// Of files.
    pub(crate) file: u32,
    /// Of directories.
    pub(crate) directory: u32,
}

impl Modes {
    const PRIVATE: Self = Self {
        file: 0o600,
        directory: 0o700,
    };
    const GROUP: Self = Self {
        file: 0o640,
        directory: 0o750,
    };

    /// The permissions that the data directory's own mode asks for.
    pub(crate) fn of(data_dir: &Path) -> Self {
        match fs::metadata(data_dir) {
            Ok(found) if found.permissions().mode() & 0o750 == 0o750 => Self::GROUP,
            _ => Self::PRIVATE,
        }
    }

    /// The umask that goes with them.
    pub(crate) fn umask(self) -> Mode {
        let group = if self == Self::GROUP {
            Mode::WGRP
        } else {
            Mode::RWXG
        };
        group | Mode::RWXO
    }
}

/// Writes a file in place (never by renaming: it may be a link or have other links), then sets
/// its mode: that of the data directory below it. Elsewhere a new file gets that of the daemon's
/// first umask, and one that is there is the operator's.
///
/// # Errors
/// Any of the system.
pub(crate) fn write_file(path: &Path, text: &str, data_dir: &Path) -> io::Result<()> {
    let mode = if lies_below(path, data_dir) {
        Some(Modes::of(data_dir).file)
    } else {
        (!path.exists()).then(umask::file_mode)
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode.unwrap_or(0o600))
        .open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(mode) = mode {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.sync_all()
}

/// Whether a path, links resolved, lies below a directory.
pub(crate) fn lies_below(path: &Path, directory: &Path) -> bool {
    let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let parent = path.parent().map(resolved);
    parent.is_some_and(|parent| parent.starts_with(resolved(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_quoted_for_the_file() {
        assert_eq!(quote(r"/bin/true '%p' \x"), r"/bin/true ''%p'' \\x");
    }

    #[test]
    fn files_follow_the_directory_s_mode() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = dir.path().join("a.conf");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        write_file(&path, "x", dir.path()).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        write_file(&path, "y", dir.path()).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert_eq!(Modes::of(dir.path()).umask(), Mode::WGRP | Mode::RWXO);
    }

    #[test]
    fn files_elsewhere_keep_to_the_first_umask() {
        let (data, conf) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = umask::file_mode();
        // Tests of this process that look at modes set them without regard to the umask.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let path = conf.path().join("postgresql.conf");
        write_file(&path, "x", data.path()).unwrap();
        rustix::process::umask(before);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected);
    }

    #[test]
    fn lists_are_one_item_per_line() {
        let text = render_lines(&["local all all trust".to_owned()]);
        assert!(text.ends_with("\nlocal all all trust\n"));
        assert_eq!(text.lines().count(), 3);
        let recovery = [("standby_mode".to_owned(), json!("on"))];
        assert!(render_recovery_conf(&recovery).ends_with("\nstandby_mode = 'on'\n"));
    }
}
