//! A real ZooKeeper for the time of one test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use patroni_core::{Leader, MemberName};
use patroni_dcs::zookeeper::{Options, ZooKeeper};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use zookeeper_client::Client;

/// How long anything may take that does come in the end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A short ttl, so that waiting for expiry is short too, and time for calls on a busy machine.
pub(crate) const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(6),
    loop_wait: Duration::from_secs(1),
    retry_timeout: Duration::from_secs(9),
};

/// Little time for calls that nobody will answer.
pub(crate) const HASTY: Timings = Timings {
    retry_timeout: Duration::from_secs(3),
    ..TIMINGS
};

/// Where Debian puts the server, with a manifest that names what it needs.
const SERVER: &str = "/usr/share/java/zookeeper.jar";

/// What the manifest forgets, and TLS needs.
const NETTY: &str = "/usr/share/java/netty-codec.jar";

/// One ZooKeeper process, killed at the end.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _data: TempDir,
}

/// What a server gets beyond the usual.
#[derive(Clone, Default)]
pub(crate) struct Extras {
    /// Lines of its configuration.
    pub(crate) settings: Vec<String>,
    /// Arguments for Java.
    pub(crate) properties: Vec<String>,
    /// Do not listen in plain text, but with the settings on this port.
    pub(crate) secure_port: Option<u16>,
}

impl Server {
    /// An ensemble of so many servers; `None`, with a message, where ZooKeeper is not installed.
    pub(crate) async fn ensemble(size: usize) -> Option<Vec<Self>> {
        let ports: Vec<[u16; 3]> = (0..size).map(|_| [port(), port(), port()]).collect();
        let all = ports
            .iter()
            .enumerate()
            .map(|(index, [_, peer, election])| {
                format!("server.{}=127.0.0.1:{peer}:{election}", index + 1)
            });
        let all: Vec<String> = if size > 1 { all.collect() } else { Vec::new() };
        let mut servers = Vec::new();
        for (index, [client, _, _]) in ports.into_iter().enumerate() {
            let extras = Extras {
                settings: all.clone(),
                ..Extras::default()
            };
            servers.push(Self::start(index + 1, client, &extras)?);
        }
        for server in &servers {
            server.wait_until_it_serves().await;
        }
        Some(servers)
    }

    /// An ensemble of one server.
    pub(crate) async fn single() -> Option<Self> {
        Self::ensemble(1).await?.pop()
    }

    /// One server with more settings; it may not serve yet.
    pub(crate) fn with(extras: &Extras) -> Option<Self> {
        Self::start(1, port(), extras)
    }

    fn start(id: usize, port: u16, extras: &Extras) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            eprintln!("skipped: ZooKeeper is not installed ({SERVER})");
            return None;
        }
        let data = TempDir::new().unwrap();
        fs::write(data.path().join("myid"), id.to_string()).unwrap();
        let mut settings = vec![
            format!("dataDir={}", data.path().display()),
            "tickTime=200".to_owned(),
            "initLimit=50".to_owned(),
            "syncLimit=10".to_owned(),
            "maxSessionTimeout=20000".to_owned(),
            "admin.enableServer=false".to_owned(),
            "standaloneEnabled=true".to_owned(),
        ];
        if extras.secure_port.is_none() {
            settings.push(format!("clientPort={port}"));
            settings.push("clientPortAddress=127.0.0.1".to_owned());
        }
        let port = extras.secure_port.unwrap_or(port);
        settings.extend(extras.settings.iter().cloned());
        let file = data.path().join("zoo.cfg");
        fs::write(&file, settings.join("\n")).unwrap();
        let log = fs::File::create(data.path().join("log")).unwrap();
        let child = Command::new("java")
            .args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Dzookeeper.jmx.log4j.disable=true")
            .args(&extras.properties)
            .args(["-cp", &format!("{SERVER}:{NETTY}")])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&file)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("Java comes with ZooKeeper");
        Some(Self {
            child,
            address: format!("127.0.0.1:{port}"),
            _data: data,
        })
    }

    async fn wait_until_it_serves(&self) {
        eventually("ZooKeeper to serve", || async {
            self.admin().await?.check_stat("/").await.ok()
        })
        .await;
    }

    /// A client of the test's own; none while the server does not serve.
    pub(crate) async fn admin(&self) -> Option<Client> {
        let connector = Client::connector()
            .with_session_timeout(Duration::from_secs(20))
            .with_fail_eagerly();
        connector.connect(&self.address).await.ok()
    }

    /// Opens a store on this server.
    pub(crate) async fn store(&self, member: Option<&str>) -> Result<ZooKeeper, StoreError> {
        self.store_with(member, TIMINGS).await
    }

    /// The same with other timings.
    pub(crate) async fn store_with(
        &self,
        member: Option<&str>,
        timings: Timings,
    ) -> Result<ZooKeeper, StoreError> {
        ZooKeeper::connect(Options::new([&self.address]), identity(member), timings).await
    }

    /// Freezes the process: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn port() -> u16 {
    patroni_tests::ports::free()
}

pub(crate) fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        member: member.map(MemberName::new),
    }
}

/// The lock as `store` sees it, once it is `name`'s.
pub(crate) async fn lock_of(store: &dyn Store, name: &str) -> Leader {
    eventually("the lock", || async {
        let leader = store.load().await.ok()?.leader?;
        (leader.name.as_str() == name).then_some(leader)
    })
    .await
}

/// Tries until there is something, with a deadline.
pub(crate) async fn eventually<T, F, Fut>(what: &str, mut attempt: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Shows what the store logs when a test fails, at the level that `RUST_LOG` says.
pub(crate) fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer();
    drop(logs.try_init());
}
