//! The real world: stores and members as the settings say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use patroni_api::client::{Client, ClientSettings, Verification};
use patroni_api::tls::IdentityFiles;
use patroni_config::ControlSettings;
use patroni_config::file::Dcs;
use patroni_core::{Causes, Scope};
use patroni_dcs::raft::{RaftMember, RaftStore};
use patroni_dcs::{Identity, Store, StoreError, Timings, connect};
use serde_json::Value;

use crate::exit::Failure;
use crate::rest::{Answer, Method, Rest, RestError};
use crate::world::{RaftGroup, World};

/// The kinds of store that exist, for the message that none is configured.
const KINDS: [&str; 7] = [
    "consul",
    "etcd",
    "etcd3",
    "exhibitor",
    "kubernetes",
    "raft",
    "zookeeper",
];

/// Opens what is configured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside;

#[async_trait]
impl World for Outside {
    async fn store(
        &self,
        settings: &ControlSettings,
        scope: &Scope,
        group: Option<u32>,
    ) -> Result<Arc<dyn Store>, Failure> {
        let dcs = settings.dcs.as_ref().ok_or_else(none_configured)?;
        let whole = Identity::new(&settings.namespace, scope, None);
        let identity = match group {
            Some(group) => whole.in_group(group),
            None => whole,
        };
        let store = open(dcs, identity, timings(settings)).await;
        store.map_err(|source| Failure::Store {
            kind: dcs.name().to_owned(),
            endpoint: connect::endpoint(dcs),
            source,
        })
    }

    async fn groups(
        &self,
        settings: &ControlSettings,
        scope: &Scope,
    ) -> Result<BTreeSet<u32>, Failure> {
        let store = self.store(settings, scope, None).await?;
        store.groups().await.map_err(|source| Failure::Store {
            kind: store.kind().to_owned(),
            endpoint: self.endpoint(settings),
            source,
        })
    }

    async fn raft(&self, settings: &ControlSettings) -> Result<Arc<dyn RaftGroup>, Failure> {
        let dcs = settings.dcs.as_ref().ok_or_else(none_configured)?;
        // The group has no clusters; a name is needed for its keys alone.
        let identity = Identity::new(&settings.namespace, &Scope::new("raft"), None);
        let group = connect::raft_group(dcs, identity, timings(settings)).await;
        let group = group.map_err(|source| Failure::refused(Causes(&source).to_string()))?;
        Ok(Arc::new(Group(group)))
    }

    fn endpoint(&self, settings: &ControlSettings) -> String {
        settings
            .dcs
            .as_ref()
            .map(connect::endpoint)
            .unwrap_or_default()
    }

    fn rest(&self, settings: &ControlSettings) -> Result<Arc<dyn Rest>, Failure> {
        let ctl = &settings.ctl;
        let client = Client::new(&ClientSettings {
            credentials: ctl
                .auth
                .as_ref()
                .map(|auth| (auth.username.clone(), auth.password.clone())),
            identity: ctl.certfile.as_ref().map(|certfile| IdentityFiles {
                certfile: certfile.clone(),
                keyfile: ctl.keyfile.clone(),
                keyfile_password: ctl.keyfile_password.clone(),
            }),
            cacert: ctl.cacert.clone(),
            verification: match (ctl.insecure, ctl.certfile.is_some()) {
                (false, _) => Verification::Full,
                (true, true) => Verification::Chain,
                (true, false) => Verification::None,
            },
        });
        let client = client.map_err(|error| Failure::Config(Causes(&error).to_string()))?;
        Ok(Arc::new(Members { client }))
    }
}

fn timings(settings: &ControlSettings) -> Timings {
    Timings {
        ttl: settings.dynamic.ttl,
        loop_wait: settings.dynamic.loop_wait,
        retry_timeout: settings.dynamic.retry_timeout,
    }
}

/// The members of the embedded store, seen from outside.
struct Group(RaftStore);

#[async_trait]
impl RaftGroup for Group {
    async fn members(&self) -> Result<Vec<RaftMember>, StoreError> {
        self.0.members().await
    }

    async fn remove(&self, address: &str) -> Result<(), StoreError> {
        self.0.remove_member(address).await
    }
}

/// Connects, again and again while nobody answers, for as long as one operation may take: a
/// store that is being restarted is no reason to give up. A refusal ends it at once.
async fn open(
    dcs: &Dcs,
    identity: Identity,
    timings: Timings,
) -> Result<Arc<dyn Store>, StoreError> {
    const PAUSE: Duration = Duration::from_secs(1);
    let end = tokio::time::Instant::now() + timings.retry_timeout;
    loop {
        let tried = Box::pin(connect::connect(dcs, identity.clone(), timings)).await;
        let again = tried.as_ref().is_err_and(|error| !error.is_final());
        if !again || tokio::time::Instant::now() + PAUSE >= end {
            return tried;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn none_configured() -> Failure {
    Failure::NoStore(KINDS.map(str::to_owned).to_vec())
}

/// Members over their REST interface.
struct Members {
    client: Client,
}

/// How often a connection is tried again.
const REPEATS: usize = 3;

#[async_trait]
impl Rest for Members {
    async fn request(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, RestError> {
        let verb = match method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Patch => hyper::Method::PATCH,
            Method::Delete => hyper::Method::DELETE,
        };
        let deadline = tokio::time::Instant::now() + limit;
        let mut tries = 0;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.client.request(verb.clone(), url, body, left).await {
                Ok(response) => {
                    let date = response.headers.get(hyper::header::DATE);
                    return Ok(Answer {
                        status: response.status.as_u16(),
                        body: response.text(),
                        date: date.and_then(|date| Some(date.to_str().ok()?.to_owned())),
                    });
                }
                Err(error) if tries < REPEATS && may_repeat(method, &error.kind) => tries += 1,
                Err(error) => return Err(RestError(Causes(&error).to_string())),
            }
        }
    }
}

/// What was never sent may be sent again; what was sent only when it changes nothing twice.
fn may_repeat(method: Method, failure: &patroni_api::error::ClientErrorKind) -> bool {
    use patroni_api::error::ClientErrorKind;
    match failure {
        ClientErrorKind::Connect(_) => true,
        ClientErrorKind::Http(_) => matches!(method, Method::Get | Method::Delete),
        _ => false,
    }
}
