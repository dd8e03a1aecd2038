//! A custom bootstrap method that restores a backup, with recovery to a point in time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::{Role, State, Upstream};
use patroni_postgres::connection::{Endpoint, Session};
use patroni_postgres::{Cancel, Clock, StartOutcome, StartRequest, Supervisor};
use patroni_tests::postgresql;
use serde_json::{Value, json};

use crate::server::{Server, as_postgres, ask, until};

/// A server with an archive, a base backup, a row before the restore point `here` and one after.
struct Source {
    server: Server,
}

impl Source {
    async fn new() -> Self {
        let source = Self {
            server: Server::init("a"),
        };
        fs::create_dir(source.archive()).unwrap();
        let mut settings = source.server.settings();
        let archive = format!("cp %p {}/%f", source.archive().display());
        settings
            .parameters
            .insert("archive_mode".to_owned(), json!("on"));
        settings
            .parameters
            .insert("archive_command".to_owned(), json!(archive));
        let primary = source
            .server
            .start_with(settings, Role::Primary, Upstream::None)
            .await;
        let status = Command::new(postgresql::program("pg_basebackup"))
            .args(["-c", "fast", "-X", "none", "-U", "postgres", "-h"])
            .arg(source.server.root())
            .args(["-p", &source.server.port.to_string(), "-D"])
            .arg(source.backup())
            .status()
            .unwrap();
        assert!(status.success());
        let hba = source.backup().join("pg_hba.conf");
        fs::write(
            &hba,
            format!(
                "# the restored rules\n{}",
                fs::read_to_string(&hba).unwrap()
            ),
        )
        .unwrap();
        for sql in [
            "CREATE TABLE public.t AS SELECT 1 AS n",
            "SELECT pg_create_restore_point('here')",
            "INSERT INTO public.t VALUES (2)",
        ] {
            ask(&primary, sql).await;
        }
        let wal = ask(&primary, "SELECT pg_walfile_name(pg_switch_wal())")
            .await
            .unwrap();
        let archived = source.archive().join(wal);
        until("the WAL is archived", async || archived.exists()).await;
        source
    }

    fn archive(&self) -> PathBuf {
        self.server.root().join("archive")
    }

    fn backup(&self) -> PathBuf {
        self.server.root().join("backup")
    }

    fn restore_command(&self) -> String {
        format!("cp {}/%f %p", self.archive().display())
    }
}

/// Settings of a node whose cluster is made by a method with these keys.
fn settings(server: &Server, method: &Value) -> Postgresql {
    Postgresql {
        bootstrap: json!({"method": "pitr", "pitr": method})
            .as_object()
            .cloned(),
        ..server.settings()
    }
}

/// What the jobs of a bootstrap do until the script runs.
async fn restore(settings: Postgresql) -> Supervisor {
    let it = Supervisor::adopt(settings, Clock::start()).await.unwrap();
    assert!(it.create_cluster(&Cancel::new()).await);
    let request = StartRequest {
        role: Role::Primary,
        upstream: Upstream::None,
        timeout: None,
    };
    assert_eq!(
        it.start(request, &Cancel::new()).await,
        StartOutcome::Running
    );
    assert_eq!((it.state(), it.role()), (State::Running, Role::Replica));
    until("the recovery has ended", async || {
        ask(&it, "SELECT pg_is_in_recovery()").await.as_deref() == Some("f")
    })
    .await;
    it.set_role(Role::Primary);
    it
}

async fn rows(it: &Supervisor) -> Option<String> {
    ask(
        it,
        "SELECT string_agg(n::text, ' ' ORDER BY n) FROM public.t",
    )
    .await
}

