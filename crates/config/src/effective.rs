//! The configuration in effect: what the store says, and what the node says over it.

use std::path::PathBuf;
use std::sync::LazyLock;

use patroni_core::value;
use serde_json::{Map, Value, json};

use crate::controlled;
use crate::dynamic::Dynamic;
use crate::error::ConfigError;
use crate::file::postgresql::CREDENTIAL_KEYS;
use crate::legacy;
use crate::load::Local;
use crate::origin::Origins;

/// Sub-keys of `postgresql` that only the node itself can set.
const LOCAL_ONLY: [&str; 7] = [
    "connect_address",
    "proxy_address",
    "listen",
    "config_dir",
    "data_dir",
    "pgpass",
    "authentication",
];

const STANDBY_CLUSTER: [&str; 7] = [
    "create_replica_methods",
    "host",
    "port",
    "primary_slot_name",
    "restore_command",
    "archive_cleanup_command",
    "recovery_min_apply_delay",
];

/// The configuration in effect, as a document and as typed dynamic settings.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Every setting in effect. Cluster-wide rules are in [`Self::dynamic`] only.
    pub settings: Map<String, Value>,
    /// The dynamic configuration, typed and clamped.
    pub dynamic: Dynamic,
    /// For the log: refused parameters, clamped timeouts, old and unknown keys.
    pub warnings: Vec<String>,
    pub(crate) origins: Origins,
    pub(crate) home: Option<PathBuf>,
}

impl Effective {
    /// Puts both configurations together. Pure: the same inputs give the same result.
    ///
    /// # Errors
    /// A timeout of the dynamic configuration that is no number, `postgresql.parameters` or
    /// another section that is no mapping, half of an `authentication`. The configuration that
    /// was in effect stays.
    pub fn compute(dynamic: &Map<String, Value>, local: &Local) -> Result<Self, ConfigError> {
        let (typed, warnings) = Dynamic::read(dynamic)?;
        let mut effective = Self {
            settings: defaults(&typed),
            dynamic: typed,
            warnings,
            origins: local.origins.clone(),
            home: local.home.clone(),
        };
        effective.take_dynamic(dynamic)?;
        effective.take_local(&local.settings)?;
        effective.join_authentication("restapi")?;
        effective.join_authentication("ctl")?;
        let mut old = legacy::convert(&mut effective.settings, &local.settings, &local.origins);
        effective.warnings.append(&mut old);
        let mut old = legacy::old_in_dynamic(dynamic, &local.settings);
        effective.warnings.append(&mut old);
        effective.keep_known_credentials();
        effective.finish();
        Ok(effective)
    }

    /// Takes a setting below `postgresql` away again when it came from the store alone. Returns
    /// whether it did.
    pub(crate) fn leave_out(
        &mut self,
        path: &str,
        dynamic: &Map<String, Value>,
        local: &Local,
    ) -> bool {
        let is_stores = path.starts_with("postgresql.")
            && legacy::at(dynamic, path).is_some()
            && legacy::at(&local.settings, path).is_none();
        if !is_stores {
            return false;
        }
        let mut keys: Vec<&str> = path.split('.').collect();
        let last = keys.pop().unwrap_or_default();
        let mut section = Some(&mut self.settings);
        for key in keys {
            section = section.and_then(|map| map.get_mut(key)?.as_object_mut());
        }
        section
            .and_then(|section| section.shift_remove(last))
            .is_some()
    }

    fn take_dynamic(&mut self, dynamic: &Map<String, Value>) -> Result<(), ConfigError> {
        if let Some(Value::Object(given)) = dynamic.get("standby_cluster") {
            let section = self.section("standby_cluster");
            for key in STANDBY_CLUSTER {
                if let Some(setting) = given.get(key) {
                    section.insert(key.to_owned(), setting.clone());
                }
            }
        }
        let Some(Value::Object(given)) = dynamic.get("postgresql") else {
            return Ok(());
        };
        let mut warnings = Vec::new();
        let section = self.section("postgresql");
        for (key, setting) in given {
            if key == "parameters" {
                let given = parameters(setting)?;
                warnings = controlled::merge_dynamic(inner(section, "parameters"), given);
            } else if !LOCAL_ONLY.contains(&key.as_str()) {
                section.insert(key.clone(), setting.clone());
            }
        }
        self.warnings.append(&mut warnings);
        Ok(())
    }

    fn take_local(&mut self, local: &Map<String, Value>) -> Result<(), ConfigError> {
        for (key, setting) in local {
            match (key.as_str(), setting) {
                ("citus", section) => {
                    if is_citus(section) {
                        self.settings.insert(key.clone(), section.clone());
                    }
                }
                ("postgresql", Value::Object(given)) => self.take_local_postgresql(given)?,
                ("postgresql", given) if !value::is_truthy(given) => {}
                ("postgresql", _) => return Err(self.not_a_mapping(key)),
                _ if self.settings.contains_key(key) => {}
                (_, given) => {
                    let given = if value::is_truthy(given) {
                        given.clone()
                    } else {
                        json!({})
                    };
                    self.settings.insert(key.clone(), given);
                }
            }
        }
        Ok(())
    }

