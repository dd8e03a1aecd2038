//! Replicas from real backup tools. A tool that is not installed is said and skipped: the
//! packages of Debian are `pgbackrest` and `barman`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use patroni_config::file::Postgresql;
use patroni_core::{Role, Upstream};
use patroni_postgres::{Cancel, Clock, CopyFrom, StartOutcome, StartRequest, Supervisor};
use patroni_tests::postgresql;
use serde_json::{Value, json};

use crate::server::{Server, as_postgres, ask, fast_stop, until};

/// Whether a tool is there. When not, one line says which test is skipped; it goes past the test
/// runner's capture, because a skipped test must not look like a passed one.
fn is_there(tool: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    if !there {
        skipped(test, &format!("{tool} is not installed"));
    }
    there
}

fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

fn succeed(program: &str, args: &[&str]) {
    let run = run(program, args);
    assert!(run.is_ok(), "{program} {args:?}: {run:?}");
}

/// Runs a tool; when it fails, what it said.
fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&said).into_owned())
    }
}

/// A primary with an archive, and a table.
async fn primary(server: &Server, archive_command: &str) -> Supervisor {
    let mut settings = server.settings();
    for (name, text) in [("archive_mode", "on"), ("archive_command", archive_command)] {
        settings.parameters.insert(name.to_owned(), json!(text));
    }
    let it = server
        .start_with(settings, Role::Primary, Upstream::None)
        .await;
    ask(&it, "CREATE TABLE public.t AS SELECT 1 AS n").await;
    it
}

/// Settings with these replica methods.
fn settings(server: &Server, methods: &Value) -> Postgresql {
    Postgresql {
        methods: methods.as_object().unwrap().clone(),
        ..server.settings()
    }
}

fn source(server: &Server) -> CopyFrom {
    CopyFrom::Member {
        name: server.name.to_owned(),
        conn_url: format!("postgres://127.0.0.1:{}/postgres", server.port),
    }
}

/// Starts what was copied, and waits until it streams.
async fn streams(it: &Supervisor, primary: &Server) {
    let request = StartRequest {
        role: Role::Replica,
        upstream: primary.as_upstream(),
        timeout: None,
    };
    let started = it.start(request, &Cancel::new()).await;
    assert_eq!(started, StartOutcome::Running);
    until("the replica streams", async || {
        ask(it, "SELECT status FROM pg_stat_wal_receiver")
            .await
            .as_deref()
            == Some("streaming")
    })
    .await;
    let rows = ask(it, "SELECT count(*) FROM public.t").await;
    assert_eq!(rows.as_deref(), Some("1"));
}

/// A repository of pgBackRest for one server.
struct Repository {
    config: PathBuf,
}

impl Repository {
    fn new(server: &Server) -> Self {
        let root = server.root();
        let config = root.join("pgbackrest.conf");
        let place = root.display();
        let text = format!(
            "[global]\nrepo1-path={place}/repo\nlog-path={place}\nlock-path={place}/lock\n\
             spool-path={place}/spool\nlog-level-console=warn\nlog-level-file=off\n\
             start-fast=y\ncompress-level=1\n\
             [main]\npg1-path={}\npg1-socket-path={place}\npg1-port={}\npg1-user=postgres\n",
            server.data_dir().display(),
            server.port
        );
        fs::write(&config, text).unwrap();
        Self { config }
    }

    fn call(&self, rest: &str) -> String {
        let config = self.config.display();
        format!("pgbackrest --config={config} --stanza=main {rest}")
    }

    fn run(&self, rest: &str) {
        let line = self.call(rest);
        let words: Vec<&str> = line.split(' ').collect();
        succeed(words[0], &words[1..]);
    }

    /// Makes the place of the server's backups. When this pgBackRest is older than the server, that
    /// is not possible: one line says which test is skipped.
    fn is_created(&self, test: &str) -> bool {
        let line = self.call("stanza-create");
        let words: Vec<&str> = line.split(' ').collect();
        match run(words[0], &words[1..]) {
            Ok(()) => true,
            Err(said) if said.contains("VersionNotSupportedError") => {
                skipped(test, "this pgbackrest does not know this PostgreSQL");
                false
            }
            Err(said) => panic!("{line}: {said}"),
        }
    }

