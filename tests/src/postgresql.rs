//! Which PostgreSQL the tests run.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::proc;

/// Names the folder of the server programs to run, in place of the one that is found.
pub const VARIABLE: &str = "PATRONI_TEST_POSTGRESQL";

/// The programs without which nothing can be tested.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_basebackup", "pg_rewind"];

/// The folder of PostgreSQL's server programs: the one that `PATRONI_TEST_POSTGRESQL` names, or
/// the newest of Debian's, or the one on PATH.
pub fn bin_dir() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os(VARIABLE) {
        // A wrong one must not be replaced by another in silence.
        return Some(chosen.into());
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(version, _)| *version >= 15)
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, dir)| dir);
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|dir| PROGRAMS.iter().all(|program| dir.join(program).is_file()))
}

/// One of the programs.
///
/// # Panics
/// PostgreSQL is not installed.
pub fn program(name: &str) -> PathBuf {
    bin_dir().expect("PostgreSQL is not installed").join(name)
}

/// The major version of the programs as the server counts them: 15 is 150000.
///
/// # Panics
/// PostgreSQL is not installed, or does not tell its version.
pub fn version() -> u32 {
    static VERSION: OnceLock<u32> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let output = proc::command(program("postgres")).arg("--version").output();
        let output = output.expect("the server program runs");
        // postgres (PostgreSQL) 17.2 (Debian 17.2-1)
        let text = String::from_utf8_lossy(&output.stdout);
        let number = text.split_whitespace().nth(2).unwrap_or_default();
        let major: String = number.chars().take_while(char::is_ascii_digit).collect();
        let major: u32 = major.parse().expect("a version begins with a number");
        major * 10_000
    })
}

/// Whether the programs are of this major version or a newer one. When not, one line says which
/// test is skipped; it goes past the test runner's capture, because a skipped test must not look
/// like a passed one.
pub fn is_at_least(major: u32, test: &str) -> bool {
    if version() >= major * 10_000 {
        return true;
    }
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {test}: PostgreSQL here is older than {major}"
    );
    false
}
