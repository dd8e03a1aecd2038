//! What one must know to keep a cluster in Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment::Environment;

/// Where the objects are, how they are labelled and how to reach them. Source: store contract,
/// section 13.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The Kubernetes namespace of all objects.
    pub namespace: String,
    /// Which objects carry the state.
    pub mode: Mode,
    /// The labels of objects and Pods.
    pub labels: Labels,
    /// The address of the leader in its Endpoints; empty: the address that its Pod has.
    pub pod_ip: String,
    /// The ports of the Endpoints.
    pub ports: Vec<Port>,
    /// Certificates (PEM) to verify the API with, in place of the service account's.
    pub cacert: Option<PathBuf>,
    /// The context of the client's configuration file, outside a Pod; `None`: its current one.
    pub context: Option<String>,
    /// Talk to the API servers themselves, not to the service in front of them. Members only.
    pub bypass_api_service: bool,
    /// HTTP statuses, besides 500, 503 and 504, after which a request is repeated.
    pub retriable_http_codes: Vec<u16>,
    /// What the process finds around it.
    pub environment: Environment,
}

/// Which objects carry the state of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// ConfigMaps: only annotations.
    #[default]
    ConfigMaps,
    /// Endpoints: the leader's also carry its address, so that a Service follows it.
    Endpoints,
}

/// The labels that find the cluster, and those that tell the role of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// On every object, and part of the selector.
    pub all: BTreeMap<String, String>,
    /// The label with the name of the cluster.
    pub scope: String,
    /// The label with the role.
    pub role: String,
    /// The value of the role label on the leader.
    pub leader: String,
    /// The value of the role label on a replica.
    pub follower: String,
    /// The value of the role label on the leader of a standby cluster.
    pub standby_leader: String,
    /// One more role label, always with the default values.
    pub tmp_role: Option<String>,
    /// On a Pod while it gets its data.
    pub bootstrap: BTreeMap<String, String>,
}

/// One port of the Endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
    /// Its protocol, `TCP` in all likelihood.
    pub protocol: String,
}

impl Options {
    /// ConfigMaps in the namespace `default`, found by these labels, and all else by default.
    pub fn new(labels: BTreeMap<String, String>, environment: Environment) -> Self {
        Self {
            namespace: "default".to_owned(),
            mode: Mode::default(),
            labels: Labels::new(labels),
            pod_ip: String::new(),
            ports: vec![Port::default()],
            cacert: None,
            context: None,
            bypass_api_service: false,
            retriable_http_codes: Vec::new(),
            environment,
        }
    }
}

impl Labels {
    /// These labels on everything; names and values of the others by default.
    pub fn new(all: BTreeMap<String, String>) -> Self {
        let text = str::to_owned;
        Self {
            all,
            scope: text("cluster-name"),
            role: text("role"),
            leader: text("primary"),
            follower: text("replica"),
            standby_leader: text("primary"),
            tmp_role: None,
            bootstrap: BTreeMap::new(),
        }
    }
}

impl Default for Port {
    fn default() -> Self {
        Self {
            name: None,
            port: 5432,
            protocol: "TCP".to_owned(),
        }
    }
}
