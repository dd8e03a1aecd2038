//! The section `postgresql`, in effect: local file and environment over dynamic configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use patroni_core::{MemberName, Scope, Secret, value};
use serde_json::{Map, Value};

pub use super::address::{HostPort, Listen};
use super::citus::Citus;
use super::postgresql_probe::Probe;
use crate::error::ConfigError;
use crate::keys;
use crate::section::Section;

/// The server's binaries that may have other names (`bin_name`).
pub const BINARIES: [&str; 7] = [
    "pg_ctl",
    "initdb",
    "pg_controldata",
    "pg_basebackup",
    "postgres",
    "pg_isready",
    "pg_rewind",
];

/// The keys of a user under `authentication`; others are dropped.
pub const CREDENTIAL_KEYS: [&str; 12] = [
    "username",
    "password",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "gssencmode",
    "channel_binding",
    "sslnegotiation",
];

/// Everything the supervisor of the local server needs, after merging.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Postgresql {
    /// Top-level `name`.
    pub name: Option<MemberName>,
    /// Top-level `scope`.
    pub scope: Option<Scope>,
    /// `listen` as written: `host[,host...]:port`.
    pub listen: Listen,
    /// `connect_address`, when given.
    pub connect_address: Option<HostPort>,
    /// `proxy_address`, when given.
    pub proxy_address: Option<HostPort>,
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `config_dir`, by default the data directory.
    pub config_dir: PathBuf,
    /// `config_base_name`, by default `postgresql`.
    pub config_base_name: String,
    /// `custom_conf`.
    pub custom_conf: Option<PathBuf>,
    /// `bin_dir`; `None` means PATH.
    pub bin_dir: Option<PathBuf>,
    /// `bin_name`: other names of binaries.
    pub bin_name: BTreeMap<String, String>,
    /// `pgpass`, by default `$HOME/pgpass`.
    pub pgpass: PathBuf,
    /// `database`, by default `postgres`.
    pub database: String,
    /// `authentication.superuser`.
    pub superuser: Credentials,
    /// `authentication.replication`.
    pub replication: Credentials,
    /// `authentication.rewind`, when given.
    pub rewind: Option<Credentials>,
    /// `parameters` in effect, names as the user spelled them.
    pub parameters: Map<String, Value>,
    /// `pg_hba`; empty means not managed.
    pub pg_hba: Vec<String>,
    /// `pg_ident`; empty means not managed.
    pub pg_ident: Vec<String>,
    /// `recovery_conf`.
    pub recovery_conf: Map<String, Value>,
    /// `callbacks`: event name to command.
    pub callbacks: BTreeMap<String, String>,
    /// `pre_promote`.
    pub pre_promote: Option<String>,
    /// `before_stop`.
    pub before_stop: Option<String>,
    /// `create_replica_methods`, by default `basebackup` alone.
    pub create_replica_methods: Vec<String>,
    /// `basebackup`: mapping or list, as written.
    pub basebackup: Value,
    /// Sections of custom replica methods by name, as written.
    pub methods: Map<String, Value>,
    /// `use_unix_socket`.
    pub use_unix_socket: bool,
    /// `use_unix_socket_repl`.
    pub use_unix_socket_repl: bool,
    /// `use_pg_rewind`.
    pub use_pg_rewind: bool,
    /// `remove_data_directory_on_rewind_failure`.
    pub remove_data_directory_on_rewind_failure: bool,
    /// `remove_data_directory_on_diverged_timelines`.
    pub remove_data_directory_on_diverged_timelines: bool,
    /// `use_slots`, from the dynamic configuration.
    pub use_slots: bool,
    /// `pg_ctl_timeout`, by default 60 s.
    pub pg_ctl_timeout: Duration,
    /// `krbsrvname`.
    pub krbsrvname: Option<String>,
    /// `probe`.
    pub probe: Probe,
    /// Top-level `retry_timeout`, already adjusted.
    pub retry_timeout: Duration,
    /// Top-level `citus`.
    pub citus: Option<Citus>,
    /// The section `bootstrap`, as written; `None` means that this node never initialises.
    pub bootstrap: Option<Map<String, Value>>,
}

impl Postgresql {
    /// Reads the section of the effective configuration. The texts are warnings.
    pub(crate) fn read(
        root: &Section<'_>,
        home: Option<&Path>,
        retry_timeout: Duration,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let section = &root.section("postgresql")?;
        let data_dir = PathBuf::from(section.required("data_dir")?);
        let users = &section.section("authentication")?;
        let pgpass = match section.path("pgpass")? {
            Some(path) => path,
            None => home.unwrap_or(Path::new("~")).join("pgpass"),
        };
        Ok(Self {
            name: root.text("name")?.map(MemberName::new),
            scope: root.text("scope")?.map(Scope::new),
            listen: listen(section)?,
            connect_address: section.address("connect_address", Some(5432))?,
            proxy_address: section.address("proxy_address", Some(5432))?,
            config_dir: config_dir(section)?.unwrap_or_else(|| data_dir.clone()),
            data_dir,
            config_base_name: section.text_or("config_base_name", "postgresql")?,
            custom_conf: section.path("custom_conf")?,
            bin_dir: section.path("bin_dir")?,
            bin_name: section.texts("bin_name")?,
            pgpass,
            database: section.text_or("database", "postgres")?,
            superuser: Credentials::read(&users.section("superuser")?)?,
            replication: Credentials::read(&users.section("replication")?)?,
            rewind: match users.filled("rewind") {
                Some(_) => Some(Credentials::read(&users.section("rewind")?)?),
                None => None,
            },
            parameters: section.map("parameters")?,
            pg_hba: section.lines("pg_hba", warnings)?,
            pg_ident: section.lines("pg_ident", warnings)?,
            recovery_conf: section.map("recovery_conf")?,
            callbacks: section.texts("callbacks")?,
            pre_promote: section.text("pre_promote")?,
            before_stop: section.text("before_stop")?,
            create_replica_methods: create_replica_methods(section)?,
            basebackup: section.get("basebackup").cloned().unwrap_or_default(),
            methods: methods(section),
            use_unix_socket: section.flag("use_unix_socket", false),
            use_unix_socket_repl: section.flag("use_unix_socket_repl", false),
            use_pg_rewind: section.flag("use_pg_rewind", false),
            remove_data_directory_on_rewind_failure: section
                .flag("remove_data_directory_on_rewind_failure", false),
            remove_data_directory_on_diverged_timelines: section
                .flag("remove_data_directory_on_diverged_timelines", false),
            use_slots: section.flag("use_slots", true),
            pg_ctl_timeout: pg_ctl_timeout(section, warnings),
            krbsrvname: section.text("krbsrvname")?,
            probe: Probe::read(section, warnings)?,
            retry_timeout,
            citus: Citus::read(root)?,
            bootstrap: match root.get("bootstrap") {
                Some(_) => Some(root.map("bootstrap")?),
                None => None,
            },
        })
    }

