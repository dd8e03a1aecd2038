//! From a configured section to a connected store.

use std::sync::Arc;

use patroni_config::file::Dcs;
#[cfg(any(feature = "etcd", feature = "etcd3", feature = "raft"))]
use patroni_config::file::HostPort;
#[cfg(feature = "exhibitor")]
use patroni_config::file::dcs::Exhibitor;
#[cfg(feature = "zookeeper")]
use patroni_config::file::dcs::ZooKeeper;
#[cfg(any(feature = "etcd", feature = "etcd3"))]
use patroni_config::file::dcs::etcd::{Etcd, Protocol, Servers};
#[cfg(feature = "kubernetes")]
use patroni_config::file::dcs::kubernetes::{EndpointPort, Kubernetes};
#[cfg(feature = "raft")]
use patroni_config::file::dcs::raft::Raft;

use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Identity, Store, Timings};

/// Connects once to the store that the configuration names. Without a member in the identity it
/// is the connection of a control tool: it reads the newest state and holds no lease.
///
/// # Errors
/// [`StoreError::is_final`] ones cannot be mended by trying again: wrong credentials, settings
/// that do not fit, a store that this build does not contain (see [`NotBuiltIn`]).
/// All others can.
#[cfg_attr(
    not(any(
        feature = "consul",
        feature = "etcd",
        feature = "etcd3",
        feature = "kubernetes",
        feature = "raft",
        feature = "zookeeper"
    )),
    expect(
        unused_variables,
        clippy::unused_async,
        reason = "a build without any store knows only how to say so"
    )
)]
pub async fn connect(
    dcs: &Dcs,
    identity: Identity,
    timings: Timings,
) -> Result<Arc<dyn Store>, StoreError> {
    match dcs {
        #[cfg(feature = "consul")]
        Dcs::Consul(section) => {
            let options = consul_options(section)?;
            Ok(Arc::new(
                crate::consul::Consul::connect(options, identity, timings).await?,
            ))
        }
        #[cfg(feature = "etcd")]
        Dcs::Etcd(section) => {
            warn_of_unused_srv(section);
            let options = etcd_options(section)?;
            let connected = crate::etcd::Etcd::connect(options, identity, timings);
            Ok(Arc::new(Box::pin(connected).await?))
        }
        #[cfg(feature = "etcd3")]
        Dcs::Etcd3(section) => {
            warn_of_unused_srv(section);
            let options = etcd_options(section)?;
            Ok(Arc::new(
                crate::etcd3::Etcd3::connect(options, identity, timings).await?,
            ))
        }
        #[cfg(feature = "kubernetes")]
        Dcs::Kubernetes(section) => {
            let options = kubernetes_options(section);
            Ok(Arc::new(
                crate::kubernetes::Kubernetes::connect(options, identity, timings).await?,
            ))
        }
        #[cfg(feature = "raft")]
        Dcs::Raft(section) => {
            let options = raft_options(section);
            let store = if identity.member.is_some() {
                crate::raft::RaftStore::start(options, identity, timings).await?
            } else {
                crate::raft::RaftClient::connect(options, identity, timings).await?
            };
            Ok(Arc::new(store))
        }
        #[cfg(feature = "exhibitor")]
        Dcs::Exhibitor(section) => {
            let options = exhibitor_options(section);
            let connected = crate::exhibitor::connect(options, identity, timings);
            Ok(Arc::new(Box::pin(connected).await?))
        }
        #[cfg(feature = "zookeeper")]
        Dcs::ZooKeeper(section) => {
            let options = zookeeper_options(section);
            let connected = crate::zookeeper::ZooKeeper::connect(options, identity, timings);
            Ok(Arc::new(Box::pin(connected).await?))
        }
        #[cfg(not(all(
            feature = "consul",
            feature = "etcd",
            feature = "etcd3",
            feature = "exhibitor",
            feature = "kubernetes",
            feature = "raft",
            feature = "zookeeper"
        )))]
        other => Err(NotBuiltIn { kind: other.name() }.into()),
    }
}

/// The group behind the embedded store, as an observer sees it. Nothing is sent yet.
///
/// # Errors
/// The store is another one, or its settings are incomplete.
#[cfg(feature = "raft")]
pub async fn raft_group(
    dcs: &Dcs,
    identity: Identity,
    timings: Timings,
) -> Result<crate::raft::RaftStore, StoreError> {
    let Dcs::Raft(section) = dcs else {
        let why = format!("the store is {}, which has no raft members", dcs.name());
        return Err(StoreError::new(
            "connect to the raft members",
            StoreErrorKind::Denied(why),
        ));
    };
    crate::raft::RaftClient::connect(raft_options(section), identity, timings).await
}

