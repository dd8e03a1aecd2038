//! Where a connection goes.

use std::path::Path;
use std::time::Duration;

use super::error::QueryError;
use super::tls;
use crate::replication::Target;
use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::{Credentials, Listen};
use patroni_core::value;
use serde_json::Value;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A host, several tried in order, or a socket directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host names or addresses, each with its port.
    Tcp(Vec<(String, u16)>),
    /// A directory with the server's socket.
    Socket(String, u16),
}

impl Address {
    /// The socket where local servers usually have it.
    pub fn local_socket(port: u16) -> Self {
        Self::Socket(default_socket_dir(port), port)
    }
}

/// Everything that a connection needs.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where the server listens.
    pub address: Address,
    /// As whom.
    pub credentials: Credentials,
    /// Database.
    pub database: String,
    /// `application_name`.
    pub application_name: String,
    /// Server's limit for one statement; `None` switches it off.
    pub statement_timeout: Option<Duration>,
    /// Only a server that takes writes will do.
    pub read_write: bool,
}

impl Endpoint {
    /// The local server, as the superuser. Source of the rules: the configuration contract, 6.12.
    pub fn local(settings: &Postgresql, application_name: &str) -> Self {
        Self {
            address: local_address(settings, settings.use_unix_socket),
            credentials: settings.superuser.clone(),
            database: settings.database.clone(),
            application_name: application_name.to_owned(),
            statement_timeout: Some(STATEMENT_TIMEOUT),
            read_write: false,
        }
    }

    /// The client's settings, TLS aside.
    pub(super) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        match &self.address {
            Address::Tcp(hosts) => {
                for (host, port) in hosts {
                    config.host(host).port(*port);
                }
            }
            Address::Socket(dir, port) => {
                config.host_path(dir).port(*port);
            }
        }
        let user = &self.credentials;
        config
            .user(user.username.clone().unwrap_or_else(system_user))
            .dbname(&self.database)
            .application_name(&self.application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .options(self.options())
            .ssl_mode(self.ssl_mode());
        if let Some(password) = &user.password {
            config.password(password.expose());
        }
        match user.channel_binding.as_deref() {
            Some("disable") => config.channel_binding(ChannelBinding::Disable),
            Some("require") => config.channel_binding(ChannelBinding::Require),
            _ => config.channel_binding(ChannelBinding::Prefer),
        };
        if self.read_write {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
    }

    /// The same for code that connects by itself. A `plain` one carries no session settings, as
    /// the replication protocol wants it.
    ///
    /// # Errors
    /// A TLS file that is configured cannot be used.
    pub(crate) fn target(&self, plain: bool) -> Result<Target, QueryError> {
        let mut config = self.config();
        if plain {
            config.options("");
        }
        Ok(Target {
            config,
            tls: Some(self.connector()?),
        })
    }

    /// For the TLS that [`Self::config`] asks for. What is never encrypted, as on a socket, does
    /// not depend on files for TLS.
    ///
    /// # Errors
    /// A TLS file that is configured cannot be used.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, tls::TlsError> {
        if self.ssl_mode() == SslMode::Disable {
            tls::unused()
        } else {
            tls::connector(&self.credentials)
        }
    }

    fn options(&self) -> String {
        let limit = self.statement_timeout.unwrap_or_default().as_millis();
        format!(
            "-c statement_timeout={limit} -c pg_stat_statements.track=none -c search_path=pg_catalog"
        )
    }

    fn ssl_mode(&self) -> SslMode {
        match (&self.address, self.credentials.sslmode.as_deref()) {
            (Address::Socket(..), _) | (_, Some("disable")) => SslMode::Disable,
            (_, Some("require" | "verify-ca" | "verify-full")) => SslMode::Require,
            (_, _) => SslMode::Prefer,
        }
    }
}

/// The address of the local server: a socket directory when `socket` asks for it and there is
/// one, else TCP.
pub(crate) fn local_address(settings: &Postgresql, socket: bool) -> Address {
    let port = settings.listen.port;
    let tcp = || Address::Tcp(vec![(local_host(&settings.listen), port)]);
    if !socket {
        return tcp();
    }
    match socket_directories(settings) {
        Some(dirs) => value::text(dirs)
            .split(',')
            .map(str::trim)
            .find(|dir| dir.starts_with('/'))
            .map_or_else(tcp, |dir| Address::Socket(dir.to_owned(), port)),
        None => Address::local_socket(port),
    }
}

