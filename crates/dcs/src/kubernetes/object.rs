//! The parts of Kubernetes objects that matter here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An Endpoints, a ConfigMap or a Pod; what a kind does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
    /// Of Endpoints.
    pub(super) subsets: Option<Vec<Subset>>,
    /// Of a Pod.
    pub(super) spec: PodSpec,
    /// Of a Pod.
    pub(super) status: PodStatus,
}

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) resource_version: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// Where a Pod runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) hostname: Option<String>,
    pub(super) node_name: Option<String>,
}

/// What became of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
}

/// Addresses and ports that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subset {
    #[serde(default)]
    pub(super) addresses: Option<Vec<Address>>,
    #[serde(default)]
    pub(super) ports: Option<Vec<SubsetPort>>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    pub(super) ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_ref: Option<TargetRef>,
}

/// The Pod behind an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetRef {
    pub(super) kind: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) resource_version: Option<String>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SubsetPort {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<String>,
}

/// A list of objects, at one version of the whole store.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct List {
    pub(super) metadata: ListMetadata,
    #[serde(default)]
    pub(super) items: Vec<Object>,
}

/// What every list has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
}

impl Object {
    /// One annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        let all = self.metadata.annotations.as_ref()?;
        all.get(name).map(String::as_str)
    }

    /// One label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let all = self.metadata.labels.as_ref()?;
        all.get(name).map(String::as_str)
    }

    /// The version, as a number to compare with.
    pub(super) fn version(&self) -> u64 {
        version(&self.metadata.resource_version)
    }
}

/// A version as a number: opaque by the manual, but every server counts, and members have always
/// compared them so. What is no number is older than everything.
pub(super) fn version(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
