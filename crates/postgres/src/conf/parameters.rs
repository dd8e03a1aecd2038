//! The parameters of the server: what the operator set, what the cluster decides.
//!
//! Source of the rules: the configuration contract, sections 6.1, 6.2 and 6.5.

use patroni_config::dynamic::StandbyCluster;
use patroni_config::file::Postgresql;
use patroni_core::{SyncNames, value};
use serde_json::Value;

use super::units;
use crate::connection::local_name;

/// What the cluster's dynamic configuration and this node's tags mean for the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Synchronous mode is on in either form: `synchronous_standby_names` is ours.
    pub synchronous: bool,
    /// `synchronous_mode_strict`.
    pub strict: bool,
    /// The standby cluster's settings, when this is one.
    pub standby_cluster: Option<StandbyCluster>,
    /// Logical slots that survive a failover need `hot_standby_feedback` here.
    pub hot_standby_feedback: bool,
    /// The tag `nostream`: no `primary_conninfo` is ever written.
    pub nostream: bool,
}

/// The HA loop's choice of `synchronous_standby_names`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum SyncChoice {
    /// It made none since the daemon started.
    #[default]
    NotYet,
    /// The parameter is not written.
    Removed,
    /// These.
    Names(SyncNames),
}

/// Parameters with their values; names keep the operator's spelling and compare without regard
/// to case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parameters(Vec<(String, Value)>);

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let found = self
            .0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, given)| given)
    }

    pub(crate) fn set(&mut self, name: &str, given: impl Into<Value>) {
        let given = given.into();
        match self
            .0
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, old)) => *old = given,
            None => self.0.push((name.to_owned(), given)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self
            .0
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, given)| (name.as_str(), given))
    }

    /// The server parameters of a node. `version` is the major version, when it is known;
    /// `sync_names` what the HA loop chose.
    pub(crate) fn of_server(
        settings: &Postgresql,
        facts: &ClusterFacts,
        sync_names: &SyncChoice,
        primary: bool,
        version: Option<u32>,
    ) -> Self {
        let mut parameters = Self::default();
        // A null takes a parameter away; it is no value.
        let set = settings.parameters.iter();
        for (name, given) in set.filter(|(_, given)| !given.is_null()) {
            parameters.set(name, given.clone());
        }
        if let Some(scope) = &settings.scope {
            parameters.set("cluster_name", scope.as_str());
        }
        parameters.set("listen_addresses", settings.listen.hosts.join(","));
        parameters.set("port", settings.listen.port.to_string());
        if facts.synchronous && facts.standby_cluster.is_none() {
            parameters.remove("synchronous_standby_names");
            match sync_names {
                SyncChoice::Names(names) => {
                    parameters.set("synchronous_standby_names", names.to_string());
                }
                SyncChoice::NotYet if facts.strict && primary => {
                    parameters.set("synchronous_standby_names", "*");
                }
                SyncChoice::NotYet | SyncChoice::Removed => {}
            }
        }
        if let Some(version) = version {
            parameters.fit(version);
        }
        if settings.citus.is_some() {
            parameters.fit_citus(settings);
        }
        for name in ["hba_file", "ident_file"] {
            let relative = parameters.get(name).map(value::text);
            if let Some(path) = relative.filter(|path| !path.starts_with('/')) {
                let joined = settings.config_dir.join(path);
                parameters.set(name, joined.to_string_lossy().into_owned());
            }
        }
        parameters
    }

    /// Translates what changed its name or words between versions, and drops what is too new.
    fn fit(&mut self, version: u32) {
        let (old, new) = if version >= 90_600 {
            ("hot_standby", "replica")
        } else {
            ("replica", "hot_standby")
        };
        let level = self
            .get("wal_level")
            .map(|given| value::text(given).to_lowercase());
        if level.as_deref() == Some(old) {
            self.set("wal_level", new);
        }
        if version >= 130_000 {
            let segments = self.remove("wal_keep_segments");
            let segments = segments
                .and_then(|given| value::parse_int(&given))
                .unwrap_or(8);
            if self.get("wal_keep_size").is_none() {
                self.set(
                    "wal_keep_size",
                    format!("{}MB", segments.saturating_mul(16)),
                );
            }
        } else {
            let size = self.remove("wal_keep_size");
            let size = size
                .and_then(|given| units::parse_int(&given, Some("MB")))
                .unwrap_or(128);
            if self.get("wal_keep_segments").is_none() {
                self.set("wal_keep_segments", size.saturating_add(8) / 16);
            }
        }
        for (name, since) in CONTROLLED {
            if version < since {
                self.remove(name);
            }
        }
    }

    /// What Citus needs of a server, on every node of every group. Source: the Citus contract,
    /// section 2.
    fn fit_citus(&mut self, settings: &Postgresql) {
        let libraries = self.get("shared_preload_libraries").map(value::text);
        let libraries = libraries.unwrap_or_default();
        let others = libraries.split(',').map(str::trim);
        let others = others.filter(|library| !library.is_empty() && *library != "citus");
        let libraries: Vec<&str> = std::iter::once("citus").chain(others).collect();
        let libraries = libraries.join(",");
        self.set("shared_preload_libraries", libraries);
        let number = |name| self.get(name).and_then(value::parse_int);
        if number("max_prepared_transactions") == Some(0) {
            // Citus commits on several nodes in two phases.
            let connections = number("max_connections").unwrap_or(MAX_CONNECTIONS);
            self.set("max_prepared_transactions", connections.saturating_mul(2));
        }
        self.set("wal_level", "logical");
        self.set("citus.local_hostname", local_name(settings));
    }

    /// The postmaster's options for the controlled parameters, in their fixed order.
    pub(crate) fn command_line(&self) -> Vec<String> {
        CONTROLLED
            .iter()
            .filter_map(|(name, _)| Some(format!("--{name}={}", value::text(self.get(name)?))))
            .collect()
    }
}

