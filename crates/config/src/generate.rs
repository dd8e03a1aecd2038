//! A configuration file to begin with: a sample, or one that describes a running server.
//!
//! What is here is plain: facts of the machine and of the server come in, a document goes out.
//! Source: configuration contract, sections 16.2 and 16.3.

use patroni_core::value;
use serde_json::{Map, Value, json};

use crate::controlled;
use crate::env::Environment;
use crate::merge;
use crate::yaml;

/// What only the reader of the file can know.
pub const FIXME: &str = "#FIXME";

/// The machine that the file is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Its address, without brackets.
    pub address: Option<String>,
}

/// What a running server says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// `cluster_name`, when it is set.
    pub scope: Option<String>,
    /// Where its data are.
    pub data_dir: String,
    /// Where its programs are.
    pub bin_dir: String,
    /// `listen_addresses`
    pub listen: String,
    /// Its port.
    pub port: String,
    /// Parameters that all members must share, as text.
    pub shared: Map<String, Value>,
    /// Parameters of this member alone.
    pub own: Map<String, Value>,
    /// Lines of its `pg_hba.conf`, when it has one in the usual place.
    pub pg_hba: Option<Vec<String>>,
    /// Lines of its `pg_ident.conf`, when there are any.
    pub pg_ident: Vec<String>,
    /// How the superuser connects: `username`, `password`, `sslmode`, ...
    pub superuser: Map<String, Value>,
}

/// A sample for servers of this version (`server_version_num`). What the environment says takes
/// the place of what would be asked for.
pub fn sample(host: &Host, version: u32, environment: &Environment) -> Map<String, Value> {
    let mut document = object(&json!({
        "scope": FIXME,
        "name": host.name.as_deref().unwrap_or(FIXME),
        "log": {
            "type": "plain",
            "level": "INFO",
            "traceback_level": "ERROR",
            "format": "%(asctime)s %(levelname)s: %(message)s",
            "max_queue_size": 1000,
        },
        "restapi": {"connect_address": at(host, "8008"), "listen": at(host, "8008")},
        "bootstrap": {"dcs": dcs(&sample_parameters(version), version, true)},
        "postgresql": {
            "data_dir": FIXME,
            "bin_dir": "",
            "connect_address": at(host, "5432"),
            "listen": at(host, "5432"),
            "parameters": {"password_encryption": auth_method(version)},
            "authentication": {
                "superuser": {"username": "postgres", "password": FIXME},
                "replication": {"username": "replicator", "password": FIXME},
            },
        },
        "tags": {
            "failover_priority": 1,
            "sync_priority": 1,
            "noloadbalance": false,
            "clonefrom": true,
            "nosync": false,
            "nostream": false,
        },
    }));
    if has_rewind_user(version)
        && let Some(users) = authentication(&mut document)
    {
        let user = json!({"username": "rewind_user", "password": FIXME});
        users.insert("rewind".to_owned(), user);
    }
    merge::deep_merge(&mut document, environment.settings.clone());
    let method = auth_method(version);
    let replication = user_of(&mut document, "replication");
    let lines = [
        format!("host all all all {method}"),
        format!("host replication {replication} all {method}"),
    ];
    if let Some(postgresql) = section(&mut document, "postgresql") {
        postgresql.insert("pg_hba".to_owned(), json!(lines));
    }
    document
}

/// What a running server says, over the sample for its version.
pub fn from_server(
    host: &Host,
    version: u32,
    environment: &Environment,
    server: &Server,
) -> Map<String, Value> {
    let mut document = sample(host, version, environment);
    if let Some(scope) = &server.scope {
        document.insert("scope".to_owned(), scope.as_str().into());
    }
    let dcs = json!({"dcs": dcs(&server.shared, version, false)});
    document.insert("bootstrap".to_owned(), dcs);
    if let Some(postgresql) = section(&mut document, "postgresql") {
        let users = json!({
            "superuser": server.superuser,
            "replication": {"username": FIXME, "password": FIXME},
        });
        let mut set = |key: &str, value: Value| postgresql.insert(key.to_owned(), value);
        set("data_dir", server.data_dir.as_str().into());
        set("bin_dir", server.bin_dir.as_str().into());
        set("connect_address", at(host, &server.port));
        set(
            "listen",
            format!("{}:{}", server.listen, server.port).into(),
        );
        set("parameters", server.own.clone().into());
        set("authentication", users);
        set("pg_hba", json!(server.pg_hba));
        set("pg_ident", json!(server.pg_ident));
        if server.pg_hba.is_none() {
            postgresql.shift_remove("pg_hba");
        }
        if server.pg_ident.is_empty() {
            postgresql.shift_remove("pg_ident");
        }
    }
    document
}

/// Names of parameters that all members must share and that a server always has, so that they are
/// named even when they have their defaults.
pub fn shared_parameters() -> impl Iterator<Item = &'static str> {
    controlled::settable()
}

