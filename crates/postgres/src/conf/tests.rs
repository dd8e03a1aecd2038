//! The files against recordings of the reference.

use patroni_config::dynamic::StandbyCluster;
use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::{Credentials, Listen};
use patroni_core::{MemberName, Scope, Secret, SlotName, Upstream};
use serde_json::{Map, Value, json};

use super::files::Files;
use super::parameters::{ClusterFacts, Parameters, SyncChoice};
use super::recovery::Recovery;

const VERSION: u32 = 150_018;

/// A node of the recordings: name, port, cluster, replication user and password.
fn node(name: &str, port: u16, scope: &str, parameters: Value, recovery_conf: Value) -> Postgresql {
    let object = |given: Value| -> Map<String, Value> { given.as_object().unwrap().clone() };
    let mut all = object(json!({
        "wal_level": "hot_standby", "hot_standby": "on", "max_connections": 100,
        "max_wal_senders": 10, "max_prepared_transactions": 0, "max_locks_per_transaction": 64,
        "track_commit_timestamp": "off", "max_replication_slots": 10, "max_worker_processes": 8,
        "wal_log_hints": "on", "unix_socket_directories": "{RUN}",
    }));
    all.extend(object(parameters));
    Postgresql {
        name: Some(MemberName::new(name)),
        scope: Some(Scope::new(scope)),
        listen: Listen {
            hosts: vec!["127.0.0.1".to_owned()],
            port,
        },
        data_dir: format!("{{RUN}}/{name}").into(),
        config_dir: format!("{{RUN}}/{name}").into(),
        config_base_name: "postgresql".to_owned(),
        pgpass: format!("{{RUN}}/{name}.pgpass").into(),
        database: "postgres".to_owned(),
        replication: Credentials {
            username: Some("replicator".to_owned()),
            password: Some(Secret::new("rep-pass")),
            ..Credentials::default()
        },
        use_slots: true,
        parameters: all,
        recovery_conf: object(recovery_conf),
        ..Postgresql::default()
    }
}

fn basic(name: &str, port: u16) -> Postgresql {
    let mut settings = node(
        name,
        port,
        "basic",
        json!({
            "max_worker_processes": 12, "wal_level": "logical", "wal_keep_segments": 16,
            "shared_buffers": "32MB", "work_mem": "5MB", "maintenance_work_mem": "0.0625GB",
            "archive_mode": "on", "archive_command": "/bin/true '%p' \\x",
            "log_min_duration_statement": "2min", "no_such_parameter": 5,
            "autovacuum_naptime": 99_999_999, "checkpoint_completion_target": 7,
            "log_statement": "everything", "fsync": "maybe", "my.custom": "it's",
            "Log_Connections": true, "vacuum_defer_cleanup_age": 5,
            "stats_temp_directory": "pg_stat_tmp", "password_encryption": "md5",
            "effective_io_concurrency": 0, "shared_preload_libraries": "", "huge_pages": "try",
            "TimeZone": "UTC", "wal_log_hints": false, "log_line_prefix": "%m [%p] ",
        }),
        json!({
            "restore_command": "cp /nonexistent/%f %p", "recovery_min_apply_delay": 0,
            "recovery_target_time": "2020-01-01",
        }),
    );
    settings.replication.username = Some("repl user".to_owned());
    settings.replication.sslmode = Some("prefer".to_owned());
    settings
}

fn member(name: &str, port: u16, slot: &str) -> Upstream {
    Upstream::Member {
        name: MemberName::new(name),
        conn_url: format!("postgres://127.0.0.1:{port}/postgres"),
        slot: Some(SlotName::new(slot)),
    }
}

fn render(settings: &Postgresql, facts: &ClusterFacts, upstream: Option<&Upstream>) -> String {
    let files = Files {
        settings,
        version: VERSION,
    };
    let parameters =
        Parameters::of_server(settings, facts, &SyncChoice::NotYet, false, Some(VERSION));
    let accepted = files.accepted(&parameters, facts, &[]);
    let recovery = upstream.map(|upstream| Recovery::following(settings, facts, upstream, VERSION));
    files.render(&accepted, recovery.as_ref())
}

