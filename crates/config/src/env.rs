//! `PATRONI_*` variables as a configuration source.

use std::path::PathBuf;

use patroni_core::value;
use serde_json::{Map, Value};

use crate::origin::Origins;
use crate::{umask, yaml};

/// What the process environment says about the configuration. It is read once at start and kept
/// for reloads; the variables in [`Self::consumed`] are not handed to child processes.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Settings by section, in the layout of the local file.
    pub settings: Map<String, Value>,
    /// Names of the variables that were recognised.
    pub consumed: Vec<String>,
    /// `PATRONI_CONFIGURATION`, which is a whole configuration of its own.
    pub configuration: Option<String>,
    /// `HOME`, the place of the default password file.
    pub home: Option<PathBuf>,
    /// For the log: old names.
    pub warnings: Vec<String>,
    /// For the log, as errors: lists and mappings that could not be read, which are ignored.
    pub errors: Vec<String>,
    pub(crate) origins: Origins,
}

/// How the text of a variable becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Int,
    Bool,
    List,
    Map,
    /// Text if it has a `%(name)`, else a list.
    LogFormat,
    /// A size that may have a unit of memory.
    Bytes,
}

impl Environment {
    /// Reads the variables of this process. One that is not UTF-8 cannot mean anything here.
    pub fn of_process() -> Self {
        umask::at_start();
        Self::read(
            std::env::vars_os().filter_map(|(name, text)| {
                Some((name.into_string().ok()?, text.into_string().ok()?))
            }),
        )
    }

    /// Reads all variables; those that mean nothing here are ignored.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables: Vec<(String, String)> = variables.into_iter().collect();
        variables.sort_by_key(|(name, _)| rank(name));
        let names: Vec<String> = variables.iter().map(|(name, _)| name.clone()).collect();
        let mut environment = Self::default();
        for (name, text) in variables {
            if name == "HOME" {
                environment.home = Some(PathBuf::from(text));
            } else if environment.variable(&name, &text) {
                environment.consumed.push(name);
            }
        }
        environment.warn_of_removed_users(&names);
        environment
    }

    /// Takes one variable; false when it has no meaning here.
    fn variable(&mut self, name: &str, text: &str) -> bool {
        let Some(rest) = name.strip_prefix("PATRONI_") else {
            return false;
        };
        if rest == "CONFIGURATION" {
            self.configuration = Some(text.to_owned());
        } else if let Some((_, new)) = OLD_NAMES.iter().find(|(old, _)| *old == rest) {
            self.old_name(name, new, text);
        } else if let Some(section) = credential_section(rest) {
            let key = rest.to_lowercase().replacen('_', ".", 1);
            if !text.is_empty() && self.settings.contains_key(section) {
                self.store(&key, Form::Text, name, text);
            }
        } else if let Some((path, form)) = fixed(rest) {
            if !text.is_empty() {
                self.store(&path, form, name, text);
            }
        } else if let Some((path, form)) = generic(rest) {
            self.store(&path, form, name, text);
        } else {
            return false;
        }
        true
    }

    fn store(&mut self, path: &str, form: Form, name: &str, text: &str) {
        let Some(converted) = self.convert(form, name, text) else {
            return;
        };
        self.origins.add_variable(path.to_owned(), name.to_owned());
        let mut section = &mut self.settings;
        let mut keys = path.split('.').peekable();
        while let Some(key) = keys.next() {
            if keys.peek().is_none() {
                section.insert(key.to_owned(), converted);
                return;
            }
            let entry = section
                .entry(key)
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = entry else { return };
            section = inner;
        }
    }

    fn convert(&mut self, form: Form, name: &str, text: &str) -> Option<Value> {
        let given = Value::from(text);
        match form {
            Form::Text => Some(given),
            Form::Int => value::parse_int(&given).map(Value::from),
            Form::Bytes => Some(value::parse_bytes(&given).map_or(given, Value::from)),
            Form::Bool if text.is_empty() => Some(given),
            Form::Bool => value::parse_bool(&given).map(Value::Bool),
            Form::LogFormat if text.contains("%(") => Some(given),
            Form::LogFormat | Form::List => {
                let bare = !text.starts_with('-') && !text.contains('[');
                let list = if bare {
                    format!("[{text}]")
                } else {
                    text.to_owned()
                };
                self.parsed(&list, Value::is_array, "list", name, text)
            }
            Form::Map => {
                let bare = !text.starts_with('{');
                let map = if bare {
                    format!("{{{text}}}")
                } else {
                    text.to_owned()
                };
                self.parsed(&map, Value::is_object, "dict", name, text)
            }
        }
    }

    fn parsed(
        &mut self,
        yaml: &str,
        fits: fn(&Value) -> bool,
        kind: &str,
        name: &str,
        text: &str,
    ) -> Option<Value> {
        let why = match yaml::parse_value(yaml) {
            Ok(parsed) if fits(&parsed) => return Some(parsed),
            Ok(_) => format!("it is no {kind}"),
            // Its place is one in the text with what was put around it.
            Err(broken) => broken.message,
        };
        self.errors.push(format!(
            "Exception when parsing {kind} {text}: {name} is ignored: {why}"
        ));
        None
    }

    /// An old name of a log variable counts only when the new one is not set.
    fn old_name(&mut self, name: &str, new: &str, text: &str) {
        self.warnings
            .push(format!("{name} is an old name, use PATRONI_{new}"));
        let Some((path, form)) = fixed(new) else {
            return;
        };
        let log = self.settings.get("log").and_then(Value::as_object);
        let key = path.trim_start_matches("log.");
        if !text.is_empty() && !log.is_some_and(|log| log.contains_key(key)) {
            self.store(&path, form, name, text);
        }
    }

    fn warn_of_removed_users(&mut self, names: &[String]) {
        for name in names {
            let user = name
                .strip_prefix("PATRONI_")
                .and_then(|rest| rest.strip_suffix("_OPTIONS"));
            if let Some(user) = user
                && names.contains(&format!("PATRONI_{user}_PASSWORD"))
            {
                self.warnings.push(format!(
                    "{name} creates no user any more, use bootstrap.post_bootstrap"
                ));
            }
        }
    }
}