/// The file, without a line break at its end.
pub fn to_text(document: &Map<String, Value>) -> String {
    let mut text = String::new();
    for key in ["scope", "namespace", "name"] {
        if let Some(plain) = document.get(key) {
            text.push_str(&block(key, plain, 0));
        }
    }
    for key in in_order(document) {
        let Some(content) = document.get(key) else {
            continue;
        };
        text.push('\n');
        if key == "bootstrap" {
            text.push_str(ABOUT_BOOTSTRAP);
            text.push_str(&bootstrap(content));
        } else {
            text.push_str(&block(key, content, 0));
        }
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

const ABOUT_BOOTSTRAP: &str = "\
# Read only by the member that creates the cluster; replicas and later starts
# do not look at it.
";

const ABOUT_DCS: &str = "  \
  # Written to /<namespace>/<scope>/config of the store when the cluster is new,
  # and valid for all members from then on. Changes here do nothing afterwards:
  # use `patronictl edit-config`, or PATCH or PUT /config of the REST API.
  # Local settings and the environment have the last word where they may.
";

fn bootstrap(content: &Value) -> String {
    let mut text = String::from("bootstrap:\n");
    text.push_str(ABOUT_DCS);
    let Some(content) = content.as_object() else {
        return text;
    };
    text.push_str("  dcs:\n");
    let dcs = content.get("dcs").and_then(Value::as_object);
    let first = ["loop_wait", "retry_timeout", "ttl"];
    for key in first {
        if let Some(value) = dcs.and_then(|dcs| dcs.get(key)) {
            text.push_str(&block(key, value, 4));
        }
    }
    let mut rest = dcs.cloned().unwrap_or_default();
    rest.retain(|key, _| !first.contains(&key.as_str()));
    if !rest.is_empty() {
        text.push_str(&indented(&yaml::to_block(&rest.into(), OPTIONS), 4));
    }
    let mut others = content.clone();
    others.retain(|key, _| key != "dcs");
    if !others.is_empty() {
        text.push_str(&indented(&yaml::to_block(&others.into(), OPTIONS), 2));
    }
    text
}

const OPTIONS: yaml::Options = yaml::Options {
    width: 80,
    sort: true,
};

/// One key with what is under it, as it stands in a mapping at this depth.
fn block(key: &str, value: &Value, indent: usize) -> String {
    let one: Map<String, Value> = [(key.to_owned(), value.clone())].into_iter().collect();
    indented(&yaml::to_block(&one.into(), OPTIONS), indent)
}

fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{:by$}{line}\n", ""),
    });
    lines.collect()
}

/// The mapping sections: the usual ones in their order, the store between them, others last.
fn in_order(document: &Map<String, Value>) -> Vec<&str> {
    const FIRST: [&str; 4] = ["log", "restapi", "ctl", "citus"];
    const LAST: [&str; 4] = ["bootstrap", "postgresql", "watchdog", "tags"];
    let plain = ["scope", "namespace", "name"];
    let mut others: Vec<&str> = document
        .keys()
        .map(String::as_str)
        .filter(|key| !plain.contains(key) && !FIRST.contains(key) && !LAST.contains(key))
        .collect();
    others.sort_unstable();
    FIRST.into_iter().chain(others).chain(LAST).collect()
}

fn dcs(parameters: &Map<String, Value>, version: u32, rewind: bool) -> Value {
    let mut postgresql = object(&json!({"use_slots": true, "parameters": parameters}));
    if rewind && version >= 90_500 {
        postgresql.insert("use_pg_rewind".to_owned(), true.into());
    }
    json!({"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "postgresql": postgresql})
}

fn sample_parameters(version: u32) -> Map<String, Value> {
    let mut parameters = controlled::defaults();
    let keep = if version >= 130_000 {
        ("wal_keep_size".to_owned(), json!("128MB"))
    } else {
        ("wal_keep_segments".to_owned(), json!(8))
    };
    parameters.extend([keep]);
    let level = if version >= 90_600 {
        "replica"
    } else {
        "hot_standby"
    };
    parameters.insert("wal_level".to_owned(), level.into());
    parameters
}

const fn auth_method(version: u32) -> &'static str {
    if version >= 100_000 {
        "scram-sha-256"
    } else {
        "md5"
    }
}

const fn has_rewind_user(version: u32) -> bool {
    version >= 110_000
}

fn at(host: &Host, port: &str) -> Value {
    match host.address.as_deref() {
        Some(v6) if v6.contains(':') => format!("[{v6}]:{port}").into(),
        Some(address) => format!("{address}:{port}").into(),
        None => format!("{FIXME}:{port}").into(),
    }
}

fn section<'d>(
    document: &'d mut Map<String, Value>,
    key: &str,
) -> Option<&'d mut Map<String, Value>> {
    document.get_mut(key)?.as_object_mut()
}

fn authentication(document: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    section(section(document, "postgresql")?, "authentication")
}

fn user_of(document: &mut Map<String, Value>, role: &str) -> String {
    authentication(document)
        .and_then(|users| users.get(role)?.get("username").map(value::text))
        .unwrap_or_else(|| FIXME.to_owned())
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
