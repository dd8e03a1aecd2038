//! Making a data directory: a new cluster, or a copy of one that exists.

pub mod basebackup;
pub(crate) mod citus;
pub mod clone;
pub mod copy_lock;
pub mod custom;
pub mod hba;
pub mod initdb;
pub mod methods;
pub(crate) mod milestones;
pub mod post_init;
pub mod quote;

pub use clone::{CloneError, CloneRequest, CloneSource, DataDirectory, clone_replica};
pub(crate) use copy_lock::is_forbidden;
pub use copy_lock::is_interrupted;
pub use custom::{CustomBootstrap, CustomError, run_custom};
pub use hba::write_initial_hba;
pub use initdb::{InitdbError, run_initdb};
pub use methods::Method;
pub use post_init::{PostInitError, ScriptConnection, post_init};

use patroni_config::file::Postgresql;
use patroni_config::file::bootstrap::custom_method;
use patroni_core::value;
use serde_json::Value;

/// How a new cluster is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewCluster {
    /// By `initdb`.
    Initdb,
    /// By the custom method of this name.
    Custom(String),
}

impl NewCluster {
    /// What `bootstrap.method` says, when that method has a command.
    pub fn of(settings: &Postgresql) -> Self {
        match settings.bootstrap.as_ref().and_then(custom_method) {
            Some(method) => Self::Custom(method.name),
            None => Self::Initdb,
        }
    }
}

/// One key of the section `bootstrap`.
fn section<'a>(settings: &'a Postgresql, key: &str) -> Option<&'a Value> {
    settings.bootstrap.as_ref()?.get(key)
}

/// A key of the section `bootstrap` as text, when it is set to something.
fn text(settings: &Postgresql, key: &str) -> Option<String> {
    section(settings, key)
        .filter(|given| value::is_truthy(given))
        .map(value::text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_method_without_a_command_is_initdb() {
        let method = |bootstrap: Value| {
            NewCluster::of(&Postgresql {
                bootstrap: bootstrap.as_object().cloned(),
                ..Postgresql::default()
            })
        };
        let custom = NewCluster::Custom("pitr".to_owned());
        assert_eq!(
            method(json!({"method": "pitr", "pitr": {"command": "x"}})),
            custom
        );
        for other in [
            json!({}),
            json!({"method": "pitr"}),
            json!({"method": "pitr", "pitr": {"no_params": true}}),
            json!({"method": "pitr", "pitr": {"command": null}}),
            json!({"method": "initdb", "initdb": {"command": "x"}}),
        ] {
            assert_eq!(method(other.clone()), NewCluster::Initdb, "{other}");
        }
    }
}