/// Names that depend on others come after them.
fn rank(name: &str) -> (u8, String) {
    let rest = name.strip_prefix("PATRONI_").unwrap_or_default();
    let late = OLD_NAMES.iter().any(|(old, _)| *old == rest) || credential_section(rest).is_some();
    (u8::from(late), name.to_owned())
}

/// `ETCD_USERNAME` and the like, which alone do not make a section.
fn credential_section(rest: &str) -> Option<&'static str> {
    match rest {
        "ETCD_USERNAME" | "ETCD_PASSWORD" => Some("etcd"),
        "ETCD3_USERNAME" | "ETCD3_PASSWORD" => Some("etcd3"),
        _ => None,
    }
}

const OLD_NAMES: [(&str, &str); 3] = [
    ("LOGLEVEL", "LOG_LEVEL"),
    ("LOGFORMAT", "LOG_FORMAT"),
    ("LOG_DATEFMT", "LOG_DATEFORMAT"),
];

/// Variables with a name of their own: path and form.
fn fixed(rest: &str) -> Option<(String, Form)> {
    let form = match rest {
        "NAME" | "NAMESPACE" | "SCOPE" => Form::Text,
        "THREAD_POOL_SIZE" => Form::Int,
        "THREAD_STACK_SIZE" => Form::Bytes,
        _ => return sectioned(rest),
    };
    Some((rest.to_lowercase(), form))
}