#[test]
fn a_backup_is_recovered_to_its_target_and_lets_nobody_in_before() {
    as_postgres(
        "custom::a_backup_is_recovered_to_its_target_and_lets_nobody_in_before",
        async {
            let source = Box::pin(Source::new()).await;
            let server = Server::empty("b");
            let it = restore(settings(
                &server,
                &json!({
                    "command": format!("cp -a {} {}", source.backup().display(), server.data_dir().display()),
                    "no_params": true,
                    "recovery_conf": {
                        "restore_command": source.restore_command(),
                        "recovery_target_name": "here",
                        "recovery_target_action": "promote",
                    },
                }),
            ))
            .await;
            let file = |name: &str| fs::read_to_string(server.data_dir().join(name)).unwrap();
            let rules: Vec<_> = file("pg_hba.conf")
                .lines()
                .skip(2)
                .map(str::to_owned)
                .collect();
            assert_eq!(rules[1], "local\tall\tpostgres\t\ttrust");
            assert!(rules.contains(&"host\tall\tpostgres\t127.0.0.1/32\ttrust".to_owned()));
            assert!(file("postgresql.conf").contains("\nhot_standby = 'off'\n"));
            assert_eq!(
                rows(&it).await.as_deref(),
                Some("1"),
                "what was before the target"
            );
            let report = it.apply_settings((*it.settings()).clone(), true).await;
            assert!(!report.reloaded, "not before the cluster is ready");

            assert!(it.post_init(&Cancel::new()).await);
            assert!(file("pg_hba.conf").starts_with("# the restored rules\n"));
            assert!(file("postgresql.conf").contains("\nhot_standby = 'on'\n"));
            assert_eq!(
                ask(&it, "SHOW hot_standby").await.as_deref(),
                Some("on"),
                "not off by the command line of the recovery"
            );
            assert!(!server.data_dir().join("recovery.signal").exists());
            assert_eq!(rows(&it).await.as_deref(), Some("1"));
        },
    );
}

#[test]
fn what_the_tool_set_up_is_kept_until_the_cluster_is_ready() {
    as_postgres(
        "custom::what_the_tool_set_up_is_kept_until_the_cluster_is_ready",
        async {
            let source = Box::pin(Source::new()).await;
            let server = Server::empty("b");
            fs::write(source.backup().join("recovery.signal"), "").unwrap();
            let auto = format!(
                "restore_command = '{}'\nrecovery_target_name = 'here'\nrecovery_target_action = 'promote'\n",
                source.restore_command()
            );
            fs::write(source.backup().join("postgresql.auto.conf"), auto).unwrap();
            let mut settings = settings(
                &server,
                &json!({
                    "command": format!("cp -a {} {}", source.backup().display(), server.data_dir().display()),
                    "no_params": true,
                    "keep_existing_recovery_conf": true,
                }),
            );
            // Less than recovery needs, so that a restart must bring it into effect.
            settings
                .parameters
                .insert("max_connections".to_owned(), json!(15));
            let it = restore(settings).await;
            assert_eq!(rows(&it).await.as_deref(), Some("1"));
            assert_eq!(
                ask(&it, "SHOW max_connections").await.as_deref(),
                Some("20")
            );
            assert!(it.post_init(&Cancel::new()).await);
            assert_eq!((it.state(), it.role()), (State::Running, Role::Primary));
            assert_eq!(
                ask(&it, "SHOW max_connections").await.as_deref(),
                Some("15")
            );
            assert_eq!(rows(&it).await.as_deref(), Some("1"));
            let auto = fs::read_to_string(server.data_dir().join("postgresql.auto.conf")).unwrap();
            assert_eq!(auto, "", "recovery parameters are ours again");
        },
    );
}

/// A method that leaves a whole database cluster, with nothing to recover.
fn copied(source: &Server, server: &Server) -> Postgresql {
    let (from, to) = (source.data_dir(), server.data_dir());
    settings(
        server,
        &json!({
            "command": format!("cp -a {} {}", from.display(), to.display()),
            "no_params": true,
        }),
    )
}

const REAL: &str = "# the real rules\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n";

fn hba(server: &Server) -> String {
    fs::read_to_string(server.data_dir().join("pg_hba.conf")).unwrap()
}