/// All but the two comment lines, whose wording is our own.
fn body(text: &str) -> Vec<&str> {
    text.split('\n').skip(2).collect()
}

#[test]
fn a_primary_s_file_is_the_one_of_the_reference() {
    let facts = ClusterFacts {
        hot_standby_feedback: true,
        ..ClusterFacts::default()
    };
    let recorded = include_str!("../../tests/golden/basic-a1.postgresql.conf");
    assert_eq!(
        body(&render(&basic("a1", 21501), &facts, None)),
        body(recorded)
    );
}

#[test]
fn a_standby_s_file_is_the_one_of_the_reference() {
    let facts = ClusterFacts {
        hot_standby_feedback: true,
        ..ClusterFacts::default()
    };
    let recorded = include_str!("../../tests/golden/basic-a2.postgresql.conf");
    let upstream = member("a1", 21501, "a2");
    let rendered = render(&basic("a2", 21502), &facts, Some(&upstream));
    assert_eq!(body(&rendered), body(recorded));
}

#[test]
fn the_section_recovery_conf_is_translated() {
    let settings = node(
        "c4",
        21534,
        "reccon",
        json!({}),
        json!({
            "restore_command": "cp /from/recovery_conf/%f %p", "recovery_end_command": "true",
            "recovery_min_apply_delay": "500ms", "recovery_target_time": "2020-01-01",
            "trigger_file": "/old/name", "recovery_target_timeline": 1, "standby_mode": "off",
            "bogus_recovery": "x",
        }),
    );
    let recorded = include_str!("../../tests/golden/recovery-conf-section-c4.postgresql.conf");
    let upstream = member("c3", 21533, "c4");
    let rendered = render(&settings, &ClusterFacts::default(), Some(&upstream));
    assert_eq!(body(&rendered), body(recorded));
}

#[test]
fn a_standby_leader_s_file_is_the_one_of_the_reference() {
    let settings = node(
        "sb1",
        21521,
        "stby",
        json!({}),
        json!({"restore_command": "local-restore %f %p", "recovery_min_apply_delay": "1min"}),
    );
    let facts = ClusterFacts {
        standby_cluster: Some(StandbyCluster {
            restore_command: Some("cp /nonexistent/%f %p".to_owned()),
            archive_cleanup_command: Some("true".to_owned()),
            recovery_min_apply_delay: Some("2s".to_owned()),
            ..StandbyCluster::default()
        }),
        ..ClusterFacts::default()
    };
    let remote = Upstream::Remote {
        host: Some("127.0.0.1".to_owned()),
        port: Some("21511".to_owned()),
        slot: Some(SlotName::new("patroni_standby_leader")),
        leading: true,
    };
    let recorded = include_str!("../../tests/golden/standby-cluster-sb1.postgresql.conf");
    assert_eq!(
        body(&render(&settings, &facts, Some(&remote))),
        body(recorded)
    );
}

#[test]
fn the_command_line_is_the_one_of_the_reference() {
    let settings = basic("a2", 21502);
    let facts = ClusterFacts::default();
    let parameters =
        Parameters::of_server(&settings, &facts, &SyncChoice::NotYet, false, Some(VERSION));
    assert_eq!(
        parameters.command_line(),
        [
            "--listen_addresses=127.0.0.1",
            "--port=21502",
            "--cluster_name=basic",
            "--wal_level=logical",
            "--hot_standby=on",
            "--max_connections=100",
            "--max_wal_senders=10",
            "--max_prepared_transactions=0",
            "--max_locks_per_transaction=64",
            "--track_commit_timestamp=off",
            "--max_replication_slots=10",
            "--max_worker_processes=12",
            "--wal_log_hints=False",
        ]
    );
}
