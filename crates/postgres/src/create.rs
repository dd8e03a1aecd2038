//! New data directories of this server: initdb and its like, copies, and the first statements.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::server::DataDir;
use patroni_core::{Causes, State};
use tracing::{debug, error};

use crate::binaries::Binaries;
use crate::bootstrap::clone::{CloneRequest, CloneSource, DataDirectory};
use crate::bootstrap::custom::run_custom;
use crate::bootstrap::milestones::Milestones;
use crate::bootstrap::post_init::{ScriptConnection, configured_script, post_init};
use crate::bootstrap::{NewCluster, citus, clone, hba, initdb};
use crate::cancel::Cancel;
use crate::connection::{Address, Endpoint, Session};
use crate::data_dir;
use crate::elsewhere::Elsewhere;
use crate::obstacle;
use crate::supervisor::Supervisor;

/// Where a copy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFrom {
    /// A member by its published address.
    Member {
        /// Its name.
        name: String,
        /// Its address.
        conn_url: String,
    },
    /// The remote of a standby cluster.
    Remote {
        /// Host or comma list of hosts.
        host: String,
        /// Port or comma list of ports.
        port: String,
    },
    /// Nobody: methods that need no source.
    Nobody,
}

/// How long a connection to the server that has just started may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Makes a new database cluster by initdb or the configured method. What failed is logged.
    ///
    /// Must not be dropped half way; raise `cancel` instead.
    pub async fn create_cluster(&self, cancel: &Cancel) -> bool {
        let settings = self.settings();
        let binaries = Binaries::new(&settings);
        self.forget_data();
        {
            let mut conf = self.conf();
            (conf.custom, conf.recovery) = (None, None);
        }
        let (working, failed) = match NewCluster::of(&settings) {
            NewCluster::Initdb => (State::InitializingNewCluster, State::InitdbFailed),
            NewCluster::Custom(_) => (State::RunningCustomBootstrap, State::CustomBootstrapFailed),
        };
        self.set_state(working);
        let made = match NewCluster::of(&settings) {
            NewCluster::Initdb => match initdb::run_initdb(&settings, &binaries, cancel).await {
                Ok(()) => hba::write_initial_hba(&settings)
                    .map(|_| ())
                    .map_err(|e| e.to_string()),
                Err(reason) => Err(Causes(&reason).to_string()),
            },
            NewCluster::Custom(method) => match run_custom(&settings, &method, cancel).await {
                Ok(wishes) => self.take_over_custom(wishes).await,
                Err(reason) => Err(Causes(&reason).to_string()),
            },
        };
        match made {
            Ok(()) => {
                self.set_state(State::Stopped);
                true
            }
            Err(reason) => {
                error!("failed to create the cluster: {reason}");
                self.set_state(failed);
                false
            }
        }
    }

    /// Creates the roles, runs `post_bootstrap`, prepares the group of a Citus cluster that
    /// `initdb` made, and ends what a custom method had begun. What failed is logged.
    ///
    /// Must not be dropped half way; raise `cancel` instead.
    pub async fn post_init(&self, cancel: &Cancel) -> bool {
        match self.try_post_init(cancel).await {
            Ok(()) => true,
            Err(reason) => {
                error!("post_bootstrap: {reason}");
                false
            }
        }
    }

    async fn try_post_init(&self, cancel: &Cancel) -> Result<(), String> {
        let settings = self.settings();
        let endpoint = Endpoint::local(&settings, "Patroni");
        let session = Session::connect(&endpoint, CONNECT)
            .await
            .map_err(|reason| reason.to_string())?;
        let (host, port) = match &endpoint.address {
            Address::Tcp(hosts) => hosts.first().cloned().unwrap_or_default(),
            Address::Socket(dir, port) => (dir.clone(), *port),
        };
        let local = Elsewhere {
            settings: &settings,
            hosts: host,
            ports: port.to_string(),
            database: String::new(),
            user: &settings.superuser,
            version: self.full_version().await.unwrap_or_default(),
            read_write: false,
        };
        let script = ScriptConnection {
            conninfo: local.conninfo(),
            // Only the script needs the password in a file.
            pgpass: match configured_script(&settings) {
                Some(_) => local.write_pgpass().map_err(|reason| reason.to_string())?,
                None => None,
            },
        };
        post_init(session.client(), &settings, &script, cancel)
            .await
            .map_err(|reason| Causes(&reason).to_string())?;
        drop(session);
        if let Some(group) = &settings.citus
            && NewCluster::of(&settings) == NewCluster::Initdb
        {
            let prepared = citus::prepare_group(&settings, group).await;
            prepared.map_err(|reason| Causes(&reason).to_string())?;
        }
        self.settle_custom(cancel).await
    }

    /// Makes a copy by the configured methods (an empty list: by `pg_basebackup` alone). The
    /// directory is empty before and after a failure, unless a method keeps data.
    ///
    /// Must not be dropped half way; raise `cancel` instead.
    pub async fn copy(&self, from: &CopyFrom, methods: &[String], cancel: &Cancel) -> bool {
        let settings = self.settings();
        self.forget_data();
        self.set_state(State::CreatingReplica);
        let version = self.program_version().await.unwrap_or_default();
        let source = match source_of(&settings, from, version).await {
            Ok(source) => source,
            Err(reason) => {
                error!("cannot prepare the copy: {reason}");
                self.set_state(State::Stopped);
                return false;
            }
        };
        let binaries = Binaries::new(&settings);
        let request = CloneRequest {
            settings: &settings,
            binaries: &binaries,
            version,
            source: source.as_ref(),
            methods,
            directory: Arc::new(Directory {
                path: settings.data_dir.clone(),
            }),
        };
        let mut milestones = Milestones::default();
        let copied = clone::clone_replica(&request, cancel, |progress| {
            milestones.tell(&progress);
            self.set_copy_progress(Some(progress));
        });
        let copied = copied.await;
        self.set_copy_progress(None);
        self.forget_data();
        self.set_state(State::Stopped);
        match copied {
            Ok(_) => {
                self.restore_configuration_files().await;
                self.remove_trigger_file();
                true
            }
            Err(reason) => {
                error!("{}", Causes(&reason).to_string());
                let size = source.as_ref().and_then(|source| source.size);
                if let Some(obstacle) = obstacle::of_a_copy(&settings.data_dir, size)
                    && !cancel.is_cancelled()
                {
                    error!("the copy cannot be made: {obstacle}");
                }
                false
            }
        }
    }
}