/// The host of [`Endpoint::local`] for others that connect from this machine: `localhost` where
/// the library would choose a socket directory by itself.
pub(crate) fn local_name(settings: &Postgresql) -> String {
    let localhost = || "localhost".to_owned();
    if settings.use_unix_socket && socket_directories(settings).is_none() {
        return localhost();
    }
    match local_address(settings, settings.use_unix_socket) {
        Address::Socket(dir, _) => dir,
        Address::Tcp(hosts) => hosts
            .into_iter()
            .next()
            .map_or_else(localhost, |(host, _)| host),
    }
}

/// The parameter `unix_socket_directories`, when it is set.
fn socket_directories(settings: &Postgresql) -> Option<&Value> {
    let mut parameters = settings.parameters.iter();
    let found = parameters.find(|(name, _)| name.eq_ignore_ascii_case("unix_socket_directories"));
    found.map(|(_, dirs)| dirs)
}

/// The host by which the local server is reached over TCP.
pub(crate) fn local_host(listen: &Listen) -> String {
    let everywhere =
        |host: &&String| matches!(host.as_str(), "*" | "localhost" | "0.0.0.0" | "127.0.0.1");
    if listen.hosts.is_empty() || listen.hosts.iter().any(|host| everywhere(&host)) {
        return "localhost".to_owned();
    }
    listen.hosts[0].clone()
}

/// Where servers put their socket when nothing is configured: packages of distributions choose
/// the first, the sources the second.
fn default_socket_dir(port: u16) -> String {
    let dirs = ["/var/run/postgresql", "/tmp"];
    let has_socket = |dir: &&str| Path::new(dir).join(format!(".s.PGSQL.{port}")).exists();
    (*dirs.iter().find(|dir| has_socket(dir)).unwrap_or(&dirs[0])).to_owned()
}

/// The name of the system's user that runs this process, libpq's default.
pub(crate) fn system_user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "postgres".to_owned(), |user| user.name)
}

/// `statement_timeout` of the connections that are kept.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// `connect_timeout` of every connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(hosts: &[&str]) -> Postgresql {
        Postgresql {
            listen: Listen {
                hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
                port: 5433,
            },
            ..Postgresql::default()
        }
    }

    #[test]
    fn the_local_address_follows_the_listen_addresses() {
        for (hosts, host) in [
            (&["10.0.0.1", "127.0.0.1"][..], "localhost"),
            (&["*"], "localhost"),
            (&["10.0.0.1", "10.0.0.2"], "10.0.0.1"),
        ] {
            let address = local_address(&settings(hosts), false);
            assert_eq!(address, Address::Tcp(vec![(host.to_owned(), 5433)]));
        }
    }

    #[test]
    fn others_on_this_machine_are_told_a_host() {
        let mut settings = settings(&["10.0.0.1"]);
        assert_eq!(local_name(&settings), "10.0.0.1");
        settings.use_unix_socket = true;
        assert_eq!(local_name(&settings), "localhost");
        let dirs = "unix_socket_directories".to_owned();
        settings.parameters.insert(dirs.clone(), json!("/run/a"));
        assert_eq!(local_name(&settings), "/run/a");
        settings.parameters.insert(dirs, json!("relative"));
        assert_eq!(local_name(&settings), "10.0.0.1");
    }

    #[test]
    fn the_first_absolute_socket_directory_is_used() {
        let mut settings = settings(&["10.0.0.1"]);
        for (dirs, address) in [
            (
                "@abstract, /run/a,/run/b",
                Address::Socket("/run/a".to_owned(), 5433),
            ),
            (
                "relative",
                Address::Tcp(vec![("10.0.0.1".to_owned(), 5433)]),
            ),
        ] {
            settings
                .parameters
                .insert("unix_socket_directories".to_owned(), json!(dirs));
            assert_eq!(local_address(&settings, true), address);
        }
    }
}