    fn take_local_postgresql(&mut self, given: &Map<String, Value>) -> Result<(), ConfigError> {
        let mut dropped = Vec::new();
        let section = self.section("postgresql");
        for (key, setting) in given {
            match key.as_str() {
                "use_slots" => dropped.push("postgresql.use_slots".to_owned()),
                "parameters" => {
                    let given = parameters(setting)?;
                    let names = controlled::merge_local(inner(section, "parameters"), given);
                    dropped.extend(
                        names
                            .iter()
                            .map(|name| format!("postgresql.parameters.{name}")),
                    );
                }
                _ => {
                    section.insert(key.clone(), setting.clone());
                }
            }
        }
        for path in dropped {
            self.warnings.push(format!(
                "{}{path} has no effect here, set it in the dynamic configuration",
                self.origins.prefix(&path)
            ));
        }
        Ok(())
    }

    /// `authentication` becomes `auth`, the form that both ends compare.
    fn join_authentication(&mut self, name: &str) -> Result<(), ConfigError> {
        let Some(Value::Object(section)) = self.settings.get_mut(name) else {
            return Ok(());
        };
        let given = match section.get("authentication") {
            Some(Value::Object(given)) if !given.is_empty() => given,
            // A guess at what else was meant could leave the interface open.
            Some(other) if value::is_truthy(other) => {
                return Err(self.not_a_mapping(&format!("{name}.authentication")));
            }
            None | Some(_) => return Ok(()),
        };
        let mut parts = Vec::new();
        for key in ["username", "password"] {
            let Some(part) = given.get(key).filter(|part| value::is_truthy(part)) else {
                let path = format!("{name}.authentication.{key}");
                return Err(ConfigError::Setting {
                    origin: self.origins.find(&path).cloned(),
                    path,
                    problem: "is not defined".to_owned(),
                });
            };
            parts.push(value::text(part));
        }
        section.insert("auth".to_owned(), Value::String(parts.join(":")));
        Ok(())
    }

    fn keep_known_credentials(&mut self) {
        let section = self.section("postgresql");
        let Some(Value::Object(users)) = section.get_mut("authentication") else {
            return;
        };
        for user in users.values_mut() {
            if let Value::Object(user) = user {
                user.retain(|key, _| CREDENTIAL_KEYS.contains(&key.as_str()));
            }
        }
    }

    fn finish(&mut self) {
        let postgresql_name = self.section("postgresql").get("name").cloned();
        if let Some(name) = postgresql_name
            && !self.settings.contains_key("name")
        {
            self.settings.insert("name".to_owned(), name);
        }
        if self.settings.contains_key("citus") {
            inner(inner(&mut self.settings, "bootstrap"), "dcs")
                .entry("synchronous_mode")
                .or_insert_with(|| "quorum".into());
        }
        for key in ["name", "scope", "retry_timeout", "citus"] {
            if let Some(setting) = self.settings.get(key).cloned() {
                self.section("postgresql").insert(key.to_owned(), setting);
            }
        }
    }

    fn section(&mut self, name: &str) -> &mut Map<String, Value> {
        inner(&mut self.settings, name)
    }

    fn not_a_mapping(&self, path: &str) -> ConfigError {
        ConfigError::Setting {
            origin: self.origins.find(path).cloned(),
            path: path.to_owned(),
            problem: "is not a dictionary".to_owned(),
        }
    }
}

fn defaults(dynamic: &Dynamic) -> Map<String, Value> {
    let standby: Map<String, Value> = STANDBY_CLUSTER
        .iter()
        .map(|key| ((*key).to_owned(), Value::from("")))
        .collect();
    let settings = json!({
        "ttl": dynamic.ttl.as_secs(),
        "loop_wait": dynamic.loop_wait.as_secs(),
        "retry_timeout": dynamic.retry_timeout.as_secs(),
        "standby_cluster": standby,
        "postgresql": {"use_slots": true, "parameters": controlled::defaults()},
    });
    let Value::Object(settings) = settings else {
        unreachable!("the macro was given an object");
    };
    settings
}

/// The mapping under a key, made if it is not there or is something else.
fn inner<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let entry = map.entry(key).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    entry.as_object_mut().expect("it was just made one")
}

fn parameters(given: &Value) -> Result<&Map<String, Value>, ConfigError> {
    static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    match given {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(&NOTHING),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(ConfigError::ParametersNotMapping)
        }
    }
}

fn is_citus(section: &Value) -> bool {
    section.get("group").is_some_and(Value::is_i64)
        && section.get("database").is_some_and(Value::is_string)
}
