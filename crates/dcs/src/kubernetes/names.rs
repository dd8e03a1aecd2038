//! How the objects of one cluster are called and found.

use std::collections::BTreeMap;

use super::options::{Labels, Mode, Options};
use super::request::Kind;
use crate::store::Identity;

/// The label with the group of an MPP cluster.
pub(super) const GROUP: &str = "citus-group";

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
    /// What the names of objects begin with: the cluster, and its group.
    prefix: String,
    labels: BTreeMap<String, String>,
}

impl Names {
    /// The names of the cluster with this base path (`/service/demo`, `/service/demo/1` in a
    /// group), of which the scope counts: the namespace in front of it has another meaning here.
    pub(super) fn new(options: &Options, identity: &Identity) -> Self {
        let mut parts = identity.base_path.rsplit('/');
        let group = identity.group.and_then(|_| parts.next());
        let scope = parts.next().unwrap_or_default();
        let Labels {
            all, scope: name, ..
        } = &options.labels;
        let mut labels = all.clone();
        labels.insert(name.clone(), scope.to_owned());
        let prefix = match group {
            Some(group) => {
                labels.insert(GROUP.to_owned(), group.to_owned());
                format!("{scope}-{group}")
            }
            None => scope.to_owned(),
        };
        Self {
            namespace: options.namespace.clone(),
            mode: options.mode,
            prefix,
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
        let prefix = &self.prefix;
        match (part, self.mode) {
            (Part::Config, _) => format!("{prefix}-config"),
            (Part::Leader, Mode::ConfigMaps) => format!("{prefix}-leader"),
            (Part::Leader, Mode::Endpoints) => prefix.clone(),
            (Part::Failover, _) => format!("{prefix}-failover"),
            (Part::Sync, _) => format!("{prefix}-sync"),
        }
    }

    /// The part with this name; `None` for objects of others.
    pub(super) fn part(&self, name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| self.name(*part) == name)
    }
}

#[cfg(test)]
mod tests {
    use patroni_core::Scope;

    use super::*;

    fn names(group: Option<u32>) -> Names {
        let labels = [("application".to_owned(), "patroni".to_owned())].into();
        let mut options = Options::new(labels, super::super::Environment::default());
        options.mode = Mode::Endpoints;
        let identity = Identity::new("service", &Scope::new("demo"), None);
        let identity = match group {
            Some(group) => identity.in_group(group),
            None => identity,
        };
        Names::new(&options, &identity)
    }

    #[test]
    fn a_group_is_in_names_and_labels() {
        let all = names(None);
        assert_eq!(all.name(Part::Leader), "demo");
        assert_eq!(all.selector(), "application=patroni,cluster-name=demo");
        let one = names(Some(1));
        assert_eq!(one.name(Part::Leader), "demo-1");
        assert_eq!(one.name(Part::Config), "demo-1-config");
        assert_eq!(
            one.selector(),
            "application=patroni,citus-group=1,cluster-name=demo"
        );
    }
}