/// Where the store of these settings is, for messages.
pub fn endpoint(dcs: &Dcs) -> String {
    match dcs {
        #[cfg(feature = "consul")]
        Dcs::Consul(section) => consul_options(section)
            .map(|options| options.url)
            .unwrap_or_default(),
        #[cfg(feature = "etcd")]
        Dcs::Etcd(section) => etcd_endpoint(section),
        #[cfg(feature = "etcd3")]
        Dcs::Etcd3(section) => etcd_endpoint(section),
        #[cfg(feature = "kubernetes")]
        Dcs::Kubernetes(section) => format!("Kubernetes namespace {}", section.namespace),
        #[cfg(feature = "raft")]
        Dcs::Raft(section) => {
            let options = raft_options(section);
            let all: Vec<String> = options
                .self_addr
                .into_iter()
                .chain(options.partner_addrs)
                .collect();
            all.join(", ")
        }
        #[cfg(feature = "exhibitor")]
        Dcs::Exhibitor(section) => {
            let options = exhibitor_options(section);
            let all = options.hosts.iter();
            let all = all.map(|host| format!("{host}:{}", options.port));
            all.collect::<Vec<_>>().join(", ")
        }
        #[cfg(feature = "zookeeper")]
        Dcs::ZooKeeper(section) => zookeeper_options(section).hosts.join(", "),
        #[cfg(not(all(
            feature = "consul",
            feature = "etcd",
            feature = "etcd3",
            feature = "exhibitor",
            feature = "kubernetes",
            feature = "raft",
            feature = "zookeeper"
        )))]
        other => other.name().to_owned(),
    }
}

/// The kinds of stores that this build contains.
pub const BUILT_IN: &[&str] = &[
    #[cfg(feature = "consul")]
    "consul",
    #[cfg(feature = "etcd")]
    "etcd",
    #[cfg(feature = "etcd3")]
    "etcd3",
    #[cfg(feature = "exhibitor")]
    "exhibitor",
    #[cfg(feature = "kubernetes")]
    "kubernetes",
    #[cfg(feature = "raft")]
    "raft",
    #[cfg(feature = "zookeeper")]
    "zookeeper",
];

/// The configuration names a store that this build does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this build has no store of the kind {kind}, it has: {}", BUILT_IN.join(", "))]
pub struct NotBuiltIn {
    /// The name of the section.
    pub kind: &'static str,
}

impl From<NotBuiltIn> for StoreError {
    fn from(missing: NotBuiltIn) -> Self {
        Self {
            operation: "connect to the store",
            kind: StoreErrorKind::Denied(missing.to_string()),
            source: None,
        }
    }
}

#[cfg(feature = "consul")]
fn consul_options(
    section: &patroni_config::file::dcs::Consul,
) -> Result<crate::consul::Options, StoreError> {
    crate::consul::Options::from_environment(section).map_err(|error| {
        let why = StoreErrorKind::Denied(error.to_string());
        StoreError::new("connect to the store", why)
    })
}

/// What a section `etcd` or `etcd3` means.
#[cfg(any(feature = "etcd", feature = "etcd3"))]
pub(crate) fn etcd_options(section: &Etcd) -> Result<crate::topology::Options, StoreError> {
    let texts = |servers: &[HostPort]| servers.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (hosts, is_proxy) = match &section.servers {
        Some(Servers::Proxy(one)) => (texts(std::slice::from_ref(one)), true),
        Some(Servers::Url(one) | Servers::Host(one)) => (texts(std::slice::from_ref(one)), false),
        Some(Servers::Hosts(all)) => (texts(all), false),
        None if section.srv.is_some() => (Vec::new(), false),
        None => {
            let why = "no servers are named: set host, hosts, url, proxy or srv";
            return Err(StoreError::new(
                "connect to the store",
                StoreErrorKind::Denied(why.to_owned()),
            ));
        }
    };
    let mut options = crate::topology::Options::new(hosts);
    options.is_list = matches!(section.servers, Some(Servers::Hosts(_)));
    if let Some(domain) = used_srv(section) {
        let mut srv = crate::topology::Srv::new(domain);
        srv.suffix.clone_from(&section.srv_suffix);
        options.srv = Some(srv);
    }
    options.protocol = match section.protocol {
        Protocol::Http => crate::topology::Protocol::Http,
        Protocol::Https => crate::topology::Protocol::Https,
    };
    options.username.clone_from(&section.username);
    options.password.clone_from(&section.password);
    options.cacert.clone_from(&section.cacert);
    options.cert.clone_from(&section.cert);
    options.key.clone_from(&section.key);
    options.use_proxies = section.use_proxies || is_proxy;
    options.version_prefix.clone_from(&section.version_prefix);
    Ok(options)
}