fn sectioned(rest: &str) -> Option<(String, Form)> {
    let (section, key) = rest.split_once('_')?;
    let lower = key.to_lowercase();
    let in_section = |form| Some((format!("{}.{lower}", section.to_lowercase()), form));
    match (section, key) {
        ("RESTAPI" | "CTL", "USERNAME" | "PASSWORD") => Some((
            format!("{}.authentication.{lower}", section.to_lowercase()),
            Form::Text,
        )),
        (
            "RESTAPI",
            "LISTEN" | "CONNECT_ADDRESS" | "CERTFILE" | "KEYFILE" | "KEYFILE_PASSWORD" | "CAFILE"
            | "CIPHERS" | "VERIFY_CLIENT" | "SERVER_TOKENS",
        )
        | ("CTL", "CACERT" | "CERTFILE" | "KEYFILE" | "KEYFILE_PASSWORD")
        | (
            "POSTGRESQL",
            "LISTEN" | "CONNECT_ADDRESS" | "PROXY_ADDRESS" | "CONFIG_DIR" | "DATA_DIR" | "PGPASS"
            | "BIN_DIR",
        )
        | ("LOG", "TYPE" | "LEVEL" | "TRACEBACK_LEVEL" | "DATEFORMAT" | "DIR")
        // Of our own section, which the reference does not have.
        | ("JOURNAL", "DIR" | "MAX_SIZE")
        | ("RAFT", "DATA_DIR" | "SELF_ADDR" | "PASSWORD" | "BIND_ADDR")
        | ("CITUS", "DATABASE")
        | ("GUARDIAN", "MODE")
        // Documented, but forgotten by the reference.
        | ("CONSUL", "SCHEME") => in_section(Form::Text),
        ("RESTAPI", "HTTP_EXTRA_HEADERS" | "HTTPS_EXTRA_HEADERS")
        | ("LOG", "STATIC_FIELDS" | "LOGGERS") => in_section(Form::Map),
        ("RESTAPI", "ALLOWLIST") | ("RAFT", "PARTNER_ADDRS") => in_section(Form::List),
        ("RESTAPI", "ALLOWLIST_INCLUDE_MEMBERS")
        | ("CTL", "INSECURE")
        | ("LOG", "DEDUPLICATE_HEARTBEAT_LOGS")
        | ("JOURNAL", "ENABLED" | "EVERY_CYCLE") => in_section(Form::Bool),
        ("RESTAPI", "REQUEST_QUEUE_SIZE" | "THREAD_POOL_SIZE")
        | ("LOG", "MAX_QUEUE_SIZE" | "FILE_SIZE" | "FILE_NUM" | "MODE")
        | ("JOURNAL", "KEEP")
        | ("CITUS", "GROUP")
        // Documented, but forgotten by the reference.
        | ("EXHIBITOR", "POLL_INTERVAL") => in_section(Form::Int),
        ("LOG", "FORMAT") => in_section(Form::LogFormat),
        ("POSTGRESQL", _) => {
            let binary = lower.strip_prefix("bin_")?;
            crate::file::postgresql::BINARIES
                .contains(&binary)
                .then(|| (format!("postgresql.bin_name.{binary}"), Form::Text))
        }
        ("SUPERUSER" | "REPLICATION" | "REWIND", _) => {
            let user = section.to_lowercase();
            crate::file::postgresql::CREDENTIAL_KEYS
                .contains(&lower.as_str())
                .then(|| (format!("postgresql.authentication.{user}.{lower}"), Form::Text))
        }
        _ => None,
    }
}

