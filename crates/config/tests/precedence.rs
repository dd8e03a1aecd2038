//! What wins where: dynamic configuration, files, environment.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use patroni_config::file::restapi::VerifyClient;
use patroni_config::{ConfigError, ControlSettings, Effective, Environment, Local, Settings};
use patroni_core::Secret;
use serde_json::{Map, Value, json};

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn local(settings: &Value) -> Local {
    Local {
        settings: map(settings),
        ..Local::default()
    }
}

fn effective(dynamic: &Value, settings: &Value) -> Effective {
    Effective::compute(&map(dynamic), &local(settings)).unwrap()
}

fn at<'v>(effective: &'v Effective, path: &str) -> Option<&'v Value> {
    let mut keys = path.split('.');
    let first = effective.settings.get(keys.next().unwrap())?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// A configuration that is complete.
fn complete() -> Value {
    json!({
        "scope": "demo", "name": "n1", "etcd3": {"host": "h"},
        "restapi": {"listen": "127.0.0.1:8008"},
        "postgresql": {"listen": "127.0.0.1:5432", "data_dir": "/d"},
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_setting_comes_from_where_it_must() {
    for (dynamic, given, path, expected) in [
        (
            json!({}),
            json!({}),
            "postgresql.parameters.max_connections",
            json!(100),
        ),
        (json!({}), json!({}), "ttl", json!(30)),
        (json!({"ttl": 40}), json!({"ttl": 50}), "ttl", json!(40)),
        (json!({"ttl": 5}), json!({}), "ttl", json!(20)),
        (
            json!({"standby_cluster": {"host": "h", "x": 1}}),
            json!({}),
            "standby_cluster.x",
            Value::Null,
        ),
        (
            json!({"standby_cluster": {"host": "h"}}),
            json!({"standby_cluster": {"host": "l"}}),
            "standby_cluster.host",
            json!("h"),
        ),
        (
            json!({"postgresql": {"use_slots": false}}),
            json!({"postgresql": {"use_slots": true}}),
            "postgresql.use_slots",
            json!(false),
        ),
        (
            json!({"postgresql": {"listen": "d", "pg_hba": ["d"]}}),
            json!({}),
            "postgresql.listen",
            Value::Null,
        ),
        (
            json!({"postgresql": {"pg_hba": ["d"]}}),
            json!({"postgresql": {"pg_hba": ["l"]}}),
            "postgresql.pg_hba",
            json!(["l"]),
        ),
        (
            json!({"postgresql": {"parameters": {"work_mem": 1}}}),
            json!({"postgresql": {"parameters": {"work_mem": 2, "max_connections": 5}}}),
            "postgresql.parameters",
            json!({
            "wal_level": "hot_standby", "hot_standby": "on", "max_connections": 100, "max_wal_senders": 10,
            "max_prepared_transactions": 0, "max_locks_per_transaction": 64, "track_commit_timestamp": "off",
            "max_replication_slots": 10, "max_worker_processes": 8, "wal_log_hints": "on", "work_mem": 2}),
        ),
        (
            json!({"maximum_lag_on_failover": 1}),
            json!({}),
            "maximum_lag_on_failover",
            Value::Null,
        ),
        (
            json!({}),
            json!({"citus": {"group": 1, "database": "c"}}),
            "citus.database",
            json!("c"),
        ),
        (
            json!({}),
            json!({"citus": {"group": "1", "database": "c"}}),
            "citus",
            Value::Null,
        ),
        (
            json!({}),
            json!({"citus": {"group": 1}}),
            "citus",
            Value::Null,
        ),
        (
            json!({}),
            json!({"citus": {"group": 1, "database": "c"}}),
            "bootstrap.dcs.synchronous_mode",
            json!("quorum"),
        ),
        (json!({}), json!({"tags": null}), "tags", json!({})),
        (
            json!({}),
            json!({"restapi": {"authentication": {"username": "u", "password": "p"}}}),
            "restapi.auth",
            json!("u:p"),
        ),
        (
            json!({}),
            json!({"postgresql": {"name": "old"}}),
            "name",
            json!("old"),
        ),
        (
            json!({}),
            json!({"scope": "s"}),
            "postgresql.scope",
            json!("s"),
        ),
        (
            json!({}),
            json!({"zookeeper": {"exhibitor": {"port": 1}}}),
            "exhibitor.port",
            json!(1),
        ),
        (
            json!({}),
            json!({"postgresql": {"superuser": {"username": "u"}, "use_pg_rewind": true}}),
            "postgresql.use_pg_rewind",
            json!(false),
        ),
        (
            json!({}),
            json!({"postgresql": {"authentication": {"replication": {"username": "r", "junk": 1}}, "pg_rewind": {"username": "w"}}}),
            "postgresql.authentication",
            json!({"replication": {"username": "r"}, "superuser": {"username": "w"}}),
        ),
    ] {
        let effective = effective(&dynamic, &given);
        assert_eq!(
            at(&effective, path).unwrap_or(&Value::Null),
            &expected,
            "{path}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_one_line() {
    let refused = |dynamic: Value, given: Value| {
        Effective::compute(&map(&dynamic), &local(&given))
            .unwrap_err()
            .to_string()
    };
    let parameters = json!({"postgresql": {"parameters": ["a"]}});
    assert_eq!(
        refused(json!({}), parameters.clone()),
        "postgresql.parameters is not a dictionary"
    );
    assert_eq!(
        refused(parameters, json!({})),
        "postgresql.parameters is not a dictionary"
    );
    assert!(refused(json!({"ttl": "abc"}), json!({})).contains("ttl"));
    let half = json!({"ctl": {"authentication": {"username": "u"}}});
    assert_eq!(
        refused(json!({}), half),
        "ctl.authentication.password is not defined"
    );
    for section in ["restapi", "ctl"] {
        let no_mapping = json!({section: {"authentication": "u:p"}});
        assert_eq!(
            refused(json!({}), no_mapping),
            format!("{section}.authentication is not a dictionary")
        );
    }
    for (path, problem) in [
        ("scope", "scope is not defined"),
        ("name", "name is not defined"),
        ("restapi", "restapi.listen is not defined"),
        ("postgresql", "postgresql.data_dir is not defined"),
        (
            "etcd3",
            "Can not find suitable configuration of distributed configuration store\nAvailable implementations: consul, etcd, etcd3, exhibitor, kubernetes, raft, zookeeper",
        ),
    ] {
        let mut given = map(&complete());
        given.remove(path);
        let error = Settings::read(&effective(&json!({}), &Value::Object(given))).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
    let mut given = complete();
    given["restapi"]["listen"] = json!("127.0.0.1");
    let error = Settings::read(&effective(&json!({}), &given)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected <HOST>:<PORT> for \"listen\", but got \"127.0.0.1\"")
    );
}

#[test]
fn an_error_names_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("patroni.yml");
    let text = "scope: s\nname: n\netcd3:\n  host: h\n  port: many\n";
    std::fs::write(&file, text).unwrap();
    let local = Local::load(Some(&file), &Environment::default()).unwrap();
    let error = ControlSettings::read(&local).unwrap_err();
    assert!(matches!(error, ConfigError::Setting { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{}, line 5: etcd3.port 'many' is not an integer",
            file.display()
        )
    );
}

#[test]
fn defaults_are_those_of_the_manual() {
    let (settings, warnings) = Settings::read(&effective(&json!({}), &complete())).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(settings.base_path(), "/service/demo");
    assert_eq!(settings.dcs.name(), "etcd3");
    assert_eq!(settings.restapi.api_url(), "http://127.0.0.1:8008/patroni");
    assert_eq!(settings.restapi.thread_pool_size, 5);
    assert_eq!(settings.log.file_size, 25_000_000);
    assert_eq!(settings.log.max_queue_size, Some(1000));
    assert_eq!(settings.watchdog.safety_margin, 5);
    let postgresql = &settings.postgresql;
    assert_eq!(postgresql.create_replica_methods, ["basebackup"]);
    assert_eq!(postgresql.config_dir, postgresql.data_dir);
    assert_eq!(postgresql.database, "postgres");
    assert_eq!(postgresql.pg_ctl_timeout.as_secs(), 60);
    assert!(postgresql.use_slots && !postgresql.use_pg_rewind);
    assert!(settings.bootstrap.is_none() && postgresql.bootstrap.is_none());
}

#[test]
fn every_section_is_read() {
    let mut given = complete();
    given["namespace"] = json!("//a/b/");
    given["restapi"] = json!({"listen": "0.0.0.0:8008", "connect_address": "[fd00::1]:8009", "certfile": "/c",
        "authentication": {"username": "u", "password": "p:q"}, "verify_client": "Required",
        "allowlist": ["10.0.0.0/8"], "server_tokens": "Minimal", "cafile": "/ca", "thread_pool_size": 2});
    given["log"] = json!({"type": "json", "level": "WARN", "format": ["message", {"asctime": "t"}, 5],
        "dir": "", "mode": "0640", "loggers": {"patroni.x": "DEBUG"}, "max_queue_size": 0});
    given["watchdog"] = json!({"mode": false, "safety_margin": -1});
    given["tags"] = json!({"nofailover": true, "failover_priority": 1});
    given["bootstrap"] =
        json!({"dcs": {"ttl": 30}, "method": "m", "m": {"command": "c"}, "post_init": "p"});
    let postgresql = given["postgresql"].as_object_mut().unwrap();
    postgresql.extend(map(&json!({"create_replica_methods": ["barman", "basebackup"], "barman": {"command": "x"},
        "authentication": {"replication": {"username": "r", "password": 5}}, "bin_name": {"postgres": "edb"},
        "connect_address": "[::1]:5432", "pg_ctl_timeout": "soon", "use_pg_rewind": "on"})));
    let (settings, warnings) = Settings::read(&effective(&json!({}), &given)).unwrap();
    assert_eq!(settings.base_path(), "/a/b/demo");
    assert_eq!(settings.restapi.api_url(), "https://[fd00::1]:8009/patroni");
    let auth = settings.ctl.auth.as_ref().unwrap();
    assert_eq!(auth.pair(), Secret::new("u:p:q"));
    assert_eq!(settings.ctl.cacert, settings.restapi.cafile);
    assert_eq!(settings.restapi.thread_pool_size, 5);
    assert_eq!(settings.log.mode, Some(0o640));
    assert_eq!(settings.log.dir.as_deref(), Some(std::path::Path::new("")));
    assert_eq!(settings.log.max_queue_size, None);
    assert_eq!(settings.watchdog.timeout_secs(31), 15);
    let method = settings
        .bootstrap
        .as_ref()
        .unwrap()
        .method
        .as_ref()
        .unwrap();
    assert_eq!(method.name, "m");
    let postgresql = &settings.postgresql;
    assert_eq!(postgresql.methods.keys().collect::<Vec<_>>(), ["barman"]);
    assert_eq!(postgresql.replication.password, Some(Secret::new("5")));
    assert_eq!(postgresql.binary("postgres"), "edb");
    assert_eq!(
        postgresql.url(postgresql.connect_address.as_ref().unwrap()),
        "postgres://[::1]:5432/postgres"
    );
    assert!(postgresql.use_pg_rewind);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with(
        "Conflicting configuration between nofailover: True and failover_priority: 1."
    ));
}

#[test]
fn words_that_mean_nothing_to_the_rest_server_have_known_sentences() {
    let mut given = complete();
    given["restapi"]["thread_pool_size"] = json!("many");
    given["restapi"]["server_tokens"] = json!("none");
    given["restapi"]["verify_client"] = json!("maybe");
    let (settings, warnings) = Settings::read(&effective(&json!({}), &given)).unwrap();
    assert_eq!(settings.restapi.thread_pool_size, 5);
    assert_eq!(
        settings.restapi.verify_client,
        VerifyClient::Unknown("maybe".to_owned())
    );
    assert_eq!(
        warnings,
        [
            "Failed to parse restapi.thread_pool_size value \"many\": no integer",
            "restapi.server_tokens is set to \"none\". Patroni will not modify the Server header. \
             Valid values are: \"Minimal\", \"ProductOnly\".",
        ]
    );
}

#[test]
fn only_texts_are_lines_of_pg_hba() {
    let mut given = complete();
    given["postgresql"]["pg_hba"] = json!(["local all all trust", {"host": "all"}, 5]);
    let (settings, warnings) = Settings::read(&effective(&json!({}), &given)).unwrap();
    assert_eq!(settings.postgresql.pg_hba, ["local all all trust"]);
    assert_eq!(
        warnings,
        [
            "postgresql.pg_hba has an item that is no text, left out: {'host': 'all'}",
            "postgresql.pg_hba has an item that is no text, left out: 5",
        ]
    );
}

#[test]
fn a_wrong_type_from_the_store_spoils_that_value_alone() {
    let dynamic = json!({"pause": true, "postgresql": {
        "pg_hba": "local all all trust",
        "callbacks": {"on_start": ["a"], "on_stop": "b"},
        "probe": {"after": "soon"},
        "bin_dir": {"a": 1},
        "recovery_conf": 5,
        "create_replica_methods": "barman",
    }});
    let local = local(&complete());
    let (settings, warnings) = Settings::of(&map(&dynamic), &local).unwrap();
    assert!(settings.dynamic.pause);
    let postgresql = &settings.postgresql;
    assert!(postgresql.pg_hba.is_empty() && postgresql.bin_dir.is_none());
    assert_eq!(postgresql.callbacks.len(), 1);
    assert_eq!(postgresql.create_replica_methods, ["barman"]);
    for text in [
        "postgresql.pg_hba of the dynamic configuration is not a list, left out",
        "postgresql.callbacks.on_start of the dynamic configuration is not a string, left out",
        "postgresql.probe.after of the dynamic configuration 'soon' is not an integer, left out",
        "postgresql.bin_dir of the dynamic configuration is not a string, left out",
        "postgresql.recovery_conf of the dynamic configuration is not a dictionary, left out",
    ] {
        assert!(
            warnings.iter().any(|warning| warning == text),
            "{warnings:?}"
        );
    }
    let mut own = complete();
    own["postgresql"]["pg_hba"] = json!("local all all trust");
    let error = Settings::of(&map(&dynamic), &self::local(&own)).unwrap_err();
    assert_eq!(error.to_string(), "postgresql.pg_hba is not a list");
}

#[test]
fn old_settings_work_and_are_named() {
    let mut given = complete();
    given["postgresql"]["create_replica_method"] = json!(["a"]);
    given["ttl"] = json!(99);
    given["bootstrap"] = json!({"users": {}, "dcs": {"master_start_timeout": 1}});
    given["consul"] = json!({"register_service": true});
    let effective = effective(&json!({}), &given);
    let (settings, warnings) = Settings::read(&effective).unwrap();
    assert_eq!(settings.dcs.name(), "consul");
    assert_eq!(settings.postgresql.create_replica_methods, ["a"]);
    assert_eq!(warnings, ["consul is the store in use, ignored: etcd3",]);
    for path in [
        "ttl",
        "bootstrap.users",
        "bootstrap.dcs.master_start_timeout",
        "postgresql.create_replica_method",
    ] {
        assert!(
            effective.warnings.iter().any(|text| text.starts_with(path)),
            "{path}"
        );
    }
}

#[test]
fn old_names_in_the_store_are_named_once() {
    let dynamic = json!({"master_start_timeout": 1, "permanent_slots": {}, "slots": {}});
    let warnings = |given: &Value| effective(&dynamic, given).warnings;
    assert_eq!(
        warnings(&complete()),
        [
            "master_start_timeout of the dynamic configuration is old, use primary_start_timeout",
            "permanent_slots of the dynamic configuration is old, use slots",
        ]
    );
    let mut given = complete();
    given["bootstrap"] = json!({"dcs": dynamic});
    assert_eq!(
        warnings(&given),
        [
            "bootstrap.dcs.master_start_timeout is old, use primary_start_timeout",
            "bootstrap.dcs.permanent_slots is old, use slots",
        ]
    );
}

#[test]
fn the_control_tool_needs_nothing() {
    let settings = ControlSettings::read(&local(&json!({}))).unwrap();
    assert_eq!((settings.scope, settings.dcs), (None, None));
    let given = json!({"scope": "s", "etcd": {"host": "h"}, "restapi": {"auth": "a:b"}, "ctl": {"insecure": "on"}});
    let settings = ControlSettings::read(&local(&given)).unwrap();
    assert!(settings.ctl.insecure);
    assert_eq!(settings.ctl.auth.as_ref().unwrap().username, "a");
    assert_eq!(
        settings.base_path(settings.scope.as_ref().unwrap()),
        "/service/s"
    );
}