    /// The part of [`crate::Settings::keep_start_only`] that lies here.
    pub(crate) fn keep_start_only(&mut self, running: &Self) {
        self.name.clone_from(&running.name);
        self.scope.clone_from(&running.scope);
        self.data_dir.clone_from(&running.data_dir);
        self.config_dir.clone_from(&running.config_dir);
        self.bin_dir.clone_from(&running.bin_dir);
        self.pgpass.clone_from(&running.pgpass);
        self.database.clone_from(&running.database);
        self.citus.clone_from(&running.citus);
        self.bootstrap.clone_from(&running.bootstrap);
    }

    /// The address that the member publishes: `connect_address`, else where it listens.
    pub fn conn_url(&self) -> String {
        let here = || HostPort {
            host: self.listen.local_host().to_owned(),
            port: self.listen.port,
        };
        self.url(&self.connect_address.clone().unwrap_or_else(here))
    }

    /// `conn_url` or `proxy_url` for an address: `postgres://host:port/database`.
    pub fn url(&self, address: &HostPort) -> String {
        format!("postgres://{address}/{}", self.database)
    }

    /// The file name of a binary, after `bin_name`, without directory.
    pub fn binary<'a>(&'a self, name: &'a str) -> &'a str {
        self.bin_name.get(name).map_or(name, String::as_str)
    }
}

fn listen(section: &Section<'_>) -> Result<Listen, ConfigError> {
    let text = section.required("listen")?;
    Listen::parse(&text, Some(5432))
        .map_err(|problem| section.fail("listen", format!("{text} {problem}")))
}

fn config_dir(section: &Section<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let path = section.path("config_dir")?;
    Ok(path.map(|path| std::path::absolute(&path).unwrap_or(path)))
}

/// The plural key, else the old singular one, else `basebackup`. A text is one method.
fn create_replica_methods(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    for key in ["create_replica_methods", "create_replica_method"] {
        let methods = match section.filled(key) {
            Some(Value::String(method)) => vec![method.clone()],
            Some(_) | None => section.list(key)?,
        };
        if !methods.is_empty() {
            return Ok(methods);
        }
    }
    Ok(vec!["basebackup".to_owned()])
}

/// Every mapping that is no setting of its own may be the section of a replica method.
fn methods(section: &Section<'_>) -> Map<String, Value> {
    section
        .entries()
        .filter(|(name, given)| given.is_object() && !keys::is_of_server(name))
        .map(|(name, given)| (name.clone(), given.clone()))
        .collect()
}

fn pg_ctl_timeout(section: &Section<'_>, warnings: &mut Vec<String>) -> Duration {
    const DEFAULT: Duration = Duration::from_mins(1);
    let Some(given) = section.get("pg_ctl_timeout") else {
        return DEFAULT;
    };
    let seconds = value::text(given).trim().parse::<f64>().ok();
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(timeout) if !timeout.is_zero() => timeout,
        Some(_) | None => {
            warnings.push(section.warning(
                "pg_ctl_timeout",
                &format!("{} is no useful time, using 60", value::text(given)),
            ));
            DEFAULT
        }
    }
}

/// Connection parameters of one user; empty texts are not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `username`
    pub username: Option<String>,
    /// `password`
    pub password: Option<Secret>,
    /// `sslmode`
    pub sslmode: Option<String>,
    /// `sslcert`
    pub sslcert: Option<String>,
    /// `sslkey`
    pub sslkey: Option<String>,
    /// `sslpassword`
    pub sslpassword: Option<Secret>,
    /// `sslrootcert`
    pub sslrootcert: Option<String>,
    /// `sslcrl`
    pub sslcrl: Option<String>,
    /// `sslcrldir`
    pub sslcrldir: Option<String>,
    /// `gssencmode`
    pub gssencmode: Option<String>,
    /// `channel_binding`
    pub channel_binding: Option<String>,
    /// `sslnegotiation`
    pub sslnegotiation: Option<String>,
}

impl Credentials {
    fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            username: section.text("username")?,
            password: section.secret("password")?,
            sslmode: section.text("sslmode")?,
            sslcert: section.text("sslcert")?,
            sslkey: section.text("sslkey")?,
            sslpassword: section.secret("sslpassword")?,
            sslrootcert: section.text("sslrootcert")?,
            sslcrl: section.text("sslcrl")?,
            sslcrldir: section.text("sslcrldir")?,
            gssencmode: section.text("gssencmode")?,
            channel_binding: section.text("channel_binding")?,
            sslnegotiation: section.text("sslnegotiation")?,
        })
    }
}
