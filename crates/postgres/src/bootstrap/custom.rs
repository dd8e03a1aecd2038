//! A new cluster by a custom method: a script that restores a backup, for example.

use patroni_config::file::Postgresql;
use patroni_core::value;
use serde_json::{Map, Value};

use super::section;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, End};
use patroni_core::Causes;

/// What the method wants with recovery settings after it has succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CustomBootstrap {
    /// `keep_existing_recovery_conf`: what the tool wrote is left alone.
    pub keep_existing_recovery_conf: bool,
    /// `recovery_conf`, to be written as recovery configuration.
    pub recovery_conf: Option<Map<String, Value>>,
}

/// The method made no cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustomError {
    /// `bootstrap.<method>.command` is missing.
    #[error("find the command of bootstrap method {method}")]
    NoCommand {
        /// The method.
        method: String,
    },
    /// The command could not be started.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The command failed.
    #[error("run the bootstrap method {method}: it {end}")]
    Failed {
        /// The method.
        method: String,
        /// How it ended.
        end: End,
    },
}

/// Keys that are not arguments: ours, and those whose values only we know.
const OWN_KEYS: &[&str] = &[
    "command",
    "no_params",
    "keep_existing_recovery_conf",
    "recovery_conf",
    "scope",
    "datadir",
];

/// Runs the command of a custom method (configuration contract, section 9.2).
///
/// Must not be dropped half way; raise `cancel` instead.
///
/// # Errors
/// See [`CustomError`].
pub async fn run_custom(
    settings: &Postgresql,
    method: &str,
    cancel: &Cancel,
) -> Result<CustomBootstrap, CustomError> {
    let empty = Map::new();
    let keys = section(settings, method)
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let Some(text) = keys.get("command").and_then(Value::as_str) else {
        tracing::error!("Exception during custom bootstrap: method {method} has no command");
        return Err(CustomError::NoCommand {
            method: method.to_owned(),
        });
    };
    let command = command(settings, text, keys).inspect_err(|error| {
        tracing::error!("Exception during custom bootstrap: {}", Causes(error));
    })?;
    tracing::info!("Running custom bootstrap script: {text}");
    match command.run(cancel).await?.end {
        End::Exited(0) => Ok(CustomBootstrap {
            keep_existing_recovery_conf: keys
                .get("keep_existing_recovery_conf")
                .is_some_and(is_true),
            recovery_conf: keys
                .get("recovery_conf")
                .and_then(Value::as_object)
                .cloned(),
        }),
        end => Err(CustomError::Failed {
            method: method.to_owned(),
            end,
        }),
    }
}

fn command(
    settings: &Postgresql,
    text: &str,
    keys: &Map<String, Value>,
) -> Result<Command, CommandError> {
    let mut command = Command::parse(text)?;
    if !keys.get("no_params").is_some_and(is_true) {
        let scope = settings.scope.as_ref().map_or("", |scope| scope.as_str());
        command = command
            .arg(format!("--scope={scope}"))
            .arg(format!("--datadir={}", settings.data_dir.display()));
    }
    let others = keys
        .iter()
        .filter(|(key, _)| !OWN_KEYS.contains(&key.as_str()));
    Ok(command.args(others.map(|(key, given)| format!("--{key}={}", value::text(given)))))
}

/// A switch of a method: every form of a boolean, and otherwise anything that is not empty.
pub(super) fn is_true(given: &Value) -> bool {
    value::parse_bool(given).unwrap_or_else(|| value::is_truthy(given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Scope;
    use serde_json::json;

    #[test]
    fn arguments_are_those_recorded() {
        let settings = Postgresql {
            scope: Some(Scope::new("cboot")),
            data_dir: "/run/e1".into(),
            ..Postgresql::default()
        };
        let mut keys = json!({
            "command": "boot.sh \"quoted arg\"",
            "keep_existing_recovery_conf": false,
            "no_params": false,
            "recovery_conf": {"restore_command": "/bin/false"},
            "myarg": "some value",
            "flag": true,
            "scope": "ignored",
        });
        let line = |keys: &Value| {
            let keys = keys.as_object().unwrap();
            command(&settings, keys["command"].as_str().unwrap(), keys)
                .unwrap()
                .argv()
        };
        assert_eq!(
            line(&keys),
            "boot.sh 'quoted arg' --scope=cboot --datadir=/run/e1 '--myarg=some value' --flag=True"
        );
        keys["no_params"] = json!("yes");
        assert_eq!(
            line(&keys),
            "boot.sh 'quoted arg' '--myarg=some value' --flag=True"
        );
    }
}
