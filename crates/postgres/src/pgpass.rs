//! The password file that `primary_conninfo` and tools refer to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use patroni_core::Secret;

/// For whom a password file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgPass {
    /// Host or comma list of hosts; socket directories begin with `/`.
    pub host: Option<String>,
    /// Port or comma list of ports.
    pub port: Option<String>,
    /// User.
    pub user: Option<String>,
    /// The password.
    pub password: Secret,
}

impl PgPass {
    /// The lines, one per host, without line ends.
    pub fn lines(&self) -> Vec<String> {
        let hosts: Vec<&str> = match &self.host {
            Some(hosts) => hosts.split(',').map(str::trim).collect(),
            None => vec![""],
        };
        let mut hosts: Vec<&str> = hosts;
        if hosts.iter().any(|host| host.starts_with('/')) && !hosts.contains(&"localhost") {
            hosts.push("localhost");
        }
        let ports: Vec<&str> = match &self.port {
            Some(ports) => ports.split(',').map(str::trim).collect(),
            None => vec![""],
        };
        let user = escape(self.user.as_deref().unwrap_or_default());
        let password = escape(self.password.expose());
        let port = |index: usize| ports.get(index).or(ports.last()).copied().unwrap_or("");
        hosts
            .iter()
            .enumerate()
            .map(|(index, host)| {
                format!(
                    "{}:{}:*:{user}:{password}",
                    escape(host),
                    escape(port(index))
                )
            })
            .collect()
    }

    /// Writes the file with mode 0600, replacing its content.
    ///
    /// # Errors
    /// Any of the system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        for line in self.lines() {
            writeln!(file, "{line}")?;
        }
        file.sync_all()
    }

    /// Whether the file holds exactly the lines that [`PgPass::write`] would write, in any order.
    pub(crate) fn is_in(&self, path: &Path) -> bool {
        let Ok(text) = fs::read_to_string(path) else {
            return false;
        };
        let found: std::collections::BTreeSet<&str> = text.lines().collect();
        let lines = self.lines();
        found == lines.iter().map(String::as_str).collect()
    }
}

fn escape(text: &str) -> String {
    if text.is_empty() {
        return "*".to_owned();
    }
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(host: &str, port: &str) -> PgPass {
        PgPass {
            host: Some(host.to_owned()),
            port: Some(port.to_owned()),
            user: Some("repl user".to_owned()),
            password: Secret::new(r"re:p\pa'ss"),
        }
    }

    #[test]
    fn a_line_per_host() {
        let password = r"repl user:re\:p\\pa'ss";
        assert_eq!(
            pass("127.0.0.1", "5432").lines(),
            [format!("127.0.0.1:5432:*:{password}")]
        );
        assert_eq!(
            pass("a, b", "1,2").lines(),
            [format!("a:1:*:{password}"), format!("b:2:*:{password}")]
        );
        assert_eq!(
            pass("/run", "5432").lines(),
            [
                format!("/run:5432:*:{password}"),
                format!("localhost:5432:*:{password}")
            ]
        );
    }

    #[test]
    fn recognises_its_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        pass("a", "1").write(&path).unwrap();
        assert!(pass("a", "1").is_in(&path));
        assert!(!pass("b", "1").is_in(&path));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