/// When a new connection's postmaster has read its files.
async fn load_time(it: &Supervisor) -> Option<String> {
    it.close_connections();
    ask(it, "SELECT pg_conf_load_time()").await
}

const AS_PRIMARY: StartRequest = StartRequest {
    role: Role::Primary,
    upstream: Upstream::None,
    timeout: None,
};

/// A bootstrap until the script runs, of data that need no recovery.
async fn begin(settings: Postgresql) -> Supervisor {
    let it = Supervisor::adopt(settings, Clock::start()).await.unwrap();
    assert!(it.create_cluster(&Cancel::new()).await);
    assert_eq!(
        it.start(AS_PRIMARY, &Cancel::new()).await,
        StartOutcome::Running
    );
    it
}

#[test]
fn the_real_rules_are_in_effect_when_the_bootstrap_ends() {
    as_postgres(
        "custom::the_real_rules_are_in_effect_when_the_bootstrap_ends",
        async {
            let (source, server) = (Server::init("a"), Server::empty("b"));
            let refusing = "host all postgres 127.0.0.1/32 reject\nlocal all all trust\n";
            fs::write(source.data_dir().join("pg_hba.conf"), refusing).unwrap();
            let it = begin(copied(&source, &server)).await;
            let pid = server.pid();
            assert!(it.post_init(&Cancel::new()).await);
            let endpoint = Endpoint::local(&it.settings(), "test");
            let refused = Session::connect(&endpoint, Duration::from_secs(5)).await;
            assert!(refused.is_err(), "the rules from before would let it in");
            assert_eq!(server.pid(), pid, "a reload is enough");
            assert_eq!(hba(&server), refusing);
        },
    );
}

#[test]
fn a_server_that_outlives_a_bootstrap_is_adopted_with_its_real_rules() {
    as_postgres(
        "custom::a_server_that_outlives_a_bootstrap_is_adopted_with_its_real_rules",
        async {
            let (source, server) = (Server::init("a"), Server::empty("b"));
            fs::write(source.data_dir().join("pg_hba.conf"), REAL).unwrap();
            let wanted = copied(&source, &server);
            let first = begin(wanted.clone()).await;
            assert!(hba(&server).contains("\nlocal\tall\tpostgres\t\ttrust\n"));
            let before = load_time(&first).await;
            drop(first);

            let second = Supervisor::adopt(wanted, Clock::start()).await.unwrap();
            assert_eq!(hba(&server), REAL);
            until("the server has read the rules", async || {
                load_time(&second).await != before
            })
            .await;
        },
    );
}

#[test]
fn a_start_after_a_bootstrap_without_an_end_trusts_nobody() {
    as_postgres(
        "custom::a_start_after_a_bootstrap_without_an_end_trusts_nobody",
        async {
            let (source, server) = (Server::init("a"), Server::empty("b"));
            fs::write(source.data_dir().join("pg_hba.conf"), REAL).unwrap();
            let wanted = copied(&source, &server);
            drop(begin(wanted.clone()).await);
            server.signal(nix::sys::signal::Signal::SIGQUIT);
            until("the server is gone", async || {
                !server.data_dir().join("postmaster.pid").exists()
            })
            .await;

            let next = Supervisor::adopt(wanted.clone(), Clock::start())
                .await
                .unwrap();
            let backup = server.data_dir().join("pg_hba.conf.backup");
            let kept = fs::read_to_string(&backup).unwrap();
            assert_eq!(kept, REAL, "never a copy of the bootstrap's own");
            fs::remove_file(&backup).unwrap();
            let refused = next.start(AS_PRIMARY, &Cancel::new()).await;
            assert!(
                matches!(&refused, StartOutcome::Failed(reason) if reason.contains("pg_hba.conf.backup")),
                "{refused:?}"
            );

            fs::write(server.data_dir().join("pg_hba.conf"), REAL).unwrap();
            let started = next.start(AS_PRIMARY, &Cancel::new()).await;
            assert_eq!(started, StartOutcome::Running);
        },
    );
}
