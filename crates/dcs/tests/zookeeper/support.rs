//! A real ZooKeeper for the time of one test.

use std::time::Duration;

use nix::sys::signal::Signal;
use patroni_core::{Leader, MemberName};
use patroni_dcs::zookeeper::{Options, ZooKeeper};
use patroni_dcs::{Identity, Store, StoreError, Timings};
pub(crate) use patroni_tests::zookeeper::Extras;
use patroni_tests::zookeeper::ZooKeeper as Process;
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

/// One ZooKeeper process, killed at the end.
pub(crate) struct Server {
    zookeeper: Process,
    pub(crate) address: String,
    data: TempDir,
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
        if !Process::is_installed() {
            eprintln!("skipped: ZooKeeper is not installed");
            return None;
        }
        let data = TempDir::new().unwrap();
        let mut extras = extras.clone();
        extras
            .settings
            .insert(0, "maxSessionTimeout=20000".to_owned());
        let server = Process::launch(data.path(), id, port, &extras).unwrap();
        Some(Self {
            address: format!("127.0.0.1:{}", server.port),
            zookeeper: server,
            data,
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
        self.zookeeper.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.zookeeper.process.signal(Signal::SIGCONT);
    }

    /// Ends it at once, removes everything it has stored, and starts it again.
    pub(crate) async fn wipe(&mut self) {
        self.zookeeper.process.kill();
        std::fs::remove_dir_all(self.data.path().join("version-2")).unwrap();
        self.zookeeper.process.restart().unwrap();
        self.wait_until_it_serves().await;
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.zookeeper.process.signal(Signal::SIGKILL);
    }
}

pub(crate) fn port() -> u16 {
    patroni_tests::ports::free()
}

pub(crate) fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
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