    fn restore(&self, data_dir: &Path, more: &str) -> String {
        let path = data_dir.display();
        self.call(&format!("--pg1-path={path} --type=standby {more} restore"))
    }
}

#[test]
fn pgbackrest_makes_a_replica_and_mends_it() {
    let test = "backup_tools::pgbackrest_makes_a_replica_and_mends_it";
    if !is_there("pgbackrest", test) {
        return;
    }
    as_postgres(test, async {
        let (a, b) = (Server::init("a"), Server::empty("b"));
        let repository = Repository::new(&a);
        let _primary = Box::pin(primary(&a, &repository.call("archive-push %p"))).await;
        if !repository.is_created(test) {
            return;
        }
        repository.run("--type=full backup");
        let delta = repository.restore(&b.data_dir(), "--delta");
        let wrong = delta.replace("--stanza=main", "--stanza=other");
        let methods = json!({
            "pgbackrest": {"command": delta, "keep_data": true, "no_params": true},
            "wrong": {"command": wrong, "keep_data": true, "no_params": true},
        });
        let it = Supervisor::adopt(settings(&b, &methods), Clock::start())
            .await
            .unwrap();
        let copy = async |methods: &[&str]| {
            let methods: Vec<String> = methods.iter().map(|&name| name.to_owned()).collect();
            it.copy(&source(&a), &methods, &Cancel::new()).await
        };
        // What fails is followed by the next method.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(b.data_dir())
            .unwrap();
        assert!(copy(&["wrong", "pgbackrest"]).await);
        streams(&it, &a).await;

        it.stop(fast_stop()).await;
        let damaged = b.data_dir().join("global/pg_filenode.map");
        fs::remove_file(&damaged).unwrap();
        assert!(!copy(&["wrong"]).await);
        assert!(b.data_dir().join("PG_VERSION").exists(), "data are kept");
        assert!(copy(&["pgbackrest"]).await);
        assert!(damaged.exists());
        streams(&it, &a).await;
    });
}

/// The configuration of a Barman with one server.
fn barman(server: &Server) -> PathBuf {
    let root = server.root().display();
    let config = server.root().join("barman.conf");
    let login = format!(
        "host={root} port={} user=postgres dbname=postgres",
        server.port
    );
    let bin = postgresql::program("");
    let bin = bin.display();
    let text = format!(
        "[barman]\nbarman_user = postgres\nbarman_home = {root}/barman\n\
         barman_lock_directory = {root}/barman\nlog_file = {root}/barman.log\n\
         path_prefix = {bin}\n\
         [main]\ndescription = main\nconninfo = {login}\nstreaming_conninfo = {login}\n\
         backup_method = postgres\narchiver = on\nimmediate_checkpoint = true\n"
    );
    fs::write(&config, text).unwrap();
    config
}

#[test]
fn barman_makes_a_replica() {
    let test = "backup_tools::barman_makes_a_replica";
    if !is_there("barman", test) {
        return;
    }
    as_postgres(test, async {
        let (a, b) = (Server::init("a"), Server::empty("b"));
        let config = barman(&a);
        let config = config.to_str().unwrap();
        let incoming = a.root().join("barman/main/incoming");
        fs::create_dir_all(&incoming).unwrap();
        let archive = format!("cp %p {}/%f", incoming.display());
        let _primary = Box::pin(primary(&a, &archive)).await;
        let switch_wal = ["-c", config, "switch-wal", "--force", "--archive", "main"];
        // The first WAL file, without which no backup begins.
        succeed("barman", &switch_wal);
        succeed("barman", &["-c", config, "backup", "main"]);
        // Its last one. To wait for it is not enough: from PostgreSQL 17 on that is the one which
        // the server writes to next.
        succeed("barman", &switch_wal);
        let data = b.data_dir();
        let methods = json!({"barman": {
            "command": format!("barman -c {config} recover main latest {}", data.display()),
            "no_params": true,
        }});
        let it = Supervisor::adopt(settings(&b, &methods), Clock::start())
            .await
            .unwrap();
        let methods = ["barman".to_owned()];
        assert!(it.copy(&source(&a), &methods, &Cancel::new()).await);
        streams(&it, &a).await;
    });
}
