//! A server of its own for each test, gone when the test ends.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::Credentials;
use patroni_core::{Scope, Secret};
use patroni_postgres::bootstrap::{DataDirectory, run_initdb};
use patroni_postgres::replication::Target;
use patroni_postgres::{Binaries, Cancel};
use patroni_tests::postgresql;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Declares a test that needs not to be root.
macro_rules! server_test {
    ($(#[$meta:meta])* async fn $name:ident() $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            crate::support::unprivileged(path, async $body);
        }
    };
}
pub(crate) use server_test;

/// Runs a test, as `postgres` when we are root.
pub(crate) fn unprivileged(path: &str, test: impl Future<Output = ()>) {
    if nix::unistd::geteuid().is_root() {
        let (_, name) = path.split_once("::").unwrap();
        let status = process::Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .current_dir("/")
            .env("HOME", "/tmp")
            .status()
            .unwrap();
        assert!(status.success(), "{name} failed as postgres");
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// Waits for a state.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let limit = Instant::now() + Duration::from_mins(1);
    while !check().await {
        assert!(Instant::now() < limit, "not within 60 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A password that breaks careless quoting.
const PASSWORD: &str = r#"p'a"s\s$$w%örd ; DROP"#;

/// One server, running or not.
pub(crate) struct Server {
    pub(crate) settings: Postgresql,
    pub(crate) binaries: Binaries,
    home: tempfile::TempDir,
}

impl Server {
    /// A place for a server, with nothing in it.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = patroni_tests::ports::free();
        let data_dir = home.path().join("data");
        let mut settings = Postgresql {
            scope: Some(Scope::new("test")),
            config_dir: data_dir.clone(),
            data_dir,
            config_base_name: "postgresql".to_owned(),
            bin_dir: postgresql::bin_dir(),
            database: "postgres".to_owned(),
            superuser: user("postgres", PASSWORD),
            replication: user(r#"re"pl'i\kå"#, PASSWORD),
            rewind: Some(user("rw", "rw-pass")),
            bootstrap: json!({"initdb": [
                {"encoding": "UTF8"}, {"locale": "C"}, "data-checksums",
                {"auth-host": "scram-sha-256"}, {"auth-local": "trust"},
            ]})
            .as_object()
            .cloned(),
            ..Postgresql::default()
        };
        settings.listen.port = port;
        Self {
            binaries: Binaries::new(&settings),
            settings,
            home,
        }
    }

    /// A running server after initdb, with lines for its configuration.
    pub(crate) async fn running(conf: &str) -> Self {
        let server = Self::new();
        run_initdb(&server.settings, &server.binaries, &Cancel::new())
            .await
            .unwrap();
        server.configure(conf);
        server.start();
        server
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.settings.data_dir
    }

    pub(crate) fn port(&self) -> u16 {
        self.settings.listen.port
    }

    /// Adds lines to the configuration; later ones win.
    pub(crate) fn configure(&self, conf: &str) {
        let path = self.data_dir().join("postgresql.conf");
        let mut text = fs::read_to_string(&path).unwrap();
        write!(
            text,
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n{conf}\n",
            self.port(),
            self.home().display(),
        )
        .unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn start(&self) {
        let log = self.log_path();
        self.pg_ctl(&["-w", "-t", "60", "-l", log.to_str().unwrap(), "start"]);
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.home().join("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    pub(crate) fn stop(&self, mode: &str) {
        self.pg_ctl(&["-w", "-m", mode, "stop"]);
    }

    pub(crate) fn pg_ctl(&self, args: &[&str]) {
        let output = process::Command::new(postgresql::program("pg_ctl"))
            .arg("-D")
            .arg(self.data_dir())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        assert!(output.success(), "pg_ctl {args:?}: {log}");
    }

    /// One item of the control file.
    pub(crate) fn control(&self, item: &str) -> String {
        let output = process::Command::new(postgresql::program("pg_controldata"))
            .arg(self.data_dir())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with(item)).unwrap();
        line.rsplit_once(": ").unwrap().1.trim().to_owned()
    }

    /// Parameters of a TCP connection with a password.
    pub(crate) fn target(&self, user: &Credentials) -> Target {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port())
            .dbname("postgres")
            .user(user.username.as_ref().unwrap())
            .password(user.password.as_ref().unwrap().expose());
        Target { config, tls: None }
    }

    /// The same as libpq text without password.
    pub(crate) fn conninfo(&self, user: &Credentials) -> String {
        let name = user.username.as_ref().unwrap();
        let name = name.replace('\\', r"\\").replace('\'', r"\'");
        format!(
            "dbname=postgres user={name} host=127.0.0.1 port={}",
            self.port()
        )
    }

    /// The password file for a user of another server, kept here.
    pub(crate) fn pgpass_for(&self, other: &Server, user: &Credentials) -> PathBuf {
        let path = self.home().join("pgpass");
        let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
        let line = format!(
            "127.0.0.1:{}:*:{}:{}\n",
            other.port(),
            escape(user.username.as_ref().unwrap()),
            escape(user.password.as_ref().unwrap().expose())
        );
        fs::write(&path, line).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) async fn connect(&self) -> Session {
        Session::open(&self.target(&self.settings.superuser))
            .await
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_or_never_started = process::Command::new(postgresql::program("pg_ctl"))
            .arg("-D")
            .arg(self.data_dir())
            .args(["-w", "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

pub(crate) fn user(name: &str, password: &str) -> Credentials {
    Credentials {
        username: Some(name.to_owned()),
        password: Some(Secret::new(password)),
        ..Credentials::default()
    }
}

/// A client with the task that drives it.
pub(crate) struct Session {
    client: Client,
    _task: JoinSet<()>,
}

impl Session {
    pub(crate) async fn open(target: &Target) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = target.config.connect(NoTls).await?;
        let mut task = JoinSet::new();
        task.spawn(async {
            let _ends_with_the_server = connection.await;
        });
        Ok(Self {
            client,
            _task: task,
        })
    }

    pub(crate) async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await.unwrap();
        row.get(0)
    }
}

impl std::ops::Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A data directory without anything outside of it.
pub(crate) struct Plain(pub(crate) PathBuf);

impl Plain {
    pub(crate) fn of(server: &Server) -> Arc<Self> {
        Arc::new(Self(server.data_dir().to_owned()))
    }
}

impl DataDirectory for Plain {
    fn is_empty(&self) -> bool {
        !self.0.join("global/pg_control").exists()
    }

    fn remove(&self) -> std::io::Result<()> {
        fs::remove_dir_all(&self.0)
    }
}
