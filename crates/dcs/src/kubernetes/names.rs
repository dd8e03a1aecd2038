//! How the objects of one cluster are called and found.

use std::collections::BTreeMap;

use super::options::{Labels, Mode, Options};
use super::request::Kind;

/// An object with state in its annotations. Pods are the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `initialize`, `config` and `history`.
    Config,
    /// The lock, `status` and `failsafe`.
    Leader,
    /// `failover`.
    Failover,
    /// `sync`.
    Sync,
}

impl Part {
    const ALL: [Self; 4] = [Self::Config, Self::Leader, Self::Failover, Self::Sync];
}

/// The names and labels of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) namespace: String,
    pub(super) mode: Mode,
    scope: String,
    labels: BTreeMap<String, String>,
}

impl Names {
    /// The names of the cluster with this base path (`/service/demo`), whose last part counts:
    /// the namespace in front of it has another meaning here.
    pub(super) fn new(options: &Options, base_path: &str) -> Self {
        let scope = base_path.rsplit('/').next().unwrap_or(base_path).to_owned();
        let Labels {
            all, scope: name, ..
        } = &options.labels;
        let mut labels = all.clone();
        labels.insert(name.clone(), scope.clone());
        Self {
            namespace: options.namespace.clone(),
            mode: options.mode,
            scope,
            labels,
        }
    }

    /// The kind of the objects with state.
    pub(super) fn kind(&self) -> Kind {
        match self.mode {
            Mode::ConfigMaps => Kind::ConfigMaps,
            Mode::Endpoints => Kind::Endpoints,
        }
    }

    /// The labels of every object.
    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// What finds the objects and Pods of the cluster (`application=patroni,cluster-name=demo`).
    pub(super) fn selector(&self) -> String {
        let terms = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        terms.collect::<Vec<_>>().join(",")
    }

    /// The name of an object.
    pub(super) fn name(&self, part: Part) -> String {
        let scope = &self.scope;
        match (part, self.mode) {
            (Part::Config, _) => format!("{scope}-config"),
            (Part::Leader, Mode::ConfigMaps) => format!("{scope}-leader"),
            (Part::Leader, Mode::Endpoints) => scope.clone(),
            (Part::Failover, _) => format!("{scope}-failover"),
            (Part::Sync, _) => format!("{scope}-sync"),
        }
    }

    /// The part with this name; `None` for objects of others.
    pub(super) fn part(&self, name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| self.name(*part) == name)
    }
}
