//! `pg_hba.conf` of a cluster that is being made.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::value;
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::section;
use crate::connection::{Address, local_address};

/// Appends the lines of `bootstrap.pg_hba`, after an empty line, to the `pg_hba.conf` that
/// `initdb` has made. Does nothing when `postgresql.pg_hba` is set or `hba_file` is elsewhere:
/// the file is then somebody else's. Returns whether it wrote.
///
/// # Errors
/// The file could not be written.
pub fn write_initial_hba(settings: &Postgresql) -> io::Result<bool> {
    let lines: Vec<&str> = section(settings, "pg_hba")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let elsewhere = settings
        .parameters
        .iter()
        .any(|(name, given)| name.eq_ignore_ascii_case("hba_file") && value::is_truthy(given));
    if lines.is_empty() || elsewhere || !settings.pg_hba.is_empty() {
        return Ok(false);
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path(settings))?;
    file.write_all(format!("\n{}\n", lines.join("\n")).as_bytes())?;
    Ok(true)
}

/// The lines of `pg_hba.conf` for the time between a custom bootstrap and the end of
/// `post_init`: nobody but the superuser and the replication user of this machine gets in, and
/// these without a password, because the restored roles may have others. A host that cannot be
/// resolved only lacks its lines.
pub(crate) async fn trust_lines(settings: &Postgresql) -> Vec<String> {
    let mut addresses = BTreeSet::new();
    if let Address::Tcp(hosts) = local_address(settings, settings.use_unix_socket_repl) {
        for (host, _) in hosts {
            addresses.extend(resolve(&host).await);
        }
    }
    lines(settings, &addresses)
}

fn path(settings: &Postgresql) -> PathBuf {
    settings.config_dir.join("pg_hba.conf")
}

async fn resolve(host: &str) -> BTreeSet<IpAddr> {
    let reason = match timeout(RESOLVE, lookup_host((host, 0))).await {
        Ok(Ok(found)) => return found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => error.to_string(),
        Err(elapsed) => elapsed.to_string(),
    };
    tracing::warn!("could not resolve {host} for pg_hba.conf: {reason}");
    BTreeSet::new()
}

fn lines(settings: &Postgresql, addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    let replication = user(settings.replication.username.as_deref());
    let superuser = user(settings.superuser.username.as_deref());
    let local = ("local", String::new());
    let hosts = addresses.iter().map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        ("host", format!("{address}/{bits}"))
    });
    let mut lines = Vec::new();
    for (kind, address) in std::iter::once(local).chain(hosts) {
        for (database, user) in [("replication", &replication), ("all", &superuser)] {
            lines.push([kind, database, user, &address, "trust"].join("\t"));
        }
    }
    lines
}

/// How long a name server may take.
const RESOLVE: Duration = Duration::from_secs(3);

/// A user for a line of the file; quoted unless it is a plain word without a meaning of its own.
fn user(name: Option<&str>) -> String {
    let Some(name) = name else {
        return "all".to_owned();
    };
    let plain = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    if !name.is_empty() && name.chars().all(plain) && name != "all" {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use patroni_config::file::postgresql::Credentials;
    use serde_json::json;

    fn named(name: &str) -> Credentials {
        Credentials {
            username: Some(name.to_owned()),
            ..Credentials::default()
        }
    }

    #[test]
    fn trust_lines_are_those_recorded() {
        let mut settings = Postgresql {
            superuser: named("postgres"),
            replication: named("replicator"),
            ..Postgresql::default()
        };
        let addresses = BTreeSet::from(["127.0.0.1".parse().unwrap()]);
        assert_eq!(
            lines(&settings, &addresses),
            [
                "local\treplication\treplicator\t\ttrust",
                "local\tall\tpostgres\t\ttrust",
                "host\treplication\treplicator\t127.0.0.1/32\ttrust",
                "host\tall\tpostgres\t127.0.0.1/32\ttrust",
            ]
        );
        settings.superuser.username = None;
        settings.replication = named("all");
        assert_eq!(
            lines(&settings, &BTreeSet::new()),
            [
                "local\treplication\t\"all\"\t\ttrust",
                "local\tall\tall\t\ttrust",
            ]
        );
    }

    #[test]
    fn initial_lines_are_appended_unless_the_file_is_managed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pg_hba.conf"), "# initdb\n").unwrap();
        let mut settings = Postgresql {
            config_dir: dir.path().to_owned(),
            bootstrap: json!({"pg_hba": ["local all all trust", 5, "host x"]})
                .as_object()
                .cloned(),
            ..Postgresql::default()
        };
        assert!(write_initial_hba(&settings).unwrap());
        assert_eq!(
            fs::read_to_string(dir.path().join("pg_hba.conf")).unwrap(),
            "# initdb\n\nlocal all all trust\nhost x\n"
        );
        settings.pg_hba = vec!["x".to_owned()];
        assert!(!write_initial_hba(&settings).unwrap());
    }
}