/// `max_connections` of a server that is told nothing.
const MAX_CONNECTIONS: i64 = 100;

/// The parameters that only the cluster sets, in the order of the command line, with the version
/// that brought them.
const CONTROLLED: [(&str, u32); 13] = [
    ("listen_addresses", 0),
    ("port", 0),
    ("cluster_name", 90_500),
    ("wal_level", 0),
    ("hot_standby", 0),
    ("max_connections", 0),
    ("max_wal_senders", 0),
    ("max_prepared_transactions", 0),
    ("max_locks_per_transaction", 0),
    ("track_commit_timestamp", 90_500),
    ("max_replication_slots", 90_400),
    ("max_worker_processes", 90_400),
    ("wal_log_hints", 90_400),
];

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_config::file::Citus;
    use patroni_core::Scope;
    use serde_json::json;

    fn settings(parameters: &Value) -> Postgresql {
        Postgresql {
            scope: Some(Scope::new("demo")),
            config_dir: "/conf".into(),
            parameters: parameters.as_object().unwrap().clone(),
            ..Postgresql::default()
        }
    }

    fn server(parameters: &Value, facts: &ClusterFacts, version: u32) -> Parameters {
        Parameters::of_server(
            &settings(parameters),
            facts,
            &SyncChoice::NotYet,
            true,
            Some(version),
        )
    }

    #[test]
    fn what_changed_between_versions_is_translated() {
        let given = json!({"wal_level": "hot_standby", "wal_keep_segments": 20});
        let new = server(&given, &ClusterFacts::default(), 150_000);
        assert_eq!(new.get("wal_level"), Some(&json!("replica")));
        assert_eq!(new.get("wal_keep_size"), Some(&json!("320MB")));
        assert_eq!(new.get("wal_keep_segments"), None);
        let old = server(
            &json!({"wal_keep_size": "1GB"}),
            &ClusterFacts::default(),
            90_400,
        );
        assert_eq!(old.get("wal_keep_segments"), Some(&json!(64)));
        assert_eq!(old.get("cluster_name"), None);
    }

    #[test]
    fn citus_has_its_library_first_and_decodes_wal() {
        let with_citus = |given: &Value| {
            let settings = Postgresql {
                citus: Some(Citus {
                    group: 1,
                    database: "citus".to_owned(),
                }),
                ..settings(given)
            };
            let facts = ClusterFacts::default();
            Parameters::of_server(&settings, &facts, &SyncChoice::NotYet, true, Some(150_000))
        };
        let found = with_citus(&json!({
            "shared_preload_libraries": "a, citus ,b,", "max_connections": 30,
            "max_prepared_transactions": 0, "wal_level": "replica",
        }));
        for (name, expected) in [
            ("shared_preload_libraries", json!("citus,a,b")),
            ("max_prepared_transactions", json!(60)),
            ("wal_level", json!("logical")),
            ("citus.local_hostname", json!("localhost")),
        ] {
            assert_eq!(found.get(name), Some(&expected), "{name}");
        }
        let found = with_citus(&json!({"max_prepared_transactions": 7}));
        let found = |name| found.get(name).cloned();
        assert_eq!(found("max_prepared_transactions"), Some(json!(7)));
        assert_eq!(found("shared_preload_libraries"), Some(json!("citus")));
    }

    #[test]
    fn a_null_is_no_value() {
        let given = json!({"archive_command": null, "wal_keep_size": null});
        let found = server(&given, &ClusterFacts::default(), 150_000);
        assert_eq!(found.get("archive_command"), None);
        assert_eq!(found.get("wal_keep_size"), Some(&json!("128MB")));
    }

    #[test]
    fn synchronous_names_belong_to_the_cluster_in_synchronous_mode() {
        let given = json!({"synchronous_standby_names": "mine", "hba_file": "x.conf"});
        let off = server(&given, &ClusterFacts::default(), 150_000);
        assert_eq!(off.get("synchronous_standby_names"), Some(&json!("mine")));
        assert_eq!(off.get("hba_file"), Some(&json!("/conf/x.conf")));
        let mut facts = ClusterFacts {
            synchronous: true,
            ..ClusterFacts::default()
        };
        assert_eq!(
            server(&given, &facts, 150_000).get("synchronous_standby_names"),
            None
        );
        facts.strict = true;
        let strict = server(&given, &facts, 150_000);
        assert_eq!(strict.get("synchronous_standby_names"), Some(&json!("*")));
    }

    #[test]
    fn the_command_line_has_the_controlled_ones() {
        let line = server(
            &json!({"max_connections": 100}),
            &ClusterFacts::default(),
            150_000,
        );
        assert_eq!(
            line.command_line(),
            [
                "--listen_addresses=",
                "--port=0",
                "--cluster_name=demo",
                "--max_connections=100"
            ]
        );
    }
}