/// The domain of SRV records, which are asked before `hosts` and `host`.
#[cfg(any(feature = "etcd", feature = "etcd3"))]
fn used_srv(section: &Etcd) -> Option<&str> {
    match section.servers {
        None | Some(Servers::Hosts(_) | Servers::Host(_)) => section.srv.as_deref(),
        Some(Servers::Proxy(_) | Servers::Url(_)) => None,
    }
}

#[cfg(any(feature = "etcd", feature = "etcd3"))]
fn warn_of_unused_srv(section: &Etcd) {
    if section.srv.is_some() && used_srv(section).is_none() {
        tracing::warn!("srv is not used: url and proxy come before it");
    }
}

/// Where the nodes of etcd are, for messages.
#[cfg(any(feature = "etcd", feature = "etcd3"))]
fn etcd_endpoint(section: &Etcd) -> String {
    let Ok(options) = etcd_options(section) else {
        return String::new();
    };
    let srv = options.srv.as_ref();
    let srv = srv.map(|srv| format!("SRV records of {}", srv.domain));
    let all: Vec<String> = srv.into_iter().chain(options.urls()).collect();
    all.join(", ")
}

/// What a `kubernetes` section means.
#[cfg(feature = "kubernetes")]
fn kubernetes_options(section: &Kubernetes) -> crate::kubernetes::Options {
    use crate::kubernetes::{Environment, Labels, Mode, Options, Port};

    let port = |port: &EndpointPort| Port {
        name: port.name.clone(),
        port: port.port,
        protocol: port.protocol.clone(),
    };
    let mut options = Options::new(section.labels.clone(), Environment::of_process());
    options.namespace.clone_from(&section.namespace);
    options.labels = Labels {
        all: section.labels.clone(),
        scope: section.scope_label.clone(),
        role: section.role_label.clone(),
        leader: section.leader_label_value.clone(),
        follower: section.follower_label_value.clone(),
        standby_leader: section.standby_leader_label_value.clone(),
        tmp_role: section.tmp_role_label.clone(),
        bootstrap: section.bootstrap_labels.clone(),
    };
    if section.use_endpoints {
        options.mode = Mode::Endpoints;
    }
    options.pod_ip.clone_from(&section.pod_ip);
    options.ports = section.ports.iter().map(port).collect();
    options.cacert.clone_from(&section.cacert);
    options.context.clone_from(&section.context);
    options.bypass_api_service = section.bypass_api_service;
    options
        .retriable_http_codes
        .clone_from(&section.retriable_http_codes);
    options
}

/// What a `raft` section means.
#[cfg(feature = "raft")]
pub fn raft_options(section: &Raft) -> crate::raft::Options {
    let text = |address: &HostPort| address.to_string();
    crate::raft::Options {
        self_addr: section.self_addr.as_ref().map(text),
        bind_addr: section.bind_addr.as_ref().map(text),
        partner_addrs: section.partner_addrs.iter().map(text).collect(),
        data_dir: section.data_dir.clone(),
        password: section.password.clone(),
    }
}

#[cfg(feature = "exhibitor")]
fn exhibitor_options(section: &Exhibitor) -> crate::exhibitor::Options {
    let mut options = crate::exhibitor::Options::new(section.hosts.clone(), section.port);
    options.poll_interval = section.poll_interval;
    options.access.clone_from(&section.access);
    options
}

#[cfg(feature = "zookeeper")]
fn zookeeper_options(section: &ZooKeeper) -> crate::zookeeper::Options {
    let hosts = section.hosts.iter().map(ToString::to_string);
    let mut options = crate::zookeeper::Options::new(hosts);
    options.chroot.clone_from(&section.chroot);
    options.access.clone_from(&section.access);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_built_in_is_named() {
        let error = StoreError::from(NotBuiltIn { kind: "other" });
        assert!(error.is_final());
        let text = error.to_string();
        assert!(text.contains("no store of the kind other,"), "{text}");
    }
}
