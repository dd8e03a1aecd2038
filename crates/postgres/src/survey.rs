//! What a running server says of itself, for a configuration file that describes it.
//!
//! Source: configuration contract, section 16.3.

use std::io;
use std::path::Path;
use std::time::Duration;

use patroni_config::file::postgresql::Credentials;
use patroni_config::generate::{Server, shared_parameters};
use patroni_core::{Secret, password_file};
use serde_json::{Map, Value};

use crate::connection::{Address, Endpoint, QueryError, Session, quote_literal, system_user};
use crate::conninfo::ConnInfo;
use crate::pidfile::PidFile;
use crate::processes;

/// For each of the few questions.
const LIMIT: Duration = Duration::from_secs(10);

/// Settings of one member alone.
const OWN: [&str; 8] = [
    "archive_command",
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "ssl_passphrase_command",
    "hba_file",
    "ident_file",
    "config_file",
];

/// Settings that have a place of their own in the file.
const ELSEWHERE: [&str; 4] = ["listen_addresses", "port", "cluster_name", "data_directory"];

/// Why a server could not be described.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The connection string is none.
    #[error("Failed to parse DSN string")]
    BadDsn,
    /// No connection.
    #[error("Failed to establish PostgreSQL connection: {0}")]
    Connect(QueryError),
    /// What is asked for takes one.
    #[error("The provided user does not have superuser privilege")]
    NotSuperuser,
    /// A question failed.
    #[error("Unexpected exception: {0}")]
    Query(QueryError),
    /// The data directory is not on this machine, or not ours to read.
    #[error("Error while reading postmaster.pid file: {0}")]
    PidFile(io::Error),
    /// The file is there and says nothing.
    #[error("Failed to obtain postmaster pid from postmaster.pid file")]
    NoPid,
    /// It names a process that is gone, or not ours to look at.
    #[error("Obtained postmaster pid doesn't exist.")]
    NoProcess,
    /// `pg_hba.conf`
    #[error("Failed to read pg_hba.conf: {0}")]
    Hba(io::Error),
    /// `pg_ident.conf`
    #[error("Failed to read pg_ident.conf: {0}")]
    Ident(io::Error),
}

/// How to reach the server: a connection string, over the variables that libpq knows.
#[derive(Debug)]
pub struct Source {
    info: ConnInfo,
    from_dsn: bool,
}

