//! A custom bootstrap method that restores a backup, with recovery to a point in time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use patroni_config::file::Postgresql;
use patroni_core::{Role, State, Upstream};
use patroni_postgres::{Cancel, Clock, StartOutcome, StartRequest, Supervisor};
use serde_json::{Value, json};

use crate::server::{Server, as_postgres, ask, bin, until};

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
        let status = Command::new(bin("pg_basebackup"))
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

            let pid = server.pid();
            assert!(it.post_init(&Cancel::new()).await);
            assert_eq!(server.pid(), pid, "a reload is enough");
            assert!(file("pg_hba.conf").starts_with("# the restored rules\n"));
            assert!(file("postgresql.conf").contains("\nhot_standby = 'on'\n"));
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
