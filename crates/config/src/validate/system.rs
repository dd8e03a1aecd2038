//! The machine that this process runs on.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::probe::{PathKind, Probe};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the operating system. Blocking: for the validator, which does nothing else.
#[derive(Clone, Debug, Default)]
pub struct SystemProbe {
    path: Vec<PathBuf>,
}

impl SystemProbe {
    /// A probe that finds programs along a `PATH`.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.split(':').map(PathBuf::from).collect(),
        }
    }

    fn program(&self, directory: Option<&Path>, name: &str) -> Option<PathBuf> {
        let directories = match directory {
            Some(directory) => vec![directory.to_owned()],
            None => self.path.clone(),
        };
        let mut programs = directories.iter().map(|directory| directory.join(name));
        programs.find(|program| is_executable(program))
    }
}

impl Probe for SystemProbe {
    fn connects(&self, host: &str, port: u16) -> Result<bool, String> {
        let addresses = (host, port)
            .to_socket_addrs()
            .map_err(|error| error.to_string())?;
        let connects = |address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok();
        Ok(addresses.into_iter().any(connects))
    }

    fn kind(&self, path: &Path) -> PathKind {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => PathKind::Directory,
            Ok(_) => PathKind::Other,
            Err(_) => PathKind::Absent,
        }
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn text(&self, file: &Path) -> Option<String> {
        fs::read_to_string(file).ok()
    }

    fn has_program(&self, directory: Option<&Path>, name: &str) -> bool {
        self.program(directory, name).is_some()
    }

    fn version(&self, directory: Option<&Path>, name: &str) -> Option<String> {
        let program = self.program(directory, name)?;
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