impl Source {
    /// Reads the connection string, as `keyword=value` items or a URI. `variable` gives the
    /// variables of the environment.
    ///
    /// # Errors
    /// [`SurveyError::BadDsn`]
    pub fn new(
        dsn: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SurveyError> {
        let mut info = match dsn {
            // A URI with a query has the form of an item, too.
            Some(dsn) => ConnInfo::parse_uri(dsn)
                .or_else(|| ConnInfo::parse(dsn))
                .ok_or(SurveyError::BadDsn)?,
            None => ConnInfo::default(),
        };
        for (keyword, name) in [
            ("host", "PGHOST"),
            ("port", "PGPORT"),
            ("user", "PGUSER"),
            ("password", "PGPASSWORD"),
            ("dbname", "PGDATABASE"),
            ("sslmode", "PGSSLMODE"),
            ("sslrootcert", "PGSSLROOTCERT"),
            ("sslcert", "PGSSLCERT"),
            ("sslkey", "PGSSLKEY"),
        ] {
            if let Some(text) = variable(name) {
                info.set_default(keyword, &text);
            }
        }
        info.set_default("user", &system_user());
        Ok(Self {
            info,
            from_dsn: dsn.is_some(),
        })
    }

    /// A password is known.
    pub fn has_password(&self) -> bool {
        self.info.get("password").is_some()
    }

    /// Takes the password that a person typed.
    pub fn set_password(&mut self, password: String) {
        self.info.set("password", Some(password));
    }

    /// Takes the password from the text of a password file, unless one is known already.
    pub fn look_up_password(&mut self, passwords: &str) {
        let text = |keyword: &str| self.info.get(keyword).unwrap_or_default();
        let user = text("user");
        let database = Some(text("dbname")).filter(|name| !name.is_empty());
        let hosts = text("host").split(',');
        let ports: Vec<&str> = text("port").split(',').collect();
        let found = hosts.enumerate().find_map(|(index, host)| {
            let port = ports.get(index).or(ports.last()).copied();
            password_file::find(
                passwords,
                if host.is_empty() { "localhost" } else { host },
                port.filter(|port| !port.is_empty()).unwrap_or("5432"),
                database.unwrap_or(user),
                user,
            )
        });
        if let Some(password) = found {
            self.info.set_default("password", &password);
        }
    }

    /// The ports, one for each host or one for all.
    fn ports(&self) -> Result<Vec<u16>, SurveyError> {
        let given = self.info.get("port").filter(|text| !text.is_empty());
        let port = |text: &str| {
            if text.is_empty() {
                Ok(5432)
            } else {
                text.parse()
            }
        };
        let ports = given.map_or_else(Vec::new, |text| text.split(',').map(port).collect());
        let ports: Result<_, _> = ports.into_iter().collect();
        ports.map_err(|_| SurveyError::BadDsn)
    }

    fn port(&self) -> Result<Option<u16>, SurveyError> {
        Ok(self.ports()?.first().copied())
    }

    /// Where the connection goes, under this `application_name`.
    ///
    /// # Errors
    /// [`SurveyError::BadDsn`]: a port is no number.
    pub fn endpoint(&self, application_name: &str) -> Result<Endpoint, SurveyError> {
        let text = |keyword: &str| self.info.get(keyword).map(str::to_owned);
        let ports = self.ports()?;
        let port = |index: usize| ports.get(index).or(ports.last()).copied().unwrap_or(5432);
        let host = text("host").filter(|host| !host.is_empty());
        let address = match host.or_else(|| text("hostaddr")) {
            Some(dir) if dir.starts_with('/') => Address::Socket(dir, port(0)),
            Some(hosts) => {
                let hosts = hosts.split(',').map(str::to_owned);
                Address::Tcp(
                    hosts
                        .enumerate()
                        .map(|(at, host)| (host, port(at)))
                        .collect(),
                )
            }
            None => Address::local_socket(port(0)),
        };
        let credentials = Credentials {
            username: text("user"),
            password: text("password").map(Secret::new),
            sslmode: text("sslmode"),
            sslcert: text("sslcert"),
            sslkey: text("sslkey"),
            sslpassword: text("sslpassword").map(Secret::new),
            sslrootcert: text("sslrootcert"),
            sslcrl: text("sslcrl"),
            channel_binding: text("channel_binding"),
            ..Credentials::default()
        };
        let database = text("dbname").or_else(|| text("user"));
        Ok(Endpoint {
            address,
            credentials,
            database: database.unwrap_or_default(),
            application_name: application_name.to_owned(),
            statement_timeout: None,
            read_write: false,
        })
    }

    /// The section `postgresql.authentication.superuser` for servers of this version.
    fn superuser(&self, version: u32) -> Map<String, Value> {
        let mut info = self.info.clone();
        for keyword in ["host", "hostaddr", "port", "dbname"] {
            info.remove(keyword);
        }
        if self.from_dsn {
            info.set_defaults(version);
        }
        let known = |keyword: &str| {
            keyword == "user"
                || patroni_config::file::postgresql::CREDENTIAL_KEYS.contains(&keyword)
        };
        let items = info.items().filter(|(keyword, _)| known(keyword));
        items
            .map(|(keyword, item)| {
                let key = if keyword == "user" {
                    "username"
                } else {
                    keyword
                };
                (key.to_owned(), Value::from(item))
            })
            .collect()
    }
}

/// Asks the server; gives its version (`server_version_num`) and what it says of itself.
///
/// # Errors
/// See [`SurveyError`].
pub async fn survey(source: &Source) -> Result<(u32, Server), SurveyError> {
    let session = Session::connect(&source.endpoint("Patroni generate-config")?, LIMIT)
        .await
        .map_err(SurveyError::Connect)?;
    let ask = async |sql: &str| session.query(sql, LIMIT).await.map_err(SurveyError::Query);
    let rows = ask("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").await?;
    if !rows.first().is_some_and(|row| row.is_true(0)) {
        return Err(SurveyError::NotSuperuser);
    }
    let rows = ask(&settings_query()).await?;
    let settings: Map<String, Value> = rows
        .iter()
        .filter_map(|row| Some((row.get(0)?.to_owned(), Value::from(row.get(1)?))))
        .collect();
    let rows = ask("SHOW server_version_num").await?;
    let version: u32 = rows.first().and_then(|row| row.parse(0)).unwrap_or(0);
    let text = |name: &str| {
        let value = settings.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let data_dir = text("data_directory");
    let here = Path::new(&data_dir);
    let port = source.port()?.map_or(text("port"), |port| port.to_string());
    let server = Server {
        scope: Some(text("cluster_name")).filter(|name| !name.is_empty()),
        bin_dir: bin_dir(here)?,
        listen: text("listen_addresses"),
        port,
        shared: settings
            .iter()
            .filter(|(name, _)| !is_one_of(&OWN, name) && !is_one_of(&ELSEWHERE, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        own: settings
            .iter()
            .filter(|(name, value)| is_one_of(&OWN, name) && value.as_str() != Some(""))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        pg_hba: usual_file(here, "pg_hba.conf", &text("hba_file"))
            .map_err(SurveyError::Hba)?
            .map(|text| hba_lines(&text, version)),
        pg_ident: usual_file(here, "pg_ident.conf", &text("ident_file"))
            .map_err(SurveyError::Ident)?
            .map(|text| ident_lines(&text))
            .unwrap_or_default(),
        superuser: source.superuser(version),
        data_dir,
    };
    Ok((version, server))
}

/// Settings that somebody made, those that members share, and those with a place of their own.
fn settings_query() -> String {
    let always: Vec<String> = shared_parameters()
        .chain(OWN)
        .chain(ELSEWHERE)
        .map(quote_literal)
        .collect();
    format!(
        "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
         WHERE (name IN ({}) OR (context <> 'internal' \
         AND source IN ('configuration file', 'command line', 'environment variable') \
         AND category <> 'Write-Ahead Log / Recovery Target')) \
         AND pg_catalog.current_setting(name) <> '(disabled)' ORDER BY name",
        always.join(", ")
    )
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The folder of the program that the postmaster of this data directory runs.
fn bin_dir(data_dir: &Path) -> Result<String, SurveyError> {
    let file = PidFile::read(data_dir).map_err(SurveyError::PidFile)?;
    let pid = file.ok_or(SurveyError::NoPid)?.pid;
    let program = processes::program_of(pid);
    let program = program.map_err(|_| SurveyError::NoProcess)?;
    let dir = program.parent().map(Path::display);
    Ok(dir.map(|dir| dir.to_string()).unwrap_or_default())
}

/// The text of a file of the server, unless it is in another place than usual.
fn usual_file(data_dir: &Path, name: &str, used: &str) -> io::Result<Option<String>> {
    let usual = data_dir.join(name);
    if Path::new(used) != usual {
        return Ok(None);
    }
    std::fs::read_to_string(usual).map(Some)
}

fn hba_lines(text: &str, version: u32) -> Vec<String> {
    const KINDS: [&str; 6] = [
        "local",
        "host",
        "hostssl",
        "hostnossl",
        "hostgssenc",
        "hostnogssenc",
    ];
    const INCLUDES: [&str; 3] = ["include", "include_if_exists", "include_dir"];
    let counts =
        |word: &str| KINDS.contains(&word) || (version >= 160_000 && INCLUDES.contains(&word));
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.split_whitespace().next().is_some_and(counts))
        .map(str::to_owned)
        .collect()
}

fn ident_lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(dsn: Option<&str>) -> Source {
        let variable = |name: &str| match name {
            "PGPORT" => Some("6000".to_owned()),
            "PGUSER" => Some("admin".to_owned()),
            _ => None,
        };
        Source::new(dsn, variable).unwrap()
    }

    #[test]
    fn the_string_comes_before_the_variables() {
        let given = source(Some("host=10.0.0.1 user=postgres password=x sslcert=/c"));
        assert!(given.has_password());
        let endpoint = given.endpoint("x").unwrap();
        let expected = Address::Tcp(vec![("10.0.0.1".to_owned(), 6000)]);
        assert_eq!(endpoint.address, expected);
        assert_eq!(endpoint.database, "postgres");
        let shown = Value::Object(given.superuser(150_000)).to_string();
        assert_eq!(
            shown,
            r#"{"username":"postgres","password":"x","sslmode":"prefer","sslcert":"/c","gssencmode":"prefer","channel_binding":"prefer"}"#
        );
    }

    #[test]
    fn without_a_string_only_what_is_known_is_written() {
        let mut given = source(None);
        assert!(!given.has_password());
        given.set_password("x".to_owned());
        let shown = Value::Object(given.superuser(150_000)).to_string();
        assert_eq!(shown, r#"{"username":"admin","password":"x"}"#);
    }

    #[test]
    fn strings_may_be_uris_and_may_be_wrong() {
        let given = source(Some("postgres://me:secret@h:5433/db"));
        let endpoint = given.endpoint("x").unwrap();
        assert_eq!(endpoint.address, Address::Tcp(vec![("h".to_owned(), 5433)]));
        assert_eq!(endpoint.database, "db");
        let given = source(Some("postgresql://me:secret@h:5433/db?sslmode=require"));
        assert!(given.has_password());
        let shown = Value::Object(given.superuser(110_000)).to_string();
        assert_eq!(
            shown,
            r#"{"username":"me","password":"secret","sslmode":"require"}"#
        );
        let wrong = Source::new(Some("not a dsn"), |_| None).unwrap_err();
        assert_eq!(wrong.to_string(), "Failed to parse DSN string");
    }

    #[test]
    fn only_records_are_taken_from_the_files() {
        let text = "# TYPE\n local all all trust\n\ninclude x\nhostgssenc all all all gss\n";
        assert_eq!(
            hba_lines(text, 150_000),
            ["local all all trust", "hostgssenc all all all gss"]
        );
        assert_eq!(hba_lines(text, 160_000).len(), 3);
        assert_eq!(ident_lines("# x\nm a b\n"), ["m a b"]);
    }
}