/// `<SECTION>_<SUFFIX>` for the stores: any one-word section, a known suffix.
fn generic(rest: &str) -> Option<(String, Form)> {
    let (section, suffix) = rest.split_once('_')?;
    if section.is_empty() || section == "CITUS" || section.chars().any(char::is_lowercase) {
        return None;
    }
    let form = match suffix {
        "HOST"
        | "PROTOCOL"
        | "SRV"
        | "SRV_SUFFIX"
        | "URL"
        | "PROXY"
        | "CACERT"
        | "CERT"
        | "KEY"
        | "TOKEN"
        | "DC"
        | "CONSISTENCY"
        | "SERVICE_CHECK_INTERVAL"
        | "SERVICE_CHECK_TLS_SERVER_NAME"
        | "NAMESPACE"
        | "CONTEXT"
        | "SCOPE_LABEL"
        | "ROLE_LABEL"
        | "POD_IP"
        | "KEY_PASSWORD"
        | "LEADER_LABEL_VALUE"
        | "FOLLOWER_LABEL_VALUE"
        | "STANDBY_LEADER_LABEL_VALUE"
        | "TMP_ROLE_LABEL" => Form::Text,
        "PORT" | "POLL_INTERVAL" => Form::Int,
        "HOSTS" | "PORTS" | "CHECKS" | "SERVICE_TAGS" | "RETRIABLE_HTTP_CODES" => Form::List,
        "LABELS" | "SET_ACLS" | "AUTH_DATA" | "BOOTSTRAP_LABELS" => Form::Map,
        "USE_PROXIES" | "REGISTER_SERVICE" | "USE_ENDPOINTS" | "BYPASS_API_SERVICE" | "VERIFY"
        | "USE_SSL" => Form::Bool,
        _ => return None,
    };
    let path = format!("{}.{}", section.to_lowercase(), suffix.to_lowercase());
    Some((path, form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let owned = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Environment::read(owned)
    }

    #[test]
    fn variables_become_settings() {
        let environment = read(&[
            ("PATRONI_NAME", "n1"),
            ("PATRONI_SCOPE", ""),
            ("PATRONI_ETCD3_CACERT", ""),
            ("PATRONI_ETCD3_HOSTS", "a:1, b:2"),
            ("PATRONI_ETCD3_USERNAME", "u"),
            ("PATRONI_ETCD_USERNAME", "u"),
            ("PATRONI_SUPERUSER_PASSWORD", "p"),
            ("PATRONI_POSTGRESQL_BIN_PG_CTL", "ctl"),
            ("PATRONI_RESTAPI_USERNAME", "api"),
            ("PATRONI_LOG_MODE", "0640"),
            ("PATRONI_LOG_FILE_NUM", "abc"),
            ("PATRONI_LOG_FORMAT", "[message, {asctime: t}]"),
            ("PATRONI_LOGLEVEL", "ERROR"),
            ("PATRONI_JOURNAL_DIR", "/j"),
            ("PATRONI_JOURNAL_KEEP", "2"),
            ("PATRONI_JOURNAL_EVERY_CYCLE", "on"),
            ("PATRONI_ZOOKEEPER_USE_SSL", "true"),
            ("PATRONI_EXHIBITOR_POLL_INTERVAL", "60"),
            ("PATRONI_KUBERNETES_LABELS", "app: x"),
            ("PATRONI_CITUS_GROUP", "0"),
            ("PATRONI_CITUS_HOST", "ignored"),
            ("PATRONI_THREAD_STACK_SIZE", "512kB"),
            ("PATRONI_FOO_HOST", "bar"),
            ("PATRONI_HELLO", "x"),
            ("PATH", "/bin"),
            ("HOME", "/home/p"),
        ]);
        assert_eq!(
            Value::Object(environment.settings),
            json!({
                "name": "n1",
                "etcd3": {"cacert": "", "hosts": ["a:1", "b:2"], "username": "u"},
                "foo": {"host": "bar"},
                "exhibitor": {"poll_interval": 60},
                "citus": {"group": 0},
                "kubernetes": {"labels": {"app": "x"}},
                "journal": {"dir": "/j", "keep": 2, "every_cycle": true},
                "log": {"format": ["message", {"asctime": "t"}], "mode": 416, "level": "ERROR"},
                "postgresql": {
                    "bin_name": {"pg_ctl": "ctl"},
                    "authentication": {"superuser": {"password": "p"}}
                },
                "restapi": {"authentication": {"username": "api"}},
                "thread_stack_size": 524_288,
                "zookeeper": {"use_ssl": true},
            })
        );
        assert_eq!(environment.home, Some(PathBuf::from("/home/p")));
        for name in ["PATRONI_HELLO", "PATRONI_CITUS_HOST", "PATH", "HOME"] {
            assert!(
                !environment.consumed.iter().any(|known| known == name),
                "{name}"
            );
        }
        for name in ["PATRONI_SCOPE", "PATRONI_ETCD_USERNAME", "PATRONI_LOGLEVEL"] {
            assert!(
                environment.consumed.iter().any(|known| known == name),
                "{name}"
            );
        }
    }

    #[test]
    fn broken_and_old_variables_are_reported() {
        let environment = read(&[
            ("PATRONI_ETCD_HOSTS", "[a, b"),
            ("PATRONI_RESTAPI_HTTP_EXTRA_HEADERS", "{a"),
            ("PATRONI_LOG_LEVEL", "DEBUG"),
            ("PATRONI_LOGLEVEL", "ERROR"),
            ("PATRONI_admin_PASSWORD", "x"),
            ("PATRONI_admin_OPTIONS", "createdb"),
        ]);
        assert_eq!(
            Value::Object(environment.settings),
            json!({"log": {"level": "DEBUG"}})
        );
        assert_eq!(environment.warnings.len(), 2, "{:?}", environment.warnings);
        let [list, map] = &environment.errors[..] else {
            panic!("{:?}", environment.errors);
        };
        let begins = "Exception when parsing list [a, b: PATRONI_ETCD_HOSTS is ignored: ";
        assert!(list.starts_with(begins), "{list}");
        assert!(map.starts_with("Exception when parsing dict {a: "), "{map}");
    }
}
