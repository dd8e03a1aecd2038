//! Ways to other servers of the cluster, with the credentials that are meant for them.

use std::io;
use std::path::PathBuf;

use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::Credentials;
use patroni_core::ConnUrl;

use crate::connection::{Address, Endpoint, QueryError};
use crate::conninfo::ConnInfo;
use crate::pgpass::PgPass;
use crate::replication::Target;

/// One server and one of our users there.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere<'a> {
    pub(crate) settings: &'a Postgresql,
    pub(crate) hosts: String,
    pub(crate) ports: String,
    /// Database of the published address; empty means our own.
    pub(crate) database: String,
    pub(crate) user: &'a Credentials,
    /// Of the tools that will read the text form.
    pub(crate) version: u32,
    /// Only a server that takes writes will do.
    pub(crate) read_write: bool,
}

/// The server whose history is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewindFrom {
    /// A member by its published address.
    Member {
        /// Its address.
        conn_url: String,
    },
    /// The remote of a standby cluster.
    Remote {
        /// Host or comma list of hosts.
        host: String,
        /// Port or comma list of ports.
        port: String,
    },
}

impl<'a> Elsewhere<'a> {
    /// The server to compare with, as the replication user; `None` when its address cannot be
    /// read.
    pub(crate) fn origin(
        settings: &'a Postgresql,
        from: &RewindFrom,
        version: u32,
    ) -> Option<Self> {
        match from {
            RewindFrom::Member { conn_url } => Self::member(settings, conn_url, version),
            RewindFrom::Remote { host, port } => Some(Self::remote(settings, host, port, version)),
        }
    }

    /// The remote of a standby cluster, as the replication user.
    pub(crate) fn remote(settings: &'a Postgresql, host: &str, port: &str, version: u32) -> Self {
        Self {
            settings,
            hosts: host.to_owned(),
            ports: port.to_owned(),
            database: String::new(),
            user: &settings.replication,
            version,
            read_write: false,
        }
    }

    /// A member by its published address, as the replication user.
    pub(crate) fn member(settings: &'a Postgresql, conn_url: &str, version: u32) -> Option<Self> {
        let url = ConnUrl::parse(conn_url)?;
        Some(Self {
            settings,
            hosts: url.host,
            ports: url.port.to_string(),
            database: url.database,
            user: &settings.replication,
            version,
            read_write: false,
        })
    }

    /// The same server as the user that `pg_rewind` works as.
    pub(crate) fn for_rewind(self) -> Self {
        let user = match &self.settings.rewind {
            Some(rewind) if self.version >= 110_000 => rewind,
            Some(_) | None => &self.settings.superuser,
        };
        Self {
            user,
            read_write: self.version >= 100_000,
            ..self
        }
    }

    /// The same server for a look at its slots: the same user, whatever state it is in, and our
    /// own database.
    pub(crate) fn for_slots(self) -> Self {
        Self {
            read_write: false,
            database: String::new(),
            ..self.for_rewind()
        }
    }

    fn database(&self) -> &str {
        if self.database.is_empty() {
            &self.settings.database
        } else {
            &self.database
        }
    }

    /// The libpq text without password, for the command line of a tool. The rest is in the
    /// tool's environment, see [`crate::command::Command::connecting`].
    pub(crate) fn conninfo(&self) -> String {
        let mut info = ConnInfo::default();
        info.set_credentials(self.user, self.version)
            .set("host", Some(self.hosts.as_str()))
            .set("port", Some(self.ports.as_str()))
            .set("dbname", Some(self.database()));
        if self.read_write {
            info.set("target_session_attrs", Some("read-write"));
        }
        info.remove("password");
        info.to_string()
    }

    /// Writes the password file, when there is a password, and gives its path.
    pub(crate) fn write_pgpass(&self) -> io::Result<Option<PathBuf>> {
        let Some(password) = self
            .user
            .password
            .clone()
            .filter(|password| !password.is_empty())
        else {
            return Ok(None);
        };
        let file = PgPass {
            host: Some(self.hosts.clone()),
            port: Some(self.ports.clone()),
            user: self.user.username.clone(),
            password,
        };
        file.write(&self.settings.pgpass)?;
        Ok(Some(self.settings.pgpass.clone()))
    }

    /// The settings of a connection of our own. A `plain` one carries no session settings, as the
    /// replication protocol wants it.
    pub(crate) fn target(&self, plain: bool) -> Result<Target, QueryError> {
        self.endpoint().target(plain)
    }

    /// Where it is, for a connection of our own.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let ports: Vec<u16> = self
            .ports
            .split(',')
            .filter_map(|port| port.trim().parse().ok())
            .collect();
        let port = |index: usize| ports.get(index).or(ports.last()).copied().unwrap_or(5432);
        let hosts = self.hosts.split(',').enumerate();
        Endpoint {
            address: Address::Tcp(
                hosts
                    .map(|(index, host)| (host.trim().to_owned(), port(index)))
                    .collect(),
            ),
            credentials: self.user.clone(),
            database: self.database().to_owned(),
            application_name: "Patroni".to_owned(),
            statement_timeout: Some(std::time::Duration::from_secs(2)),
            read_write: self.read_write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::command::Command;

    #[tokio::test]
    async fn the_name_of_the_kerberos_service_goes_by_the_environment() {
        let settings = Postgresql {
            krbsrvname: Some("pg".to_owned()),
            database: "postgres".to_owned(),
            ..Postgresql::default()
        };
        let there = Elsewhere::remote(&settings, "h", "5432", 150_000);
        assert_eq!(there.conninfo(), "dbname=postgres host=h port=5432");
        let shown = Command::shell("echo $PGKRBSRVNAME $PGPASSFILE")
            .connecting(&settings, Some("/p".as_ref()))
            .capture();
        let outcome = shown.run(&Cancel::new()).await.unwrap();
        assert_eq!(outcome.stdout_text(), "pg /p\n");
    }
}