/// What a tool must be told of the source; `None` when there is none.
async fn source_of(
    settings: &patroni_config::file::Postgresql,
    from: &CopyFrom,
    version: u32,
) -> io::Result<Option<CloneSource>> {
    let (name, elsewhere) = match from {
        CopyFrom::Nobody => return Ok(None),
        CopyFrom::Member { name, conn_url } => {
            let bad =
                || io::Error::other(format!("the address of {name} cannot be read: {conn_url}"));
            (
                name.clone(),
                Elsewhere::member(settings, conn_url, version).ok_or_else(bad)?,
            )
        }
        CopyFrom::Remote { host, port } => {
            // Without a host only an archive is there to copy from.
            if host.is_empty() {
                return Ok(None);
            }
            let remote = Elsewhere::remote(settings, host, port, version);
            ("remote".to_owned(), remote)
        }
    };
    let pgpass = elsewhere.write_pgpass()?;
    Ok(Some(CloneSource {
        name,
        conninfo: elsewhere.conninfo(),
        pgpass,
        size: size_of(elsewhere).await,
    }))
}

/// How much a copy will have to fetch. Only somebody who may log in is told: without an answer a
/// copy shows what it has and not how far it is.
async fn size_of(source: Elsewhere<'_>) -> Option<u64> {
    let endpoint = source.for_slots().endpoint();
    let asked = async {
        let session = Session::connect(&endpoint, CONNECT).await?;
        session.query(SIZE, CONNECT).await
    };
    match asked.await {
        Ok(rows) => rows.first()?.parse(0),
        Err(reason) => {
            debug!(
                "the source does not tell its size: {}",
                Causes(&reason).to_string()
            );
            None
        }
    }
}

/// Databases that we may not see are small ones, or the estimate is off.
const SIZE: &str = "SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid))::pg_catalog.int8 \
     FROM pg_catalog.pg_database WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')";

/// The data directory as a copy treats it.
struct Directory {
    path: PathBuf,
}

impl DataDirectory for Directory {
    fn is_empty(&self) -> bool {
        data_dir::look(&self.path) == DataDir::Empty
    }

    fn remove(&self) -> io::Result<()> {
        data_dir::remove(&self.path)
    }
}
