//! The section `postgresql`, in effect: local file and environment over dynamic configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use patroni_core::{MemberName, Scope, Secret};
use serde_json::{Map, Value};

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
    /// Top-level `retry_timeout`, already adjusted.
    pub retry_timeout: Duration,
    /// The section `bootstrap`, as written; `None` means that this node never initialises.
    pub bootstrap: Option<Map<String, Value>>,
}

/// The addresses of `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Hosts without brackets.
    pub hosts: Vec<String>,
    /// Port.
    pub port: u16,
}

/// One `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Host without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
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
