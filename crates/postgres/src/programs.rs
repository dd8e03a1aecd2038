//! PostgreSQL's own programs: where they are, and the short ones that are run here.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use patroni_config::file::Postgresql;
use tokio::process::Command;

use crate::version;

/// How long a program that only reads files may take.
const SHORT: Duration = Duration::from_secs(10);

/// The path of one of PostgreSQL's programs: `bin_dir` or PATH, renamed by `bin_name`.
pub fn program(settings: &Postgresql, name: &str) -> PathBuf {
    let file = settings.bin_name.get(name).map_or(name, String::as_str);
    match &settings.bin_dir {
        Some(dir) if !dir.as_os_str().is_empty() => dir.join(file),
        Some(_) | None => PathBuf::from(file),
    }
}

/// `server_version_num` of the program `postgres`, whatever data there are.
///
/// # Errors
/// It cannot be run, or says something else.
pub async fn server_version(settings: &Postgresql) -> io::Result<u32> {
    let arguments = [OsString::from("--version")];
    let output = output(settings, "postgres", &arguments).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    version::parse_program_version(&text).ok_or_else(|| {
        let said = text.trim();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("no version in {said:?}"),
        )
    })
}

/// Runs a short program with `LANG=C` and takes its output.
///
/// # Errors
/// It cannot be started, or has not ended in ten seconds (then it is killed).
pub(crate) async fn output(
    settings: &Postgresql,
    name: &str,
    arguments: &[OsString],
) -> io::Result<Output> {
    let mut command = Command::new(program(settings, name));
    command
        .args(arguments)
        .env("LANG", "C")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(SHORT, command.output()).await {
        Ok(output) => output,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{name} did not end in {} s", SHORT.as_secs()),
        )),
    }
}
