//! ZooKeeper whose servers are found through Exhibitor.
//!
//! Exhibitor runs beside each ZooKeeper server and tells over HTTP which servers the ensemble has.
//! Everything else is [`zookeeper`](crate::zookeeper). Source: store contract, section 12.
//!
//! - `answer`: what an Exhibitor says; `directory`: asking one after the other.

mod answer;
mod directory;

use std::time::Duration;

use patroni_config::file::dcs::zookeeper::Access;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::error::StoreError;
use crate::store::{Identity, Timings};
use crate::zookeeper::{Ensemble, ZooKeeper};
use directory::Directory;

/// Where the Exhibitors are, and how to enter the ensemble that they name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Hosts of Exhibitors; more are learnt from their answers.
    pub hosts: Vec<String>,
    /// The port of all of them.
    pub port: u16,
    /// How often they are asked again.
    pub poll_interval: Duration,
    /// TLS, credentials, and the rights on created nodes of ZooKeeper itself.
    pub access: Access,
}

impl Options {
    /// These Exhibitors, asked every five minutes, and an ensemble in plain text.
    pub fn new<H: Into<String>>(hosts: impl IntoIterator<Item = H>, port: u16) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            port,
            poll_interval: Duration::from_mins(5),
            access: Access::default(),
        }
    }
}

/// Asks the Exhibitors, and connects once to the ensemble that they name, each within
/// `retry_timeout`. A member goes on asking as long as the store lives.
///
/// # Errors
/// No Exhibitor answers, or those of [`ZooKeeper::connect`].
pub async fn connect(
    options: Options,
    identity: Identity,
    timings: Timings,
) -> Result<ZooKeeper, StoreError> {
    const OPERATION: &str = "ask the Exhibitors";
    let poll_interval = options.poll_interval;
    let access = options.access.clone();
    let mut directory =
        Directory::new(options).map_err(|error| StoreError::unreachable(OPERATION, error))?;
    let deadline = Instant::now() + timings.retry_timeout;
    let asked = timeout_at(deadline, directory.ask()).await;
    let Ok(Some(servers)) = asked else {
        let why = format!("no answer from {}", directory.known().join(", "));
        return Err(StoreError::unreachable(OPERATION, why));
    };
    let hosts = watch::Sender::new(servers);
    let ensemble = Ensemble {
        kind: "exhibitor",
        hosts: hosts.subscribe(),
        task: Box::pin(directory.keep(hosts, poll_interval)),
    };
    ZooKeeper::enter(ensemble, "", access, identity, timings).await
}
