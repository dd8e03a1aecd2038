//! Custom methods to create a replica: what their sections mean.

use std::fmt;

use patroni_config::file::Postgresql;
use patroni_core::value;
use serde_json::{Map, Value};

use super::custom::is_true;
use crate::command::{Command, CommandError};

/// A method to create a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The built-in one, by `pg_basebackup`.
    Basebackup,
    /// The command of a section.
    Custom(String),
}

impl Method {
    /// A method by the name in `create_replica_methods`.
    pub fn new(name: &str) -> Self {
        if name == "basebackup" {
            Self::Basebackup
        } else {
            Self::Custom(name.to_owned())
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basebackup => "basebackup",
            Self::Custom(name) => name,
        })
    }
}

/// The section of a custom method.
#[derive(Debug)]
pub(super) struct MethodSection<'a> {
    name: &'a str,
    keys: Option<&'a Map<String, Value>>,
}

impl<'a> MethodSection<'a> {
    pub(super) fn of(settings: &'a Postgresql, name: &'a str) -> Self {
        Self {
            name,
            keys: settings.methods.get(name).and_then(Value::as_object),
        }
    }

    fn is_set(&self, key: &str) -> bool {
        self.keys
            .and_then(|keys| keys.get(key))
            .is_some_and(is_true)
    }

    /// Whether the method works without a running source.
    pub(super) fn no_leader(&self) -> bool {
        self.is_set("no_leader")
    }

    /// Whether the method makes use of what is in the data directory.
    pub(super) fn keeps_data(&self) -> bool {
        self.is_set("keep_data")
    }

    /// The configured command, by default the method's name.
    pub(super) fn text(&self) -> &'a str {
        self.keys
            .and_then(|keys| keys.get("command"))
            .and_then(Value::as_str)
            .unwrap_or(self.name)
    }

    /// The command with its arguments. With `no_params` the switches that are meant for us are
    /// left out and nothing is added; otherwise all keys are passed, and then ours.
    pub(super) fn command(
        &self,
        settings: &Postgresql,
        connstring: &str,
    ) -> Result<Command, CommandError> {
        let bare = self.is_set("no_params");
        let hidden = |key: &str| {
            key == "command" || (bare && matches!(key, "no_params" | "no_leader" | "keep_data"))
        };
        let given = self.keys.into_iter().flatten();
        let command = Command::parse(self.text())?.args(
            given
                .filter(|(key, _)| !hidden(key))
                .map(|(key, given)| format!("--{key}={}", value::text(given))),
        );
        if bare {
            return Ok(command);
        }
        let scope = settings.scope.as_ref().map_or("", |scope| scope.as_str());
        Ok(command
            .arg(format!("--scope={scope}"))
            .arg("--role=replica")
            .arg(format!("--datadir={}", settings.data_dir.display()))
            .arg(format!("--connstring={connstring}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Scope;
    use serde_json::json;

    /// The sections and command lines of the recording `create-replica-methods`.
    #[test]
    fn arguments_are_those_recorded() {
        let methods = json!({
            "m_params": {"command": "rep.sh \"two words\"", "recipe": "abc",
                "keep_data": false, "no_leader": 1, "flag": true},
            "m_noparams": {"command": "rep.sh", "no_params": true, "keep_data": true, "extra": 7},
            "m_keep": {"command": "rep.sh", "keep_data": true},
        });
        let settings = Postgresql {
            scope: Some(Scope::new("cboot")),
            data_dir: "/run/e2".into(),
            methods: methods.as_object().unwrap().clone(),
            ..Postgresql::default()
        };
        let line = |name: &str| {
            let section = MethodSection::of(&settings, name);
            section
                .command(&settings, "dbname=postgres")
                .unwrap()
                .argv()
        };
        let ours = "--scope=cboot --role=replica --datadir=/run/e2 --connstring=dbname=postgres";
        assert_eq!(
            line("m_params"),
            format!(
                "rep.sh 'two words' --recipe=abc --keep_data=False --no_leader=1 --flag=True {ours}"
            )
        );
        assert_eq!(line("m_noparams"), "rep.sh --extra=7");
        assert_eq!(line("m_keep"), format!("rep.sh --keep_data=True {ours}"));
        assert_eq!(line("unknown"), format!("unknown {ours}"));
        assert!(MethodSection::of(&settings, "m_params").no_leader());
        assert!(!MethodSection::of(&settings, "m_params").keeps_data());
    }
}
